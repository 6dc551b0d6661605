package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
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

func TestABrokenAnswerIsRelayedAsBroken(t *testing.T) {
	for _, c := range []struct{ name, head, body string }{
		{"in an event stream", "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n", "f\r\ndata: {\"n\":1}\n\n\r\n"},
		{"inside a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "ff\r\ndata: {\"n\":1}\n\n"},
		{"before the stated length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", "data: {\"n\":1}\n\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			base := upstreamOf(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				conn, buffered, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				fmt.Fprint(buffered, c.head, c.body)
				_ = buffered.Flush()
				_ = conn.Close()
			})
			resp := do(t, http.MethodPost, base+chatPath, strings.NewReader(`{"messages":[]}`))
			got, err := io.ReadAll(resp.Body)
			if err == nil {
				t.Errorf("the answer ended as if it were whole: %q", got)
			}
			if string(got) != "data: {\"n\":1}\n\n" {
				t.Errorf("received %q", got)
			}
		})
	}
	t.Run("before the head", func(t *testing.T) {
		var requests atomic.Int32
		base := upstreamOf(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			requests.Add(1)
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.Close()
		})
		resp, answer := post(t, base, []byte(`{"messages":[]}`))
		if resp.StatusCode != http.StatusBadGateway || !strings.Contains(string(answer), "upstream_broken") {
			t.Errorf("%d %s", resp.StatusCode, answer)
		}
		if n := requests.Load(); n != 1 {
			t.Errorf("the request was sent %d times", n)
		}
	})
}

func TestAClientThatLeavesStopsTheUpstream(t *testing.T) {
	for _, c := range []struct {
		name string
		head bool // sent before the client leaves
		path string
	}{
		{"before the head", false, chatPath},
		{"in the middle of a stream", true, chatPath},
		{"on another path", false, "/v1/responses"},
	} {
		t.Run(c.name, func(t *testing.T) {
			arrived, stopped := make(chan struct{}), make(chan struct{})
			base := upstreamOf(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if c.head {
					fmt.Fprint(w, "data: 1\n\n")
					w.(http.Flusher).Flush()
				}
				close(arrived)
				<-r.Context().Done()
				close(stopped)
			})
			ctx, leave := context.WithCancel(t.Context())
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+c.path, strings.NewReader(`{"messages":[]}`))
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				<-arrived
				leave()
			}()
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the client saw %v", err)
			}
			<-stopped
		})
	}
}
