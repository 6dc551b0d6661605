//go:build !purego

package kernels

import "math/bits"

// The products of the AVX2 tier multiply unsigned weights (the weight + 127, at most 254) by signed activations and add
// neighbouring products in 16 bits. They fit while two neighbouring activations of one sign sum to at most 129
// (129*254 = 32,766; with two signs they always fit). Where they do not, 0.5 to 2 % of the pairs in the decoder, the row
// keeps what fits and the rest goes to a list of further groups of four, multiplied in the same way after the row.
const pairLimit = 129

// storePairs writes row r in the order of gemmAVX2.
func (x *Rows) storePairs(r int, row []float32, inv float32) {
	out := x.q[r*x.kp : (r+1)*x.kp]
	var sum int32
	whole := len(row) &^ 31
	if whole > 0 {
		sum = quantAVX2(&row[0], inv, &out[0], &x.wide[0], whole)
	}
	if whole < len(row) {
		var in [32]float32
		var q [32]int8
		copy(in[:], row[whole:])
		sum += quantAVX2(&in[0], inv, &q[0], &x.wide[whole/32], 32)
		copy(out[whole:], q[:])
	}
	block := x.rest[r/4*x.restBlock():][:x.restBlock()]
	n, lane := 0, r%4
	for i, wide := range x.wide[:roundUp(len(row), 32)/32] {
		for wide != 0 {
			at := bits.TrailingZeros32(wide) &^ 3 // four bits a group
			entry := block[8+8*n:]
			entry[lane] = int32(i*32+at) * 16
			entry[4+lane] = splitPairs(out[i*32+at:], wide>>at)
			wide &^= 15 << at
			n++
		}
	}
	for old := n; old < int(block[lane]); old++ {
		entry := block[8+8*old:]
		entry[lane], entry[4+lane] = 0, 0
	}
	block[lane], block[4+lane] = int32(n), -127*sum
}

// splitPairs leaves what fits of the pairs whose bits are set in wide and returns the rest, four bytes.
func splitPairs(q []int8, wide uint32) int32 {
	var rest uint32
	for i := 0; i < 4; i += 2 {
		if wide>>i&1 == 0 {
			continue
		}
		keep := pairLimit - max(int(q[i]), -int(q[i]))
		if q[i] < 0 {
			keep = -keep
		}
		rest |= uint32(uint8(int(q[i+1])-keep)) << (8 * (i + 1))
		q[i+1] = int8(keep)
	}
	return int32(rest)
}
