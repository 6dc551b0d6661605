package proxybench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"
)

// client keeps a connection for each request in flight.
var client = &http.Client{Transport: &http.Transport{MaxIdleConns: 2048, MaxIdleConnsPerHost: 1024, DisableCompression: true}}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Quantile returns the q-quantile of values by nearest rank, 0 of none.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// send posts a chat completion. takes is how long the mock is to take.
func send(ctx context.Context, target string, body []byte, headers map[string]string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	return client.Do(req)
}

// ask sends a request that must be answered well and reads the answer.
func ask(ctx context.Context, target string, body []byte, headers map[string]string) error {
	resp, err := send(ctx, target, body, headers)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %d", resp.StatusCode)
	}
	return nil
}

// openLoop starts requests at a rate and returns how long each took from when it was due, and the rate of answers.
func openLoop(ctx context.Context, target string, body []byte, rate float64, mockTakes, d time.Duration) (times []float64, reached float64, err error) {
	headers := map[string]string{takesHeader: mockTakes.String()}
	count := int(rate * d.Seconds())
	times = make([]float64, count)
	failed := make([]error, count)
	var all sync.WaitGroup
	start := time.Now()
	for i := range count {
		due := start.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		time.Sleep(time.Until(due))
		all.Go(func() {
			failed[i] = ask(ctx, target, body, headers)
			times[i] = milliseconds(time.Since(due))
		})
	}
	all.Wait()
	for _, err := range failed {
		if err != nil {
			return nil, 0, err
		}
	}
	return times, float64(count) / time.Since(start).Seconds(), nil
}

// closedLoop sends requests one after the other on several connections.
func closedLoop(ctx context.Context, target string, body []byte, connections int, d time.Duration) (times []float64, reached float64, err error) {
	var all sync.WaitGroup
	var mu sync.Mutex
	start := time.Now()
	for range connections {
		all.Go(func() {
			var own []float64
			var failed error
			for time.Since(start) < d && failed == nil {
				begin := time.Now()
				failed = ask(ctx, target, body, nil)
				own = append(own, milliseconds(time.Since(begin)))
			}
			mu.Lock()
			defer mu.Unlock()
			times = append(times, own...)
			if failed != nil {
				err = failed
			}
		})
	}
	all.Wait()
	return times, float64(len(times)) / time.Since(start).Seconds(), err
}

// contentOf finds the content of an event, which is when the mock wrote it.
var contentOf = regexp.MustCompile(`"content": ?"(\d+)"`)

// streams reads event streams one after the other. An event holds when it was written, by the clock of this machine.
func streams(ctx context.Context, target string, d time.Duration) (first, events []float64, err error) {
	for start := time.Now(); time.Since(start) < d; {
		begin := time.Now()
		resp, err := send(ctx, target, []byte(`{"model":"m","stream":true,"messages":[{"role":"user","content":"is it raining?"}]}`), nil)
		if err != nil {
			return nil, nil, err
		}
		lines := bufio.NewScanner(resp.Body)
		seen := 0
		for lines.Scan() {
			now := time.Now()
			written := contentOf.FindSubmatch(lines.Bytes())
			if written == nil {
				continue
			}
			nanoseconds, err := strconv.ParseInt(string(written[1]), 10, 64)
			if err != nil {
				_ = resp.Body.Close()
				return nil, nil, err
			}
			if seen == 0 {
				first = append(first, milliseconds(now.Sub(begin)))
			}
			events = append(events, milliseconds(now.Sub(time.Unix(0, nanoseconds))))
			seen++
		}
		_ = resp.Body.Close()
		if lines.Err() != nil || seen != streamEvents {
			return nil, nil, fmt.Errorf("a stream broke after %d events: %w", seen, lines.Err())
		}
	}
	return first, events, nil
}
