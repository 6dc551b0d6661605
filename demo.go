package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/sashabaranov/go-openai"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/config"
	"github.com/pith-llm/pith/proxy"
)

// demoFiles holds the demo's contexts and demo.json, which lists the questions about them.
//
//go:embed testdata/demo
var demoFiles embed.FS

type demoCommand struct {
	Upstream  string  `help:"Base URL of an LLM API without /v1, asked with the key in OPENAI_API_KEY; the embedded model if empty."`
	Model     string  `default:"gpt-4o-mini" help:"Model to ask for at --upstream."`
	Rate      float64 `default:"0.35" help:"Share of the context's tokens to keep."`
	MaxTokens int     `default:"40" help:"Longest answer."`
	JSON      bool    `name:"json" help:"Print JSON."`

	config.Engine `embed:"" group:"Settings"`
}

// demoRun is one entry of demo.json.
type demoRun struct {
	Name     string   `json:"name"`
	Question string   `json:"question"`
	Files    []string `json:"files"`
}

// demoOutcome is what the demo shows of one run.
type demoOutcome struct {
	Name             string        `json:"name"`
	TokensIn         int           `json:"tokens_in"`
	TokensOut        int           `json:"tokens_out"`
	Segments         []jsonSegment `json:"segments"`
	AnswerFull       string        `json:"answer_full"`
	AnswerCompressed string        `json:"answer_compressed"`
	StageMS          stageMS       `json:"stage_ms"`

	question string
	turn     proxy.TurnReport
	stages   []compressors.Stage
	full     time.Duration
	short    time.Duration
}

func (c *demoCommand) Run(ctx context.Context, std streams) error {
	content, err := demoFiles.ReadFile("testdata/demo/demo.json")
	if err != nil {
		return err
	}
	var runs []demoRun
	if err := json.Unmarshal(content, &runs); err != nil {
		return fmt.Errorf("demo.json: %w", err)
	}
	d, err := c.start(ctx)
	if err != nil {
		return err
	}
	err = d.show(ctx, runs, c, std.stdout)
	return errors.Join(err, d.stop())
}

// show asks all questions and prints what came of each.
func (d *demo) show(ctx context.Context, runs []demoRun, c *demoCommand, stdout io.Writer) error {
	if !c.JSON {
		fmt.Fprintf(stdout, "proxy at %s, upstream %s\n", d.proxyURL, d.upstreamName)
	}
	outcomes := []demoOutcome{}
	for _, run := range runs {
		outcome, err := d.ask(ctx, run, c)
		if err != nil {
			return fmt.Errorf("%s: %w", run.Name, err)
		}
		if !c.JSON {
			outcome.print(stdout)
		}
		outcomes = append(outcomes, outcome)
	}
	if c.JSON {
		return json.NewEncoder(stdout).Encode(map[string]any{"runs": outcomes})
	}
	return nil
}

// demo is a running proxy, its upstream and a client in front.
type demo struct {
	client                 *openai.Client
	model                  string
	proxyURL, upstreamName string
	policy                 *policyTransport
	// stop ends the proxy and the embedded model and returns what went wrong in the proxy.
	stop     func() error
	serveErr error

	mu     sync.Mutex
	report proxy.Report
}

// start brings up the embedded model, unless an API is named, and a proxy on a free loopback port.
func (c *demoCommand) start(ctx context.Context) (*demo, error) {
	if c.Scoring.Plan == "auto" && c.Compression.Deadline > 0 {
		c.Scoring.Plan = (c.Compression.Deadline / plannedShare).String() // as 'pith serve' would
	}
	c.Compression.Deadline = max(c.Compression.Deadline, time.Minute) // to show what is kept, models loaded or not
	e, err := newEngine(c.Engine, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	d := &demo{model: c.Model, upstreamName: c.Upstream, policy: &policyTransport{}}
	upstream, key := c.Upstream, os.Getenv("OPENAI_API_KEY")
	stopModel := func() {}
	switch {
	case upstream == "":
		model, err := e.startModelServer(slog.New(slog.DiscardHandler))
		if err != nil {
			return nil, err
		}
		upstream, stopModel = model.url, model.stop
		d.model, d.upstreamName = embeddedModelName, "the embedded "+embeddedModelName
	case key == "":
		return nil, fmt.Errorf("no key for %s: set OPENAI_API_KEY, or leave --upstream out to ask the embedded model", upstream)
	}
	server, err := e.proxy(config.Edge{Mode: proxy.ModeOn.String()}, upstream, slog.New(slog.DiscardHandler), d.observe, config.Secrets{})
	if err != nil {
		stopModel()
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		stopModel()
		return nil, err
	}
	serving, cancel := context.WithCancel(ctx)
	var stopped sync.WaitGroup
	stopped.Go(func() { d.serveErr = serveUntilDone(serving, nil, server, listener) })
	d.stop = func() error {
		cancel()
		stopped.Wait()
		stopModel()
		return d.serveErr
	}
	d.proxyURL = "http://" + listener.Addr().String()
	settings := openai.DefaultConfig(key)
	settings.BaseURL = d.proxyURL + "/v1"
	settings.HTTPClient = &http.Client{Transport: d.policy}
	d.client = openai.NewClientWithConfig(settings)
	return d, nil
}

// observe keeps the report of the last request.
func (d *demo) observe(report proxy.Report) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.report = report
}

// policyTransport adds pith's headers to requests.
type policyTransport struct {
	headers map[string]string
}

func (t *policyTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	for name, value := range t.headers {
		request.Header.Set(name, value)
	}
	return http.DefaultTransport.RoundTrip(request)
}

// ask puts the run's question to the upstream twice, over the full and over the compressed context.
func (d *demo) ask(ctx context.Context, run demoRun, c *demoCommand) (demoOutcome, error) {
	prompt, err := run.prompt()
	if err != nil {
		return demoOutcome{}, err
	}
	outcome := demoOutcome{Name: run.Name, question: run.Question, StageMS: stageMS{}, Segments: []jsonSegment{}}
	if outcome.AnswerCompressed, outcome.short, err = d.complete(ctx, prompt, c.MaxTokens, map[string]string{"X-Pith-Rate": fmt.Sprint(c.Rate)}); err != nil {
		return outcome, fmt.Errorf("compressed: %w", err)
	}
	d.mu.Lock()
	report := d.report
	d.mu.Unlock()
	if outcome.AnswerFull, outcome.full, err = d.complete(ctx, prompt, c.MaxTokens, map[string]string{"X-Pith-Mode": "off"}); err != nil {
		return outcome, fmt.Errorf("full: %w", err)
	}
	if len(report.Turns) != 1 || report.Turns[0].Err != nil {
		return outcome, fmt.Errorf("the proxy compressed nothing: %+v", report.Skip)
	}
	outcome.turn, outcome.stages = report.Turns[0], report.Stages
	outcome.TokensIn, outcome.TokensOut = report.TokensIn, report.TokensOut
	for i, text := range outcome.turn.Result.Texts {
		source := outcome.turn.Texts[i]
		if err := compressors.Verify(source.Content, text.Output); err != nil {
			return outcome, fmt.Errorf("%s: the output does not follow from the source: %w", source.Name, err)
		}
		outcome.Segments = append(outcome.Segments, newJSONSegments(source.Name, text)...)
	}
	outcome.StageMS = newStageMS(outcome.stages)
	outcome.StageMS["answer_compressed"] = milliseconds(outcome.short)
	outcome.StageMS["answer_full"] = milliseconds(outcome.full)
	return outcome, nil
}

func (d *demo) complete(ctx context.Context, prompt string, maxTokens int, headers map[string]string) (string, time.Duration, error) {
	d.policy.headers = headers
	start := time.Now()
	response, err := d.client.CreateChatCompletion(ctx, openai.ChatCompletionRequest{
		Model: d.model, MaxCompletionTokens: maxTokens,
		Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: prompt}},
	})
	if err != nil {
		return "", 0, err
	}
	if len(response.Choices) == 0 {
		return "", 0, fmt.Errorf("the upstream answered without a choice")
	}
	return response.Choices[0].Message.Content, time.Since(start), nil
}

// prompt is the run's context as people paste it, each file in a tag or a fence of its own, and then the question.
func (r demoRun) prompt() (string, error) {
	var b strings.Builder
	for _, name := range r.Files {
		content, err := demoFiles.ReadFile(path.Join("testdata/demo", name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "<file path=%q>\n%s\n</file>\n\n", name, strings.TrimRight(string(content), "\n"))
	}
	b.WriteString(r.Question)
	return b.String(), nil
}

func (o demoOutcome) print(w io.Writer) {
	fmt.Fprintf(w, "\n== %s: %s\n", o.Name, o.question)
	fmt.Fprintf(w, "the whole request: tokens in %d, out %d, saved %d (%s); its context:\n", o.TokensIn, o.TokensOut,
		o.TokensIn-o.TokensOut, percent(o.TokensIn-o.TokensOut, o.TokensIn))
	printCompression(w, compressors.Input{Texts: o.turn.Texts}, o.turn.Result)
	fmt.Fprintf(w, "in the proxy: %s\n", formatStages(o.stages))
	fmt.Fprintf(w, "answer over the full context (%.1f s):       %s\n", o.full.Seconds(), oneLine(o.AnswerFull))
	fmt.Fprintf(w, "answer over the compressed context (%.1f s): %s\n", o.short.Seconds(), oneLine(o.AnswerCompressed))
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
