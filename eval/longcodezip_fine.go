package eval

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/pith-llm/pith/scoring"
)

// spikeDeviations is alpha: by how many standard deviations of a unit's lines the perplexity of a line must exceed its
// neighbours' to open a block. The paper leaves it open; the released code has 0.2, on the logarithm of the perplexity.
const spikeDeviations = 0.2

func countLines(s string) int {
	n := strings.Count(s, "\n")
	if !strings.HasSuffix(s, "\n") {
		n++
	}
	return n
}

// divide finds the blocks of a unit with their AMI, once: one block where it stays whole.
func (p *codeZipPlan) divide(ctx context.Context, u *codeUnit) error {
	if u.blocks != nil {
		return nil
	}
	if u.lines < smallUnit {
		u.blocks = []codeBlock{{start: u.Start, end: u.End, tokens: u.tokens}}
		return nil
	}
	perplexities, cost, err := linePerplexities(ctx, p.scorer.lm, u.source)
	if err != nil {
		return err
	}
	u.cost = cost
	starts := spikes(perplexities)
	if len(starts) == 1 {
		u.blocks = []codeBlock{{start: u.Start, end: u.End, tokens: u.tokens}}
		return nil
	}
	lines := slices.Collect(strings.Lines(u.source))
	var texts []string
	at := u.Start
	for i, first := range starts {
		last := len(lines)
		if i+1 < len(starts) {
			last = starts[i+1]
		}
		text := strings.Join(lines[first:last], "")
		u.blocks = append(u.blocks, codeBlock{start: at, end: at + len(text), tokens: p.countTokens(text)})
		texts = append(texts, text)
		at += len(text)
	}
	means, tokens, err := p.scorer.means(ctx, texts)
	if err != nil {
		u.blocks = nil
		return err
	}
	for i := range u.blocks {
		u.blocks[i].ami = p.information(means[i])
		u.cost += tokens[i]
	}
	return nil
}

// linePerplexities returns the logarithm of each line's perplexity after the lines before it, NaN for a blank line, and the
// tokens that were read: one pass for all lines.
func linePerplexities(ctx context.Context, lm *scoring.LM, source string) ([]float64, int, error) {
	bpe := lm.Tokenizer()
	tokens := bpe.Encode(nil, "\n")
	from := len(tokens)
	var ends []int // of each line in tokens
	var blank []bool
	for line := range strings.Lines(source) {
		tokens = bpe.Encode(tokens, line)
		ends, blank = append(ends, len(tokens)), append(blank, strings.TrimSpace(line) == "")
	}
	tokens = tokens[:min(len(tokens), lm.ContextLength())]
	results, err := lm.LogProbs(ctx, []scoring.Sequence{{Tokens: tokens, From: from}})
	if err != nil {
		return nil, 0, err
	}
	perplexities := make([]float64, len(ends))
	at := from
	for i, end := range ends {
		perplexities[i] = math.NaN()
		if end = min(end, len(tokens)); !blank[i] && end > at {
			perplexities[i] = -rounded(mean(results[0].LogProbs[at-from : end-from]))
		}
		at = max(at, end)
	}
	return perplexities, len(tokens), nil
}

// spikes returns the lines that open a block: the first, and each whose perplexity exceeds that of the lines before and
// after by spikeDeviations standard deviations over all lines. Lines without a perplexity belong to the block before.
func spikes(perplexities []float64) []int {
	var lines []int
	sum, square := 0.0, 0.0
	for i, v := range perplexities {
		if !math.IsNaN(v) {
			lines = append(lines, i)
			sum += v
		}
	}
	for _, i := range lines {
		d := perplexities[i] - sum/float64(len(lines))
		square += float64(d * d)
	}
	least := spikeDeviations * math.Sqrt(square/float64(max(1, len(lines))))
	starts := []int{0}
	for at := 1; at+1 < len(lines); at++ {
		v := perplexities[lines[at]]
		if v > perplexities[lines[at-1]]+least && v > perplexities[lines[at+1]]+least {
			starts = append(starts, lines[at])
		}
	}
	return starts
}

// scaled returns values moved and scaled to 0..1; one half each where all are equal.
func scaled(values []float64) []float64 {
	out := make([]float64, len(values))
	if len(values) == 0 {
		return out
	}
	low, high := slices.Min(values), slices.Max(values)
	for i, v := range values {
		out[i] = 0.5
		if high > low {
			out[i] = (v - low) / (high - low)
		}
	}
	return out
}

// shares divides the budget among large units by their AMI, in tokens: R_i = R_base (1 + beta (2 AMI'_i - 1)) clamped to
// 0..1 and rescaled so that the shares sum to the budget. What rescaling gives a unit beyond its own length is rescaled among
// the others.
func shares(units []*codeUnit, budget int) []int {
	out := make([]int, len(units))
	total := 0
	ami := make([]float64, len(units))
	for i, u := range units {
		total += u.tokens
		ami[i] = u.ami
	}
	if total == 0 || budget <= 0 {
		return out
	}
	base := float64(budget) / float64(total)
	rates := scaled(ami)
	for i, a := range rates {
		rates[i] = max(0, min(1, base*(1+importance*(2*a-1))))
	}
	whole := make([]bool, len(units))
	for left, more := float64(budget), true; more; {
		more = false
		sum := 0.0
		for i, u := range units {
			if !whole[i] {
				sum += rates[i] * float64(u.tokens)
			}
		}
		if sum == 0 {
			break
		}
		scale := left / sum
		for i, u := range units {
			if !whole[i] && rates[i]*scale >= 1 {
				whole[i], out[i], more = true, u.tokens, true
				left -= float64(u.tokens)
			}
		}
		if more {
			continue
		}
		for i, u := range units {
			if !whole[i] {
				out[i] = int(rates[i]*scale*float64(u.tokens) + roundingError*left)
			}
		}
	}
	return out
}

// knapsack chooses the blocks whose normalised AMI sums to the most within capacity tokens. Of equal sums it keeps more
// blocks.
func knapsack(blocks []codeBlock, capacity int) []bool {
	ami := make([]float64, len(blocks))
	for i, b := range blocks {
		ami[i] = b.ami
	}
	values := scaled(ami)
	best := make([]float64, capacity+1)
	taken := make([][]bool, len(blocks)) // [block][capacity]
	for i, b := range blocks {
		taken[i] = make([]bool, capacity+1)
		for c := capacity; c >= b.tokens; c-- {
			if with := best[c-b.tokens] + values[i]; with >= best[c] {
				best[c], taken[i][c] = with, true
			}
		}
	}
	kept := make([]bool, len(blocks))
	for i, c := len(blocks)-1, capacity; i >= 0; i-- {
		if taken[i][c] {
			kept[i] = true
			c -= blocks[i].tokens
		}
	}
	return kept
}
