//go:build !purego

package kernels

import "unsafe"

// Attention on tiles takes keys and values in bfloat16, as they are cached, and rounds queries and exponentials to it: that
// moves a result by about as much as the rounding of keys and values does. Keys in float32 and heads that are no multiple of
// 32 wide go through the vectors instead.

// tileKeys is how many keys one set of tiles takes.
const tileKeys = 32

// attention on tiles; tests put attendAMXEmulated here on machines without tiles.
var attendProduct = attendAMX

func (a *Attention) newTiles() {
	if a.Tier != AMX || a.Dim%32 != 0 {
		return
	}
	t, h := &a.tile, &a.half
	h.rows = aligned[BF16](tileKeys * a.Dim)
	h.turnV = aligned[float32](tileKeys * a.Dim / 2)
	h.turn = attentionTile{from: make([]int, tileKeys), lanes: tileKeys, dim: a.Dim / 2}
	for l := range h.turn.from {
		h.turn.from[l] = l * a.Dim / 2
	}
	t.q16, t.p16 = aligned[float32](a.Dim/2*t.lanes), aligned[float32](keyBlock/2*t.lanes)
}

// loadTiles brings all keys and values of head h into half. It reports false where tiles cannot be used.
func (a *Attention) loadTiles(h, total int, spans []KV[BF16]) bool {
	half, d, width := &a.half, a.Dim, a.KVHeads*a.Dim
	if half.rows == nil {
		return false
	}
	whole := roundUp(total, tileKeys)
	a.tile.room = whole + tileKeys // dimensions that lay a power of two apart would share few cache sets
	if len(half.keys) < whole*d {
		half.keys, half.vals = aligned[BF16](whole*d), aligned[BF16](d*a.tile.room)
	}
	half.turn.q = half.turnV
	at := 0
	turn := func() {
		gatherAVX2(&half.turn, (*float32)(unsafe.Pointer(&half.rows[0])))
		halvesAVX512(&half.vals[at-tileKeys], a.tile.room, &half.turnV[0], d/2)
	}
	for _, s := range spans {
		for i := range s.Len {
			copy(half.keys[at*d:(at+1)*d], s.K[i*width+h*d:])
			copy(half.rows[at%tileKeys*d:][:d], s.V[i*width+h*d:])
			if at++; at%tileKeys == 0 {
				turn()
			}
		}
	}
	clear(half.keys[total*d : whole*d])
	if at < whole {
		clear(half.rows[at%tileKeys*d:])
		at = whole
		turn()
	}
	return true
}

// gatherTiles brings each lane's query into the tile.
func (a *Attention) gatherTiles(q []float32) {
	t, half, d := &a.tile, &a.half, a.Dim
	for l, at := range t.from {
		ToBF16(a.Tier, half.rows[l*d:(l+1)*d], q[at:at+d])
	}
	half.turn.q = t.q16
	gatherAVX2(&half.turn, (*float32)(unsafe.Pointer(&half.rows[0])))
}

// attendTiles brings n keys from key k0 on into the tile's running results; the first all of them are seen by all lanes.
func (a *Attention) attendTiles(k0, n, all int) {
	t := &a.tile
	t.k16, t.v16 = a.half.keys[k0*a.Dim:], a.half.vals[k0:]
	attendProduct(tileConfig, t, k0, roundUp(n, tileKeys), all)
}
