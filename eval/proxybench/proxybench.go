// Package proxybench measures what pith adds to a request: the same load goes to a mock upstream directly and through a
// pith of its own process, in turns. Load is open loop: requests start by the clock, and a request's time counts from
// when it was due, so that a stall is charged to all who wait for it (Tene 2013, "coordinated omission").
package proxybench

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Options says what to measure.
type Options struct {
	// Binary is the pith to start.
	Binary string
	// Text is material for long bodies.
	Text string
	// Duration is how long each load lasts, MemoryDuration that with bodies of 150 KB; Duration if 0.
	Duration, MemoryDuration time.Duration
	// LiteLLM, if not empty, is the command of LiteLLM's proxy (see LiteLLMInstall), which gets the same loads in turn.
	LiteLLM string
	// Compress also measures with compression on.
	Compress bool
	// Progress is told what is being measured; nil is nobody.
	Progress io.Writer
}

// Report is what was measured. All times are milliseconds.
type Report struct {
	Loads    []Load    `json:"loads"`
	Stream   Stream    `json:"stream"`
	Memory   Memory    `json:"memory"`
	Compress []Compare `json:"compress,omitempty"`
	// Beside is what else got the same loads, BesideMemory its memory.
	Beside       string `json:"beside,omitempty"`
	BesideMemory Memory `json:"beside_memory,omitzero"`
}

// Load is one rate of short requests, all of which were answered, directly and through pith.
type Load struct {
	InFlight int       `json:"in_flight"` // on average, by the time that the mock takes; 0 is closed loop on 16 connections
	Rate     float64   `json:"rate"`      // asked for a second; 0 is as fast as it goes
	Direct   []float64 `json:"direct_ms"`
	Pith     []float64 `json:"pith_ms"`
	// DirectRate and PithRate are what was reached.
	DirectRate float64 `json:"direct_rate"`
	PithRate   float64 `json:"pith_rate"`
	// Beside is the same through what else was measured, BesideFailed why it has no times.
	Beside       []float64 `json:"beside_ms,omitempty"`
	BesideRate   float64   `json:"beside_rate,omitempty"`
	BesideFailed string    `json:"beside_failed,omitempty"`
}

// Stream is event streams: the time to the first event, and the delay of each event from the mock's write to the client.
type Stream struct {
	DirectFirst []float64 `json:"direct_first_ms"`
	PithFirst   []float64 `json:"pith_first_ms"`
	DirectEvent []float64 `json:"direct_event_ms"`
	PithEvent   []float64 `json:"pith_event_ms"`

	BesideFirst []float64 `json:"beside_first_ms,omitempty"`
	BesideEvent []float64 `json:"beside_event_ms,omitempty"`
}

// Memory is the resident memory of pith while it forwards bodies of 150 KB, 64 at a time, with no model loaded.
type Memory struct {
	Requests int       `json:"requests"`
	RSS      []float64 `json:"rss_mib"`
}

// Compare is requests of one size with compression on.
type Compare struct {
	Bytes int    `json:"bytes"`
	Case  string `json:"case"` // cold, new question, repeated
	// Whole is each request's time, Overhead pith's own part of it.
	Whole    []float64 `json:"whole_ms"`
	Overhead []float64 `json:"overhead_ms"`
	// Shortened is how many were forwarded with fewer tokens.
	Shortened int `json:"shortened"`
}

// Run measures. It starts and stops two processes of o.Binary.
func Run(ctx context.Context, o Options) (Report, error) {
	var report Report
	mock := startMock()
	defer mock.stop()
	say := func(what string) {
		if o.Progress != nil {
			fmt.Fprintln(o.Progress, what)
		}
	}
	pith, err := startPith(ctx, o.Binary, "--mode=off", "--upstream="+mock.url)
	if err != nil {
		return report, err
	}
	defer pith.stop()
	targets := []string{mock.url, pith.url}
	var beside *process
	if o.LiteLLM != "" {
		say("starting LiteLLM")
		if beside, err = startLiteLLM(ctx, o.LiteLLM, mock.url); err != nil {
			return report, err
		}
		defer beside.stop()
		report.Beside = litellmVersion(ctx, o.LiteLLM)
		targets = append(targets, beside.url)
	}
	short := []byte(`{"model":"m","messages":[{"role":"user","content":"is it raining?"}]}`)
	for _, target := range targets { // connections and code warm
		if _, _, err := openLoop(ctx, target, short, 500, 0, 500*time.Millisecond); err != nil {
			return report, err
		}
	}
	for _, load := range []Load{{InFlight: 1, Rate: 200}, {InFlight: 16, Rate: 800}, {InFlight: 256, Rate: 800}} {
		say(fmt.Sprintf("forwarding at %.0f/s, %d in flight", load.Rate, load.InFlight))
		mockTakes := time.Duration(0)
		if load.InFlight > 1 {
			mockTakes = time.Duration(float64(load.InFlight) / load.Rate * float64(time.Second))
		}
		if load.Direct, load.DirectRate, err = openLoop(ctx, targets[0], short, load.Rate, mockTakes, o.Duration); err != nil {
			return report, fmt.Errorf("direct: %w", err)
		}
		if load.Pith, load.PithRate, err = openLoop(ctx, targets[1], short, load.Rate, mockTakes, o.Duration); err != nil {
			return report, fmt.Errorf("through pith: %w", err)
		}
		if beside != nil {
			load.Beside, load.BesideRate, err = openLoop(ctx, beside.url, short, load.Rate, mockTakes, o.Duration)
			load.BesideFailed = reason(err)
			client.CloseIdleConnections() // what took long may have left the others' to be closed by their servers
		}
		report.Loads = append(report.Loads, load)
	}
	say("forwarding as fast as it goes")
	var fastest Load
	if fastest.Direct, fastest.DirectRate, err = closedLoop(ctx, targets[0], short, 16, o.Duration); err != nil {
		return report, err
	}
	if fastest.Pith, fastest.PithRate, err = closedLoop(ctx, targets[1], short, 16, o.Duration); err != nil {
		return report, err
	}
	if beside != nil {
		fastest.Beside, fastest.BesideRate, err = closedLoop(ctx, beside.url, short, 16, o.Duration)
		fastest.BesideFailed = reason(err)
		client.CloseIdleConnections()
	}
	report.Loads = append(report.Loads, fastest)
	say("event streams")
	if report.Stream.DirectFirst, report.Stream.DirectEvent, err = streams(ctx, targets[0], o.Duration); err != nil {
		return report, err
	}
	if report.Stream.PithFirst, report.Stream.PithEvent, err = streams(ctx, targets[1], o.Duration); err != nil {
		return report, err
	}
	if beside != nil {
		if report.Stream.BesideFirst, report.Stream.BesideEvent, err = streams(ctx, beside.url, o.Duration); err != nil {
			return report, fmt.Errorf("%s: %w", report.Beside, err)
		}
	}
	say("memory with bodies of 150 KB")
	memoryDuration := cmp.Or(o.MemoryDuration, o.Duration)
	if report.Memory, err = memory(ctx, pith, memoryDuration); err != nil {
		return report, err
	}
	if beside != nil {
		if report.BesideMemory, err = memory(ctx, beside, memoryDuration); err != nil {
			return report, fmt.Errorf("%s: %w", report.Beside, err)
		}
	}
	if !o.Compress {
		return report, nil
	}
	say("compression: loading the models")
	compressing, err := startPith(ctx, o.Binary, "--mode=on", "--upstream="+mock.url, "--compression-deadline=2m")
	if err != nil {
		return report, err
	}
	defer compressing.stop()
	for i, size := range []int{50_000, 100_000, 500_000} {
		say(fmt.Sprintf("compression of %d bytes", size))
		compared, err := compress(ctx, compressing.url, o.Text, i, size, o.Duration)
		if err != nil {
			return report, err
		}
		report.Compress = append(report.Compress, compared...)
	}
	return report, nil
}

// reason is an error's text, "" of none.
func reason(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// memory samples a proxy's memory under load.
func memory(ctx context.Context, p *process, d time.Duration) (Memory, error) {
	var m Memory
	body := []byte(`{"model":"m","messages":[{"role":"user","content":"` + string(bytes.Repeat([]byte("rain "), 30_000)) + `"}]}`)
	loading, stop := context.WithCancel(ctx)
	defer stop()
	var done sync.WaitGroup
	var loadErr error
	done.Go(func() {
		var times []float64
		times, _, loadErr = closedLoop(loading, p.url, body, 64, d)
		m.Requests = len(times)
		stop()
	})
	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	for loading.Err() == nil {
		select {
		case <-every.C:
			rss, err := p.rss()
			if err != nil {
				return m, err
			}
			m.RSS = append(m.RSS, rss)
		case <-loading.Done():
		}
	}
	done.Wait()
	return m, loadErr
}

// compress sends bodies of a size: once cold, then with other questions over the same text, then repeated.
func compress(ctx context.Context, target, text string, serial, size int, d time.Duration) ([]Compare, error) {
	document := longText(text, serial, size)
	body := func(question string) []byte {
		return fmt.Appendf(nil, `{"model":"m","messages":[{"role":"user","content":%s}]}`,
			jsonString("<document>\n"+document+"\n</document>\n\n"+question))
	}
	questions := []string{
		"When is a call refused, and who decides it?", "Which lock protects the counter?", "How long does a retry wait?",
		"What happened in the end?", "Where are the limits of the bucket stored?",
	}
	cold, known, repeated := Compare{Bytes: size, Case: "cold"}, Compare{Bytes: size, Case: "new question"}, Compare{Bytes: size, Case: "repeated"}
	if err := cold.measure(ctx, target, body(questions[0])); err != nil {
		return nil, err
	}
	for _, question := range questions[1:] {
		if err := known.measure(ctx, target, body(question)); err != nil {
			return nil, err
		}
	}
	again := body(questions[0])
	for end := time.Now().Add(d); time.Now().Before(end) && len(repeated.Whole) < 1000; {
		if err := repeated.measure(ctx, target, again); err != nil {
			return nil, err
		}
	}
	return []Compare{cold, known, repeated}, nil
}

func (c *Compare) measure(ctx context.Context, target string, body []byte) error {
	start := time.Now()
	resp, err := send(ctx, target, body, nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("compression of %d bytes: status %d: %w", len(body), resp.StatusCode, err)
	}
	c.Whole = append(c.Whole, milliseconds(time.Since(start)))
	overhead, err := strconv.ParseFloat(resp.Header.Get("X-Pith-Overhead-Ms"), 64)
	if err != nil {
		return fmt.Errorf("no overhead in the answer: %w", err)
	}
	c.Overhead = append(c.Overhead, overhead)
	if saved, err := strconv.Atoi(resp.Header.Get("X-Pith-Tokens-Saved")); err == nil && saved > 0 {
		c.Shortened++
	}
	return nil
}
