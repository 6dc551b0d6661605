package kernels

import (
	"fmt"
	"math"
	"testing"
)

// exactRows quantises x and returns the integers and scales that the documented rounding gives.
func exactRows(x []float32, m, k int) ([]int8, []float64) {
	q, s := make([]int8, m*k), make([]float64, m)
	for r := range m {
		var amax float32
		for _, v := range x[r*k : (r+1)*k] {
			amax = max(amax, v, -v)
		}
		s[r] = float64(amax / 127)
		if amax == 0 {
			continue
		}
		inv := 127 / amax
		for i, v := range x[r*k : (r+1)*k] {
			q[r*k+i] = int8(math.RoundToEven(float64(v * inv)))
		}
	}
	return q, s
}

// wholeRows gives rows of integers that quantise to themselves: 127 is in each, so that the scale is 1.
func wholeRows(seed uint64, m, k int) ([]float32, []int8) {
	q := int8s(newRand(seed), m*k)
	x := make([]float32, m*k)
	for r := range m {
		q[r*k+r%k] = 127
	}
	for i, v := range q {
		x[i] = float32(v)
	}
	return x, q
}

// With all scales 1 the float32 results are the integer sums themselves, which must be exact on every tier: they stay
// below 2^24 for the sizes here.
func TestIntegerSumsAreExact(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		for _, s := range [][3]int{{1, 1, 1}, {1, 16, 4}, {3, 7, 5}, {4, 16, 16}, {5, 17, 31}, {6, 64, 64}, {7, 65, 65}, {12, 96, 127}, {33, 130, 300}, {100, 33, 192}, {13, 64, 576}, {70, 70, 1536}, {40, 1200, 1100}} {
			m, n, k := s[0], s[1], s[2]
			x, xq := wholeRows(uint64(m), m, k)
			wq := int8s(newRand(uint64(n)), n*k)
			checkSums(t, tier, fmt.Sprint(s), x, xq, wq, m, n, k)
		}
	})
}

func TestIntegerSumsAreExactForEveryLength(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		for k := 1; k <= 300; k++ {
			m, n := 1+k%7, 1+k%19
			x, xq := wholeRows(uint64(k), m, k)
			checkSums(t, tier, fmt.Sprint(k), x, xq, int8s(newRand(uint64(k)), n*k), m, n, k)
		}
	})
}

// The largest sums that int8 in -127..127 can give: pairs of products reach 32,258, where 16-bit additions would wrap or
// saturate.
func TestIntegerSumsAreExactAtTheExtremes(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		const m, n, k = 9, 70, 576
		for _, a := range []int8{127, -127} {
			for _, b := range []int8{127, -127} {
				x, xq, wq := make([]float32, m*k), make([]int8, m*k), make([]int8, n*k)
				for i := range x {
					x[i], xq[i] = float32(a), a
				}
				for i := range wq {
					wq[i] = b
				}
				checkSums(t, tier, fmt.Sprint(a, b), x, xq, wq, m, n, k)
			}
		}
	})
}

// What a row needed before must not show in what replaces it, whatever their order in a block.
func TestIntegerSumsAreExactAfterRefilling(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		const m, n, k = 7, 20, 300
		ones := make([]float32, n)
		for i := range ones {
			ones[i] = 1
		}
		wq := int8s(newRand(60), n*k)
		w, rows, y := Pack(tier, wq, ones, n, k), NewRows(tier, m, k), make([]float32, m*n)
		r := newRand(61)
		for round := range 20 {
			x, xq := wholeRows(uint64(round), m, k)
			for i := range x {
				if r.IntN(20) < round && i%k != i/k%k { // more and more small values
					x[i], xq[i] = 1, 1
				}
			}
			used := 1 + round%m
			rows.Quantize(x, used)
			w.MulTo(y, n, rows, used)
			for i := range used * n {
				var want int64
				for l := range k {
					want += int64(xq[i/n*k+l]) * int64(wq[i%n*k+l])
				}
				near(t, fmt.Sprint("round ", round), float64(y[i]), float64(want), 0)
			}
		}
	})
}

func checkSums(t *testing.T, tier Tier, name string, x []float32, xq, wq []int8, m, n, k int) {
	t.Helper()
	ones := make([]float32, n)
	for i := range ones {
		ones[i] = 1
	}
	w := Pack(tier, wq, ones, n, k)
	rows := NewRows(tier, m, k)
	rows.Quantize(x, m)
	ldy := n + 3
	y := make([]float32, m*ldy)
	for i := range y {
		y[i] = -7
	}
	w.MulTo(y, ldy, rows, m)
	for i := range m {
		for j := range n {
			var want int64
			for l := range k {
				want += int64(xq[i*k+l]) * int64(wq[j*k+l])
			}
			if float64(y[i*ldy+j]) != float64(want) {
				t.Fatalf("%s: y[%d,%d] = %v, want %d", name, i, j, y[i*ldy+j], want)
			}
		}
		for j := n; j < ldy; j++ {
			if y[i*ldy+j] != -7 {
				t.Fatalf("%s: wrote between rows at [%d,%d]", name, i, j)
			}
		}
	}
	w.MulAdd(y, ldy, rows, m)
	for i := range m {
		for j := range n {
			var want int64
			for l := range k {
				want += int64(xq[i*k+l]) * int64(wq[j*k+l])
			}
			near(t, name+" added", float64(y[i*ldy+j]), 2*float64(want), 0)
		}
	}
}

func TestProductScalesAndBias(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		r := newRand(4)
		const m, n, k = 14, 83, 200
		x, bias := normals(r, m*k), normals(r, n)
		wq, ws := QuantizeRows(normals(r, n*k), n, k)
		w := Pack(tier, wq, ws, n, k)
		w.SetBias(bias)
		rows := NewRows(tier, m+5, k)
		rows.Quantize(x, m)
		xq, xs := exactRows(x, m, k)
		y := make([]float32, m*n)
		w.MulTo(y, n, rows, m)
		y0 := normals(r, m*n)
		added := append([]float32(nil), y0...)
		w.MulAdd(added, n, rows, m)
		for i := range m {
			for j := range n {
				var sum int64
				for l := range k {
					sum += int64(xq[i*k+l]) * int64(wq[j*k+l])
				}
				want := float64(sum)*xs[i]*float64(ws[j]) + float64(bias[j])
				near(t, fmt.Sprintf("y[%d,%d]", i, j), float64(y[i*n+j]), want, 1e-5)
				near(t, fmt.Sprintf("y0+y[%d,%d]", i, j), float64(added[i*n+j]), want+float64(y0[i*n+j]), 1e-5)
			}
		}
	})
}

func TestProductRowsAreIndependent(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		r := newRand(5)
		const m, n, k = 71, 100, 128
		x, y0 := normals(r, m*k), normals(r, m*n)
		wq, ws := QuantizeRows(normals(r, n*k), n, k)
		w := Pack(tier, wq, ws, n, k)
		rows := NewRows(tier, m, k)
		all := append([]float32(nil), y0...)
		rows.RMSNorm(x, m, 1e-5)
		w.MulAdd(all, n, rows, m)
		for i := range m {
			rows.RMSNorm(x[i*k:], 1, 1e-5)
			one := append([]float32(nil), y0[i*n:(i+1)*n]...)
			w.MulAdd(one, n, rows, 1)
			for j := range n {
				if one[j] != all[i*n+j] {
					t.Fatalf("row %d, output %d: alone %v, among others %v", i, j, one[j], all[i*n+j])
				}
			}
		}
	})
}

func TestNormsFeedTheProduct(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		r := newRand(6)
		const m, k, eps = 10, 96, 1e-5
		x := normals(r, m*k)
		for i := range x {
			x[i] = x[i]*3 + 0.5
		}
		ident := make([]int8, k*k)
		ones, weight, bias := make([]float32, k), normals(r, k), normals(r, k)
		for i := range k {
			ident[i*k+i], ones[i] = 1, 1
		}
		w := Pack(tier, ident, ones, k, k)
		rows := NewRows(tier, m, k)
		y, want := make([]float32, m*k), make([]float32, m*k)

		rows.RMSNorm(x, m, eps)
		w.MulTo(y, k, rows, m)
		RMSNorm(want, x, ones, m, eps)
		nearRows(t, "RMSNorm", y, want, m, k)

		LayerNorm(want, x, weight, bias, m, eps)
		inPlace := append([]float32(nil), x...)
		rows.LayerNorm(inPlace, m, weight, bias, eps)
		w.MulTo(y, k, rows, m)
		nearRows(t, "LayerNorm", y, want, m, k)
		for i := range want {
			near(t, "LayerNorm in place", float64(inPlace[i]), float64(want[i]), 1e-5)
		}
	})
}

// nearRows allows the rounding of int8: half a step of each row's scale, and a little for what came before.
func nearRows(t *testing.T, name string, got, want []float32, m, k int) {
	t.Helper()
	for r := range m {
		var amax float64
		for _, v := range want[r*k : (r+1)*k] {
			amax = max(amax, math.Abs(float64(v)))
		}
		for i := r * k; i < (r+1)*k; i++ {
			near(t, fmt.Sprintf("%s [%d,%d]", name, r, i%k), float64(got[i]), float64(want[i]), amax*(0.5/127+1e-4))
		}
	}
}

func TestZeroTinyAndBrokenRows(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		const m, n, k = 5, 20, 40
		x := normals(newRand(7), m*k)
		clear(x[k : 2*k])
		x[2*k+3] = nan
		x[3*k+39] = -inf
		for i := range k {
			x[4*k+i] = 1e-42
		}
		wq, ws := QuantizeRows(normals(newRand(8), n*k), n, k)
		w := Pack(tier, wq, ws, n, k)
		rows := NewRows(tier, m, k)
		y := make([]float32, m*n)
		for name, fill := range map[string]func(){"quantize": func() { rows.Quantize(x, m) }, "rmsnorm": func() { rows.RMSNorm(x, m, 1e-5) }} {
			fill()
			w.MulTo(y, n, rows, m)
			for j := range n {
				if v := y[j]; v != v || v == 0 {
					t.Errorf("%s: an ordinary row gave %v", name, v)
				}
				if y[n+j] != 0 || y[4*n+j] != 0 {
					t.Errorf("%s: rows of zeros and of next to nothing gave %v, %v", name, y[n+j], y[4*n+j])
				}
				if a, b := y[2*n+j], y[3*n+j]; a == a || b == b {
					t.Errorf("%s: NaN and Inf became %v, %v", name, a, b)
				}
			}
		}
	})
}

func TestSwiGLUMatchesFloat64(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		r := newRand(9)
		for _, c := range []struct{ m, k, f, block int }{{5, 32, 48, 0}, {100, 64, 128, 64}, {3, 24, 40, 8}, {97, 40, 512, 512}} {
			x := normals(r, c.m*c.k)
			gq, gs := QuantizeRows(normals(r, c.f*c.k), c.f, c.k)
			uq, us := QuantizeRows(normals(r, c.f*c.k), c.f, c.k)
			gate, up := Pack(tier, gq, gs, c.f, c.k), Pack(tier, uq, us, c.f, c.k)
			in, out := NewRows(tier, c.m, c.k), NewRows(tier, c.m, c.f)
			in.Quantize(x, c.m)
			out.SwiGLU(gate, up, in, c.m, c.block)

			xq, xs := exactRows(x, c.m, c.k)
			want := make([]float32, c.m*c.f)
			for i := range c.m {
				for j := range c.f {
					var g, u int64
					for l := range c.k {
						g += int64(xq[i*c.k+l]) * int64(gq[j*c.k+l])
						u += int64(xq[i*c.k+l]) * int64(uq[j*c.k+l])
					}
					gf, uf := float64(g)*xs[i]*float64(gs[j]), float64(u)*xs[i]*float64(us[j])
					want[i*c.f+j] = float32(gf / (1 + math.Exp(-gf)) * uf)
				}
			}
			if c.block > 0 {
				for i := 0; i < len(want); i += c.block {
					slowHadamard(want[i : i+c.block])
				}
			}
			nearRows(t, fmt.Sprint("SwiGLU ", c), readRows(tier, out, c.m), want, c.m, c.f)
		}
	})
}

func TestGELUMatchesFloat64(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		r := newRand(10)
		const m, k, f = 99, 48, 100
		x, bias := normals(r, m*k), normals(r, f)
		wq, ws := QuantizeRows(normals(r, f*k), f, k)
		w := Pack(tier, wq, ws, f, k)
		w.SetBias(bias)
		in, out := NewRows(tier, m, k), NewRows(tier, m, f)
		in.Quantize(x, m)
		out.GELU(w, in, m)
		xq, xs := exactRows(x, m, k)
		want := make([]float32, m*f)
		for i := range m {
			for j := range f {
				var s int64
				for l := range k {
					s += int64(xq[i*k+l]) * int64(wq[j*k+l])
				}
				v := float64(s)*xs[i]*float64(ws[j]) + float64(bias[j])
				want[i*f+j] = float32(v / 2 * (1 + math.Erf(v/math.Sqrt2)))
			}
		}
		nearRows(t, "GELU", readRows(tier, out, m), want, m, f)
	})
}

// readRows multiplies by the identity.
func readRows(tier Tier, x *Rows, m int) []float32 {
	k := x.k
	ident, ones := make([]int8, k*k), make([]float32, k)
	for i := range k {
		ident[i*k+i], ones[i] = 1, 1
	}
	y := make([]float32, m*k)
	Pack(tier, ident, ones, k, k).MulTo(y, k, x, m)
	return y
}

func TestLogProbsMatchesFloat64(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		r := newRand(11)
		for _, c := range []struct {
			m, k, n int
			spread  float32
			biased  bool
		}{{1, 16, 5, 1, false}, {7, 64, 300, 3, false}, {100, 32, 1000, 0.1, false}, {9, 64, 500, 60, false}, {40, 32, 330, 1, true}} {
			x := normals(r, c.m*c.k)
			wf := normals(r, c.n*c.k)
			for i := range wf {
				wf[i] *= c.spread / float32(math.Sqrt(float64(c.k)))
			}
			wq, ws := QuantizeRows(wf, c.n, c.k)
			w := Pack(tier, wq, ws, c.n, c.k)
			bias := make([]float32, c.n)
			if c.biased {
				bias = normals(r, c.n)
				w.SetBias(bias)
			}
			rows := NewRows(tier, c.m, c.k)
			rows.Quantize(x, c.m)
			targets := make([]int32, c.m)
			for i := range targets {
				targets[i] = int32(r.IntN(c.n))
			}
			targets[0] = int32(c.n - 1)
			got := make([]float32, c.m)
			w.LogProbs(got, rows, targets, c.m)
			xq, xs := exactRows(x, c.m, c.k)
			for i := range c.m {
				logits := make([]float64, c.n)
				top := math.Inf(-1)
				for j := range logits {
					var s int64
					for l := range c.k {
						s += int64(xq[i*c.k+l]) * int64(wq[j*c.k+l])
					}
					logits[j] = float64(s)*xs[i]*float64(ws[j]) + float64(bias[j])
					top = max(top, logits[j])
				}
				var sum float64
				for _, l := range logits {
					sum += math.Exp(l - top)
				}
				want := logits[targets[i]] - top - math.Log(sum)
				near(t, fmt.Sprintf("%+v row %d", c, i), float64(got[i]), want, 2e-5+1e-6*math.Abs(want))
			}
		}
	})
}

// What one row's logits are, ordinary or far above the first ones, changes nothing for the others.
func TestLogProbsRowsAreIndependent(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		r := newRand(12)
		const m, k, n = 40, 64, 400
		x, wf := normals(r, m*k), normals(r, n*k)
		for i := range x {
			x[i] *= []float32{0.1, 1, 12}[i/k%3] // logits up to some 3, 30 and 300
		}
		wq, ws := QuantizeRows(wf, n, k)
		w, rows := Pack(tier, wq, ws, n, k), NewRows(tier, m, k)
		targets, together := make([]int32, m), make([]float32, m)
		rows.Quantize(x, m)
		w.LogProbs(together, rows, targets, m)
		for i := range m {
			alone := make([]float32, 1)
			rows.Quantize(x[i*k:(i+1)*k], 1)
			w.LogProbs(alone, rows, targets, 1)
			if alone[0] != together[i] {
				t.Errorf("row %d: %v alone, %v in company", i, alone[0], together[i])
			}
		}
	})
}

func TestQuantizeRowsRoundsToNearest(t *testing.T) {
	const n, k = 50, 301
	w := normals(newRand(10), n*k)
	clear(w[:k])
	w[k] = 127 // scale 1: halves are ties
	for i := 1; i < k; i++ {
		w[k+i] = float32(i-150) / 2
	}
	q, scale := QuantizeRows(w, n, k)
	for r := range n {
		top := 0.0
		for _, v := range w[r*k : (r+1)*k] {
			top = max(top, math.Abs(float64(v)))
		}
		if want := float32(top) / 127; scale[r] != want {
			t.Fatalf("row %d has scale %v, want %v", r, scale[r], want)
		}
		for i, v := range w[r*k : (r+1)*k] {
			want := 0.0
			if top > 0 {
				want = math.RoundToEven(float64(v) * (127 / top))
			}
			if float64(q[r*k+i]) != want {
				t.Fatalf("row %d: %v of at most %v became %d, want %v", r, v, top, q[r*k+i], want)
			}
		}
	}
}
