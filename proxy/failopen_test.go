package proxy

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pith-llm/pith/compressors"
)

// failing wraps a compressor that fails whenever fail says so.
func failing(c Compressor, fail func() bool) Compressor {
	return compressorFunc(func(ctx context.Context, in compressors.Input) (compressors.Result, error) {
		if fail() {
			return compressors.Result{}, errors.New("no luck")
		}
		return c.Compress(ctx, in)
	})
}

func longBody(t *testing.T) []byte {
	return []byte(`{"model":"m","messages":[{"role":"user","content":` + encode(t, asking(essay(60, "old mill"))) + `}]}`)
}

func TestFailsOpen(t *testing.T) {
	real := realCompressor(t)
	bent := func(bend func(*compressors.Result)) Compressor {
		return compressorFunc(func(ctx context.Context, in compressors.Input) (compressors.Result, error) {
			result, err := real.Compress(ctx, in)
			bend(&result)
			return result, err
		})
	}
	cases := []struct {
		name       string
		compressor Compressor
	}{
		{"an error", failing(real, func() bool { return true })},
		{"a panic", compressorFunc(func(context.Context, compressors.Input) (compressors.Result, error) { panic("boom") })},
		{"a compressor that waits for its deadline", compressorFunc(func(ctx context.Context, _ compressors.Input) (compressors.Result, error) {
			<-ctx.Done()
			return compressors.Result{}, ctx.Err()
		})},
		{"a result without texts", bent(func(r *compressors.Result) { r.Texts = nil })},
		{"a result that saves nothing", bent(func(r *compressors.Result) { r.Texts[0].TokensOut = r.Texts[0].TokensIn })},
		{"a result whose parts do not tile", bent(func(r *compressors.Result) { r.Texts[0].Parts = r.Texts[0].Parts[1:] })},
		{"a result whose output is another", bent(func(r *compressors.Result) { r.Texts[0].Output += "!" })},
		{"a result beyond its text", bent(func(r *compressors.Result) { r.Texts[0].Parts[len(r.Texts[0].Parts)-1].End += 5 })},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			up := newRecorder(t)
			base := startProxy(t, Options{Upstream: up.URL, Compressor: c.compressor, Deadline: 100 * time.Millisecond})
			body := longBody(t)
			for range 2 {
				resp, answer := post(t, base, body)
				if resp.StatusCode != http.StatusOK || !strings.Contains(string(answer), "answer") {
					t.Errorf("answer: %d %s", resp.StatusCode, answer)
				}
				if !bytes.Equal(up.last(), body) {
					t.Errorf("the body changed: %s", up.last())
				}
				if saved := header(t, resp, "X-Pith-Tokens-Saved"); saved != 0 {
					t.Errorf("saved %d", saved)
				}
			}
		})
	}
	t.Run("a deadline that the compressor does not keep", func(t *testing.T) {
		up := newRecorder(t)
		release := make(chan struct{})
		defer close(release)
		base := startProxy(t, Options{Upstream: up.URL, Deadline: 50 * time.Millisecond, Compressor: compressorFunc(
			func(context.Context, compressors.Input) (compressors.Result, error) {
				<-release
				return compressors.Result{}, nil
			})})
		body := longBody(t)
		post(t, base, body)
		if !bytes.Equal(up.last(), body) {
			t.Error("the body changed")
		}
	})
}

func TestReplaysARefusedRequestOnce(t *testing.T) {
	cases := []struct {
		name     string
		statuses []int // of the upstream, in order
		want     int
		requests int
	}{
		{"refused, then taken", []int{400, 200}, 200, 2},
		{"refused twice", []int{422, 422}, 422, 2},
		{"too large", []int{413, 200}, 200, 2},
		{"unauthorized", []int{401}, 401, 1},
		{"forbidden", []int{403}, 403, 1},
		{"not found", []int{404}, 404, 1},
		{"timeout", []int{408}, 408, 1},
		{"rate", []int{429}, 429, 1},
		{"server error", []int{500}, 500, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			up := newRecorder(t)
			up.status = func(n int) int { return c.statuses[min(n, len(c.statuses)-1)] }
			base := startProxy(t, Options{Upstream: up.URL, Compressor: realCompressor(t), CountTokens: countTokens})
			body := longBody(t)
			resp, _ := post(t, base, body)
			got := up.received()
			if resp.StatusCode != c.want || len(got) != c.requests {
				t.Fatalf("status %d after %d requests, want %d after %d", resp.StatusCode, len(got), c.want, c.requests)
			}
			if bytes.Equal(got[0], body) {
				t.Error("the first request was not shortened")
			}
			if c.requests == 2 && (!bytes.Equal(got[1], body) || header(t, resp, "X-Pith-Tokens-Saved") != 0) {
				t.Errorf("the second request was not the original, or saved %s", resp.Header.Get("X-Pith-Tokens-Saved"))
			}
		})
	}
	t.Run("a text that was refused stays as it is", func(t *testing.T) {
		up := newRecorder(t)
		up.status = func(n int) int { return []int{400, 200, 200}[n] }
		base := startProxy(t, Options{Upstream: up.URL, Compressor: realCompressor(t)})
		body := longBody(t)
		post(t, base, body)
		post(t, base, body)
		if got := up.received(); len(got) != 3 || !bytes.Equal(got[2], body) {
			t.Errorf("%d requests", len(got))
		}
	})
	t.Run("an unchanged request is not sent again", func(t *testing.T) {
		up := newRecorder(t)
		up.status = func(int) int { return 400 }
		base := startProxy(t, Options{Upstream: up.URL, Compressor: realCompressor(t)})
		post(t, base, []byte(`{"messages":[]}`))
		if n := len(up.received()); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

// kept is a result that elides all but the first byte of its text.
func kept(in compressors.Input) compressors.Result {
	text := in.Texts[0].Content
	return compressors.Result{Texts: []compressors.TextResult{{
		Output: text[:1], TokensIn: 2, TokensOut: 1, Parts: []compressors.Part{{Start: 0, End: len(text)}},
	}}}
}

func TestMemo(t *testing.T) {
	input := compressors.Input{Query: "q", Texts: []compressors.Text{{Content: "some text"}}}
	t.Run("shares work in flight and remembers it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			m := newMemo(1<<20, time.Minute, func(_ context.Context, in compressors.Input) (compressors.Result, error) {
				calls++
				time.Sleep(time.Second)
				return kept(in), nil
			})
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					if _, out := m.do(t.Context(), input); out.err != nil || len(out.result.Texts) != 1 {
						t.Errorf("outcome %+v", out)
					}
				})
			}
			wg.Wait()
			if _, out := m.do(t.Context(), input); !out.cached || calls != 1 {
				t.Errorf("cached %v after %d calls", out.cached, calls)
			}
		})
	})
	t.Run("a request that gives up settles the turn for all", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := newMemo(1<<20, time.Minute, func(_ context.Context, in compressors.Input) (compressors.Result, error) {
				time.Sleep(10 * time.Second)
				return kept(in), nil
			})
			var wg sync.WaitGroup
			for _, patience := range []time.Duration{time.Second, 30 * time.Second} {
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					if _, out := m.do(ctx, input); !errors.Is(out.err, errDeadline) {
						t.Errorf("after %v: %+v", patience, out)
					}
				})
			}
			wg.Wait()
			if _, out := m.do(t.Context(), input); !errors.Is(out.err, errDeadline) || !out.cached {
				t.Errorf("later: %+v", out)
			}
		})
	})
	t.Run("a client that leaves settles nothing and stops the work", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			stopped := false
			m := newMemo(1<<20, time.Minute, func(ctx context.Context, in compressors.Input) (compressors.Result, error) {
				select {
				case <-ctx.Done():
					stopped = true
					return compressors.Result{}, ctx.Err()
				case <-time.After(10 * time.Second):
					return kept(in), nil
				}
			})
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			if _, out := m.do(ctx, input); !errors.Is(out.err, context.Canceled) {
				t.Errorf("outcome %+v", out)
			}
			synctest.Wait()
			if !stopped {
				t.Error("the work goes on")
			}
			if _, out := m.do(t.Context(), input); out.err != nil {
				t.Errorf("later: %v", out.err)
			}
		})
	})
	t.Run("forgets the longest unused beyond its limit", func(t *testing.T) {
		calls := 0
		m := newMemo(1000, time.Minute, func(_ context.Context, in compressors.Input) (compressors.Result, error) {
			calls++
			return kept(in), nil
		})
		ask := func(query string) {
			in := input
			in.Query = query
			m.do(t.Context(), in)
		}
		for _, query := range []string{"a", "b", "a", "c", "d", "a"} { // "b" goes first
			ask(query)
		}
		if calls != 4 {
			t.Errorf("%d compressions, want 4", calls)
		}
		if m.bytes > 1000 || len(m.entries) != m.recent.Len() {
			t.Errorf("%d bytes in %d and %d entries", m.bytes, len(m.entries), m.recent.Len())
		}
		ask("b")
		if calls != 5 {
			t.Errorf("%d compressions, want 5", calls)
		}
	})
	t.Run("keys tell inputs apart", func(t *testing.T) {
		seen := map[string]bool{}
		for _, in := range []compressors.Input{
			{Query: "ab", Texts: []compressors.Text{{Content: "c"}}},
			{Query: "a", Texts: []compressors.Text{{Content: "bc"}}},
			{Query: "a", Texts: []compressors.Text{{Content: "b"}, {Content: "c"}}},
			{Query: "a", Texts: []compressors.Text{{Name: "b", Content: "c"}}},
			{Query: "a", Texts: []compressors.Text{{Language: "b", Content: "c"}}},
			{Query: "ab", Texts: []compressors.Text{{Content: "c"}}, Budget: compressors.Budget{Tokens: 1}},
			{Query: "ab", Texts: []compressors.Text{{Content: "c"}}, Budget: compressors.Budget{Rate: 0.5}},
		} {
			seen[keyOf(in).String()] = true
		}
		if len(seen) != 7 {
			t.Errorf("%d keys of 7 inputs", len(seen))
		}
	})
}
