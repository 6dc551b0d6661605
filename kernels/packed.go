package kernels

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"unsafe"
)

// PackVersion changes whenever what [Matrix.WriteTo] writes does, for any tier: make it part of a packed file's key.
const PackVersion = 3

// packedAlign is the size of the header before a packed matrix, and what its parts are padded to: what follows an
// aligned matrix is aligned too.
const packedAlign = 64

// header is the first bytes of a packed matrix: tier, outputs, inputs.
func (w *Matrix) header() [packedAlign]byte {
	var h [packedAlign]byte
	for i, v := range []int{int(w.tier), w.n, w.k} {
		binary.NativeEndian.PutUint64(h[8*i:], uint64(v))
	}
	return h
}

// WriteTo writes w for [ReadPacked]: a multiple of 64 bytes in this machine's byte order, for w's tier alone.
func (w *Matrix) WriteTo(to io.Writer) (written int64, err error) {
	h := w.header()
	for _, part := range [][]byte{h[:], bytesOf(w.scale), bytesOf(w.bias), bytesOf(w.sum), bytesOf(w.q)} {
		var zero [packedAlign]byte
		for _, b := range [][]byte{part, zero[:roundUp(len(part), packedAlign)-len(part)]} {
			n, err := to.Write(b)
			written += int64(n)
			if err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

// ReadPacked returns the matrix [n, k] for tier t at the start of data, as WriteTo wrote it, and the data after it.
//
// Where data starts at a multiple of 64 bytes in memory, as a mapped file does, the matrix shares data, which must then
// stay mapped and unchanged while the matrix lives; elsewhere it is a copy. Sizes are checked. Values are taken as they
// are, so keep a checksum beside a file.
func ReadPacked(t Tier, n, k int, data []byte) (w *Matrix, rest []byte, err error) {
	w = newMatrix(t, n, k)
	h := w.header()
	if len(data) < packedAlign || string(data[:packedAlign]) != string(h[:]) {
		return nil, nil, fmt.Errorf("packed weights: %d bytes that are not a matrix [%d, %d] for %v", len(data), n, k, t)
	}
	rest = data[packedAlign:]
	outputs := roundUp(n, w.shape.panel)
	sums := 0
	if w.shape.unsigned {
		sums = outputs
	}
	w.scale, rest, err = readPart[float32](rest, outputs, err)
	w.bias, rest, err = readPart[float32](rest, outputs, err)
	w.sum, rest, err = readPart[int32](rest, sums, err)
	w.q, rest, err = readPart[int8](rest, outputs*w.kp, err)
	if err != nil {
		return nil, nil, err
	}
	w.biased = slices.ContainsFunc(w.bias, func(b float32) bool { return b != 0 })
	return w, rest, nil
}

func bytesOf[T int8 | int32 | float32](x []T) []byte {
	var z T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), len(x)*int(unsafe.Sizeof(z)))
}

// readPart returns the first n values of data and what follows their padding. It passes an earlier error on.
func readPart[T int8 | int32 | float32](data []byte, n int, earlier error) (x []T, rest []byte, err error) {
	var z T
	size := n * int(unsafe.Sizeof(z))
	padded := roundUp(size, packedAlign)
	switch {
	case earlier != nil:
		return nil, nil, earlier
	case padded > len(data):
		return nil, nil, fmt.Errorf("packed weights: a part of %d bytes, %d left", padded, len(data))
	case n == 0:
		return nil, data, nil
	}
	p := unsafe.Pointer(unsafe.SliceData(data))
	if uintptr(p)%packedAlign == 0 {
		return unsafe.Slice((*T)(p), n), data[padded:], nil
	}
	x = aligned[T](n)
	copy(bytesOf(x), data)
	return x, data[padded:], nil
}
