package scoring

import "golang.org/x/sys/unix"

// readPart is how many bytes one goroutine reads at a time.
const readPart = 8 << 20

// readLarge reads the file at path into memory of its own, in large pages where the system has them: mapped, each page of
// 4 KiB would be looked up again in each pass, which costs the fastest tier some 4 % of its speed.
func readLarge(path string, workers int) (_ *mapping, err error) {
	file, size, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	data, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, err
	}
	m := &mapping{data}
	_ = unix.Madvise(data, unix.MADV_HUGEPAGE) // where it is refused pages are small
	err = inParallel((size+readPart-1)/readPart, workers, func(i int) error {
		part := data[i*readPart : min((i+1)*readPart, size)]
		_, err := file.ReadAt(part, int64(i*readPart))
		return err
	})
	if err == nil {
		err = unix.Mprotect(data, unix.PROT_READ)
	}
	if err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}
