package eval

import (
	"context"
	"fmt"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/scoring"
)

// plan is a case that is scored, ready to be compressed to any budget.
type plan interface {
	Compress(ctx context.Context, budget compressors.Budget) (compressors.Result, error)
}

// preparer scores cases: a compressor with a scorer, or a baseline that selects by itself.
type preparer interface {
	prepare(ctx context.Context, c Case) (plan, error)
}

// engineRun is a preparer that leaves all but the scores to the compressor.
type engineRun struct{ *compressors.Compressor }

func (e engineRun) prepare(ctx context.Context, c Case) (plan, error) {
	return e.Prepare(ctx, c.Query, c.Texts)
}

// armOptions is what arms are made of.
type armOptions struct {
	seed uint64
	// scorer returns the named scorer where the name is of no baseline.
	scorer func(name string) (compressors.Scorer, error)
	// run returns what prepares cases with a scorer.
	run         func(compressors.Scorer) (preparer, error)
	countTokens func(string) int
	lm          func() (*scoring.LM, error)
}

// randomRuns is how often the random baseline is run, each time with other numbers.
const randomRuns = 5

// arm returns the runs of the named scorer or baseline, of which a result is the mean: one, but for "random".
func (o armOptions) arm(name string) ([]preparer, error) {
	runs, scorers := []preparer(nil), []compressors.Scorer(nil)
	switch name {
	case longCodeZip, longLLMLingua:
		if o.lm == nil || o.countTokens == nil {
			return nil, fmt.Errorf("%s: it needs a decoder and a token counter", name)
		}
		if name == longCodeZip {
			return []preparer{&codeZip{lm: o.lm, countTokens: o.countTokens}}, nil
		}
		scorers = append(scorers, linguaScorer{o.lm})
	case "random":
		for i := range uint64(randomRuns) {
			scorer, _ := baseline(name, randomRuns*o.seed+i)
			scorers = append(scorers, scorer)
		}
	default:
		scorer, ok := baseline(name, o.seed)
		if !ok {
			var err error
			if scorer, err = o.scorer(name); err != nil {
				return nil, err
			}
		}
		scorers = append(scorers, scorer)
	}
	for _, scorer := range scorers {
		run, err := o.run(scorer)
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return runs, nil
}
