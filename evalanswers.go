package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/config"
	"github.com/pith-llm/pith/eval"
	"github.com/pith-llm/pith/scoring"
)

type evalAnswersCommand struct {
	Data      []string      `required:"" placeholder:"FILE,…" help:"JSON Lines files of cases, plain or gzip."`
	Reader    string        `placeholder:"FILE" help:"GGUF file of the model that answers; the decoder that scores if empty."`
	Scorer    []string      `default:"default,bm25" placeholder:"NAME,…" help:"Scorers and baselines, as for 'pith eval run': the arms beside the whole context and none. The first is tested against the others."`
	Rate      float64       `default:"0.25" help:"Share of tokens that they keep."`
	Skip      int           `help:"Cases of each file to leave out at its start."`
	Limit     int           `help:"Cases of each file; 0 is all."`
	Seed      uint64        `help:"Draws the random scorer and the bootstrap."`
	Folds     string        `placeholder:"DIR" help:"Folder of combinations, as for 'pith eval run'."`
	StopAfter time.Duration `help:"Read no further case after this time; 0 is never."`
	Quiet     bool          `help:"No progress on standard error."`

	Settings config.Engine `embed:"" group:"Settings"`
}

func (c *evalAnswersCommand) Run(ctx context.Context, std streams) error {
	e, err := newEngine(c.Settings, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	reader, err := e.reader(c.Reader)
	if err != nil {
		return fmt.Errorf("reader: %w", err)
	}
	options := eval.AnswerOptions{
		Data: c.Data, Scorers: c.Scorer, Rate: c.Rate, Skip: c.Skip, Limit: c.Limit, Seed: c.Seed, StopAfter: c.StopAfter,
		Reader: reader, Scorer: e.evalScorer(c.Folds), Folded: c.Folds != "",
		Compressor: func(scorer compressors.Scorer) (*compressors.Compressor, error) {
			return e.compressorWith(scorer, 1)
		},
		CountTokens: e.counter.Count, LM: e.lm,
	}
	if !c.Quiet {
		options.Progress = std.stderr
	}
	report, err := eval.Answers(ctx, options)
	if err != nil {
		return err
	}
	return report.WriteText(std.stdout)
}

// reader returns the model at path, or the decoder that scores if path is empty.
func (e *engine) reader(path string) (*scoring.LM, error) {
	if path == "" {
		return e.lm()
	}
	file, err := openModel(path, "")
	if err != nil {
		return nil, err
	}
	return scoring.LoadLM(file, scoring.LMOptions{Tier: e.tier, Workers: e.settings.Scoring.Workers})
}
