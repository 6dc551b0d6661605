package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
)

// openLines opens a file of lines to write on where it ends, making it if it is not there, and calls each for the lines that it
// holds. A last line that a broken run left incomplete is cut off.
func openLines(path string, each func(line []byte)) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	end := int64(0)
	for lines := bufio.NewReader(file); ; {
		line, err := lines.ReadBytes('\n')
		if err == nil {
			end += int64(len(line))
			each(line)
			continue
		}
		if !errors.Is(err, io.EOF) {
			return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
		}
		break
	}
	err = file.Truncate(end)
	if err == nil {
		_, err = file.Seek(end, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return file, nil
}
