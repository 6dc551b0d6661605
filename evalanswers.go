package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/config"
	"github.com/pith-llm/pith/eval"
	"github.com/pith-llm/pith/scoring"
)

type evalAnswersCommand struct {
	Data      []string      `required:"" placeholder:"FILE,…" help:"JSON Lines files of cases, plain or gzip."`
	Reader    string        `placeholder:"FILE|URL" help:"Model that answers: a GGUF file, or the base URL of an OpenAI-compatible API, asked with the key in OPENAI_API_KEY, which tells no log-probabilities; the decoder that scores if empty."`
	Model     string        `default:"gpt-4o-mini" help:"Model to ask for at the URL of --reader."`
	Scorer    []string      `default:"default,bm25" placeholder:"NAME,…" help:"Scorers and baselines, as for 'pith eval run': the arms beside the whole context and none. The first is tested against the others."`
	Rate      float64       `default:"0.25" help:"Share of tokens that they keep."`
	Skip      int           `help:"Cases of each file to leave out at its start."`
	Limit     int           `help:"Cases of each file; 0 is all."`
	Seed      uint64        `help:"Draws the random scorer and the bootstrap."`
	Folds     string        `placeholder:"DIR" help:"Folder of combinations, as for 'pith eval run'."`
	StopAfter time.Duration `help:"Read no further case after this time; 0 is never."`
	Output    string        `short:"o" placeholder:"FILE" help:"Append each case with its answers to this file, as JSON Lines; cases that it already holds are reported and not read again, so that a run can go on where another ended."`
	Quiet     bool          `help:"No progress on standard error."`

	Settings config.Engine `embed:"" group:"Settings"`
}

func (c *evalAnswersCommand) Run(ctx context.Context, std streams) (err error) {
	e, err := newEngine(c.Settings, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	reader, err := e.reader(c.Reader, c.Model)
	if err != nil {
		return fmt.Errorf("reader: %w", err)
	}
	options := eval.AnswerOptions{
		Data: c.Data, Scorers: c.Scorer, Rate: c.Rate, Skip: c.Skip, Limit: c.Limit, Seed: c.Seed, StopAfter: c.StopAfter,
		Reader: reader, ReaderName: c.readerName(), Scorer: e.evalScorer(c.Folds), Folded: c.Folds != "",
		Compressor: func(scorer compressors.Scorer) (*compressors.Compressor, error) {
			return e.compressorWith(scorer, 1)
		},
		CountTokens: e.counter.Count, LM: e.lm,
	}
	if !c.Quiet {
		options.Progress = std.stderr
	}
	if c.Output != "" {
		file, openErr := openLines(c.Output, func(text []byte) {
			var line eval.AnswerLine
			if json.Unmarshal(text, &line) == nil {
				options.Known = append(options.Known, line)
			}
		})
		if openErr != nil {
			return openErr
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		options.Log = file
	}
	report, err := eval.Answers(ctx, options)
	if err != nil {
		return err
	}
	return report.WriteText(std.stdout)
}

// readerName is the reader's name in logs: no folder of this machine and no key.
func (c *evalAnswersCommand) readerName() string {
	switch {
	case isURL(c.Reader):
		return c.Reader + " " + c.Model
	case c.Reader == "" && c.Settings.Scoring.Decoder == "":
		return "embedded"
	}
	return filepath.Base(cmp.Or(c.Reader, c.Settings.Scoring.Decoder))
}

func isURL(name string) bool {
	return strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://")
}

// reader returns the model that a URL or a path names, or the decoder that scores if there is no name.
func (e *engine) reader(name, model string) (eval.Reader, error) {
	if isURL(name) {
		return eval.HTTPReader(name, os.Getenv("OPENAI_API_KEY"), model), nil
	}
	if name == "" {
		lm, err := e.lm()
		if err != nil {
			return nil, err
		}
		return eval.LocalReader(lm), nil
	}
	file, err := openModel(name, "")
	if err != nil {
		return nil, err
	}
	lm, err := scoring.LoadLM(file, scoring.LMOptions{Tier: e.tier, Workers: e.settings.Scoring.Workers})
	if err != nil {
		return nil, err
	}
	return eval.LocalReader(lm), nil
}
