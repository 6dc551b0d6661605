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
	half.turn.q, half.turnCached.q = half.turnV, half.turnV
	at := 0
	turn := func(t *attentionTile, values *BF16) { // the 32 values before at
		gatherAVX2(t, (*float32)(unsafe.Pointer(values)))
		halvesAVX512(&half.vals[at-tileKeys], a.tile.room, &half.turnV[0], d/2)
	}
	for _, s := range spans {
		if s.Len > 0 {
			rowsAVX512(&half.keys[at*d], &s.K[h*d], width, d, s.Len)
		}
		for i := 0; i < s.Len; {
			n := min(tileKeys-at%tileKeys, s.Len-i)
			values := &s.V[i*width+h*d]
			i += n
			at += n
			if n == tileKeys {
				turn(&half.turnCached, values)
				continue
			}
			rowsAVX512(&half.rows[(at-n)%tileKeys*d], values, width, d, n)
			if at%tileKeys == 0 {
				turn(&half.turn, &half.rows[0])
			}
		}
	}
	clear(half.keys[total*d : whole*d])
	if at < whole {
		clear(half.rows[at%tileKeys*d:])
		at = whole
		turn(&half.turn, &half.rows[0])
	}
}
