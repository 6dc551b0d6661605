package eval

import (
	"context"
	"math/rand/v2"

	"github.com/pith-llm/pith/compressors"
)

// Baselines are what any scorer must beat: those that read no text, and the published algorithms on this repository's own
// segmenter, decoder and renderer.
var Baselines = []string{"random", "head", "tail", "shortest", longLLMLingua, longCodeZip}

// baseline returns the named baseline of those that read no text: "head" prefers what stands first, "tail" what stands last, "shortest" what holds
// the fewest bytes, "random" nothing. It reports false for another name.
//
// "shortest" is there because gold can be told by its length in some data, as in Lost in the Middle's documents, and
// because a selection that fills its budget favours what is short: a scorer that is no better has found nothing.
func baseline(name string, seed uint64) (compressors.Scorer, bool) {
	var value func(random *rand.Rand, i int, c compressors.Candidate) float64
	switch name {
	case "random":
		value = func(random *rand.Rand, _ int, _ compressors.Candidate) float64 { return random.Float64() }
	case "head":
		value = func(_ *rand.Rand, i int, _ compressors.Candidate) float64 { return float64(-i) }
	case "tail":
		value = func(_ *rand.Rand, i int, _ compressors.Candidate) float64 { return float64(i) }
	case "shortest":
		value = func(_ *rand.Rand, _ int, c compressors.Candidate) float64 { return float64(-len(c.Text)) }
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
			v := value(random, i, candidates[i])
			scores[i] = compressors.Score{Value: v, Terms: []compressors.Term{{Name: name, Value: v}}}
		}
		return compressors.Scores{Scores: scores}, nil
	}), true
}
