package scoring_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring"
)

// FuzzPacks puts calls together from bytes: sequences of many lengths, after prefixes that earlier calls kept, wanted from
// anywhere, some calls given up on the way. Whatever ran before and beside it, a sequence gives what all of its tokens give
// alone, without prefix, on one worker.
func FuzzPacks(f *testing.F) {
	f.Add([]byte{3, 30, 1, 0, 200, 129, 0, 90, 0, 1, 4, 1, 9, 255, 3, 0, 70, 64, 2, 255, 128, 1})
	f.Add([]byte{0x81, 255, 0, 0, 1, 255, 0, 0, 2, 0, 128, 1, 1, 128, 2})
	n := newTiny()
	// No call takes longer than a context.
	const longest = 450
	f.Fuzz(func(t *testing.T, data []byte) {
		data = data[:min(len(data), 60)]
		r := rand.New(rand.NewPCG(51, 52))
		alone := n.load(t, scoring.LMOptions{Tier: kernels.Best(), Workers: 1})
		lm := n.load(t, scoring.LMOptions{Tier: kernels.Best(), Workers: 3})
		type kept struct {
			ids []int32
			kv  *scoring.KV
		}
		prefixes := []kept{{}}
		next := func() byte {
			if len(data) == 0 {
				return 0
			}
			b := data[0]
			data = data[1:]
			return b
		}
		for len(data) > 0 {
			call := next()
			var sequences []scoring.Sequence
			var whole [][]int32
			for range 1 + call&3 {
				length, flags, prefix := int(next())*longest/255, next(), prefixes[int(next())%len(prefixes)]
				if len(prefix.ids)+length > n.context {
					prefix = kept{}
				}
				least := 0
				if len(prefix.ids) == 0 {
					least = min(1, length)
				}
				ids := n.random(r, length)
				sequences = append(sequences, scoring.Sequence{
					Prefix: prefix.kv, Tokens: ids, KeepKV: flags&128 != 0, From: least + (length-least)*int(flags&127)/127,
				})
				whole = append(whole, slices.Concat(prefix.ids, ids))
			}
			ctx := t.Context()
			if call&128 != 0 {
				ctx = &countdown{Context: ctx, left: int(call >> 2 & 31)}
			}
			results, err := lm.LogProbs(ctx, sequences)
			if err != nil {
				if call&128 == 0 || !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				continue
			}
			for i, s := range sequences {
				before := s.Prefix.Len()
				want := logProbs(t, alone, scoring.Sequence{Tokens: whole[i], From: max(before+s.From, min(1, len(whole[i])))})[0]
				if !slices.Equal(results[i].LogProbs, want.LogProbs) {
					t.Fatalf("%d tokens from %d after %d: off by %g", len(s.Tokens), s.From, before, worst(results[i].LogProbs, want.LogProbs))
				}
				if s.KeepKV {
					if got := results[i].KV.Len(); got != len(whole[i]) {
						t.Fatalf("%d tokens are kept, want %d", got, len(whole[i]))
					}
					prefixes = append(prefixes, kept{whole[i], results[i].KV})
				}
			}
		}
	})
}
