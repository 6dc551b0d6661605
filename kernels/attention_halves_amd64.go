//go:build !purego

package kernels

import (
	"slices"
	"unsafe"
)

// Attention on tiles, and on vectors of pairs of bfloat16, takes keys and values as they are cached, and rounds queries and
// exponentials to bfloat16: that moves a result by about as much as the rounding of keys and values does. Keys in float32,
// and for tiles heads that are no multiple of 32 wide, go through the vectors of float32 instead.
func (a *Attention) newHalves() {
	if a.Tier != AVX512BF16 && (a.Tier != AMX || a.Dim%tileKeys != 0) {
		return
	}
	t, h := &a.tile, &a.half
	h.rows = aligned[BF16](tileKeys * a.Dim)
	turns := func(stride int) attentionTile {
		t := attentionTile{from: make([]int, tileKeys), lanes: tileKeys, dim: a.Dim / 2}
		for l := range t.from {
			t.from[l] = l * stride / 2
		}
		return t
	}
	h.turn, h.turnCached = turns(a.Dim), turns(a.KVHeads*a.Dim)
	if a.Tier == AMX {
		h.turnV = aligned[float32](tileKeys * a.Dim / 2)
	}
	t.q16, t.p16 = aligned[float32](a.Dim/2*t.lanes), aligned[float32](keyBlock/2*t.lanes)
}

// loadHalves brings all keys and values of head h into half. It reports false where the vectors of float32 are used.
func (a *Attention) loadHalves(h, total int, spans []KV[BF16]) bool {
	switch {
	case a.half.rows == nil:
		return false
	case a.Tier == AMX:
		a.loadTiles(h, total, spans)
	default:
		a.loadPairs(h, total, spans)
	}
	return true
}

// gatherHalves brings each lane's query into the tile.
func (a *Attention) gatherHalves(q []float32) {
	t, half, d := &a.tile, &a.half, a.Dim
	check(slices.Max(t.from)+d <= len(q), "Attend: %d values", len(q))
	halfRowsAVX512(&half.rows[0], &q[0], &t.from[0], d, t.lanes)
	half.turn.q = t.q16
	gatherAVX2(&half.turn, (*float32)(unsafe.Pointer(&half.rows[0])))
}

// attendHalves brings n keys from key k0 on into the tile's running results; the first all of them are seen by all lanes.
func (a *Attention) attendHalves(k0, n, all int) {
	t, d := &a.tile, a.Dim
	t.k16 = a.half.keys[k0*d:]
	if a.Tier == AMX {
		t.v16 = a.half.vals[k0:]
		attendProduct(tileConfig, t, k0, roundUp(n, tileKeys), all)
		return
	}
	t.v16 = a.half.vals[k0*d:]
	attendPairs(t, k0, roundUp(n, keyGroup), all)
}
