package eval

import (
	"context"
	"math/rand/v2"

	"github.com/pith-llm/pith/compressors"
)

// Baselines are the scorers that look at no text: what any other must beat.
var Baselines = []string{"random", "head", "tail"}

// baseline returns the named baseline: "head" prefers what stands first, "tail" what stands last, "random" neither. It
// reports false for another name.
func baseline(name string, seed uint64) (compressors.Scorer, bool) {
	var value func(random *rand.Rand, i, n int) float64
	switch name {
	case "random":
		value = func(random *rand.Rand, _, _ int) float64 { return random.Float64() }
	case "head":
		value = func(_ *rand.Rand, i, n int) float64 { return float64(n - i) }
	case "tail":
		value = func(_ *rand.Rand, i, _ int) float64 { return float64(i) }
	default:
		return nil, false
	}
	return compressors.ScorerFunc(func(_ context.Context, query string, candidates []compressors.Candidate) (compressors.Scores, error) {
		// The case itself is the seed, so that a result does not depend on what ran before it.
		content := make([]string, 0, len(candidates)+1)
		content = append(content, query)
		for _, c := range candidates {
			content = append(content, c.Text)
		}
		random := rand.New(rand.NewPCG(hashOf(seed, content...), 0))
		scores := make([]compressors.Score, len(candidates))
		for i := range scores {
			v := value(random, i, len(scores))
			scores[i] = compressors.Score{Value: v, Terms: []compressors.Term{{Name: name, Value: v}}}
		}
		return compressors.Scores{Scores: scores}, nil
	}), true
}
