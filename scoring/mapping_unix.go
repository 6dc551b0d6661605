//go:build unix

package scoring

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// mapping is a file in memory, read-only.
type mapping struct{ data []byte }

// mapFile maps the file at path. The file is only ever replaced, never changed, so that its pages stay what they are.
func mapFile(path string) (_ *mapping, err error) {
	file, size, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // a mapping outlives its file
	data, err := unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return &mapping{data}, nil
}

// openFile opens a file that is one and is not empty.
func openFile(path string) (file *os.File, size int, err error) {
	if file, err = os.Open(path); err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = errors.New("not a file")
	case info.Size() == 0:
		err = io.ErrUnexpectedEOF
	default:
		return file, int(info.Size()), nil
	}
	return nil, 0, errors.Join(err, file.Close())
}

// close unmaps the file: nothing may refer to its data any more.
func (m *mapping) close() { _ = unix.Munmap(m.data) } // it was mapped, so that this cannot fail
