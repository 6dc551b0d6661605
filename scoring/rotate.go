package scoring

import (
	"math"

	"github.com/pith-llm/pith/kernels"
)

// A few components of a language model's residual stream are far larger than the rest, and one scale a token then leaves
// the others few of int8's 255 steps. Multiplying the stream by an orthogonal matrix spreads them (Ashkboos et al. 2024,
// "QuaRot"). It changes no f32 result: RMSNorm without a weight commutes with it, every matrix that reads the stream takes
// it back, and every matrix that writes the stream applies it.

// rotation is the orthogonal matrix Q = A ⊗ H of a stream of parts·block components, with A a random orthogonal
// matrix and H the normalised Hadamard matrix of size block. A row vector x of the stream becomes xQ.
type rotation struct {
	tier  kernels.Tier
	mix   []float32 // Aᵀ [parts, parts]
	parts int
	block int
}

// maxMixBlock bounds the Hadamard part so that a random part remains: a Hadamard matrix alone maps a constant row to one
// large component.
const maxMixBlock = 64

// newRotation returns the same rotation for the same d always.
func newRotation(tier kernels.Tier, d int) rotation {
	block := min(maxMixBlock, powerOfTwo(d))
	q := rotation{tier: tier, parts: d / block, block: block}
	a := randomOrthogonal(q.parts)
	for i := range a {
		for _, row := range a {
			q.mix = append(q.mix, row[i])
		}
	}
	return q
}

// powerOfTwo returns the largest power of two that divides n.
func powerOfTwo(n int) int { return n & -n }

// rows multiplies each row of w [n, d] by Q from the right: w becomes wQ. row is scratch memory for d values.
func (q rotation) rows(w, row []float32) {
	a, b := q.parts, q.block
	if a > 1 {
		for ; len(w) > 0; w = w[a*b:] {
			copy(row, w[:a*b])
			kernels.Mix(q.tier, w[:a*b], row, q.mix, a)
			kernels.Hadamard(q.tier, w[:a*b], b)
		}
		return
	}
	kernels.Hadamard(q.tier, w, b)
}

// columns multiplies w [d, n] by Qᵀ from the left: what w writes is rotated.
func (q rotation) columns(w []float32, n int) {
	hadamardColumns(w, q.block, n)
	if q.parts > 1 {
		old := make([]float32, len(w))
		copy(old, w)
		kernels.Mix(q.tier, w, old, q.mix, q.parts)
	}
}

// hadamardColumns multiplies each block of rows of w [rows, n] by the normalised Hadamard matrix of that size.
func hadamardColumns(w []float32, block, n int) {
	norm := float32(1 / math.Sqrt(float64(block)))
	for ; len(w) > 0; w = w[block*n:] {
		for h := 1; h < block; h *= 2 {
			for i := 0; i < block; i += 2 * h {
				for j := i; j < i+h; j++ {
					x, y := w[j*n:(j+1)*n], w[(j+h)*n:(j+h+1)*n]
					for c, a := range x {
						b := y[c]
						x[c], y[c] = a+b, a-b
					}
				}
			}
		}
		for i := range w[:block*n] {
			w[i] *= norm
		}
	}
}

// randomOrthogonal returns an n by n orthogonal matrix, the same one always: Gram-Schmidt on rows of sums of twelve
// uniform numbers, which are near enough to normal and exact on every machine.
func randomOrthogonal(n int) [][]float32 {
	state := uint64(0x70697468) // any fixed seed
	uniform := func() float64 { // SplitMix64 (Steele et al. 2014)
		state += 0x9e3779b97f4a7c15
		z := state
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		return float64((z^z>>31)>>11) / (1 << 53)
	}
	dot := func(a, b []float64) (s float64) {
		for i := range a {
			s += float64(a[i] * b[i])
		}
		return s
	}
	rows, out := make([][]float64, n), make([][]float32, n)
	for i := range rows {
		row := make([]float64, n)
		for j := range row {
			for range 12 {
				row[j] += uniform()
			}
			row[j] -= 6
		}
		for range 2 { // twice is enough (Giraud et al. 2005)
			for _, before := range rows[:i] {
				f := dot(row, before)
				for j := range row {
					row[j] -= float64(f * before[j])
				}
			}
		}
		length := math.Sqrt(dot(row, row))
		out[i] = make([]float32, n)
		for j := range row {
			row[j] /= length
			out[i][j] = float32(row[j])
		}
		rows[i] = row
	}
	return out
}
