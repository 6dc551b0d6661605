package proxybench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
)

// Soak is the resident memory of a pith with its models loaded, over a time of mixed traffic at a low rate.
type Soak struct {
	Samples []SoakSample `json:"samples"`
	// Requests by kind, and how many of them were shortened.
	Requests  map[string]int `json:"requests"`
	Shortened int            `json:"shortened"`
}

// SoakSample is the state at one time.
type SoakSample struct {
	Minutes  float64 `json:"minutes"`
	Requests int     `json:"requests"`
	RSS      float64 `json:"rss_mib"`
}

const (
	// soakSamples is how many times memory is read.
	soakSamples = 30
	// soakPause is between two requests.
	soakPause = 500 * time.Millisecond
)

// soakSettings bound the caches of models so that they are full within minutes, and give up nothing on a busy machine.
var soakSettings = []string{"--mode=on", "--compression-deadline=5m", "--client-timeout=1h", "--cache-kv-mib=64", "--cache-scores-mib=8"}

// RunSoak starts a pith with small caches and sends it, one request after the other, until d has passed, but at least once: a
// text it has not seen, another question about it, that request again, a long body and a short one that are only forwarded, and
// a stream.
func RunSoak(ctx context.Context, o Options, d time.Duration) (Soak, error) {
	soak := Soak{Requests: map[string]int{}}
	mock := startMock()
	defer mock.stop()
	p, err := startPith(ctx, o.Binary, append(soakSettings, "--upstream="+mock.url)...)
	if err != nil {
		return soak, err
	}
	defer p.stop()
	start := time.Now()
	total := 0
	sample := func() error {
		rss, err := p.rss()
		if err != nil {
			return err
		}
		soak.Samples = append(soak.Samples, SoakSample{time.Since(start).Minutes(), total, rss})
		if o.Progress != nil {
			fmt.Fprintf(o.Progress, "%.1f minutes, %d requests, %.0f MiB\n", time.Since(start).Minutes(), total, rss)
		}
		return nil
	}
	pause := time.NewTicker(soakPause)
	defer pause.Stop()
	long := append(append([]byte(`{"model":"m","messages":[{"role":"user","content":`), jsonString(longText(o.Text, 0, 150_000))...), "}]}"...)
	short := []byte(`{"model":"m","messages":[{"role":"user","content":"is it raining?"}]}`)
	forwarded := map[string]string{"X-Pith-Mode": "off"}
	for round := 1; round == 1 || time.Since(start) < d; round++ {
		document := "<document>\n" + longText(o.Text, round, 12_000) + "\n</document>\n\n"
		question := func(text, more string) []byte {
			return fmt.Appendf(nil, `{"model":"m"%s,"messages":[{"role":"user","content":%s}]}`, more, jsonString(document+text))
		}
		known := question("Which lock protects the counter?", "")
		for _, request := range []struct {
			kind    string
			body    []byte
			headers map[string]string
		}{
			{"new text", question("When is a call refused, and who decides it?", ""), nil},
			{"new question", known, nil},
			{"repeated", known, nil},
			{"forwarded, 150 KB", long, forwarded},
			{"forwarded", short, nil},
			{"stream", question("Which lock protects the counter?", `,"stream":true`), nil},
		} {
			for len(soak.Samples) < soakSamples && time.Since(start) >= time.Duration(len(soak.Samples))*d/soakSamples {
				if err := sample(); err != nil {
					return soak, err
				}
			}
			saved, err := soakRequest(ctx, p.url, request.body, request.headers)
			if err != nil {
				return soak, fmt.Errorf("%s: %w", request.kind, err)
			}
			total++
			soak.Requests[request.kind]++
			if saved > 0 {
				soak.Shortened++
			}
			select {
			case <-pause.C:
			case <-ctx.Done():
				return soak, ctx.Err()
			}
		}
	}
	return soak, sample()
}

// soakRequest sends a request, reads its answer, and returns the tokens that were saved.
func soakRequest(ctx context.Context, target string, body []byte, headers map[string]string) (saved int, err error) {
	resp, err := send(ctx, target, body, headers)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("answered %d", resp.StatusCode)
	}
	return strconv.Atoi(resp.Header.Get("X-Pith-Tokens-Saved"))
}

// WriteText writes the samples as a table, and what memory did once the caches had filled.
func (s Soak) WriteText(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "minutes\trequests\tresident MiB")
	var later []float64
	for i, sample := range s.Samples {
		fmt.Fprintf(table, "%.1f\t%d\t%.0f\n", sample.Minutes, sample.Requests, sample.RSS)
		if i >= len(s.Samples)/2 {
			later = append(later, sample.RSS)
		}
	}
	fmt.Fprintf(table, "\nsecond half: %.0f to %.0f MiB, at first %.0f, in the end %.0f; %d requests were shortened\n",
		slices.Min(later), slices.Max(later), later[0], later[len(later)-1], s.Shortened)
	for _, kind := range []string{"new text", "new question", "repeated", "forwarded, 150 KB", "forwarded", "stream"} {
		fmt.Fprintf(table, "%s\t%d requests\n", kind, s.Requests[kind])
	}
	return table.Flush()
}
