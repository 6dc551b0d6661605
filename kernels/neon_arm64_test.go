//go:build !purego

package kernels

import (
	"slices"
	"testing"
)

// What the constants of the tiers promise: arm64's assembly rounds at every step as plain Go does.
func TestTiersOfARMGiveTheBitsOfGeneric(t *testing.T) {
	r := newRand(70)
	const m, n, k = 13, 83, 100
	x, y0 := normals(r, m*k), normals(r, m*n)
	wq, ws := QuantizeRows(normals(r, n*k), n, k)
	bias := normals(r, n)
	products := func(tier Tier) (to, add []float32) {
		w, rows := Pack(tier, wq, ws, n, k), NewRows(tier, m, k)
		w.SetBias(bias)
		rows.RMSNorm(x, m, 1e-5)
		to, add = make([]float32, m*n), slices.Clone(y0)
		w.MulTo(to, n, rows, m)
		w.MulAdd(add, n, rows, m)
		return to, add
	}
	wantTo, wantAdd := products(Generic)
	eachTier(t, func(t *testing.T, tier Tier) {
		to, add := products(tier)
		if !slices.Equal(to, wantTo) {
			t.Error("another product than plain Go's")
		}
		if !slices.Equal(add, wantAdd) {
			t.Error("another sum than plain Go's")
		}
	})
}
