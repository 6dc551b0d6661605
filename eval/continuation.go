package eval

import (
	"context"
	"strings"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/scoring"
)

// isLoneCompletion reports whether a case asks how its only text goes on. In a case with more texts what is wanted stands in
// another than the one that goes on, and the label of its definition is what tells.
func isLoneCompletion(c Case) bool {
	return isCompletion(c) && len(c.Texts) == 1 && len(c.Answers) > 0
}

// conditionLines is how many of the lines before the cursor are read after each candidate. With all twenty of a query half as
// much again is read of code_infile.
const conditionLines = 8

// continuationGains returns for each candidate how much likelier, in nats, it makes the code that really follows the cursor:
// the log-probability of the next line after the candidate and the last lines before the cursor, less that after those lines
// alone. The label of such a case, where a name is defined, misses the places that use it, which tell as much of the next line.
func continuationGains(ctx context.Context, lm *scoring.LM, c Case, candidates []compressors.Candidate) ([]float64, error) {
	bpe := lm.Tokenizer()
	next := conditional{lm: lm, before: bpe.Encode(nil, lineEnded(lastLines(c.Query, conditionLines))), query: bpe.Encode(nil, c.Answers[0])}
	texts := []string{""}
	for _, candidate := range candidates {
		texts = append(texts, lineEnded(named(candidate.TextName, candidate.Text)))
	}
	means, _, err := next.means(ctx, texts)
	if err != nil {
		return nil, err
	}
	gains := make([]float64, len(candidates))
	for i := range gains {
		gains[i] = rounded(float64(len(next.query)) * (means[1+i] - means[0]))
	}
	return gains, nil
}

// lastLines returns the last n lines of text.
func lastLines(text string, n int) string {
	at := len(strings.TrimRight(text, "\r\n"))
	for range n {
		if at = strings.LastIndexByte(text[:at], '\n'); at < 0 {
			return text
		}
	}
	return text[at+1:]
}
