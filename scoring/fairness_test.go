package scoring_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring"
)

// watched is a context that counts how often it is looked at, and runs something at one look.
type watched struct {
	context.Context
	looks atomic.Int64
	at    int64
	then  func()
}

func (w *watched) Err() error {
	if w.looks.Add(1) == w.at {
		w.then()
	}
	return w.Context.Err()
}

// witness is a context that notes, whenever it is looked at, how often another was by then.
type witness struct {
	context.Context
	of   *watched
	seen int64
}

func (w *witness) Err() error {
	w.seen = w.of.looks.Load()
	return w.Context.Err()
}

// TestSmallCallsOvertakeLargeOnes: a call that comes while the only worker is in a pack of another call gets it next.
func TestSmallCallsOvertakeLargeOnes(t *testing.T) {
	n := newTiny()
	r := rand.New(rand.NewPCG(31, 32))
	small := []scoring.Sequence{{Tokens: n.random(r, 32), From: 1}}
	var many []scoring.Sequence
	for range 60 {
		many = append(many, scoring.Sequence{Tokens: n.random(r, 300), From: 1})
	}
	score := func(s []scoring.Sequence) func(*scoring.LM, context.Context) error {
		return func(lm *scoring.LM, ctx context.Context) error {
			_, err := lm.LogProbs(ctx, s)
			return err
		}
	}
	generate := func(lm *scoring.LM, ctx context.Context) error {
		_, err := lm.Generate(ctx, scoring.GenerateOptions{Prompt: small[0].Tokens, MaxTokens: 100}, nil)
		return err
	}
	for name, large := range map[string]func(*scoring.LM, context.Context) error{
		"many sequences": score(many),
		"a long one":     score([]scoring.Sequence{{Tokens: n.random(r, 1200), From: 1}}),
		"an answer":      generate,
	} {
		synctest.Test(t, func(t *testing.T) {
			lm := n.load(t, scoring.LMOptions{Tier: kernels.Best(), Workers: 1})
			done := make(chan int64, 1)
			ctx := &watched{Context: t.Context(), at: int64(n.layers) + 1} // in the second pack
			ctx.then = func() {
				go func() {
					// Its last look is in its own pack, when nobody else can have the only worker.
					last := &witness{Context: t.Context(), of: ctx}
					if _, err := lm.LogProbs(last, small); err != nil {
						t.Error(err)
					}
					done <- last.seen
				}()
				synctest.Wait() // until it waits for the worker
			}
			if err := large(lm, ctx); err != nil {
				t.Fatal(err)
			}
			looks := <-done
			if all := ctx.looks.Load(); all < 4*int64(n.layers) {
				t.Fatalf("%s: %d looks in all are too few packs for this test", name, all)
			}
			if packs := (looks - 1) / int64(n.layers); packs > 1 {
				t.Errorf("%s: it was in its pack %d when the small call, which came in pack 1, was done", name, packs)
			}
		})
	}
}

// TestLoneSequenceIsCut: a sequence that two workers share gives what it gives to one.
func TestLoneSequenceIsCut(t *testing.T) {
	eachPass(t, func(t *testing.T, n *tiny, o scoring.LMOptions) {
		r := rand.New(rand.NewPCG(33, 34))
		o.Workers = 1
		one := n.load(t, o)
		prefix := logProbs(t, one, scoring.Sequence{Tokens: n.random(r, 50), From: 1, KeepKV: true})[0].KV
		prefixTokens := n.random(rand.New(rand.NewPCG(33, 34)), 50)
		lengths := []int{64, 65, 127, 256, 1000}
		if plain() {
			lengths = []int{64, 65, 300}
		}
		for _, workers := range []int{2, 3, 8} {
			o.Workers = workers
			several := n.load(t, o)
			theirs := logProbs(t, several, scoring.Sequence{Tokens: prefixTokens, From: 1, KeepKV: true})[0].KV
			for _, length := range lengths {
				for _, from := range []int{1, 40, length - 1, length} {
					for _, keep := range []bool{false, true} {
						s := scoring.Sequence{Tokens: n.random(r, length), From: from, KeepKV: keep}
						after := s
						s.Prefix, after.Prefix = prefix, theirs
						for range 2 {
							want, got := logProbs(t, one, s)[0], logProbs(t, several, after)[0]
							if !slices.Equal(got.LogProbs, want.LogProbs) || got.KV.Len() != want.KV.Len() {
								t.Fatalf("%d workers, %d tokens from %d: worst difference %g", workers, length, from, worst(got.LogProbs, want.LogProbs))
							}
							if !keep {
								s.Prefix, after.Prefix = nil, nil
								continue
							}
							next := n.random(r, 5)
							w := logProbs(t, one, scoring.Sequence{Prefix: want.KV, Tokens: next})[0].LogProbs
							g := logProbs(t, several, scoring.Sequence{Prefix: got.KV, Tokens: next})[0].LogProbs
							if !slices.Equal(g, w) {
								t.Fatalf("%d workers, after %d tokens: worst difference %g", workers, length, worst(g, w))
							}
						}
					}
				}
			}
		}
	})
}
