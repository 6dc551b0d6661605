package scorebench

import (
	"context"
	"os"
	"time"

	"github.com/pith-llm/pith/scoring"
	"github.com/pith-llm/pith/scoring/gguf"
)

// Start is how long a process waits for its first score.
type Start struct {
	Cold StartTime `json:"cold"` // weights are read, folded, rotated, rounded, packed, and written to a file
	Warm StartTime `json:"warm"` // the file of an earlier start is mapped and checked
}

// StartTime divides the time to the first score of a question of 32 tokens.
type StartTime struct {
	LoadMilliseconds  Figure `json:"load_ms"`        // until the decoder is ready
	ScoreMilliseconds Figure `json:"first_score_ms"` // after that, working memory made on the way
}

// startRounds is how many starts are measured at most: each costs seconds.
const startRounds = 3

// measureStart loads the decoder anew, in turns without and with a file of prepared weights.
func measureStart(ctx context.Context, o Options, ids []int32) (Start, error) {
	first := make([]int32, 32)
	for i := range first {
		first[i] = ids[i%len(ids)]
	}
	var loads, scores [2][]float64
	for range min(startRounds, o.Rounds) {
		dir, err := os.MkdirTemp("", "pith-bench-")
		if err != nil {
			return Start{}, err
		}
		defer os.RemoveAll(dir) //nolint:errcheck // what is mapped stays mapped
		for i := range 2 {
			begin := time.Now()
			file, err := gguf.Parse(o.Decoder)
			if err != nil {
				return Start{}, err
			}
			lm, err := scoring.LoadLM(file, scoring.LMOptions{Tier: o.Tier, Workers: o.Workers, CacheDir: dir})
			if err != nil {
				return Start{}, err
			}
			ready := time.Now()
			if _, err := lm.LogProbs(ctx, []scoring.Sequence{{Tokens: first, From: 1}}); err != nil {
				return Start{}, err
			}
			loads[i] = append(loads[i], milliseconds(ready.Sub(begin)))
			scores[i] = append(scores[i], milliseconds(time.Since(ready)))
		}
	}
	return Start{
		Cold: StartTime{figureOf(loads[0]), figureOf(scores[0])},
		Warm: StartTime{figureOf(loads[1]), figureOf(scores[1])},
	}, nil
}
