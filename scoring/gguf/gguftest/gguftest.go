// Package gguftest writes small GGUF files for tests.
package gguftest

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Builder collects metadata and tensors. The zero value is an empty file of version 3.
type Builder struct {
	entries, tensors int
	meta, infos      []byte
	data             []byte
}

// Set adds a metadata value: uint32, int32, uint64, float32, bool, string, []string or []int32.
func (b *Builder) Set(key string, value any) {
	b.entries++
	b.meta = appendString(b.meta, key)
	le := binary.LittleEndian
	switch v := value.(type) {
	case uint32:
		b.meta = le.AppendUint32(le.AppendUint32(b.meta, 4), v)
	case int32:
		b.meta = le.AppendUint32(le.AppendUint32(b.meta, 5), uint32(v))
	case float32:
		b.meta = le.AppendUint32(le.AppendUint32(b.meta, 6), math.Float32bits(v))
	case bool:
		b.meta = append(le.AppendUint32(b.meta, 7), map[bool]byte{true: 1}[v])
	case string:
		b.meta = appendString(le.AppendUint32(b.meta, 8), v)
	case uint64:
		b.meta = le.AppendUint64(le.AppendUint32(b.meta, 10), v)
	case []string:
		b.meta = le.AppendUint64(le.AppendUint32(le.AppendUint32(b.meta, 9), 8), uint64(len(v)))
		for _, s := range v {
			b.meta = appendString(b.meta, s)
		}
	case []int32:
		b.meta = le.AppendUint64(le.AppendUint32(le.AppendUint32(b.meta, 9), 5), uint64(len(v)))
		for _, n := range v {
			b.meta = le.AppendUint32(b.meta, uint32(n))
		}
	default:
		panic(fmt.Sprintf("gguftest: value of type %T", value))
	}
}

// Tensor adds a tensor of a GGUF type (by its number in the file), slowest dimension first, from its stored bytes.
func (b *Builder) Tensor(name string, typ uint32, data []byte, shape ...int) {
	b.tensors++
	le := binary.LittleEndian
	b.infos = le.AppendUint32(appendString(b.infos, name), uint32(len(shape)))
	for i := range shape {
		b.infos = le.AppendUint64(b.infos, uint64(shape[len(shape)-1-i]))
	}
	b.infos = le.AppendUint64(le.AppendUint32(b.infos, typ), uint64(len(b.data)))
	b.data = pad(append(b.data, data...))
}

// F32 adds a tensor of type F32.
func (b *Builder) F32(name string, values []float32, shape ...int) {
	data := make([]byte, 0, 4*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	b.Tensor(name, 0, data, shape...)
}

// Data returns the file.
func (b *Builder) Data() string {
	le := binary.LittleEndian
	h := le.AppendUint32([]byte("GGUF"), 3)
	h = le.AppendUint64(le.AppendUint64(h, uint64(b.tensors)), uint64(b.entries))
	h = append(append(h, b.meta...), b.infos...)
	return string(append(pad(h), b.data...))
}

func pad(b []byte) []byte {
	for len(b)%32 != 0 {
		b = append(b, 0)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}
