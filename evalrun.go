package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/config"
	"github.com/pith-llm/pith/eval"
)

type evalRunCommand struct {
	Data   []string  `required:"" placeholder:"FILE,…" help:"JSON Lines files of cases, plain or gzip."`
	Scorer []string  `required:"" placeholder:"NAME,…" help:"Scorers: random, head, tail, bm25, encoder, lm, a sum such as bm25+lm, default. The others are compared with the first."`
	Rate   []float64 `required:"" placeholder:"R,…" help:"Shares of tokens to keep, above 0 and up to 1."`
	Limit  int       `help:"Cases of each file; 0 is all."`
	Seed   uint64    `help:"Draws the cases of --limit, the random scorer and the bootstrap; 0 takes the first cases."`
	JSON   string    `name:"json" placeholder:"OUT" help:"Also write the report as JSON to this file; - is standard output instead of the tables."`
	Quiet  bool      `help:"No progress on standard error."`

	Settings config.Engine `embed:"" group:"Settings"`
}

func (c *evalRunCommand) Run(ctx context.Context, std streams) error {
	e, err := newEngine(c.Settings, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	options := eval.RunOptions{
		Data: c.Data, Scorers: c.Scorer, Rates: c.Rate, Limit: c.Limit, Seed: c.Seed,
		Scorer: e.scorer,
		Compressor: func(scorer compressors.Scorer) (*compressors.Compressor, error) {
			return e.compressorWith(scorer, 1)
		},
		CountTokens: e.counter.Count,
	}
	if !c.Quiet {
		options.Progress = std.stderr
	}
	report, err := eval.Run(ctx, options)
	if err != nil {
		return err
	}
	if c.JSON != "" {
		if err := writeJSON(c.JSON, std.stdout, report); err != nil {
			return err
		}
	}
	if c.JSON == "-" {
		return nil
	}
	return report.WriteText(std.stdout)
}

// writeJSON writes v, indented, to the file at path, or to stdout for "-".
func writeJSON(path string, stdout io.Writer, v any) error {
	content, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, content, "", "  "); err != nil {
		return err
	}
	indented.WriteByte('\n')
	if path == "-" {
		_, err := stdout.Write(indented.Bytes())
		return err
	}
	if err := os.WriteFile(path, indented.Bytes(), 0o644); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}
