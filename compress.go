package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/config"
)

type compressCommand struct {
	Query   string   `short:"q" help:"What the texts are to answer; without it only what repeats is left out, unless a budget or rate asks for more; in JSON Lines the default for lines without one."`
	Budget  int      `help:"Most tokens to keep of all texts together."`
	Rate    float64  `help:"Share of tokens to keep, above 0 and up to 1; the setting compression.rate if neither is given."`
	JSONL   bool     `name:"jsonl" help:"Each input line is a JSON object {\"id\",\"query\",\"budget\",\"rate\",\"texts\":[{\"name\",\"language\",\"content\"}]}, or one with LLMLingua's names {\"context\",\"instruction\",\"question\",\"rate\",\"target_token\"}; each output line is its result (see the README)."`
	Output  string   `short:"o" placeholder:"FILE" help:"JSON Lines: append the results to this file; lines whose id it already holds are skipped, so that a run can go on where another ended."`
	Jobs    int      `default:"1" help:"JSON Lines: how many lines to work on at once."`
	JSON    bool     `name:"json" help:"Print one JSON result with every segment instead of the compressed text."`
	Explain bool     `help:"Say of every segment, kept or not, what each term contributed to its score: on standard error, or in the results of JSON Lines."`
	Quiet   bool     `help:"No report on standard error."`
	Files   []string `arg:"" optional:"" name:"file" help:"Files to compress together; - is standard input, the default."`

	config.Engine `embed:"" group:"Settings"`
}

func (c *compressCommand) Run(ctx context.Context, std streams) error {
	e, err := newEngine(c.Engine, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	compressor, err := e.compressor(c.Scoring.Scorer)
	if err != nil {
		return err
	}
	if len(c.Files) == 0 {
		c.Files = []string{"-"}
	}
	if c.JSONL {
		if c.Jobs < 1 {
			return fmt.Errorf("jobs is %d: it must be at least 1", c.Jobs)
		}
		run := batch{compressCommand: c, compressor: compressor, count: e.counter.Count, std: std}
		return run.run(ctx)
	}
	input := compressors.Input{Query: c.Query, Budget: compressors.Budget{Tokens: c.Budget, Rate: c.Rate}}
	var names []jsonText
	for _, file := range c.Files {
		content, err := readInput(file, std.stdin)
		if err != nil {
			return err
		}
		input.Texts = append(input.Texts, compressors.Text{Name: file, Content: string(content)})
		names = append(names, jsonText{Name: file})
	}
	result, err := compressVerified(ctx, compressor, input)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(std.stdout).Encode(newCompressResponse("", names, result, true))
	}
	for i, text := range result.Texts {
		if len(result.Texts) > 1 {
			fmt.Fprintf(std.stdout, "==> %s <==\n", input.Texts[i].Name)
		}
		if _, err := io.WriteString(std.stdout, text.Output); err != nil {
			return err
		}
	}
	switch {
	case c.Explain:
		return printExplanation(std.stderr, input, result)
	case !c.Quiet:
		printCompression(std.stderr, input, result)
	}
	return nil
}

// compressVerified compresses and proves that nothing was invented before anybody sees the output.
func compressVerified(ctx context.Context, compressor *compressors.Compressor, input compressors.Input) (compressors.Result, error) {
	result, err := compressor.Compress(ctx, input)
	if err != nil {
		return result, err
	}
	for i, text := range result.Texts {
		if err := compressors.Verify(input.Texts[i].Content, text.Output); err != nil {
			return result, fmt.Errorf("%s: the output does not follow from the source: %w", input.Texts[i].Name, err)
		}
	}
	return result, nil
}

// readInput reads a file, or standard input for "-".
func readInput(file string, stdin io.Reader) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(file)
}
