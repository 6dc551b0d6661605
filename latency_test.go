package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pith-llm/pith/config"
	"github.com/pith-llm/pith/scoring"
)

// BenchmarkPassThrough measures what a request that pith only forwards waits while large scorings run on all workers:
//
//	go test -run '^$' -bench PassThrough -benchtime 1000x .
func BenchmarkPassThrough(b *testing.B) {
	const answer = `{"choices":[{"message":{"role":"assistant","content":"yes"}}]}`
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	}))
	defer upstream.Close()
	command := parseBenchmark(b)
	command.Scoring.Workers = runtime.GOMAXPROCS(0)
	e, err := newEngine(command.Engine, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	server, err := e.proxy(command.Edge, upstream.URL, slog.New(slog.DiscardHandler), nil, config.Secrets{})
	if err != nil {
		b.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	var served sync.WaitGroup
	served.Go(func() { _ = serveUntilDone(ctx, nil, server, listener) })
	defer served.Wait()
	defer stop()
	url := "http://" + listener.Addr().String() + "/v1/chat/completions"
	const body = `{"model":"m","messages":[{"role":"user","content":"is it raining?"}]}`
	ask := func() time.Duration {
		start := time.Now()
		response, err := http.Post(url, "application/json", strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		took := time.Since(start)
		_ = response.Body.Close()
		if err != nil || string(got) != answer {
			b.Fatalf("answer %q: %v", got, err)
		}
		return took
	}
	measure := func(b *testing.B) {
		ask()
		var waits []time.Duration
		pace := time.NewTicker(5 * time.Millisecond) // so that the requests themselves take little of a core
		defer pace.Stop()
		for b.Loop() {
			<-pace.C
			waits = append(waits, ask())
		}
		slices.Sort(waits)
		at := func(share float64) float64 { return waits[int(share*float64(len(waits)-1))].Seconds() * 1e3 }
		b.ReportMetric(at(0.5), "p50-ms")
		b.ReportMetric(at(0.99), "p99-ms")
		b.ReportMetric(at(1), "worst-ms")
	}
	b.Run("idle", measure)

	lm, err := e.lm()
	if err != nil {
		b.Fatal(err)
	}
	ids := lm.Tokenizer().Encode(nil, strings.Repeat("A request waits while others are scored. ", 400))
	b.Run("scoring", func(b *testing.B) {
		defer keepProcessorFree(&command.Scoring)()
		scoringCtx, stop := context.WithCancel(ctx)
		var scorings sync.WaitGroup
		defer scorings.Wait()
		defer stop()
		tokens := 0
		started := make(chan struct{})
		scorings.Go(func() {
			var many []scoring.Sequence
			for i := range 16 {
				many = append(many, scoring.Sequence{Tokens: ids[i*16 : i*16+256], From: 1})
			}
			close(started)
			for scoringCtx.Err() == nil {
				if _, err := lm.LogProbs(scoringCtx, many); err == nil {
					tokens += 16 * 256
				}
			}
		})
		<-started
		begin := time.Now()
		measure(b)
		stop()
		scorings.Wait()
		b.ReportMetric(float64(tokens)/time.Since(begin).Seconds(), "tokens/s")
	})
}

func parseBenchmark(b *testing.B) serveCommand {
	b.Helper()
	var cli commands
	if _, err := parse(b.Context(), &cli, []string{"serve", "--cache-dir=off"}, nil, streams{}); err != nil {
		b.Fatal(err)
	}
	return cli.Serve
}
