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
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // a mapping outlives its file
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a file")
	}
	if info.Size() == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	data, err := unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return &mapping{data}, nil
}

// close unmaps the file: nothing may refer to its data any more.
func (m *mapping) close() { _ = unix.Munmap(m.data) } // it was mapped, so that this cannot fail
