//go:build !purego

package kernels

import "golang.org/x/sys/cpu"

//go:generate go run -C _asm . -what bf16 -out ../attention_bf16_amd64.s
//go:generate go run -C _asm . -what bf16 -emulate -out ../attention_bf16_emulated_amd64.s

var hasBF16 = hasVNNI && cpu.X86.HasAVX512BF16

// attendPairs is attendBF16; tests put attendBF16Emulated here on machines without its instruction.
var attendPairs = attendBF16

//go:noescape
func attendBF16(t *attentionTile, key0, keys, all int)

//go:noescape
func attendBF16Emulated(t *attentionTile, key0, keys, all int)

//go:noescape
func rowsAVX512(dst, src *BF16, lds, d, rows int)

//go:noescape
func pairsAVX512(dst, src *BF16, lds, d, pairs int)

func peakBF16(n int)

// loadPairs brings all keys and values of head h into half, the values as pairs of keys, followed by zeros up to a whole
// group.
func (a *Attention) loadPairs(h, total int, spans []KV[BF16]) {
	half, d, width := &a.half, a.Dim, a.KVHeads*a.Dim
	whole := roundUp(total, keyGroup)
	a.tile.room = whole
	if len(half.keys) < whole*d {
		half.keys, half.vals = aligned[BF16](whole*d), aligned[BF16](whole*d)
	}
	at := 0
	for _, s := range spans {
		if s.Len == 0 {
			continue
		}
		k, v := s.K[h*d:], s.V[h*d:]
		rowsAVX512(&half.keys[at*d], &k[0], width, d, s.Len)
		from := at % 2 // 1: the first key here is the second of a pair
		if from == 1 {
			copy(half.rows[d:2*d], v)
			pairsAVX512(&half.vals[(at-1)*d], &half.rows[0], d, d, 1)
		}
		if pairs := (s.Len - from) / 2; pairs > 0 {
			pairsAVX512(&half.vals[(at+from)*d], &v[from*width], width, d, pairs)
		}
		at += s.Len
		if at%2 == 1 {
			copy(half.rows[:d], v[(s.Len-1)*width:])
		}
	}
	clear(half.keys[total*d : whole*d])
	if total%2 == 1 {
		clear(half.rows[d : 2*d])
		pairsAVX512(&half.vals[(total-1)*d], &half.rows[0], d, d, 1)
	}
	clear(half.vals[roundUp(total, 2)*d : whole*d])
}
