package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/pith-llm/pith/eval"
	"github.com/pith-llm/pith/scoring"
)

type evalFitCommand struct {
	Features []string `required:"" placeholder:"FILE,…" help:"Files that 'pith eval features' wrote."`
	Out      string   `placeholder:"FILE" help:"Where the combination of all cases goes; in the repository it is scoring/combination.json."`
	Folds    string   `placeholder:"DIR" help:"Folder for the combinations without each fold, which 'pith eval run --folds' reads."`
	LeaveOut []string `placeholder:"NAME,…" help:"Features to leave out besides those by which data sets give their gold away; to see what each adds."`
	Anything bool     `help:"Leave only --leave-out out."`
	Only     []string `placeholder:"MODEL,…" help:"Fit only these models, such as code, on their segments; the others stay as they are in the files at --out and --folds."`
	Trees    int      `default:"200" help:"Trees of a model."`
	Leaves   int      `default:"6" help:"Leaves of a tree."`
	Shrink   float64  `default:"0.05" help:"Share of a step that a tree takes."`
	Ridge    float64  `default:"8" help:"What is added to the curvature of a leaf."`
}

func (c *evalFitCommand) Run(_ context.Context, std streams) error {
	options := eval.FitOptions{Features: c.Features, Boost: eval.DefaultBoost, Only: c.Only}
	options.Boost.Trees, options.Boost.Leaves, options.Boost.Rate, options.Boost.Ridge = c.Trees, c.Leaves, c.Shrink, c.Ridge
	if options.LeaveOut = c.LeaveOut; !c.Anything {
		options.LeaveOut = append(options.LeaveOut, eval.DefaultLeaveOut...)
	}
	options.Command = fmt.Sprintf("pith eval fit --features (%d files) --trees %d --leaves %d --shrink %g --ridge %g",
		len(c.Features), c.Trees, c.Leaves, c.Shrink, c.Ridge)
	if len(c.Only) > 0 {
		options.Command += " --only " + strings.Join(c.Only, ",")
	}
	fit, cases, err := eval.FitCombination(options)
	if err != nil {
		return err
	}
	if err := eval.WriteFitReport(std.stdout, fit, cases); err != nil {
		return err
	}
	if c.Out != "" {
		if err := c.write(c.Out, fit.All); err != nil {
			return err
		}
	}
	if c.Folds == "" {
		return nil
	}
	if err := os.MkdirAll(c.Folds, 0o755); err != nil {
		return err
	}
	for k, fold := range fit.Folds {
		if err := c.write(filepath.Join(c.Folds, eval.FoldFile(k)), fold); err != nil {
			return err
		}
	}
	return nil
}

// write writes one tree a line, and the models that were not fitted as they are in the file.
func (c *evalFitCommand) write(path string, fitted scoring.Combination) error {
	if len(c.Only) > 0 {
		file, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("--only keeps the other models of this file: %w", err)
		}
		before, err := scoring.ParseCombination(file)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		maps.Copy(before.Models, fitted.Models)
		fitted = *before
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(fitted); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}
