//go:build !unix

package scoring

import "os"

// mapping is a file in memory.
type mapping struct{ data []byte }

// mapFile reads the file at path: a copy of its own for each process.
func mapFile(path string) (*mapping, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return &mapping{data}, nil
}

func (m *mapping) close() {}
