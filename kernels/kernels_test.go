package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// emulated is set for the tiers whose instructions are emulated.
var emulated [AMX + 1]bool

// eachTier runs a test once for every tier of this machine; generic is always one of them.
func eachTier(t *testing.T, f func(t *testing.T, tier Tier)) {
	t.Helper()
	for _, tier := range Supported() {
		name := tier.String()
		if emulated[tier] {
			name += "-emulated"
		}
		t.Run(name, func(t *testing.T) { f(t, tier) })
	}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func normals(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func int8s(r *rand.Rand, n int) []int8 {
	x := make([]int8, n)
	for i := range x {
		x[i] = int8(r.IntN(255) - 127)
	}
	return x
}

// near checks |got-want| <= bound, with NaN equal to NaN.
func near(t *testing.T, name string, got, want, bound float64) {
	t.Helper()
	if math.IsNaN(want) && math.IsNaN(got) || got == want {
		return
	}
	if d := math.Abs(got - want); !(d <= bound) {
		t.Fatalf("%s: got %v, want %v within %v", name, got, want, bound)
	}
}

var nan, inf = float32(math.NaN()), float32(math.Inf(1))

func TestBestIsSupportedAndNotPassedOver(t *testing.T) {
	best := Best()
	if !best.Supported() || slowHere(best) {
		t.Errorf("%v is best", best)
	}
	for _, tier := range Supported() {
		if tier > best && !slowHere(tier) {
			t.Errorf("%v is best, %v is faster", best, tier)
		}
	}
}

func TestTierNamesParse(t *testing.T) {
	for tier := Generic; tier <= AMX; tier++ {
		if got, err := ParseTier(tier.String()); err != nil || got != tier {
			t.Errorf("ParseTier(%q) = %v, %v", tier.String(), got, err)
		}
	}
	if _, err := ParseTier("mmx"); err == nil {
		t.Error("ParseTier of an unknown name gave no error")
	}
	if !Best().Supported() {
		t.Errorf("Best() = %v is not supported", Best())
	}
	t.Logf("tiers of this machine: %v", Supported())
}

func TestDotMatchesFloat64(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		r := newRand(1)
		for n := range 301 {
			for _, odd := range []int{0, 1, 3} {
				a, b := normals(r, n+odd)[odd:], normals(r, n+odd)[odd:]
				var want, abs float64
				for i := range a {
					p := float64(a[i]) * float64(b[i])
					want += p
					abs += math.Abs(p)
				}
				near(t, fmt.Sprintf("n=%d", n), float64(Dot(tier, a, b)), want, 1e-6*abs)
			}
		}
		if got := Dot(tier, []float32{1, nan, 3}, []float32{1, 2, 3}); got == got {
			t.Errorf("NaN was lost: %v", got)
		}
		if got := Dot(tier, []float32{1, inf, 3}, []float32{1, 2, 3}); got != inf {
			t.Errorf("Inf was lost: %v", got)
		}
	})
}

func TestMatMulMatchesFloat64(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		r := newRand(2)
		for _, s := range [][3]int{{0, 3, 4}, {1, 1, 0}, {1, 1, 1}, {2, 5, 7}, {3, 4, 8}, {4, 4, 16}, {5, 9, 33}, {7, 11, 64}, {13, 17, 300}, {6, 8, 576}} {
			m, n, k := s[0], s[1], s[2]
			x, w := normals(r, m*k), normals(r, n*k)
			y := normals(r, m*n+1)
			guard := y[m*n]
			MatMul(tier, y, x, w, m, n, k)
			for i := range m {
				for j := range n {
					var want, abs float64
					for l := range k {
						p := float64(x[i*k+l]) * float64(w[j*k+l])
						want += p
						abs += math.Abs(p)
					}
					near(t, fmt.Sprintf("%v y[%d,%d]", s, i, j), float64(y[i*n+j]), want, 1e-6*abs)
				}
			}
			if y[m*n] != guard {
				t.Fatalf("%v: wrote past the end", s)
			}
		}
	})
}

// A row's result must not depend on the rows beside it.
func TestMatMulRowsAreIndependent(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		r := newRand(3)
		const m, n, k = 11, 13, 77
		x, w := normals(r, m*k), normals(r, n*k)
		all, one := make([]float32, m*n), make([]float32, n)
		MatMul(tier, all, x, w, m, n, k)
		for i := range m {
			MatMul(tier, one, x[i*k:], w, 1, n, k)
			for j := range n {
				if one[j] != all[i*n+j] {
					t.Fatalf("row %d, output %d: alone %v, among others %v", i, j, one[j], all[i*n+j])
				}
			}
		}
	})
}
