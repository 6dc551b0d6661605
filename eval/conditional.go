package eval

import (
	"context"
	"math"

	"github.com/pith-llm/pith/scoring"
)

const (
	// conditionBreak stands between a segment and the query after it. Its own tokens are not scored.
	conditionBreak = "\n\n"
	// maxConditioned is how many tokens of a query are scored, the first ones: an issue of thousands of tokens after each
	// of hundreds of segments would cost more than all else. The published code has no such bound.
	maxConditioned = 512
	// conditionRun is how many tokens go to the decoder at a time.
	conditionRun = 4096
)

// conditional scores one query after many texts with a decoder, for the published baselines.
type conditional struct {
	lm     *scoring.LM
	before []int32 // conditionBreak
	query  []int32
}

func newConditional(lm *scoring.LM, query string) conditional {
	c := conditional{lm: lm, before: lm.Tokenizer().Encode(nil, conditionBreak), query: lm.Tokenizer().Encode(nil, query)}
	c.query = c.query[:min(len(c.query), maxConditioned)]
	return c
}

// sequence is the query after a text; an empty text is none.
func (c conditional) sequence(text string) scoring.Sequence {
	tokens := c.lm.Tokenizer().Encode(nil, text)
	tokens = tokens[:min(len(tokens), c.lm.ContextLength()-len(c.before)-len(c.query))]
	tokens = append(tokens, c.before...)
	return scoring.Sequence{Tokens: append(tokens, c.query...), From: len(tokens)}
}

// means returns the mean log-probability of the query's tokens after each text, in nats, and how many tokens were read for
// each. A query of nothing has 0.
func (c conditional) means(ctx context.Context, texts []string) (means []float64, tokens []int, err error) {
	means, tokens = make([]float64, len(texts)), make([]int, len(texts))
	var run []scoring.Sequence
	first, held := 0, 0
	for i := range texts {
		s := c.sequence(texts[i])
		run, held = append(run, s), held+len(s.Tokens)
		tokens[i] = len(s.Tokens)
		if held < conditionRun && i+1 < len(texts) {
			continue
		}
		results, err := c.lm.LogProbs(ctx, run)
		if err != nil {
			return nil, nil, err
		}
		for j, r := range results {
			means[first+j] = mean(r.LogProbs)
		}
		run, first, held = run[:0], i+1, 0
	}
	return means, tokens, nil
}

// mean returns 0 for nothing.
func mean(values []float32) float64 {
	sum := 0.0
	for _, v := range values {
		sum += float64(v)
	}
	return sum / float64(max(1, len(values)))
}

// rounded drops what lies below 1e-4, which differs between instruction sets, as package scoring does.
func rounded(v float64) float64 { return math.Round(v*1e4) / 1e4 }

// named is a text after the name of what it is from, as the other scorers read it.
func named(name, text string) string {
	if name == "" {
		return text
	}
	return name + "\n" + text
}
