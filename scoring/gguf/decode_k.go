package gguf

// Blocks of the K types hold 256 values in parts with scales of their own, which are integers times the block's.

// decodeQ4K: f16 d and m, 12 bytes of scales, 128 bytes of quants. Each 32 bytes hold 64 values, the first 32 of them in the
// low nibbles; each 32 values are a part, x = d·scale·q - m·minimum.
func decodeQ4K(dst []float32, data string) {
	for ; len(dst) >= 256; dst, data = dst[256:], data[144:] {
		d, m := half(le16(data)), half(le16(data[2:]))
		scales, q := data[4:16], data[16:144]
		for part := range 8 {
			scale, minimum := scaleAndMinimum(scales, part)
			ds, ms := d*float32(scale), m*float32(minimum)
			var level [16]float32
			for i := range level {
				level[i] = float32(ds*float32(i)) - ms
			}
			x, quants, shift := dst[part*32:][:32:32], q[part/2*32:][:32], part%2*4
			for i := range x {
				x[i] = level[quants[i]>>shift&15]
			}
		}
	}
}

// decodeQ5K: f16 d and m, 12 bytes of scales, 32 bytes of fifth bits, 128 bytes of the others, which lie as in Q4_K; bit p
// of the fifth bits' byte i is that of value i of part p. x = d·scale·q - m·minimum.
func decodeQ5K(dst []float32, data string) {
	for ; len(dst) >= 256; dst, data = dst[256:], data[176:] {
		d, m := half(le16(data)), half(le16(data[2:]))
		scales, high, q := data[4:16], data[16:48], data[48:176]
		for part := range 8 {
			scale, minimum := scaleAndMinimum(scales, part)
			ds, ms := d*float32(scale), m*float32(minimum)
			var level [32]float32
			for i := range level {
				level[i] = float32(ds*float32(i)) - ms
			}
			x, quants, shift := dst[part*32:][:32:32], q[part/2*32:][:32], part%2*4
			for i := range x {
				x[i] = level[quants[i]>>shift&15|high[i]>>part&1<<4]
			}
		}
	}
}

// scaleAndMinimum unpacks the 6-bit numbers of one of eight parts from 12 bytes: those of the first four parts are in the
// low bits of bytes 0-3 and 4-7, those of the others in the nibbles of bytes 8-11 and the bits left over before.
func scaleAndMinimum(packed string, part int) (scale, minimum byte) {
	if part < 4 {
		return packed[part] & 63, packed[part+4] & 63
	}
	return packed[part+4]&15 | packed[part-4]>>6<<4, packed[part+4]>>4 | packed[part]>>6<<4
}

// decodeQ6K: 128 bytes of low nibbles, 64 bytes of the upper two bits, 16 int8 scales, f16 d. Each half of the block has 64
// and 32 bytes of them: value 32g+i of a half is in nibble g/2 of byte 32(g%2)+i and in bits 2g, 2g+1 of byte i; each 16
// values are a part. x = d·scale·(q-32).
func decodeQ6K(dst []float32, data string) {
	for ; len(dst) >= 256; dst, data = dst[256:], data[210:] {
		d := half(le16(data[208:]))
		for part := range 16 {
			ds := d * float32(int8(data[192+part]))
			group, at := part/2%4, part%2*16
			low, high := data[part/8*64+group%2*32+at:][:16], data[128+part/8*32+at:][:16]
			x, nibble, pair := dst[part*16:][:16:16], group/2*4, 2*group
			for i := range x {
				x[i] = ds * float32(int(low[i]>>nibble&15|high[i]>>pair&3<<4)-32)
			}
		}
	}
}
