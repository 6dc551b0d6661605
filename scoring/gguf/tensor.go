package gguf

import (
	"fmt"
	"math/bits"
	"slices"
)

// TensorType is how a tensor's values are stored, numbered as in the file (ggml's ggml_type).
type TensorType uint32

// The tensor types that can be turned into f32.
const (
	F32  TensorType = 0
	F16  TensorType = 1
	Q4_0 TensorType = 2
	Q4_1 TensorType = 3
	Q5_0 TensorType = 6
	Q5_1 TensorType = 7
	Q8_0 TensorType = 8
	Q4_K TensorType = 12
	Q5_K TensorType = 13
	Q6_K TensorType = 14
	BF16 TensorType = 30
)

// layout is how many values one block of a type holds, in how many bytes, and how whole blocks become f32.
type layout struct {
	name   string
	values int
	bytes  int
	decode func(dst []float32, data string) // fills dst; nil if the type cannot be decoded
}

// layouts holds more types than can be decoded, so that a file which has them can still be listed.
var layouts = map[TensorType]layout{
	F32:  {"F32", 1, 4, decodeF32},
	F16:  {"F16", 1, 2, decodeF16},
	BF16: {"BF16", 1, 2, decodeBF16},
	Q4_0: {"Q4_0", 32, 18, decodeQ4x0},
	Q4_1: {"Q4_1", 32, 20, decodeQ4x1},
	Q5_0: {"Q5_0", 32, 22, decodeQ5x0},
	Q5_1: {"Q5_1", 32, 24, decodeQ5x1},
	Q8_0: {"Q8_0", 32, 34, decodeQ8x0},
	Q4_K: {"Q4_K", 256, 144, decodeQ4K},
	Q5_K: {"Q5_K", 256, 176, decodeQ5K},
	Q6_K: {"Q6_K", 256, 210, decodeQ6K},
	9:    {"Q8_1", 32, 36, nil},
	10:   {"Q2_K", 256, 84, nil},
	11:   {"Q3_K", 256, 110, nil},
	15:   {"Q8_K", 256, 292, nil},
	24:   {"I8", 1, 1, nil},
	25:   {"I16", 1, 2, nil},
	26:   {"I32", 1, 4, nil},
	27:   {"I64", 1, 8, nil},
	28:   {"F64", 1, 8, nil},
}

// String returns ggml's name of the type.
func (t TensorType) String() string {
	if l, ok := layouts[t]; ok {
		return l.name
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// Tensor is one tensor of a file: a view of its bytes.
type Tensor struct {
	Name string
	Type TensorType
	// Shape with the slowest dimension first, so a matrix is [rows, columns] and its rows are contiguous. (The file
	// stores it the other way round.)
	Shape []int
	// Offset of the data from the start of the file, in bytes.
	Offset int
	data   string
}

// Len returns the number of values.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Bytes returns the size of the stored data.
func (t Tensor) Bytes() int { return len(t.data) }

// Tensor returns the tensor of that name.
func (f *File) Tensor(name string) (Tensor, error) {
	i, ok := f.names[name]
	if !ok {
		return Tensor{}, fmt.Errorf("gguf: tensor %q: %w", name, ErrMissing)
	}
	return f.Tensors[i], nil
}

// Matrix returns the tensor of that name if its values can be turned into f32 and its shape is the one given.
func (f *File) Matrix(name string, shape ...int) (Tensor, error) {
	t, err := f.Tensor(name)
	if err != nil {
		return Tensor{}, err
	}
	if !slices.Equal(t.Shape, shape) {
		return Tensor{}, fmt.Errorf("gguf: tensor %q has shape %v, want %v", name, t.Shape, shape)
	}
	return t, t.decodable()
}

func (t Tensor) decodable() error {
	if layouts[t.Type].decode == nil {
		return fmt.Errorf("gguf: tensor %q has type %v; F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K and Q6_K can be read", clip(t.Name), t.Type)
	}
	return nil
}

func (f *File) readTensors(r *reader, n int) error {
	f.Tensors = make([]Tensor, 0, n)
	f.names = make(map[string]int, n)
	offsets := make([]uint64, 0, n)
	for range n {
		t, off, err := readTensor(r)
		if err != nil {
			return err
		}
		if _, ok := f.names[t.Name]; ok {
			return fmt.Errorf("gguf: tensor %q twice", clip(t.Name))
		}
		f.names[t.Name] = len(f.Tensors)
		f.Tensors = append(f.Tensors, t)
		offsets = append(offsets, off)
	}
	// The tensors' data begins at the next aligned byte; offsets count from there.
	start := min((r.off+f.Alignment-1)/f.Alignment*f.Alignment, len(r.data))
	data := r.data[start:]
	for i := range f.Tensors {
		t, off := &f.Tensors[i], offsets[i]
		l := layouts[t.Type]
		size := uint64(t.Len() / l.values * l.bytes)
		switch {
		case off%uint64(f.Alignment) != 0:
			return fmt.Errorf("gguf: tensor %q at offset %d, not a multiple of %d", clip(t.Name), off, f.Alignment)
		case off > uint64(len(data)) || size > uint64(len(data))-off:
			return fmt.Errorf("gguf: tensor %q: %d bytes at offset %d of the data's %d", clip(t.Name), size, off, len(data))
		}
		t.Offset = start + int(off)
		t.data = data[off : off+size]
	}
	return f.checkOverlap()
}

// readTensor reads one tensor's description. Its size in bytes fits in an int afterwards.
func readTensor(r *reader) (Tensor, uint64, error) {
	t := Tensor{Name: r.str()}
	dims := r.u32()
	if r.err != nil {
		return t, 0, r.err
	}
	if dims < 1 || dims > maxDims {
		return t, 0, fmt.Errorf("gguf: tensor %q has %d dimensions, want 1 to %d", clip(t.Name), dims, maxDims)
	}
	t.Shape = make([]int, dims)
	values := uint64(1)
	for i := range t.Shape {
		d := r.u64()
		hi, lo := bits.Mul64(values, d)
		// 2^48 values are far beyond any file and leave room for the bytes of each.
		if r.err == nil && (d == 0 || hi != 0 || lo > 1<<48) {
			return t, 0, fmt.Errorf("gguf: tensor %q: dimension %d is %d", clip(t.Name), i, d)
		}
		values = lo
		t.Shape[len(t.Shape)-1-i] = int(d)
	}
	t.Type = TensorType(r.u32())
	off := r.u64()
	if r.err != nil {
		return t, 0, r.err
	}
	l, ok := layouts[t.Type]
	if !ok {
		return t, 0, fmt.Errorf("gguf: tensor %q has unknown %v", clip(t.Name), t.Type)
	}
	if columns := t.Shape[len(t.Shape)-1]; columns%l.values != 0 {
		return t, 0, fmt.Errorf("gguf: tensor %q: %d columns of %v, not a multiple of %d", clip(t.Name), columns, t.Type, l.values)
	}
	return t, off, nil
}

// checkOverlap refuses files whose tensors share bytes: no writer makes them, and they would let a small file stand for
// many large tensors.
func (f *File) checkOverlap() error {
	order := make([]int, len(f.Tensors))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return f.Tensors[a].Offset - f.Tensors[b].Offset })
	for i := 1; i < len(order); i++ {
		a, b := f.Tensors[order[i-1]], f.Tensors[order[i]]
		if a.Offset+len(a.data) > b.Offset {
			return fmt.Errorf("gguf: tensors %q and %q overlap", clip(a.Name), clip(b.Name))
		}
	}
	return nil
}

// F32 decodes the whole tensor, row-major. It panics on a type that Matrix would have refused.
func (t Tensor) F32() []float32 {
	out := make([]float32, t.Len())
	t.decode(out, t.data)
	return out
}

// Rows decodes rows [from, from+n) of a matrix [rows, columns] into dst [n, columns]; n is what fits in dst.
func (t Tensor) Rows(dst []float32, from int) {
	l := layouts[t.Type]
	stride := t.Shape[len(t.Shape)-1] / l.values * l.bytes
	n := len(dst) / t.Shape[len(t.Shape)-1]
	t.decode(dst, t.data[from*stride:(from+n)*stride])
}

// decode turns stored data into dst, which it fills.
func (t Tensor) decode(dst []float32, data string) {
	if err := t.decodable(); err != nil {
		panic(err)
	}
	layouts[t.Type].decode(dst, data)
}
