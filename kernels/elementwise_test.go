package kernels

import (
	"fmt"
	"math"
	"math/bits"
	"testing"
)

func slowHadamard(x []float32) {
	n := len(x)
	y := make([]float64, n)
	for i := range y {
		for j, v := range x {
			if bits.OnesCount(uint(i&j))%2 == 0 {
				y[i] += float64(v)
			} else {
				y[i] -= float64(v)
			}
		}
	}
	for i, v := range y {
		x[i] = float32(v / math.Sqrt(float64(n)))
	}
}

func TestHadamardMatchesItsDefinition(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		r := newRand(20)
		for _, block := range []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024} {
			x := normals(r, 3*block)
			want := append([]float32(nil), x...)
			for i := 0; i < len(want); i += block {
				slowHadamard(want[i : i+block])
			}
			Hadamard(tier, x, block)
			for i := range x {
				near(t, fmt.Sprintf("block %d [%d]", block, i), float64(x[i]), float64(want[i]), 3e-6)
			}
		}
	})
}

func TestMixMatchesFloat64(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		r := newRand(13)
		for _, c := range [][2]int{{1, 5}, {2, 32}, {9, 64}, {7, 33}, {5, 96}} {
			parts, width := c[0], c[1]
			f, src, got := normals(r, parts*parts), normals(r, parts*width), make([]float32, parts*width)
			Mix(tier, got, src, f, parts)
			for i := range got {
				var want float64
				for j := range parts {
					want += float64(f[i/width*parts+j]) * float64(src[j*width+i%width])
				}
				near(t, fmt.Sprintf("%v value %d", c, i), float64(got[i]), want, 1e-5)
			}
		}
	})
}

func TestSwiGLUElementwise(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		r := newRand(21)
		for n := range 301 {
			g, u := normals(r, n), normals(r, n)
			for i := range g {
				g[i] *= 10
			}
			if n > 6 {
				g[1], g[2], g[3], g[4] = 100, -100, -1000, 0
			}
			dst := make([]float32, n)
			SwiGLU(tier, dst, g, u)
			for i := range g {
				gf := float64(g[i])
				want := gf / (1 + math.Exp(-gf)) * float64(u[i])
				near(t, fmt.Sprintf("n=%d [%d] g=%v", n, i, g[i]), float64(dst[i]), want, (4e-7+2e-8*math.Abs(gf))*math.Abs(want)+1e-30)
			}
		}
		g, u := []float32{nan, 1, 1}, []float32{1, nan, inf}
		SwiGLU(tier, g, g, u)
		if g[0] == g[0] || g[1] == g[1] || g[2] != inf {
			t.Errorf("NaN, NaN and Inf became %v", g)
		}
	})
}

func TestGELUElementwise(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		r := newRand(22)
		for n := range 301 {
			x := normals(r, n)
			for i := range x {
				x[i] *= 3
			}
			if n > 6 {
				x[1], x[2], x[3], x[4] = 100, -100, 0, -6
			}
			y := append([]float32(nil), x...)
			GELU(tier, y)
			for i := range x {
				v := float64(x[i])
				want := v / 2 * (1 + math.Erf(v/math.Sqrt2))
				near(t, fmt.Sprintf("n=%d [%d] x=%v", n, i, v), float64(y[i]), want, 4e-7*max(1, math.Abs(v)))
			}
		}
		x := []float32{nan, inf, 1}
		GELU(tier, x)
		if x[0] == x[0] || x[1] != inf {
			t.Errorf("NaN and Inf became %v", x)
		}
	})
}

func TestRopeMatchesFloat64(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		r := newRand(23)
		for _, dim := range []int{2, 6, 16, 32, 64} {
			const n, heads, pos, base = 5, 3, 40, 10000
			rope := NewRope(dim, base, pos+n)
			ld := heads*dim + 7
			x := normals(r, n*ld)
			got := append([]float32(nil), x...)
			rope.Apply(tier, got, ld, n, heads, pos)
			for i := range n {
				for j := range ld {
					want := float64(x[i*ld+j])
					if d := j % dim; j < heads*dim {
						sin, cos := math.Sincos(float64(pos+i) * math.Pow(base, -float64(d&^1)/float64(dim)))
						if d%2 == 0 {
							want = want*cos - float64(x[i*ld+j+1])*sin
						} else {
							want = want*cos + float64(x[i*ld+j-1])*sin
						}
					}
					near(t, fmt.Sprintf("dim %d [%d,%d]", dim, i, j), float64(got[i*ld+j]), want, 1e-6)
				}
			}
		}
	})
}

func TestBF16RoundsToNearestEven(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		r := newRand(24)
		for n := range 70 {
			src := normals(r, n)
			special := []float32{0, float32(math.Copysign(0, -1)), inf, -inf, nan, 1.00390625, 1.01171875, math.MaxFloat32, 1e-40}
			copy(src, special)
			dst := make([]BF16, n+1)
			ToBF16(tier, dst[:n], src)
			for i, v := range src {
				lo, hi := float64(v)-math.Abs(float64(v))/256, float64(v)+math.Abs(float64(v))/256
				g := float64(dst[i].Float32())
				switch {
				case v != v:
					if g == g {
						t.Fatalf("NaN became %v", g)
					}
				case v == math.MaxFloat32:
					near(t, "largest", g, math.Inf(1), 0)
				case v == 1e-40:
					near(t, "denormal", g, 1e-40, 5e-41)
				case v == 1.00390625:
					near(t, "tie", g, 1, 0)
				case v == 1.01171875:
					near(t, "tie", g, 1.015625, 0)
				default:
					if g != float64(v) && !(g >= lo && g <= hi) {
						t.Fatalf("%v became %v", v, g)
					}
				}
			}
			if dst[n] != 0 {
				t.Fatalf("n=%d: wrote past the end", n)
			}
		}
	})
}

func TestSoftmaxAndLogSumExp(t *testing.T) {
	x := []float32{1, 2, float32(math.Inf(-1)), 1000, 999}
	near(t, "LogSumExp", float64(LogSumExp(x)), 1000+math.Log1p(math.Exp(-1)), 1e-4)
	Softmax(x)
	want := []float64{0, 0, 0, 1 / (1 + math.Exp(-1)), math.Exp(-1) / (1 + math.Exp(-1))}
	for i := range x {
		near(t, "Softmax", float64(x[i]), want[i], 1e-6)
	}
	if v := LogSumExp(nil); !math.IsInf(float64(v), -1) {
		t.Errorf("LogSumExp of nothing = %v", v)
	}
	Softmax(nil)
}

func TestEntropy(t *testing.T) {
	never := float32(math.Inf(-1))
	x := []float32{1, 2, never, -3.5}
	sum, want := math.E+math.Exp(2)+math.Exp(-3.5), 0.0
	for _, l := range []float64{1, 2, -3.5} {
		p := math.Exp(l) / sum
		want -= p * math.Log(p)
	}
	near(t, "Entropy", float64(Entropy(x)), want, 1e-6)
	near(t, "Entropy of equals far from 0", float64(Entropy([]float32{1e4, 1e4, 1e4})), math.Log(3), 1e-6)
	near(t, "Entropy of the certain", float64(Entropy([]float32{never, 500, -500})), 0, 1e-6)
	for _, nothing := range [][]float32{nil, {never, never}} {
		if v := Entropy(nothing); v != 0 {
			t.Errorf("Entropy of %v = %v", nothing, v)
		}
	}
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
		if v := Entropy([]float32{1, bad, 2}); !math.IsNaN(float64(v)) {
			t.Errorf("Entropy with %v = %v", bad, v)
		}
	}
}

func TestArgMaxIsTheFirst(t *testing.T) {
	for _, c := range []struct {
		x    []float32
		want int
	}{{nil, 0}, {[]float32{1, 3, 3, 2}, 1}, {[]float32{nan, -5, -4}, 2}, {[]float32{-inf, -inf}, 0}, {[]float32{1, nan, 0}, 0}} {
		if got := ArgMax(c.x); got != c.want {
			t.Errorf("ArgMax(%v) = %d, want %d", c.x, got, c.want)
		}
	}
}
