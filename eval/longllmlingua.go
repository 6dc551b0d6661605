package eval

import (
	"context"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/scoring"
)

const longLLMLingua = "longllmlingua"

// restrictive is what LongLLMLingua puts after the question and scores with it.
const restrictive = " We can get the answer to this question in the given documents."

// linguaScorer is the coarse stage of LongLLMLingua (Jiang et al. 2023, equation 2): r_k, the mean log-probability of the
// question and the restrictive sentence after document k. Here a document is a segment, whole where it is short, so that
// the selection differs from other scorers' by the scores alone. Its token stage, which deletes tokens inside lines, is left
// out: it destroys code, and the checker would refuse it.
type linguaScorer struct {
	lm func() (*scoring.LM, error)
}

// Score reads every segment and the question after it.
func (s linguaScorer) Score(ctx context.Context, query string, candidates []compressors.Candidate) (compressors.Scores, error) {
	lm, err := s.lm()
	if err != nil {
		return compressors.Scores{}, err
	}
	c := newConditional(lm, query)
	c.query = append(c.query, lm.Tokenizer().Encode(nil, restrictive)...)
	texts := make([]string, len(candidates))
	for i, candidate := range candidates {
		texts[i] = named(candidate.TextName, candidate.Text)
	}
	means, tokens, err := c.means(ctx, texts)
	if err != nil {
		return compressors.Scores{}, err
	}
	out := compressors.Scores{Scores: make([]compressors.Score, len(means))}
	for i, m := range means {
		out.Scores[i].Value = rounded(m)
		out.ModelTokens += tokens[i]
	}
	return out, nil
}
