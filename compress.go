package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/config"
)

type compressCommand struct {
	Query  string   `short:"q" help:"What the texts are to answer; in JSON Lines the default for lines without one."`
	Budget int      `help:"Most tokens to keep of all texts together."`
	Rate   float64  `help:"Share of tokens to keep, above 0 and up to 1; the setting compression.rate if neither is given."`
	JSONL  bool     `name:"jsonl" help:"Each input line is a JSON object {\"id\",\"query\",\"budget\",\"rate\",\"texts\":[{\"name\",\"language\",\"content\"}]}; each output line its result."`
	JSON   bool     `name:"json" help:"Print one JSON result with every segment instead of the compressed text."`
	Quiet  bool     `help:"No report on standard error."`
	Files  []string `arg:"" optional:"" name:"file" help:"Files to compress together; - is standard input, the default."`

	config.Engine `embed:"" group:"Settings"`
}

// compressRequest is one line of JSON Lines input.
type compressRequest struct {
	ID     string     `json:"id,omitempty"`
	Query  string     `json:"query"`
	Budget int        `json:"budget"`
	Rate   float64    `json:"rate"`
	Texts  []jsonText `json:"texts"`
}

type jsonText struct {
	Name     string `json:"name"`
	Language string `json:"language"`
	Content  string `json:"content"`
}

// compressResponse is one result as JSON.
type compressResponse struct {
	ID        string           `json:"id,omitempty"`
	TokensIn  int              `json:"tokens_in"`
	TokensOut int              `json:"tokens_out"`
	Saved     int              `json:"tokens_saved"`
	Texts     []jsonTextResult `json:"texts"`
	StageMS   stageMS          `json:"stage_ms"`
}

type jsonTextResult struct {
	Name      string        `json:"name"`
	Output    string        `json:"output"`
	TokensIn  int           `json:"tokens_in"`
	TokensOut int           `json:"tokens_out"`
	Skip      string        `json:"skip,omitempty"`
	Segments  []jsonSegment `json:"segments"`
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
		return c.compressLines(ctx, std, compressor)
	}
	input := compressors.Input{Query: c.Query, Budget: compressors.Budget{Tokens: c.Budget, Rate: c.Rate}}
	for _, file := range c.Files {
		content, err := readInput(file, std.stdin)
		if err != nil {
			return err
		}
		input.Texts = append(input.Texts, compressors.Text{Name: file, Content: string(content)})
	}
	if c.Query == "" {
		return errors.New("no query: say with --query what the texts are to answer")
	}
	result, err := compressVerified(ctx, compressor, input)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(std.stdout).Encode(newCompressResponse("", input, result))
	}
	for i, text := range result.Texts {
		if len(result.Texts) > 1 {
			fmt.Fprintf(std.stdout, "==> %s <==\n", input.Texts[i].Name)
		}
		if _, err := io.WriteString(std.stdout, text.Output); err != nil {
			return err
		}
	}
	if !c.Quiet {
		printCompression(std.stderr, input, result)
	}
	return nil
}

// compressLines answers each JSON line with a JSON line and ends at the first bad one, naming it.
func (c *compressCommand) compressLines(ctx context.Context, std streams, compressor *compressors.Compressor) error {
	out := json.NewEncoder(std.stdout)
	var total compressors.Result
	count := 0
	for _, file := range c.Files {
		content, err := readInput(file, std.stdin)
		if err != nil {
			return err
		}
		lines := bufio.NewReader(bytes.NewReader(content))
		for number := 1; ; number++ {
			line, err := lines.ReadBytes('\n')
			if len(bytes.TrimSpace(line)) > 0 {
				input, id, err := c.parseLine(line)
				if err != nil {
					return fmt.Errorf("%s:%d: %w", file, number, err)
				}
				result, err := compressVerified(ctx, compressor, input)
				if err != nil {
					return fmt.Errorf("%s:%d: %w", file, number, err)
				}
				if err := out.Encode(newCompressResponse(id, input, result)); err != nil {
					return err
				}
				count++
				total.TokensIn += result.TokensIn
				total.TokensOut += result.TokensOut
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	if !c.Quiet {
		fmt.Fprintf(std.stderr, "%d inputs, tokens in %d, out %d, saved %d (%s)\n", count,
			total.TokensIn, total.TokensOut, total.TokensIn-total.TokensOut, percent(total.TokensIn-total.TokensOut, total.TokensIn))
	}
	return nil
}

func (c *compressCommand) parseLine(line []byte) (compressors.Input, string, error) {
	request := compressRequest{Query: c.Query}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&request); err != nil {
		return compressors.Input{}, "", fmt.Errorf("not a compression request: %w", err)
	}
	if request.Budget == 0 && request.Rate == 0 {
		request.Budget, request.Rate = c.Budget, c.Rate
	}
	if request.Query == "" {
		return compressors.Input{}, "", errors.New("no query: set \"query\" in the line or --query for all")
	}
	input := compressors.Input{Query: request.Query, Budget: compressors.Budget{Tokens: request.Budget, Rate: request.Rate}}
	for _, text := range request.Texts {
		input.Texts = append(input.Texts, compressors.Text(text))
	}
	return input, request.ID, nil
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

func newCompressResponse(id string, input compressors.Input, result compressors.Result) compressResponse {
	response := compressResponse{
		ID: id, TokensIn: result.TokensIn, TokensOut: result.TokensOut, Saved: result.TokensIn - result.TokensOut,
		StageMS: newStageMS(result.Stages), Texts: []jsonTextResult{},
	}
	for i, text := range result.Texts {
		jsonResult := jsonTextResult{
			Name: input.Texts[i].Name, Output: text.Output, TokensIn: text.TokensIn, TokensOut: text.TokensOut,
			Segments: newJSONSegments(input.Texts[i].Name, text),
		}
		if text.Skip != compressors.NotSkipped {
			jsonResult.Skip = text.Skip.String()
		}
		response.Texts = append(response.Texts, jsonResult)
	}
	return response
}
