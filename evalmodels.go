package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/config"
	"github.com/pith-llm/pith/eval"
	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring"
)

// arithmetic returns the models of settings in one precision on one tier, with the scorer of that name.
func arithmetic(settings config.Engine, precision, tier, scorer string) (eval.Arithmetic, error) {
	settings.Scoring.Precision, settings.Scoring.Tier, settings.Scoring.Scorer = precision, tier, scorer
	e, err := newEngine(settings, slog.New(slog.DiscardHandler))
	if err != nil {
		return eval.Arithmetic{}, err
	}
	return eval.Arithmetic{
		Name: precision + " on " + e.tier.String(),
		LM:   e.lm,
		Compressor: func() (*compressors.Compressor, error) {
			scorer, err := e.scorer(scorer)
			if err != nil {
				return nil, err
			}
			return e.compressorWith(scorer, 1)
		},
	}, nil
}

// arithmetics returns one for each tier: those named, or all of this machine that have assembly.
func arithmetics(settings config.Engine, tiers []string, scorer string) ([]eval.Arithmetic, error) {
	if len(tiers) == 0 {
		for _, t := range kernels.Supported() {
			if t != kernels.Generic || len(kernels.Supported()) == 1 {
				tiers = append(tiers, t.String())
			}
		}
	}
	var all []eval.Arithmetic
	for _, tier := range tiers {
		a, err := arithmetic(settings, scoring.Int8.String(), tier, scorer)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

type evalAccuracyCommand struct {
	Texts  []string `placeholder:"FILE,…" help:"JSON Lines files of cases, plain or gzip, of whose texts log-probabilities are compared, the files in turns."`
	Count  int      `default:"12" help:"Texts to read."`
	Tokens int      `default:"192" help:"Tokens of each text; shorter ones are passed over."`
	Rank   string   `placeholder:"FILE" help:"JSON Lines file of labelled cases whose segments the decoder ranks."`
	Cases  int      `default:"24" help:"Cases to rank, the first ones; 0 is all."`
	Tiers  []string `placeholder:"TIER,…" help:"CPU tiers to compare with f32; all of this machine if none is named."`
	JSON   bool     `name:"json" help:"Print JSON."`
	Quiet  bool     `help:"No progress on standard error."`

	Settings config.Engine `embed:"" group:"Settings"`
}

func (c *evalAccuracyCommand) Run(ctx context.Context, std streams) error {
	const scorer = "lm"
	options := eval.AccuracyOptions{Texts: c.Texts, TextCount: c.Count, TextTokens: c.Tokens, Ranked: c.Rank, RankedCases: c.Cases}
	var err error
	if options.Reference, err = arithmetic(c.Settings, scoring.F32.String(), kernels.Best().String(), scorer); err != nil {
		return err
	}
	if options.Others, err = arithmetics(c.Settings, c.Tiers, scorer); err != nil {
		return err
	}
	if !c.Quiet {
		options.Progress = std.stderr
	}
	report, err := eval.MeasureAccuracy(ctx, options)
	if err != nil {
		return err
	}
	return printReport(std.stdout, c.JSON, report)
}

type evalFlipsCommand struct {
	Data   []string `required:"" placeholder:"FILE,…" help:"JSON Lines files of cases, plain or gzip."`
	Limit  int      `help:"Cases of each file, the first ones; 0 is all."`
	Scorer string   `default:"default" help:"Scorer whose selections are compared."`
	Rate   float64  `default:"0.4" help:"Share of tokens to keep, above 0 and up to 1."`
	Tiers  []string `placeholder:"TIER,…" help:"CPU tiers, two or more; the others are compared with the first. All of this machine if none is named."`
	JSON   bool     `name:"json" help:"Print JSON."`
	Quiet  bool     `help:"No progress on standard error."`

	Settings config.Engine `embed:"" group:"Settings"`
}

func (c *evalFlipsCommand) Run(ctx context.Context, std streams) error {
	all, err := arithmetics(c.Settings, c.Tiers, c.Scorer)
	if err != nil {
		return err
	}
	if len(all) < 2 {
		return fmt.Errorf("tiers: there is only %s here to compare", all[0].Name)
	}
	options := eval.FlipOptions{Data: c.Data, Limit: c.Limit, Rate: c.Rate, Reference: all[0], Others: all[1:]}
	if !c.Quiet {
		options.Progress = std.stderr
	}
	report, err := eval.CountFlips(ctx, options)
	if err != nil {
		return err
	}
	return printReport(std.stdout, c.JSON, report)
}

// printReport writes a report as JSON or as text.
func printReport(stdout io.Writer, asJSON bool, report interface{ WriteText(io.Writer) error }) error {
	if asJSON {
		return writeJSON("-", stdout, report)
	}
	return report.WriteText(stdout)
}
