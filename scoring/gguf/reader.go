package gguf

import (
	"fmt"
	"math"
)

// reader takes fields off a byte string. The first read past the end sets err, and every later one returns zero.
type reader struct {
	data string
	off  int
	err  error
}

func (r *reader) left() int { return len(r.data) - r.off }

// take returns the next n bytes, or "" and sets err.
func (r *reader) take(n uint64) string {
	if r.err != nil {
		return ""
	}
	if n > uint64(r.left()) {
		r.err = fmt.Errorf("gguf: %d bytes wanted at offset %d of %d", n, r.off, len(r.data))
		return ""
	}
	s := r.data[r.off : r.off+int(n)]
	r.off += int(n)
	return s
}

func (r *reader) u32() uint32 {
	if s := r.take(4); s != "" {
		return le32(s)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if s := r.take(8); s != "" {
		return le64(s)
	}
	return 0
}

func (r *reader) str() string { return r.take(r.u64()) }

// value reads one metadata value. An array is walked, not decoded: only its bytes and its count are kept.
func (r *reader) value(t ValueType) (Value, error) {
	v := Value{Type: t, Count: 1}
	switch {
	case int(t) >= len(valueTypes):
		return v, fmt.Errorf("unknown %v", t)
	case t == TypeString:
		v.raw = r.str()
	case t == TypeArray:
		v.Elem = ValueType(r.u32())
		n := r.u64()
		if r.err != nil {
			return v, r.err
		}
		if int(v.Elem) >= len(valueTypes) || v.Elem == TypeArray {
			return v, fmt.Errorf("array of %v is not supported", v.Elem)
		}
		size := valueTypes[v.Elem].size
		least := size
		if least == 0 {
			least = 8 // the length of a string
		}
		if n > uint64(r.left()/least) {
			return v, fmt.Errorf("array of %d %v does not fit in the %d bytes left", n, v.Elem, r.left())
		}
		v.Count = int(n)
		start := r.off
		if size > 0 {
			r.take(n * uint64(size))
		} else {
			for range v.Count {
				r.str()
				if r.err != nil {
					return v, r.err
				}
			}
		}
		v.raw = r.data[start:r.off]
	default:
		v.raw = r.take(uint64(valueTypes[t].size))
	}
	return v, r.err
}

func le16(s string) uint16 { return uint16(s[0]) | uint16(s[1])<<8 }

func le32(s string) uint32 {
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

func le64(s string) uint64 { return uint64(le32(s)) | uint64(le32(s[4:]))<<32 }

// clip shortens a hostile key or name for an error message.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// half is the value of an IEEE 754 binary16 number.
func half(h uint16) float32 {
	sign, exp, frac := uint32(h)>>15<<31, uint32(h)>>10&31, uint32(h)&0x3ff
	switch exp {
	case 0: // zero or subnormal: frac · 2^-24
		return math.Float32frombits(sign | math.Float32bits(float32(frac)*0x1p-24))
	case 31: // infinity or NaN
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	default:
		return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
	}
}
