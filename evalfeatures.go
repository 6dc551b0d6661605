package main

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/config"
	"github.com/pith-llm/pith/eval"
	"github.com/pith-llm/pith/scoring"
)

type evalFeaturesCommand struct {
	Data  []string `required:"" placeholder:"FILE,…" help:"JSON Lines files of cases, plain or gzip."`
	Out   string   `required:"" placeholder:"FILE" help:"Where the features go: JSON Lines in gzip, input of 'pith eval fit'."`
	Limit int      `help:"Cases of each file; 0 is all."`
	Seed  uint64   `help:"Draws the cases of --limit; 0 takes the first cases."`
	Quiet bool     `help:"No progress on standard error."`

	Settings config.Engine `embed:"" group:"Settings"`
}

func (c *evalFeaturesCommand) Run(ctx context.Context, std streams) (err error) {
	e, err := newEngine(c.Settings, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	scorer, err := e.newScorer(scoring.DefaultScorer)
	if err != nil {
		return err
	}
	options := eval.FeatureOptions{
		Data: c.Data, Limit: c.Limit, Seed: c.Seed, Scorer: scorer, LM: e.lm, Segments: segmentsOf, Pieces: piecesOf,
		Compressor: func(scorer compressors.Scorer) (*compressors.Compressor, error) {
			return e.compressorWith(scorer, 1)
		},
	}
	if !c.Quiet {
		options.Progress = std.stderr
	}
	file, err := os.Create(c.Out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return eval.WriteFeatures(ctx, file, options)
}
