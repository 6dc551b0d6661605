package scoring_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring"
)

// What follows the head of a KV is as if the rest of that KV had never been there, and what follows a prefix is generated as
// after one run.
func TestHeadOfKVAndGenerationAfterIt(t *testing.T) {
	eachPass(t, func(t *testing.T, n *tiny, o scoring.LMOptions) {
		o.Workers = 2
		lm := n.load(t, o)
		r := rand.New(rand.NewPCG(11, 12))
		one, other := n.random(r, 90), n.random(r, 90)
		const shared = 37
		copy(other[:shared], one)
		kv := logProbs(t, lm, scoring.Sequence{Tokens: one, From: len(one), KeepKV: true})[0].KV
		want := logProbs(t, lm, scoring.Sequence{Tokens: other, From: 1})[0].LogProbs
		got := logProbs(t, lm, scoring.Sequence{Prefix: kv.Head(shared), Tokens: other[shared:], From: 1, KeepKV: true})[0]
		if !slices.Equal(got.LogProbs, want[shared:]) {
			t.Error("after the head of another sequence's KV the log-probabilities differ")
		}
		if kv.Head(kv.Len()) != kv || kv.Head(0).Len() != 0 {
			t.Error("the head of all tokens is another KV, or that of none has some")
		}
		generate := func(options scoring.GenerateOptions) string {
			options.MaxTokens = 12
			result, err := lm.Generate(t.Context(), options, nil)
			if err != nil {
				t.Fatal(err)
			}
			return result.Text
		}
		whole := generate(scoring.GenerateOptions{Prompt: other})
		if got := generate(scoring.GenerateOptions{Prefix: got.KV}); got != whole {
			t.Errorf("after a prefix alone: %q, want %q", got, whole)
		}
		if got := generate(scoring.GenerateOptions{Prefix: kv.Head(shared), Prompt: other[shared:]}); got != whole {
			t.Errorf("after a prefix and a prompt: %q, want %q", got, whole)
		}
	})
}

func TestHeadOfKVKnowsNoPrediction(t *testing.T) {
	n := newTiny()
	lm := n.load(t, scoring.LMOptions{Tier: kernels.Best()})
	kv := logProbs(t, lm, scoring.Sequence{Tokens: []int32{1, 2, 3, 4}, From: 4, KeepKV: true})[0].KV
	for name, s := range map[string]scoring.Sequence{
		"the first token's":      {Prefix: kv.Head(2), Tokens: []int32{5}},
		"nothing follows":        {Prefix: kv.Head(2), KeepKV: true},
		"nothing follows no one": {Prefix: kv.Head(0), Tokens: []int32{5}},
	} {
		if _, err := lm.LogProbs(t.Context(), []scoring.Sequence{s}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := lm.Generate(t.Context(), scoring.GenerateOptions{Prefix: kv.Head(3), MaxTokens: 1}, nil); err == nil {
		t.Error("generated after a head without a token")
	}
	if _, err := n.load(t, scoring.LMOptions{}).Generate(t.Context(), scoring.GenerateOptions{Prefix: kv, MaxTokens: 1}, nil); err == nil {
		t.Error("generated after another model's prefix")
	}
}
