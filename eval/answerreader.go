package eval

import (
	"context"

	"github.com/pith-llm/pith/scoring"
)

// caseReader reads the prompts of one case. Prompts begin alike: what the first one has in common with another is not read
// again, which changes no result (see scoring.LM.LogProbs).
type caseReader struct {
	lm    *scoring.LM
	c     Case
	first []int32
	kv    *scoring.KV // of first
}

// read returns the log-probability of the gold answer after the prompt, and the score of what the reader generates. The
// prompt of a completion is read as it is, any other as a user's message.
func (r *caseReader) read(ctx context.Context, prompt string) (answer, error) {
	metric, tokens := metricOf(r.c)
	bpe := r.lm.Tokenizer()
	var ids []int32
	if isCompletion(r.c) {
		ids = bpe.Encode(nil, prompt)
	} else {
		var err error
		if ids, err = r.lm.ChatPrompt([]scoring.Message{{Role: "user", Content: prompt}}); err != nil {
			return answer{}, err
		}
	}
	common := 0
	for common < min(len(ids), len(r.first))-1 && ids[common] == r.first[common] {
		common++
	}
	before := r.kv
	if before != nil {
		before = before.Head(common)
	}
	read, err := r.lm.LogProbs(ctx, []scoring.Sequence{{Prefix: before, Tokens: ids[common:], From: len(ids) - common, KeepKV: true}})
	if err != nil {
		return answer{}, err
	}
	kv := read[0].KV
	if r.kv == nil {
		r.first, r.kv = ids, kv
	}
	gold, err := r.lm.LogProbs(ctx, []scoring.Sequence{{Prefix: kv, Tokens: bpe.Encode(nil, r.c.Answers[0])}})
	if err != nil {
		return answer{}, err
	}
	var a answer
	for _, p := range gold[0].LogProbs {
		a.logProb += float64(p) / float64(len(gold[0].LogProbs))
	}
	if metric == nil {
		return a, nil
	}
	var stop []string
	if tokens <= 64 { // only the first line counts
		stop = []string{"\n"}
	}
	generated, err := r.lm.Generate(ctx, scoring.GenerateOptions{Prefix: kv, MaxTokens: tokens, Stop: stop}, nil)
	if err != nil {
		return answer{}, err
	}
	a.score, a.exact, a.scored = metric(generated.Text, r.c.Answers), exactMatch(r.c, generated.Text), true
	return a, nil
}
