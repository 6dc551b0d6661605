package gguf

import "math"

// The decoders below turn whole blocks into f32 and fill dst. Layouts and formulas are those of ggml (ggml-common.h,
// ggml-quants.c); every step is rounded to f32 as there. Where a block has packed quants, value i lies in the low nibble of
// byte i and value i+16 in its high nibble.

func decodeF32(dst []float32, data string) {
	for i := range dst {
		dst[i] = math.Float32frombits(le32(data[4*i:]))
	}
}

func decodeF16(dst []float32, data string) {
	for i := range dst {
		dst[i] = half(le16(data[2*i:]))
	}
}

func decodeBF16(dst []float32, data string) {
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(le16(data[2*i:])) << 16)
	}
}

// decodeQ8x0: a f16 scale d and 32 int8; x = dq.
func decodeQ8x0(dst []float32, data string) {
	for ; len(dst) >= 32; dst, data = dst[32:], data[34:] {
		d := half(le16(data))
		q, x := data[2:34], dst[:32:32]
		for i := range x {
			x[i] = d * float32(int8(q[i]))
		}
	}
}

// decodeQ4x0: a f16 scale d and 16 bytes; x = d(q-8).
func decodeQ4x0(dst []float32, data string) {
	for ; len(dst) >= 32; dst, data = dst[32:], data[18:] {
		d := half(le16(data))
		q, x := data[2:18], dst[:32:32]
		for i := range 16 {
			x[i] = d * float32(int(q[i]&15)-8)
			x[i+16] = d * float32(int(q[i]>>4)-8)
		}
	}
}

// decodeQ4x1: a f16 scale d, a f16 minimum m and 16 bytes; x = dq+m.
func decodeQ4x1(dst []float32, data string) {
	for ; len(dst) >= 32; dst, data = dst[32:], data[20:] {
		d, m := half(le16(data)), half(le16(data[2:]))
		q, x := data[4:20], dst[:32:32]
		var level [16]float32
		for i := range level {
			level[i] = float32(d*float32(i)) + m
		}
		for i := range 16 {
			x[i] = level[q[i]&15]
			x[i+16] = level[q[i]>>4]
		}
	}
}

// decodeQ5x0: a f16 scale d, the fifth bits of the 32 values and 16 bytes of the others; x = d(q-16).
func decodeQ5x0(dst []float32, data string) {
	for ; len(dst) >= 32; dst, data = dst[32:], data[22:] {
		d, high := half(le16(data)), le32(data[2:])
		q, x := data[6:22], dst[:32:32]
		var level [32]float32
		for i := range level {
			level[i] = d * float32(i-16)
		}
		for i := range 16 {
			x[i] = level[uint32(q[i]&15)|high>>i&1<<4]
			x[i+16] = level[uint32(q[i]>>4)|high>>(i+16)&1<<4]
		}
	}
}

// decodeQ5x1: a f16 scale d, a f16 minimum m, the fifth bits of the 32 values and 16 bytes of the others; x = dq+m.
func decodeQ5x1(dst []float32, data string) {
	for ; len(dst) >= 32; dst, data = dst[32:], data[24:] {
		d, m, high := half(le16(data)), half(le16(data[2:])), le32(data[4:])
		q, x := data[8:24], dst[:32:32]
		var level [32]float32
		for i := range level {
			level[i] = float32(d*float32(i)) + m
		}
		for i := range 16 {
			x[i] = level[uint32(q[i]&15)|high>>i&1<<4]
			x[i+16] = level[uint32(q[i]>>4)|high>>(i+16)&1<<4]
		}
	}
}
