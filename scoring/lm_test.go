package scoring_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring"
	"github.com/pith-llm/pith/scoring/gguf"
	"github.com/pith-llm/pith/scoring/models"
)

// eachPass runs a test on the tiny network with each precision and tier; with plain Go only where there is no assembly, as
// it is ten times slower.
func eachPass(t *testing.T, test func(t *testing.T, n *tiny, o scoring.LMOptions)) {
	n := newTiny()
	tiers := kernels.Supported()
	if !plain() {
		tiers = tiers[1:]
	}
	for _, tier := range tiers {
		for _, p := range []scoring.Precision{scoring.F32, scoring.Int8} {
			t.Run(fmt.Sprintf("%v/%v", tier, p), func(t *testing.T) {
				test(t, n, scoring.LMOptions{Precision: p, Tier: tier})
			})
		}
	}
}

func logProbs(t testing.TB, lm *scoring.LM, s ...scoring.Sequence) []scoring.Result {
	t.Helper()
	results, err := lm.LogProbs(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func TestResultsDoNotDependOnCompany(t *testing.T) {
	eachPass(t, func(t *testing.T, n *tiny, o scoring.LMOptions) {
		r := rand.New(rand.NewPCG(7, 8))
		var sequences []scoring.Sequence
		for _, length := range []int{1, 2, 3, 31, 32, 33, 64, 100, 7, 90, 5, 128, 61} {
			sequences = append(sequences, scoring.Sequence{Tokens: n.random(r, length), From: 1 + r.IntN(length), Entropy: length%3 > 0})
		}
		o.Workers = 1
		lm := n.load(t, o)
		var alone []scoring.Result
		for _, s := range sequences {
			alone = append(alone, logProbs(t, lm, s)...)
		}
		for _, workers := range []int{1, 2, 5} {
			o.Workers = workers
			lm := n.load(t, o)
			for range 3 {
				order := r.Perm(len(sequences))
				shuffled := make([]scoring.Sequence, len(order))
				for i, j := range order {
					shuffled[i] = sequences[j]
				}
				for i, got := range logProbs(t, lm, shuffled...) {
					if want := alone[order[i]]; !slices.Equal(got.LogProbs, want.LogProbs) || got.Entropy != want.Entropy {
						t.Fatalf("%d workers: sequence %d in place %d gives %v, alone %v", workers, order[i], i, got, want)
					}
					if asked := shuffled[i].Entropy; asked != (got.Entropy > 0) {
						t.Errorf("entropy %v where it was wanted: %t", got.Entropy, asked)
					}
				}
			}
		}
	})
}

func TestPrefixEqualsFullPass(t *testing.T) {
	eachPass(t, func(t *testing.T, n *tiny, o scoring.LMOptions) {
		// 420 tokens are taken in two packs.
		ids := n.random(rand.New(rand.NewPCG(9, 10)), 420)
		lm := n.load(t, o)
		whole := logProbs(t, lm, scoring.Sequence{Tokens: ids, From: 1, Entropy: true})[0]
		full := whole.LogProbs
		for _, cut := range []int{0, 1, 17, 256, 257, 419} {
			prefix := logProbs(t, lm, scoring.Sequence{Tokens: ids[:cut], From: min(1, cut), KeepKV: true})[0]
			if cut > 0 && !slices.Equal(prefix.LogProbs, full[:cut-1]) {
				t.Errorf("the first %d tokens alone differ from the same among %d", cut, len(ids))
			}
			if prefix.KV.Len() != cut || prefix.KV.Bytes() < int64(cut*n.layers*2*32*2) {
				t.Errorf("prefix of %d tokens has length %d, %d bytes", cut, prefix.KV.Len(), prefix.KV.Bytes())
			}
			from := 0
			if cut == 0 {
				from = 1
			}
			// Used twice: a prefix is not changed by what follows it.
			for range 2 {
				rest := logProbs(t, lm, scoring.Sequence{Prefix: prefix.KV, Tokens: ids[cut:], From: from, Entropy: true})[0]
				if want := full[cut-1+from:]; !slices.Equal(rest.LogProbs, want) {
					t.Fatalf("after a prefix of %d tokens: worst difference %g", cut, worst(rest.LogProbs, want))
				}
				if rest.Entropy != whole.Entropy {
					t.Fatalf("after a prefix of %d tokens: entropy %v, in one %v", cut, rest.Entropy, whole.Entropy)
				}
			}
		}
		// A prefix grown in three steps, with nothing, one token and the rest added.
		var kv *scoring.KV
		for _, part := range [][]int32{ids[:300], nil, ids[300:301], ids[301:410]} {
			kv = logProbs(t, lm, scoring.Sequence{Prefix: kv, Tokens: part, From: len(part), KeepKV: true})[0].KV
		}
		if got := logProbs(t, lm, scoring.Sequence{Prefix: kv, Tokens: ids[410:]})[0].LogProbs; !slices.Equal(got, full[409:]) {
			t.Errorf("after a prefix grown in steps: worst difference %g", worst(got, full[409:]))
		}
	})
}

func TestSequencesOutOfRange(t *testing.T) {
	n := newTiny()
	lm := n.load(t, scoring.LMOptions{Tier: kernels.Best()})
	kv := logProbs(t, lm, scoring.Sequence{Tokens: make([]int32, 700), From: 700, KeepKV: true})[0].KV
	vocab := int32(len(n.tokens))
	for name, s := range map[string]scoring.Sequence{
		"no token has what precedes it": {Tokens: []int32{1, 2}, From: 0},
		"from past the end":             {Tokens: []int32{1, 2}, From: 3},
		"from negative":                 {Prefix: kv, Tokens: []int32{1, 2}, From: -1},
		"token past the vocabulary":     {Tokens: []int32{1, vocab}, From: 1},
		"token negative":                {Tokens: []int32{1, -1}, From: 1},
		"entropy after no token":        {Prefix: kv, Entropy: true},
	} {
		if _, err := lm.LogProbs(t.Context(), []scoring.Sequence{{Tokens: []int32{1}, From: 1}, s}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	long := []scoring.Sequence{{Prefix: kv, Tokens: make([]int32, n.context-699)}}
	if _, err := lm.LogProbs(t.Context(), long); !errors.Is(err, scoring.ErrContextLength) {
		t.Errorf("one token more than the context: %v", err)
	}
	if _, err := lm.Generate(t.Context(), scoring.GenerateOptions{Prompt: make([]int32, n.context)}, nil); !errors.Is(err, scoring.ErrContextLength) {
		t.Errorf("a prompt as long as the context: %v", err)
	}
	if _, err := lm.Generate(t.Context(), scoring.GenerateOptions{}, nil); err == nil {
		t.Error("an empty prompt was accepted")
	}
	other := n.load(t, scoring.LMOptions{Precision: scoring.F32, Tier: kernels.Best()})
	if _, err := other.LogProbs(t.Context(), []scoring.Sequence{{Prefix: kv, Tokens: []int32{1}}}); err == nil {
		t.Error("a prefix of another model was accepted")
	}
	if got := logProbs(t, lm); len(got) != 0 {
		t.Errorf("no sequences give %d results", len(got))
	}
	if got := logProbs(t, lm, scoring.Sequence{}, scoring.Sequence{Tokens: []int32{5}, From: 1}); len(got[0].LogProbs)+len(got[1].LogProbs) != 0 {
		t.Errorf("sequences with nothing to predict give %v", got)
	}
}

// countdown is a context that ends when it has been looked at n times.
type countdown struct {
	context.Context
	mu   sync.Mutex
	left int
}

func (c *countdown) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

func TestCancellationBetweenLayers(t *testing.T) {
	eachPass(t, func(t *testing.T, n *tiny, o scoring.LMOptions) {
		o.Workers = 1
		lm := n.load(t, o)
		s := []scoring.Sequence{{Tokens: make([]int32, 50), From: 1}, {Tokens: make([]int32, 400), From: 1}}
		want := logProbs(t, lm, s...)
		for _, left := range []int{0, 1, 2, 3, 4, 8} {
			ctx := &countdown{Context: t.Context(), left: left}
			if _, err := lm.LogProbs(ctx, s); !errors.Is(err, context.Canceled) {
				t.Fatalf("canceled after %d looks: %v", left, err)
			}
			if ctx.left < -2 {
				t.Errorf("canceled after %d looks: looked %d times more", left, -ctx.left)
			}
		}
		if got := logProbs(t, lm, s...); !slices.Equal(got[1].LogProbs, want[1].LogProbs) {
			t.Error("a pass after a canceled one gives something else")
		}
		done, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := lm.Generate(done, scoring.GenerateOptions{Prompt: []int32{1}}, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("generate with a canceled context: %v", err)
		}
	})
}

func TestCallsAtTheSameTime(t *testing.T) {
	n := newTiny()
	lm := n.load(t, scoring.LMOptions{Tier: kernels.Best(), Workers: 2})
	r := rand.New(rand.NewPCG(11, 12))
	var sequences []scoring.Sequence
	for range 8 {
		sequences = append(sequences, scoring.Sequence{Tokens: n.random(r, 40), From: 1})
	}
	want := logProbs(t, lm, sequences...)
	var calls sync.WaitGroup
	for i := range sequences {
		calls.Go(func() {
			got, err := lm.LogProbs(t.Context(), sequences[i:i+1])
			if err != nil || !slices.Equal(got[0].LogProbs, want[i].LogProbs) {
				t.Errorf("sequence %d differs (%v)", i, err)
			}
		})
	}
	calls.Wait()
}

func TestModelsThatAreNotWhatTheySay(t *testing.T) {
	n := newTiny()
	f, err := gguf.Parse(models.Encoder)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := scoring.LoadLM(f, scoring.LMOptions{}); err == nil {
		t.Error("an encoder was loaded as a decoder")
	}
	f, err = gguf.Parse(n.file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := scoring.LoadEncoder(f, scoring.EncoderOptions{}); err == nil {
		t.Error("a decoder was loaded as an encoder")
	}
	for key, value := range map[string]uint32{
		"llama.block_count": 4, "llama.embedding_length": 64, "llama.feed_forward_length": 1 << 23,
		"llama.attention.head_count": 7, "llama.attention.head_count_kv": 0, "llama.context_length": 1 << 31,
	} {
		f, err := gguf.Parse(newTinyWith(key, value).file)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []scoring.Precision{scoring.F32, scoring.Int8} {
			if _, err := scoring.LoadLM(f, scoring.LMOptions{Precision: p}); err == nil {
				t.Errorf("%s = %d was accepted", key, value)
			}
		}
	}
}
