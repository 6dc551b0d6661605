package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/config"
	"github.com/pith-llm/pith/eval"
	"github.com/pith-llm/pith/proxy"
	"github.com/pith-llm/pith/scoring"
)

type evalRunCommand struct {
	Data      []string  `required:"" placeholder:"FILE,…" help:"JSON Lines files of cases, plain or gzip."`
	Scorer    []string  `placeholder:"NAME,…" help:"Scorers: bm25, encoder, lm, a sum such as bm25+lm, default; baselines: random (the mean of five runs), head, tail, shortest, longllmlingua, longcodezip. The others are compared with the first. A name may end in the model tokens that it may spend: default@1000, default@all."`
	Curve     bool      `help:"Also run the default scorer with 0, 1,000, 4,000 and all model tokens and print what is kept against what is spent."`
	Rate      []float64 `required:"" placeholder:"R,…" help:"Shares of tokens to keep, above 0 and up to 1; 0 leaves it to the policy of the settings, and the report says what was reached."`
	Threshold []float64 `placeholder:"P,…" help:"At rate 0, measure the policy with each of these thresholds in place of its own; scoring is shared."`
	Task      []string  `placeholder:"NAME,…" help:"Tasks whose cases are run; all if none is named."`
	Limit     int       `help:"Cases of each file; 0 is all."`
	Seed      uint64    `help:"Draws the cases of --limit, the random scorer and the bootstrap; 0 takes the first cases."`
	Via       string    `enum:",proxy" default:"" placeholder:"proxy" help:"'proxy' also sends every case through a running proxy, as a client would, and measures what the upstream receives."`
	Losses    int       `placeholder:"N" help:"Also list the N worst losses of the first scorer at the first rate: what should have been kept, and how likely it was thought to be needed."`
	JSON      string    `name:"json" placeholder:"OUT" help:"Also write the report as JSON to this file; - is standard output instead of the tables."`
	Folds     string    `placeholder:"DIR" help:"Folder of combinations that 'pith eval fit --folds' wrote: the default scorer measures each case with weights that were fitted without its repository or question."`
	Expect    string    `placeholder:"FILE" help:"Fail unless the scores are those of this file: exactly on the CPU tier that it names, within one case of a row on another."`
	Update    bool      `help:"Write the scores to the file of --expect instead."`
	Quiet     bool      `help:"No progress on standard error."`

	Settings config.Engine `embed:"" group:"Settings"`
}

func (c *evalRunCommand) Run(ctx context.Context, std streams) error {
	e, err := newEngine(c.Settings, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	scorers := c.Scorer
	if c.Curve {
		scorers = slices.Concat(scorers, eval.CurveScorers)
	}
	options := eval.RunOptions{
		Data: c.Data, Scorers: scorers, Rates: c.Rate, Thresholds: c.Threshold, Tasks: c.Task, Limit: c.Limit, Seed: c.Seed,
		Scorer: e.evalScorer(c.Folds), Folded: c.Folds != "",
		Compressor: func(scorer compressors.Scorer) (*compressors.Compressor, error) {
			return e.compressorWith(scorer, 1)
		},
		CountTokens: e.counter.Count,
		LM:          e.lm, Losses: c.Losses,
	}
	if c.Via == "proxy" {
		options.Proxy = e.evalProxy
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
	if c.JSON != "-" {
		if err := report.WriteText(std.stdout); err != nil {
			return err
		}
	}
	if c.Expect == "" {
		return nil
	}
	return c.expect(report.ScoreFile(e.tier.String()))
}

// expect compares scores with those of the file, or writes them there.
func (c *evalRunCommand) expect(scores string) error {
	if c.Update {
		return os.WriteFile(c.Expect, []byte(scores), 0o644)
	}
	want, err := os.ReadFile(c.Expect)
	if err != nil {
		return err
	}
	if err := eval.CompareScoreFiles(string(want), scores); err != nil {
		return fmt.Errorf("scores differ from %s (if the change is meant, run again with --update and review it):\n%w", c.Expect, err)
	}
	return nil
}

// evalScorer returns what eval asks for scorers. With a folder of folds, the default scorers of all folds share their caches.
func (e *engine) evalScorer(folds string) func(name string, fold int) (compressors.Scorer, error) {
	shared := map[string]*scoring.Scorer{}
	return func(name string, fold int) (compressors.Scorer, error) {
		settings := e.settings.Scoring
		plain, tokens, stated := eval.ModelTokensOf(name)
		if stated {
			settings.ModelTokens = tokens
		}
		if fold < 0 || plain != scoring.DefaultScorer {
			scorer, err := e.newScorerWith(plain, settings)
			if err != nil {
				return nil, err
			}
			return adapted(scorer), nil
		}
		if shared[name] == nil {
			var err error
			if shared[name], err = e.newScorerWith(plain, settings); err != nil {
				return nil, err
			}
		}
		file, err := os.ReadFile(filepath.Join(folds, eval.FoldFile(fold)))
		if err != nil {
			return nil, err
		}
		combination, err := scoring.ParseCombination(file)
		if err != nil {
			return nil, err
		}
		return adapted(shared[name].With(combination)), nil
	}
}

// evalProxy returns a proxy as 'pith serve' runs it, but for a deadline that no case reaches: what is measured is not the
// speed of the machine.
func (e *engine) evalProxy(scorer compressors.Scorer, upstream string, observe func(proxy.Report)) (*proxy.Server, error) {
	compressor, err := e.compressorWith(scorer, e.settings.Compression.MinTokens)
	if err != nil {
		return nil, err
	}
	return proxy.NewServer(proxy.Options{
		Upstream: upstream, Compressor: compressor, CountTokens: e.counter.Count,
		FileReads: e.settings.Compression.FileReads, Deadline: evalDeadline, Observe: observe,
	})
}

// evalDeadline is long enough for a case with a slow scorer.
const evalDeadline = 30 * time.Minute

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
