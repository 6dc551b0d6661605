package kernels

import "math"

// Matrix is a weight matrix [n outputs, k inputs] of int8 with one float32 scale per output, packed for one tier.
// It is read-only and shared between goroutines once packed.
type Matrix struct {
	tier   Tier
	shape  shape
	n, k   int
	kp     int       // k rounded up to the tier's group
	q      []int8    // panels of shape.panel outputs, in the tier's order
	scale  []float32 // [n rounded up to whole panels]
	bias   []float32 // the same length; zero unless biased
	biased bool
	sum    []int32 // 128 times each output's sum of weights, for tiers with unsigned activations
}

// QuantizeRows rounds each of the n rows of w [n, k] to int8 in -127..127 with its own scale, max|row|/127. A row of
// zeros has scale 0.
func QuantizeRows(w []float32, n, k int) (q []int8, scale []float32) {
	check(len(w) == n*k, "QuantizeRows: %d values, want %d x %d", len(w), n, k)
	q, scale = make([]int8, n*k), make([]float32, n)
	for r := range n {
		var largest uint32 // magnitudes are in the order of their bits
		row, out := w[r*k:(r+1)*k], q[r*k:(r+1)*k]
		for _, v := range row {
			largest = max(largest, math.Float32bits(v)&^(1<<31))
		}
		if largest == 0 {
			continue
		}
		m := math.Float32frombits(largest)
		scale[r] = m / 127
		inv := 127 / float64(m)
		for i, v := range row {
			// The sum has no bits below 1: it is rounded to nearest, ties to even, and its lowest byte is the integer's.
			out[i] = int8(math.Float64bits(float64(float64(v)*inv) + (1<<52 + 1<<51)))
		}
	}
	return q, scale
}

// Pack lays out the int8 weights q [n, k] (-127..127, n and k at least 1) with their scales [n] for tier t. It copies both.
func Pack(t Tier, q []int8, scale []float32, n, k int) *Matrix {
	w := newMatrix(t, n, k)
	check(len(q) == n*k && len(scale) == n, "Pack: %d weights and %d scales, want %d x %d", len(q), len(scale), n, k)
	np := roundUp(n, w.shape.panel)
	w.q = aligned[int8](np * w.kp)
	w.scale, w.bias = aligned[float32](np), aligned[float32](np)
	copy(w.scale, scale)
	if w.shape.unsigned {
		w.sum = aligned[int32](np)
		for r := range n {
			for _, v := range q[r*k : (r+1)*k] {
				w.sum[r] += 128 * int32(v)
			}
		}
	}
	w.pack(q)
	return w
}

func newMatrix(t Tier, n, k int) *Matrix {
	t.mustBeSupported()
	check(n > 0 && k > 0, "Matrix: %d outputs of %d inputs", n, k)
	s := t.shape()
	return &Matrix{tier: t, shape: s, n: n, k: k, kp: roundUp(k, s.group)}
}

// Outputs returns the number of outputs n.
func (w *Matrix) Outputs() int { return w.n }

// Inputs returns the number of inputs k.
func (w *Matrix) Inputs() int { return w.k }

// Bytes returns the memory that w holds.
func (w *Matrix) Bytes() int { return len(w.q) + 4*(len(w.scale)+len(w.bias)+len(w.sum)) }

// SetBias makes every product add bias [n]. Call it before w is shared.
func (w *Matrix) SetBias(bias []float32) {
	check(len(bias) == w.n, "SetBias: %d values, want %d", len(bias), w.n)
	w.bias = aligned[float32](len(w.scale)) // the old one may be a mapped file's
	copy(w.bias, bias)
	w.biased = true
}

// MulTo writes y = x wᵀ + bias: row r of the m rows of x gives y[r*ldy : r*ldy+n].
func (w *Matrix) MulTo(y []float32, ldy int, x *Rows, m int) { w.mul(y, ldy, x, m, false) }

// MulAdd adds x wᵀ + bias to y, laid out as in MulTo.
func (w *Matrix) MulAdd(y []float32, ldy int, x *Rows, m int) { w.mul(y, ldy, x, m, true) }

func (w *Matrix) mul(y []float32, ldy int, x *Rows, m int, add bool) {
	w.fits(x, m)
	if m == 0 {
		return
	}
	check(ldy >= w.n && len(y) >= (m-1)*ldy+w.n, "Matrix: %d values for %d rows of %d, %d apart", len(y), m, w.n, ldy)
	width := w.shape.panel
	for p := w.mulOnTiles(y, ldy, x, m, add); p*width < w.n; p++ {
		w.panel(y[p*width:], ldy, x, 0, m, p, add)
	}
}

func (w *Matrix) fits(x *Rows, m int) {
	check(x.tier == w.tier, "Matrix: rows for tier %d, matrix for tier %d", int(x.tier), int(w.tier))
	check(x.k == w.k, "Matrix: rows of %d values, %d inputs", x.k, w.k)
	check(m >= 0 && m <= x.cap, "Matrix: %d rows of %d", m, x.cap)
}

// panel computes rows r0 to r1 (r0 a multiple of the tier's row block) of panel p; output c of row r goes to
// dst[(r-r0)*ld+c]. Columns past n are not written.
func (w *Matrix) panel(dst []float32, ld int, x *Rows, r0, r1, p int, add bool) {
	width, block := w.shape.panel, w.shape.rows
	cols := min(width, w.n-p*width)
	whole := (r1 - r0) / block
	if cols < width {
		whole = 0 // through the spare tile, which has room for the padding
	}
	if whole > 0 {
		w.blocks(dst, ld, x, r0, whole, p, add)
	}
	for r := r0 + whole*block; r < r1; r += block {
		rows := min(block, r1-r)
		if add {
			for i := range rows {
				copy(x.spare[i*width:i*width+cols], dst[(r-r0+i)*ld:])
			}
		}
		w.blocks(x.spare, width, x, r, 1, p, add)
		for i := range rows {
			copy(dst[(r-r0+i)*ld:][:cols], x.spare[i*width:])
		}
	}
}

// packGeneric keeps the outputs row-major.
func (w *Matrix) packGeneric(q []int8) {
	for r := range w.n {
		copy(w.q[r*w.kp:], q[r*w.k:(r+1)*w.k])
	}
}

// packPanels orders the weights [panel][input/4][output in the panel][input%4].
func (w *Matrix) packPanels(q []int8) {
	width := w.shape.panel
	for r := range w.n {
		out := w.q[r/width*width*w.kp+r%width*4:]
		row := q[r*w.k : (r+1)*w.k]
		for i := 0; i < w.k; i += 4 {
			copy(out[i*width:i*width+4], row[i:min(i+4, w.k)])
		}
	}
}

func (w *Matrix) blocksGeneric(dst []float32, ld int, x *Rows, r0, blocks, p int, add bool) {
	for r := range blocks {
		a, s := x.q[(r0+r)*x.kp:(r0+r+1)*x.kp], x.scale[r0+r]
		out := dst[r*ld : r*ld+16]
		for c := range out {
			o := p*16 + c
			v := float32(float32(dotInt8(a, w.q[o*w.kp:(o+1)*w.kp]))*float32(s*w.scale[o])) + w.bias[o]
			if add {
				v += out[c]
			}
			out[c] = v
		}
	}
}

// dotInt8 is the exact sum; len(a) is a multiple of 4.
func dotInt8(a, b []int8) int32 {
	var s0, s1, s2, s3 int32
	b = b[:len(a)]
	for i := 0; i+4 <= len(a); i += 4 {
		s0 += int32(a[i]) * int32(b[i])
		s1 += int32(a[i+1]) * int32(b[i+1])
		s2 += int32(a[i+2]) * int32(b[i+2])
		s3 += int32(a[i+3]) * int32(b[i+3])
	}
	return s0 + s1 + s2 + s3
}
