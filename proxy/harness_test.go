package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pith-llm/pith/compressors"
)

// countTokens is a tokenizer simple enough to check by hand: four bytes a token, at least one a text.
func countTokens(text string) int { return (len(text) + 3) / 4 }

// overlap scores a segment by how many of the query's words it holds.
func overlap(_ context.Context, query string, candidates []compressors.Candidate) (compressors.Scores, error) {
	words := strings.Fields(strings.ToLower(query))
	scores := compressors.Scores{Scores: make([]compressors.Score, len(candidates))}
	for i, c := range candidates {
		text := strings.ToLower(c.Text)
		for _, word := range words {
			if len(word) > 3 && strings.Contains(text, strings.Trim(word, "?.,`")) {
				scores.Scores[i].Value++
			}
		}
		scores.Scores[i].Terms = []compressors.Term{{Name: "overlap", Value: scores.Scores[i].Value}}
	}
	return scores, nil
}

// realCompressor is the compressor of the product with a scorer that needs no model.
func realCompressor(t testing.TB) *compressors.Compressor {
	t.Helper()
	c, err := compressors.New(compressors.Options{
		Scorer: compressors.ScorerFunc(overlap), CountTokens: countTokens, MinTokens: 100, DefaultRate: 0.4, Verify: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// compressorFunc lets a function be a Compressor.
type compressorFunc func(context.Context, compressors.Input) (compressors.Result, error)

func (f compressorFunc) Compress(ctx context.Context, in compressors.Input) (compressors.Result, error) {
	return f(ctx, in)
}

// recorder is an upstream that keeps what it was sent and answers like the API.
type recorder struct {
	*httptest.Server

	mu       sync.Mutex
	bodies   [][]byte
	requests []*http.Request
	status   func(n int) int // of the n-th request, from 0; nil is always 200
}

func newRecorder(t testing.TB) *recorder {
	t.Helper()
	r := &recorder{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		r.mu.Lock()
		n := len(r.bodies)
		r.bodies = append(r.bodies, body)
		r.requests = append(r.requests, req)
		r.mu.Unlock()
		status := http.StatusOK
		if r.status != nil {
			status = r.status(n)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"answer %d"},"finish_reason":"stop"}]}`, n)
	}))
	t.Cleanup(r.Close)
	return r
}

// last returns the body that was received last.
func (r *recorder) last() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bodies[len(r.bodies)-1]
}

func (r *recorder) received() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([][]byte(nil), r.bodies...)
}

// startProxy serves a proxy on a loopback port and returns its base URL.
func startProxy(t testing.TB, o Options) string {
	t.Helper()
	s, err := NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, s)
}

// serve serves s until the test ends.
func serve(t testing.TB, s *Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return "http://" + l.Addr().String()
}

// post sends a chat completion with header name and value pairs.
func post(t testing.TB, base string, body []byte, headers ...string) (*http.Response, []byte) {
	t.Helper()
	return postTo(t, base+chatPath, body, headers...)
}

// postTo sends a request of any dialect.
func postTo(t testing.TB, url string, body []byte, headers ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, answer
}

// encode is JSON without HTML escapes, as clients write it.
func encode(t testing.TB, v any) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// essay is n paragraphs of prose, of which one tells that the treasure lies under the named place.
func essay(n int, place string) string {
	var b strings.Builder
	for i := range n {
		if i == n/2 {
			fmt.Fprintf(&b, "The treasure of captain Wren lies buried under the %s, three paces to the north.\n\n", place)
			continue
		}
		fmt.Fprintf(&b, "Paragraph %d speaks of tides, of ropes and of weather, \"quoted\" and tab\tbed, "+
			"and of nothing else that anybody would ever ask about; its number is %d.\n\n", i, i*i)
	}
	return b.String()
}

// logTo returns a logger that writes to w.
func logTo(w io.Writer) *slog.Logger { return slog.New(slog.NewJSONHandler(w, nil)) }

// lockedBuffer is a buffer that a logger and a test may share.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
