package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// upstreamOf serves a handler as the upstream of a new proxy and returns the proxy's base URL.
func upstreamOf(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	return upstreamWith(t, Options{Compressor: realCompressor(t)}, handler)
}

// upstreamWith is upstreamOf with other options.
func upstreamWith(t *testing.T, o Options, handler http.HandlerFunc) string {
	t.Helper()
	up := httptest.NewServer(handler)
	t.Cleanup(up.Close)
	o.Upstream = up.URL
	return startProxy(t, o)
}

// do sends a request that must be answered.
func do(t *testing.T, method, url string, body io.Reader) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func TestEachEventArrivesBeforeTheNextIsSent(t *testing.T) {
	const events = 20
	for _, c := range []struct {
		name, length string
	}{
		{"chunked", ""},
		{"of stated length", fmt.Sprint(events * len("data: {\"n\":00}\n\n"))},
	} {
		t.Run(c.name, func(t *testing.T) {
			arrived := make(chan int)
			base := upstreamOf(t, func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					return
				}
				w.Header().Set("Content-Type", "text/event-stream")
				if c.length != "" {
					w.Header().Set("Content-Length", c.length)
				}
				w.WriteHeader(http.StatusOK)
				w.(http.Flusher).Flush()
				for i := range events {
					fmt.Fprintf(w, "data: {\"n\":%02d}\n\n", i)
					w.(http.Flusher).Flush()
					select {
					case n := <-arrived:
						if n != i {
							t.Errorf("event %d arrived in place of %d", n, i)
						}
					case <-r.Context().Done():
						return
					}
				}
			})
			resp := do(t, http.MethodPost, base+chatPath, bytes.NewReader(longBody(t)))
			if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
				t.Errorf("content type %q", got)
			}
			reader := bufio.NewReader(resp.Body)
			for i := range events {
				line, err := reader.ReadString('\n')
				if err != nil || line != fmt.Sprintf("data: {\"n\":%02d}\n", i) {
					t.Fatalf("event %d: %q, %v", i, line, err)
				}
				if line, err = reader.ReadString('\n'); err != nil || line != "\n" {
					t.Fatalf("event %d: %q, %v", i, line, err)
				}
				arrived <- i
			}
			if rest, err := io.ReadAll(reader); err != nil || len(rest) != 0 {
				t.Errorf("after the last event: %q, %v", rest, err)
			}
		})
	}
}

func TestStreamsBodiesUp(t *testing.T) {
	const pieces = 10
	for _, c := range []struct {
		name   string
		length int64
	}{
		{"chunked", -1},
		{"of stated length", pieces * 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := make(chan string)
			base := upstreamOf(t, func(w http.ResponseWriter, r *http.Request) {
				if r.ContentLength != c.length {
					t.Errorf("content length %d, want %d", r.ContentLength, c.length)
				}
				piece := make([]byte, 4)
				for {
					if _, err := io.ReadFull(r.Body, piece); err != nil {
						break
					}
					got <- string(piece)
				}
				fmt.Fprint(w, "done")
			})
			reader, writer := io.Pipe()
			go func() {
				for i := range pieces {
					want := fmt.Sprintf("%04d", i)
					fmt.Fprint(writer, want)
					if piece := <-got; piece != want { // before the next is sent
						t.Errorf("piece %q in place of %q", piece, want)
					}
				}
				_ = writer.Close()
			}()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, base+"/v1/files/a", reader)
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = c.length
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if answer, err := io.ReadAll(resp.Body); err != nil || string(answer) != "done" {
				t.Errorf("answer %q, %v", answer, err)
			}
		})
	}
}

func TestAnswersWhileTheBodyIsStillSent(t *testing.T) {
	base := upstreamOf(t, func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			fmt.Fprintln(w, strings.ToUpper(lines.Text()))
			w.(http.Flusher).Flush()
		}
	})
	reader, writer := io.Pipe()
	resp := do(t, http.MethodPost, base+"/echo", reader)
	answers := bufio.NewReader(resp.Body)
	for i := range 5 {
		fmt.Fprintf(writer, "line %d\n", i)
		if line, err := answers.ReadString('\n'); err != nil || line != fmt.Sprintf("LINE %d\n", i) {
			t.Fatalf("line %d: %q, %v", i, line, err)
		}
	}
	_ = writer.Close()
	if rest, err := io.ReadAll(answers); err != nil || len(rest) != 0 {
		t.Errorf("at the end: %q, %v", rest, err)
	}
}
