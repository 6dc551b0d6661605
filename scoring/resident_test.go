package scoring_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring"
	"github.com/pith-llm/pith/scoring/gguf"
	"github.com/pith-llm/pith/scoring/models"
)

func TestIdleDecoderIsGivenUp(t *testing.T) {
	n := newTiny()
	r := rand.New(rand.NewPCG(41, 42))
	before, after := n.random(r, 70), n.random(r, 30)
	synctest.Test(t, func(t *testing.T) {
		lm := n.load(t, scoring.LMOptions{Tier: kernels.Best(), CacheDir: t.TempDir(), IdleTimeout: time.Minute})
		expect := func(loaded bool) {
			t.Helper()
			synctest.Wait()
			if lm.Loaded() != loaded {
				t.Fatalf("loaded: %v, want %v", lm.Loaded(), loaded)
			}
		}
		expect(true)
		time.Sleep(59 * time.Second)
		kv := logProbs(t, lm, scoring.Sequence{Tokens: before, From: 1, KeepKV: true})[0].KV
		want := logProbs(t, lm, scoring.Sequence{Prefix: kv, Tokens: after})[0].LogProbs
		time.Sleep(59 * time.Second)
		expect(true)
		time.Sleep(time.Second)
		expect(false)
		if kv.Len() != len(before) {
			t.Errorf("%d tokens are kept, want %d", kv.Len(), len(before))
		}
		for range 2 { // with keys and values of before the weights were given up
			if got := logProbs(t, lm, scoring.Sequence{Prefix: kv, Tokens: after})[0].LogProbs; !slices.Equal(got, want) {
				t.Fatalf("loaded again it gives other results, off by %g", worst(got, want))
			}
			expect(true)
			if !lm.WeightSource().Mapped {
				t.Error("the weights were prepared again")
			}
			time.Sleep(time.Hour)
			expect(false)
		}
		if _, err := lm.Generate(t.Context(), scoring.GenerateOptions{Prompt: before, MaxTokens: 3}, func(string) error {
			time.Sleep(time.Hour) // a reader who is slow
			expect(true)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		expect(false)
	})
}

func TestCallsWhileModelsAreGivenUp(t *testing.T) {
	n := newTiny()
	s := scoring.Sequence{Tokens: n.random(rand.New(rand.NewPCG(43, 44)), 40), From: 1}
	want := logProbs(t, n.load(t, scoring.LMOptions{Tier: kernels.Best()}), s)[0].LogProbs
	synctest.Test(t, func(t *testing.T) {
		lm := n.load(t, scoring.LMOptions{Tier: kernels.Best(), Workers: 3, CacheDir: t.TempDir(), IdleTimeout: time.Second})
		var calls sync.WaitGroup
		for i := range 4 {
			r := rand.New(rand.NewPCG(45, uint64(i)))
			calls.Go(func() {
				for range 40 {
					time.Sleep(time.Duration(r.IntN(5)) * time.Second / 2)
					got, err := lm.LogProbs(t.Context(), []scoring.Sequence{s})
					if err != nil || !slices.Equal(got[0].LogProbs, want) {
						t.Errorf("call %d: other results (%v)", i, err)
						return
					}
				}
			})
		}
		calls.Wait()
	})
}

func TestIdleEncoderIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, err := gguf.Parse(models.Encoder)
		if err != nil {
			t.Fatal(err)
		}
		e, err := scoring.LoadEncoder(f, scoring.EncoderOptions{Tier: kernels.Best(), CacheDir: t.TempDir(), IdleTimeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		want, err := e.Embed(t.Context(), []string{"a text"})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			time.Sleep(time.Minute)
			synctest.Wait()
			if e.Loaded() {
				t.Fatal("it is still there after a minute")
			}
			got, err := e.Embed(t.Context(), []string{"a text"})
			if err != nil || !slices.Equal(got[0], want[0]) {
				t.Fatalf("loaded again it gives another vector (%v)", err)
			}
			if !e.Loaded() || !e.WeightSource().Mapped {
				t.Errorf("loaded %v from %+v", e.Loaded(), e.WeightSource())
			}
		}
	})
}
