// Package gguf reads GGUF model files (versions 2 and 3 of the format of ggml-org/ggml, docs/gguf.md).
//
// Parse walks the header once and checks every count, length and offset against the size of the file, so that nothing
// is ever allocated from an unchecked number. It copies nothing: keys, strings and tensor bytes are views of the input.
// Metadata is decoded when asked for, tensors when they are turned into f32.
package gguf

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"unsafe"
)

// ValueType is the type of a metadata value, numbered as in the file.
type ValueType uint32

// The metadata value types of the format.
const (
	TypeUint8 ValueType = iota
	TypeInt8
	TypeUint16
	TypeInt16
	TypeUint32
	TypeInt32
	TypeFloat32
	TypeBool
	TypeString
	TypeArray
	TypeUint64
	TypeInt64
	TypeFloat64
)

var valueTypes = [...]struct {
	name string
	size int // bytes in the file; 0 where the value tells
}{
	{"uint8", 1},
	{"int8", 1},
	{"uint16", 2},
	{"int16", 2},
	{"uint32", 4},
	{"int32", 4},
	{"float32", 4},
	{"bool", 1},
	{"string", 0},
	{"array", 0},
	{"uint64", 8},
	{"int64", 8},
	{"float64", 8},
}

// String returns the type's name in the format's documentation, in lower case.
func (t ValueType) String() string {
	if int(t) < len(valueTypes) {
		return valueTypes[t].name
	}
	return fmt.Sprintf("type %d", uint32(t))
}

const (
	magic = "GGUF"
	// defaultAlignment is the format's, where general.alignment does not say otherwise.
	defaultAlignment = 32
	maxDims          = 4
	// The shortest possible entries of the file, in bytes: they bound the counts in the header.
	minEntry  = 8 + 4 + 1         // the key's length, a type, a value of one byte
	minTensor = 8 + 4 + 8 + 4 + 8 // the name's length, a count, one dimension, type and offset
)

// ErrMissing is wrapped by the errors of getters for a key or tensor that the file does not have.
var ErrMissing = errors.New("not in the file")

// Value is one metadata value. The zero Value is no valid value.
type Value struct {
	Type ValueType
	// Elem is the element type of an array.
	Elem ValueType
	// Count is the number of elements of an array, and 1 otherwise.
	Count int
	raw   string // the value's bytes; a string without its length
}

// Entry is one key of the metadata with its value.
type Entry struct {
	Key   string
	Value Value
}

// File is a parsed GGUF file. It holds views of the parsed data and is safe for concurrent use.
type File struct {
	// Version of the format, 2 or 3.
	Version uint32
	// Alignment of the tensors' data in bytes.
	Alignment int
	// Metadata in file order, keys unique.
	Metadata []Entry
	// Tensors in file order, names unique.
	Tensors []Tensor

	data  string
	keys  map[string]int
	names map[string]int
}

// Data returns the whole file.
func (f *File) Data() string { return f.data }

// Open reads and parses the file at path.
func Open(path string) (*File, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := Parse(unsafe.String(unsafe.SliceData(b), len(b))) // b is not written again
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// Parse parses a GGUF file held in memory. The File refers to data and copies none of it.
func Parse(data string) (*File, error) {
	r := reader{data: data}
	f := &File{Alignment: defaultAlignment, data: data}
	if !strings.HasPrefix(data, magic) {
		return nil, fmt.Errorf("gguf: starts with %q, want %q", data[:min(len(data), len(magic))], magic)
	}
	r.off = len(magic)
	f.Version = r.u32()
	tensors, entries := r.u64(), r.u64()
	if r.err != nil {
		return nil, r.err
	}
	if f.Version < 2 || f.Version > 3 {
		return nil, fmt.Errorf("gguf: version %d, want 2 or 3", f.Version)
	}
	if left := uint64(r.left()); entries > left/minEntry || tensors > left/minTensor {
		return nil, fmt.Errorf("gguf: %d metadata entries and %d tensors do not fit in a file of %d bytes", entries, tensors, len(data))
	}
	if err := f.readMetadata(&r, int(entries)); err != nil {
		return nil, err
	}
	if f.Has("general.alignment") {
		a, err := f.Uint("general.alignment")
		if err != nil {
			return nil, err
		}
		if a == 0 || a&(a-1) != 0 || a > 1<<16 {
			return nil, fmt.Errorf("gguf: alignment %d is not a power of two up to 65536", a)
		}
		f.Alignment = int(a)
	}
	if err := f.readTensors(&r, int(tensors)); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *File) readMetadata(r *reader, n int) error {
	f.Metadata = make([]Entry, 0, n)
	f.keys = make(map[string]int, n)
	for range n {
		key := r.str()
		t := ValueType(r.u32())
		if r.err != nil {
			return r.err
		}
		v, err := r.value(t)
		if err != nil {
			return fmt.Errorf("gguf: key %q: %w", clip(key), err)
		}
		if _, ok := f.keys[key]; ok {
			return fmt.Errorf("gguf: key %q twice", clip(key))
		}
		f.keys[key] = len(f.Metadata)
		f.Metadata = append(f.Metadata, Entry{key, v})
	}
	return nil
}

// Has reports whether the metadata holds key.
func (f *File) Has(key string) bool {
	_, ok := f.keys[key]
	return ok
}

func (f *File) value(key string) (Value, error) {
	i, ok := f.keys[key]
	if !ok {
		return Value{}, fmt.Errorf("gguf: key %q: %w", key, ErrMissing)
	}
	return f.Metadata[i].Value, nil
}

// Uint returns the value of key, of any integer type, if it is not negative.
func (f *File) Uint(key string) (uint64, error) {
	v, err := f.value(key)
	if err != nil {
		return 0, err
	}
	n, ok := integer(v.Type, v.raw)
	if !ok {
		return 0, fmt.Errorf("gguf: key %q is %v, want an integer", key, v.Type)
	}
	if n < 0 && v.Type != TypeUint64 {
		return 0, fmt.Errorf("gguf: key %q is %d, want no negative number", key, n)
	}
	return uint64(n), nil
}

// Float returns the value of key, of either float type.
func (f *File) Float(key string) (float64, error) {
	v, err := f.value(key)
	if err != nil {
		return 0, err
	}
	switch v.Type {
	case TypeFloat32:
		return float64(math.Float32frombits(le32(v.raw))), nil
	case TypeFloat64:
		return math.Float64frombits(le64(v.raw)), nil
	default:
		return 0, fmt.Errorf("gguf: key %q is %v, want a float", key, v.Type)
	}
}

// Bool returns the value of key.
func (f *File) Bool(key string) (bool, error) {
	v, err := f.value(key)
	if err != nil {
		return false, err
	}
	if v.Type != TypeBool {
		return false, fmt.Errorf("gguf: key %q is %v, want bool", key, v.Type)
	}
	return v.raw[0] != 0, nil
}

// Text returns the value of key, a string; its bytes need not be UTF-8.
func (f *File) Text(key string) (string, error) {
	v, err := f.value(key)
	if err != nil {
		return "", err
	}
	if v.Type != TypeString {
		return "", fmt.Errorf("gguf: key %q is %v, want a string", key, v.Type)
	}
	return v.raw, nil
}

// Texts returns the value of key, an array of strings that are views of the file.
func (f *File) Texts(key string) ([]string, error) {
	v, err := f.value(key)
	if err != nil {
		return nil, err
	}
	if v.Type != TypeArray || v.Elem != TypeString {
		return nil, fmt.Errorf("gguf: key %q is no array of strings", key)
	}
	r := reader{data: v.raw}
	out := make([]string, v.Count) // Count strings were found in raw, each at least 8 bytes long
	for i := range out {
		out[i] = r.str()
	}
	return out, r.err
}

// Ints returns the value of key, an array of any integer type whose values fit in an int32.
func (f *File) Ints(key string) ([]int32, error) {
	v, err := f.value(key)
	if err != nil {
		return nil, err
	}
	if v.Type != TypeArray || v.Count > 0 && !isInteger(v.Elem) {
		return nil, fmt.Errorf("gguf: key %q is no array of integers", key)
	}
	size := valueTypes[v.Elem].size
	out := make([]int32, v.Count)
	for i := range out {
		n, _ := integer(v.Elem, v.raw[i*size:])
		if int64(int32(n)) != n {
			return nil, fmt.Errorf("gguf: key %q: element %d does not fit in 32 bits", key, i)
		}
		out[i] = int32(n)
	}
	return out, nil
}

// String renders the value for people: scalars as they are, long strings and arrays cut, with their length.
func (v Value) String() string {
	switch v.Type {
	case TypeString:
		if len(v.raw) > 80 {
			return fmt.Sprintf("%q… (%d bytes)", v.raw[:80], len(v.raw))
		}
		return fmt.Sprintf("%q", v.raw)
	case TypeArray:
		var b strings.Builder
		b.WriteByte('[')
		r := reader{data: v.raw}
		shown := min(v.Count, 6)
		for i := range shown {
			if i > 0 {
				b.WriteString(", ")
			}
			e, err := r.value(v.Elem)
			if err != nil {
				break // cannot happen: the array was walked when the file was parsed
			}
			b.WriteString(e.String())
		}
		if v.Count > shown {
			b.WriteString(", …")
		}
		fmt.Fprintf(&b, "] (%d × %v)", v.Count, v.Elem)
		return b.String()
	case TypeBool:
		return fmt.Sprint(v.raw[0] != 0)
	case TypeFloat32:
		return fmt.Sprint(math.Float32frombits(le32(v.raw)))
	case TypeFloat64:
		return fmt.Sprint(math.Float64frombits(le64(v.raw)))
	case TypeUint64:
		return fmt.Sprint(le64(v.raw))
	default:
		n, _ := integer(v.Type, v.raw)
		return fmt.Sprint(n)
	}
}

func isInteger(t ValueType) bool {
	switch t {
	case TypeUint8, TypeInt8, TypeUint16, TypeInt16, TypeUint32, TypeInt32, TypeUint64, TypeInt64:
		return true
	default:
		return false
	}
}

// integer decodes a value of an integer type; a uint64 above the int64 range comes out negative.
func integer(t ValueType, raw string) (int64, bool) {
	switch t {
	case TypeUint8:
		return int64(raw[0]), true
	case TypeInt8:
		return int64(int8(raw[0])), true
	case TypeUint16:
		return int64(le16(raw)), true
	case TypeInt16:
		return int64(int16(le16(raw))), true
	case TypeUint32:
		return int64(le32(raw)), true
	case TypeInt32:
		return int64(int32(le32(raw))), true
	case TypeUint64, TypeInt64:
		return int64(le64(raw)), true
	default:
		return 0, false
	}
}
