package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pith-llm/pith/compressors"
)

// compressRequest is one line of JSON Lines input. Its second half are LLMLingua's names for the same things; either half
// may be used, but no thing may be said twice.
type compressRequest struct {
	// ID names the line in the output and when a run goes on; the place of the line, as FILE:NUMBER, if empty.
	ID     jsonID     `json:"id,omitempty"`
	Query  string     `json:"query"` // without one only what repeats is left out, unless a budget or rate asks for more
	Budget int        `json:"budget"`
	Rate   float64    `json:"rate"`
	Texts  []jsonText `json:"texts"`

	Context     contextList `json:"context"`
	Question    string      `json:"question"`
	Instruction string      `json:"instruction"`
	TargetToken int         `json:"target_token"`
}

// jsonID is an identifier that may be a string or a number in the input.
type jsonID string

// UnmarshalJSON keeps a number as it is spelled.
func (id *jsonID) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) == nil {
		*id = jsonID(s)
		return nil
	}
	var n json.Number
	if err := json.Unmarshal(data, &n); err != nil {
		return errors.New("id is neither a string nor a number")
	}
	*id = jsonID(n)
	return nil
}

type jsonText struct {
	Name     string `json:"name"`
	Language string `json:"language"`
	Content  string `json:"content"`
}

// compressResponse is one line of JSON Lines output.
type compressResponse struct {
	ID        jsonID `json:"id,omitempty"`
	TokensIn  int    `json:"tokens_in"`
	TokensOut int    `json:"tokens_out"`
	Saved     int    `json:"tokens_saved"`
	// ModelTokens is what the models had to read if nothing were cached; Cut and Unread count the segments of which they read
	// only the beginning, and nothing, under scoring.plan.
	ModelTokens int              `json:"model_tokens"`
	Cut         int              `json:"segments_cut,omitempty"`
	Unread      int              `json:"segments_unread,omitempty"`
	Texts       []jsonTextResult `json:"texts"`
	// CompressedPrompt is instruction, contexts and question with blank lines between, for a request in LLMLingua's form.
	CompressedPrompt string   `json:"compressed_prompt,omitempty"`
	Ignored          []string `json:"ignored,omitempty"`
	StageMS          stageMS  `json:"stage_ms"`
}

// jsonTextResult is what became of one text, in the order of the request. Kept and Dropped are half-open ranges of its
// bytes that together cover it; a marker stands in place of a range that is dropped.
type jsonTextResult struct {
	Name      string        `json:"name"`
	Output    string        `json:"output"`
	TokensIn  int           `json:"tokens_in"`
	TokensOut int           `json:"tokens_out"`
	Skip      string        `json:"skip,omitempty"`
	Kept      [][2]int      `json:"kept"`
	Dropped   [][2]int      `json:"dropped"`
	Segments  []jsonSegment `json:"segments,omitempty"`
}

// batchLine is one line of input on its way to the output.
type batchLine struct {
	place string // FILE:NUMBER, for errors
	id    jsonID
	data  []byte
	// done is closed when response or err is set.
	done     chan struct{}
	response *compressResponse
	err      error
}

// batch is a run over JSON Lines.
type batch struct {
	*compressCommand
	compressor *compressors.Compressor
	count      func(string) int
	std        streams
}

// run answers each line with a line, in order, skips lines that the output file already answers, goes on after a bad line
// and fails at the end if there was one.
func (b *batch) run(ctx context.Context) error {
	out, known, err := b.openOutput()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := make(chan *batchLine, b.Jobs) // in order; as many as are worked on
	var readErr error
	skipped := 0
	go func() {
		defer close(lines)
		slots := make(chan struct{}, b.Jobs)
		readErr = b.read(func(line *batchLine) error {
			if known[line.id] {
				skipped++
				return nil
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
			go func() {
				defer func() { <-slots }()
				defer close(line.done)
				line.response, line.err = b.answer(ctx, line)
			}()
			select {
			case lines <- line:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	failed, firstErr := b.write(lines, out, cancel)
	if closeErr := out.Close(); firstErr == nil {
		firstErr = closeErr
	}
	switch {
	case failed > 1:
		return fmt.Errorf("%d lines failed, the first: %w", failed, firstErr)
	case firstErr != nil:
		return firstErr
	case readErr != nil:
		return readErr
	}
	if skipped > 0 && !b.Quiet {
		fmt.Fprintf(b.std.stderr, "%d lines were answered before\n", skipped)
	}
	return nil
}

// progressEvery is how often a run says how far it is.
const progressEvery = 5 * time.Second

// write writes the answers in order; it returns how many lines failed and the first error. An output that cannot be
// written to ends the run.
func (b *batch) write(lines <-chan *batchLine, out io.Writer, cancel func()) (failed int, first error) {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	count, in, kept := 0, 0, 0
	last := time.Now()
	report := func() {
		fmt.Fprintf(b.std.stderr, "%d inputs, tokens in %d, out %d, saved %d (%s)\n", count, in, kept, in-kept, percent(in-kept, in))
	}
	broken := false
	for line := range lines {
		<-line.done
		if line.err == nil && !broken {
			if err := encoder.Encode(line.response); err != nil {
				line.err, broken = err, true
				cancel()
			}
		}
		if line.err != nil {
			if failed++; first == nil {
				first = fmt.Errorf("%s: %w", line.place, line.err)
			}
			continue
		}
		count++
		in += line.response.TokensIn
		kept += line.response.TokensOut
		if !b.Quiet && time.Since(last) >= progressEvery {
			last = time.Now()
			report()
		}
	}
	if !b.Quiet {
		report()
	}
	return failed, first
}

// read calls f for each line of the input that is not blank.
func (b *batch) read(f func(*batchLine) error) error {
	for _, file := range b.Files {
		input := b.std.stdin
		if file != "-" {
			opened, err := os.Open(file)
			if err != nil {
				return err
			}
			defer opened.Close() //nolint:errcheck // it was only read
			input = opened
		}
		lines := bufio.NewReader(input)
		for number := 1; ; number++ {
			data, err := lines.ReadBytes('\n')
			if len(bytes.TrimSpace(data)) > 0 {
				line := &batchLine{place: fmt.Sprintf("%s:%d", file, number), data: data, done: make(chan struct{})}
				line.id = cmp.Or(idOf(data), jsonID(line.place))
				if err := f(line); err != nil {
					return err
				}
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	return nil
}

// idOf returns the id of a line, empty without one or in a line that is no JSON object.
func idOf(data []byte) jsonID {
	var line struct {
		ID jsonID `json:"id"`
	}
	if json.Unmarshal(data, &line) != nil {
		return ""
	}
	return line.ID
}

// openOutput opens what to write to and returns the ids that it already holds.
func (b *batch) openOutput() (io.WriteCloser, map[jsonID]bool, error) {
	if b.Output == "" {
		return keepOpen{b.std.stdout}, nil, nil
	}
	known := map[jsonID]bool{}
	file, err := openLines(b.Output, func(line []byte) {
		if id := idOf(line); id != "" {
			known[id] = true
		}
	})
	if err != nil {
		return nil, nil, err
	}
	return file, known, nil
}

// keepOpen is a writer that somebody else closes.
type keepOpen struct{ io.Writer }

// Close does nothing.
func (keepOpen) Close() error { return nil }

// answer compresses what one line asks for.
func (b *batch) answer(ctx context.Context, line *batchLine) (*compressResponse, error) {
	request, ignored, err := b.parse(line.data)
	if err != nil {
		return nil, err
	}
	pieces, err := request.pieces()
	if err != nil {
		return nil, err
	}
	result, err := b.compress(ctx, request, pieces)
	if err != nil {
		return nil, err
	}
	response := newCompressResponse(line.id, request.Texts, result, b.Explain)
	if response.Ignored = ignored; len(request.Context) > 0 {
		prompt := []string{}
		for _, part := range append(append([]string{request.Instruction}, outputs(result)...), request.Query) {
			if part != "" {
				prompt = append(prompt, part)
			}
		}
		response.CompressedPrompt = strings.Join(prompt, "\n\n")
	}
	return &response, nil
}

func outputs(result compressors.Result) []string {
	var list []string
	for _, text := range result.Texts {
		list = append(list, text.Output)
	}
	return list
}

// parse reads a request and brings LLMLingua's names to pith's own: the context becomes the texts, the question the query,
// target_token the budget. It returns the names of the options that are ignored.
func (b *batch) parse(line []byte) (compressRequest, []string, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return compressRequest{}, nil, fmt.Errorf("not a compression request: %w", err)
	}
	var ignored []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if llmlinguaOptions[name] {
			ignored = append(ignored, name)
			delete(fields, name)
		}
	}
	rest, err := json.Marshal(fields)
	if err != nil {
		return compressRequest{}, nil, err
	}
	var request compressRequest
	decoder := json.NewDecoder(bytes.NewReader(rest))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&request); err != nil {
		return compressRequest{}, nil, fmt.Errorf("not a compression request: %w", err)
	}
	switch {
	case len(request.Context) > 0 && len(request.Texts) > 0:
		return compressRequest{}, nil, errors.New("both texts and context are given: choose one")
	case request.Query != "" && request.Question != "":
		return compressRequest{}, nil, errors.New("both query and question are given: choose one")
	case request.Budget != 0 && request.TargetToken > 0:
		return compressRequest{}, nil, errors.New("both budget and target_token are given: choose one")
	}
	request.Query = cmp.Or(request.Query, request.Question, b.Query)
	if request.TargetToken > 0 { // LLMLingua's own "not set" is -1; a target goes before a rate
		request.Budget, request.Rate = request.TargetToken, 0
	}
	if request.Budget == 0 && request.Rate == 0 {
		request.Budget, request.Rate = b.Budget, b.Rate
	}
	if request.Texts == nil && request.Context == nil {
		return compressRequest{}, nil, errors.New("nothing to compress: set \"texts\", or \"context\"")
	}
	for _, content := range request.Context {
		request.Texts = append(request.Texts, jsonText{Content: content})
	}
	return request, ignored, nil
}

// piece is a part of one text that is compressed with those under the same budget.
type piece struct {
	text int
	taggedPart
}

// pieces cuts the texts of a request at LLMLingua's tags, which only a context may hold.
func (r compressRequest) pieces() ([]piece, error) {
	var list []piece
	for i, text := range r.Texts {
		if len(r.Context) == 0 {
			list = append(list, piece{i, taggedPart{end: len(text.Content)}})
			continue
		}
		parts, err := splitTags(text.Content)
		if err != nil {
			return nil, fmt.Errorf("context %d: %w", i, err)
		}
		for _, p := range parts {
			list = append(list, piece{i, p})
		}
	}
	return list, nil
}

// compress compresses the pieces of each rate together and puts the texts together again: the tags go, a piece with
// compress=False stays as it is.
func (b *batch) compress(ctx context.Context, request compressRequest, pieces []piece) (compressors.Result, error) {
	results := make([]compressors.TextResult, len(pieces))
	total := compressors.Result{Texts: make([]compressors.TextResult, len(request.Texts))}
	var rates []float64
	for _, p := range pieces {
		if !slices.Contains(rates, p.rate) {
			rates = append(rates, p.rate)
		}
	}
	for _, rate := range rates {
		input := compressors.Input{Query: request.Query, Budget: compressors.Budget{Tokens: request.Budget, Rate: request.Rate}}
		if rate > 0 {
			input.Budget = compressors.Budget{Rate: rate}
		}
		var members []int
		for i, p := range pieces {
			if p.rate == rate && !p.keep {
				text := request.Texts[p.text]
				members = append(members, i)
				input.Texts = append(input.Texts, compressors.Text{Name: text.Name, Language: text.Language, Content: text.Content[p.start:p.end]})
			}
		}
		if len(members) == 0 {
			continue
		}
		result, err := compressVerified(ctx, b.compressor, input)
		if err != nil {
			return compressors.Result{}, err
		}
		for j, i := range members {
			results[i] = result.Texts[j]
		}
		total.ModelTokens += result.ModelTokens
		total.Cut += result.Cut
		total.Unread += result.Unread
		total.Stages = append(total.Stages, result.Stages...)
	}
	for i, p := range pieces {
		text := request.Texts[p.text].Content
		if p.keep {
			n := b.count(text[p.start:p.end])
			results[i] = compressors.TextResult{Output: text[p.start:p.end], Parts: []compressors.Part{{End: p.end - p.start}}, TokensIn: n, TokensOut: n}
		}
		joinPiece(&total.Texts[p.text], results[i], p.start)
	}
	if len(pieces) == len(request.Texts) {
		for i, p := range pieces {
			total.Texts[p.text].Skip = results[i].Skip
		}
	}
	for i, text := range request.Texts {
		t := &total.Texts[i]
		if n := len(t.Parts); n == 0 || t.Parts[n-1].End < len(text.Content) {
			t.Parts = append(t.Parts, dropped(*t, len(text.Content))...)
		}
		total.TokensIn += t.TokensIn
		total.TokensOut += t.TokensOut
	}
	return total, nil
}

// joinPiece appends the result of a piece that starts at start of its text.
func joinPiece(whole *compressors.TextResult, piece compressors.TextResult, start int) {
	whole.Parts = append(whole.Parts, dropped(*whole, start)...)
	for _, p := range piece.Parts {
		p.Start += start
		p.End += start
		whole.Parts = append(whole.Parts, p)
	}
	base := len(whole.Segments)
	for _, s := range piece.Segments {
		s.Start += start
		s.End += start
		if s.Parent >= 0 {
			s.Parent += base
		}
		whole.Segments = append(whole.Segments, s)
	}
	whole.Output += piece.Output
	whole.TokensIn += piece.TokensIn
	whole.TokensOut += piece.TokensOut
}

// dropped returns the part for a tag that stands before end.
func dropped(text compressors.TextResult, end int) []compressors.Part {
	at := 0
	if n := len(text.Parts); n > 0 {
		at = text.Parts[n-1].End
	}
	if at == end {
		return nil
	}
	return []compressors.Part{{Start: at, End: end, Dropped: true}}
}

func newCompressResponse(id jsonID, texts []jsonText, result compressors.Result, explain bool) compressResponse {
	response := compressResponse{
		ID: id, TokensIn: result.TokensIn, TokensOut: result.TokensOut, Saved: result.TokensIn - result.TokensOut,
		ModelTokens: result.ModelTokens, Cut: result.Cut, Unread: result.Unread,
		StageMS: newStageMS(result.Stages), Texts: []jsonTextResult{},
	}
	for i, text := range result.Texts {
		jsonResult := jsonTextResult{
			Name: texts[i].Name, Output: text.Output, TokensIn: text.TokensIn, TokensOut: text.TokensOut,
			Kept: [][2]int{}, Dropped: [][2]int{},
		}
		for _, p := range text.Parts {
			if p.Marker == "" && !p.Dropped {
				jsonResult.Kept = append(jsonResult.Kept, [2]int{p.Start, p.End})
			} else {
				jsonResult.Dropped = append(jsonResult.Dropped, [2]int{p.Start, p.End})
			}
		}
		if explain {
			jsonResult.Segments = newJSONSegments(texts[i].Name, text)
		}
		if text.Skip != compressors.NotSkipped {
			jsonResult.Skip = text.Skip.String()
		}
		response.Texts = append(response.Texts, jsonResult)
	}
	return response
}
