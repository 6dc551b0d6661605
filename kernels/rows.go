package kernels

import (
	"math"
	"unsafe"
)

// Rows holds quantised activations: up to cap rows of k int8 values, each row with its own scale, in the order in which
// the tier's products read them. The methods that fill it write rows 0 to m-1. It belongs to one goroutine.
//
// A row that holds NaN or Inf, or whose squares overflow, has scale NaN, so that all that is computed from it is NaN.
type Rows struct {
	tier      Tier
	shape     shape
	cap, k    int
	kp        int
	q         []int8
	scale     []float32
	spare     []float32 // [shape.rows, shape.spare panels]: for row blocks and panels that are not full
	strip     []float32 // [shape.strip, 2 panels]: products on their way into SwiGLU, GELU or LogProbs
	acts      []float32 // [shape.strip, actStride]: rows of k before they are quantised
	actStride int       // not a multiple of a power of two, which would put all rows into few cache sets
	onTiles   tileWork  // AMX only
	rest      []int32   // AVX2 only: what the product of 4 rows adds to that of q (storePairs)
	wide      []uint32  // and which pairs of one row are split for it
	ref       []float32 // [rows]: LogProbs' reference logits
	sums      []float32 // [rows, laneSums]: and its sums
}

// laneSums is how many partial sums LogProbs keeps for a row.
const laneSums = 16

// NewRows makes room for rows (at least 1) of k values (at least 1); all buffers are allocated here.
func NewRows(t Tier, rows, k int) *Rows {
	t.mustBeSupported()
	check(rows > 0 && k > 0, "NewRows: %d rows of %d values", rows, k)
	s := t.shape()
	x := &Rows{tier: t, shape: s, cap: rows, k: k, kp: roundUp(k, s.group)}
	rp := roundUp(rows, s.rows)
	x.q, x.scale = aligned[int8](rp*x.kp), aligned[float32](rp)
	x.spare = aligned[float32](s.rows * s.panel * s.spare)
	x.strip = aligned[float32](s.strip * 2 * s.panel)
	x.actStride = roundUp(k, laneSums) + laneSums
	x.acts = aligned[float32](min(rp, s.strip) * x.actStride)
	x.onTiles = x.newTileWork()
	if t == AVX2 {
		x.rest, x.wide = make([]int32, rp/4*x.restBlock()), make([]uint32, roundUp(k, 32)/32)
	}
	x.ref, x.sums = aligned[float32](rp), aligned[float32](rp*laneSums)
	return x
}

// restBlock is how many int32 x.rest holds for 4 rows: the number of rests of each row, the sums that each row's product
// starts with, -127 times the sum of its values, and then up to k/4 rests, each with the 4 rows' places, byte offsets into
// a panel, and their 4 values each. Rests past a row's number are zero.
func (x *Rows) restBlock() int { return 8 + 2*x.kp }

// Cap returns the number of rows that fit.
func (x *Rows) Cap() int { return x.cap }

// Quantize fills m rows with src [m, k]: scale max|row|/127, values rounded to nearest, ties to even.
func (x *Rows) Quantize(src []float32, m int) {
	x.room(m, len(src))
	for r := range m {
		row := src[r*x.k : (r+1)*x.k]
		ss, amax := sumSquaresMax(x.tier, row)
		x.put(r, row, ss, amax, 1)
	}
}

// RMSNorm fills m rows with src [m, k], each divided by sqrt(mean(x²)+eps). There is no weight: fold it into the matrix.
func (x *Rows) RMSNorm(src []float32, m int, eps float32) {
	x.room(m, len(src))
	for r := range m {
		row := src[r*x.k : (r+1)*x.k]
		ss, amax := sumSquaresMax(x.tier, row)
		// The integers do not depend on the row's length: only its scale takes part in the norm.
		x.put(r, row, ss, amax, float32(1/math.Sqrt(float64(ss)/float64(x.k)+float64(eps))))
	}
}

// LayerNorm normalises the m rows of src [m, k] in place, as the function of that name does, and fills m rows with them.
func (x *Rows) LayerNorm(src []float32, m int, weight, bias []float32, eps float32) {
	x.room(m, len(src))
	check(len(weight) == x.k && len(bias) == x.k, "Rows.LayerNorm: %d weights, want %d", len(weight), x.k)
	for r := range m {
		row := src[r*x.k : (r+1)*x.k]
		layerNorm(x.tier, row, weight, bias, eps)
		ss, amax := sumSquaresMax(x.tier, row)
		x.put(r, row, ss, amax, 1)
	}
}

// SwiGLU fills m rows with silu(in gateᵀ)*(in upᵀ); gate and up are [k, inputs of in]. With block > 0 each consecutive
// part of block values then goes through the Hadamard transform (see [Hadamard]). in may not be x.
func (x *Rows) SwiGLU(gate, up *Matrix, in *Rows, m, block int) {
	gate.fits(in, m)
	up.fits(in, m)
	x.feeds(gate, m)
	x.feeds(up, m)
	check(block == 0 || (block&(block-1) == 0 && x.k%block == 0), "Rows.SwiGLU: %d values in parts of %d", x.k, block)
	norm := float32(1)
	if block > 0 {
		norm = float32(1 / math.Sqrt(float64(block)))
	}
	width, strip := x.shape.panel, x.shape.strip
	for r0 := 0; r0 < m; r0 += strip {
		rows := min(strip, m-r0)
		g, u := x.strip, x.strip[strip*width:]
		for c := x.gatedOnTiles(gate, up, in, r0, rows); c < x.k; c += width {
			cols := min(width, x.k-c)
			gate.panel(g, width, in, r0, r0+rows, c/width, false)
			up.panel(u, width, in, r0, r0+rows, c/width, false)
			swiGLU(x.tier, x.acts[c:], x.actStride, g, u, width, cols, rows)
		}
		for r := range rows {
			row := x.acts[r*x.actStride:][:x.k]
			ss, amax := hadamardSumSquaresMax(x.tier, row, block)
			x.put(r0+r, row, ss, amax, norm)
		}
	}
}

// GELU fills m rows with gelu(in wᵀ + bias), the exact form; w is [k, inputs of in]. in may not be x.
func (x *Rows) GELU(w *Matrix, in *Rows, m int) {
	w.fits(in, m)
	x.feeds(w, m)
	width, strip := x.shape.panel, x.shape.strip
	for r0 := 0; r0 < m; r0 += strip {
		rows := min(strip, m-r0)
		done := x.actsOnTiles(w, in, r0, rows)
		gelu(x.tier, x.acts, x.actStride, done, rows)
		for c := done; c < x.k; c += width {
			cols := min(width, x.k-c)
			w.panel(x.acts[c:], x.actStride, in, r0, r0+rows, c/width, false)
			gelu(x.tier, x.acts[c:], x.actStride, cols, rows)
		}
		for r := range rows {
			row := x.acts[r*x.actStride:][:x.k]
			ss, amax := sumSquaresMax(x.tier, row)
			x.put(r0+r, row, ss, amax, 1)
		}
	}
}

func (x *Rows) room(m, values int) {
	check(m >= 0 && m <= x.cap && values >= m*x.k, "Rows: %d rows of %d (room for %d), %d values", m, x.k, x.cap, values)
}

func (x *Rows) feeds(w *Matrix, m int) {
	check(w.n == x.k && m <= x.cap, "Rows: %d rows of %d outputs into %d rows of %d", m, w.n, x.cap, x.k)
}

// put quantises row, whose sum of squares is ss, into row r; factor multiplies the scale.
func (x *Rows) put(r int, row []float32, ss, amax, factor float32) {
	inv := float32(0)
	switch {
	case !(ss <= math.MaxFloat32): // a largest magnitude may miss a NaN, this sum cannot
		factor, amax = float32(math.NaN()), 1
	case amax < 1e-30: // 127/amax would overflow
		amax = 0
	default:
		inv = 127 / amax
	}
	x.scale[r] = amax / 127 * factor
	x.store(r, row, inv)
}

// storeGeneric keeps the rows row-major.
func (x *Rows) storeGeneric(r int, row []float32, inv float32) {
	out := x.q[r*x.kp : r*x.kp+len(row)]
	for i, v := range row {
		out[i] = roundInt8(v * inv)
	}
}

// roundInt8 rounds to nearest, ties to even, as the vector conversions do. Beyond the range (a NaN row only) it is 0.
func roundInt8(v float32) int8 {
	if !(v >= -127.5 && v <= 127.5) {
		return 0
	}
	return int8(min(127, max(-127, math.RoundToEven(float64(v)))))
}

// sumSquaresMaxGeneric returns the sum of squares and the largest magnitude; only the sum shows a NaN.
func sumSquaresMaxGeneric(x []float32) (ss, amax float32) {
	for _, v := range x {
		ss += float32(v * v)
		amax = max(amax, v, -v) // Go's max keeps NaN
	}
	return ss, amax
}

func layerNormGeneric(x, weight, bias []float32, eps float32) { LayerNorm(x, x, weight, bias, 1, eps) }

// aligned returns n zero values that start at a 64-byte boundary, so that no vector load crosses a cache line.
func aligned[T int8 | int32 | float32 | BF16](n int) []T {
	var z T
	size := int(unsafe.Sizeof(z))
	buf := make([]T, n+64/size)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(buf)))&63) / size
	return buf[skip : skip+n : skip+n]
}
