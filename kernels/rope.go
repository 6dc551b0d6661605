package kernels

import "math"

// Rope holds the rotations of rotary position embedding (Su et al. 2021) for interleaved pairs: values 2i and 2i+1 of a
// head turn by position*base^(-2i/dim). It is safe for concurrent use.
type Rope struct {
	dim      int
	cos, sin []float32 // [positions, dim]; each value twice, the sine with the sign of its place in the pair
}

// NewRope prepares the rotations of positions 0 to positions-1 for heads of dim values (even).
func NewRope(dim int, base float64, positions int) *Rope {
	check(dim > 0 && dim%2 == 0, "NewRope: odd head size %d", dim)
	r := &Rope{dim: dim, cos: make([]float32, positions*dim), sin: make([]float32, positions*dim)}
	for i := 0; i < dim; i += 2 {
		freq := math.Pow(base, -float64(i)/float64(dim))
		for p := range positions {
			s, c := math.Sincos(float64(p) * freq)
			o := p*dim + i
			r.cos[o], r.cos[o+1] = float32(c), float32(c)
			r.sin[o], r.sin[o+1] = -float32(s), float32(s)
		}
	}
	return r
}

// Positions returns how many positions the table holds.
func (r *Rope) Positions() int { return len(r.cos) / r.dim }

// Apply rotates, in place, the first heads*dim values of n rows of x that lie ld apart; row i is at position pos+i.
func (r *Rope) Apply(t Tier, x []float32, ld, n, heads, pos int) {
	check(pos >= 0 && pos+n <= r.Positions(), "Rope.Apply: positions %d to %d of %d", pos, pos+n, r.Positions())
	d := r.dim
	for i := range n {
		row := x[i*ld : i*ld+heads*d]
		rotate(t, row, r.cos[(pos+i)*d:(pos+i+1)*d], r.sin[(pos+i)*d:(pos+i+1)*d])
	}
}

func rotateGeneric(x, c, s []float32) {
	d := len(c)
	s = s[:d]
	for ; len(x) >= d; x = x[d:] {
		for i := 0; i+1 < d; i += 2 {
			a, b := x[i], x[i+1]
			x[i] = float32(a*c[i]) + float32(b*s[i])
			x[i+1] = float32(b*c[i+1]) + float32(a*s[i+1])
		}
	}
}

// BF16 is the upper half of a float32: 8 bits of exponent, 7 of fraction.
type BF16 uint16

// Float32 returns the same value.
func (b BF16) Float32() float32 { return math.Float32frombits(uint32(b) << 16) }

// ToBF16 rounds src to the nearest BF16, ties to even; NaN stays NaN. The slices have equal length.
func ToBF16(t Tier, dst []BF16, src []float32) {
	check(len(dst) == len(src), "ToBF16: lengths %d and %d", len(dst), len(src))
	toBF16(t, dst, src)
}

func toBF16Generic(dst []BF16, src []float32) {
	for i, v := range src {
		u := math.Float32bits(v)
		if v != v {
			dst[i] = BF16(u>>16 | 0x40)
			continue
		}
		dst[i] = BF16((u + 0x7fff + u>>16&1) >> 16)
	}
}
