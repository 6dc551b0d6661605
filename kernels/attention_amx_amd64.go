//go:build !purego

package kernels

import "unsafe"

// tileKeys is how many keys one set of tiles takes.
const tileKeys = 32

// attention on tiles; tests put attendAMXEmulated here on machines without tiles.
var attendProduct = attendAMX

// loadTiles brings all keys and values of head h into half, the values by dimension.
func (a *Attention) loadTiles(h, total int, spans []KV[BF16]) {
	half, d, width := &a.half, a.Dim, a.KVHeads*a.Dim
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
}
