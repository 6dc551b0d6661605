package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sashabaranov/go-openai"

	"github.com/pith-llm/pith/compressors"
)

// upstreamOf serves a handler as the upstream of a new proxy and returns the proxy's base URL.
func upstreamOf(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	up := httptest.NewServer(handler)
	t.Cleanup(up.Close)
	base := startProxy(t, Options{Upstream: up.URL, Compressor: realCompressor(t)})
	return base
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

func TestOtherRequestsPassRaw(t *testing.T) {
	type seen struct {
		method, uri, host, body string
		header                  http.Header
	}
	var last seen
	base := upstreamOf(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		last = seen{r.Method, r.RequestURI, r.Host, string(body), r.Header}
		w.Header()["x-Odd-CASE"] = []string{"a", "b"}
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "1")
		w.Header().Set("X-Pith-Saved", "forged")
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTeapot)
		if r.Method != http.MethodHead {
			fmt.Fprint(w, "not gzip at all")
		}
	})
	for _, c := range []struct{ method, uri, body string }{
		{"GET", "/v1/models?key=a%2Fb&x", ""},
		{"HEAD", "/api/hello", ""},
		{"DELETE", "/v1/files/%2e%2e/a//b;c", ""},
		{"POST", "/v1/chat/completions/", `{"messages":[{"role":"user","content":"` + strings.Repeat("long ", 2000) + `"}]}`},
		{"POST", "/v1/embeddings", ""},
		{"PATCH", "/v1/x?", "patch"},
		{"GET", "/v1/chat/completions", ""},
	} {
		t.Run(c.method+" "+c.uri, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), c.method, base, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			req.URL.Opaque = c.uri
			req.Header.Set("X-Pith-Mode", "whatever")
			req.Header.Set("Connection", "X-Mine")
			req.Header.Set("X-Mine", "1")
			req.Header.Set("Proxy-Authorization", "Basic x")
			req.Header.Set("Authorization", "Bearer key")
			req.Header.Set("anthropic-beta", "a,b")
			req.Header.Set("Accept-Encoding", "identity")
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			answer, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if last.method != c.method || last.uri != c.uri || last.body != c.body {
				t.Errorf("the upstream received %s %s %q", last.method, last.uri, last.body)
			}
			if !strings.HasPrefix(last.host, "127.0.0.1:") || "http://"+last.host == base {
				t.Errorf("host %q", last.host)
			}
			for _, name := range []string{"X-Pith-Mode", "X-Mine", "Proxy-Authorization", "Content-Type"} {
				if value, ok := last.header[name]; ok {
					t.Errorf("the upstream received %s: %q", name, value)
				}
			}
			if last.header.Get("Authorization") != "Bearer key" || last.header.Get("Anthropic-Beta") != "a,b" {
				t.Errorf("the upstream received %v", last.header)
			}
			want := "not gzip at all"
			if c.method == http.MethodHead {
				want = ""
			}
			if resp.StatusCode != http.StatusTeapot || string(answer) != want || resp.Header.Get("Retry-After") != "7" {
				t.Errorf("answer %d %q %v", resp.StatusCode, answer, resp.Header)
			}
			if got := resp.Header.Values("X-Odd-Case"); len(got) != 2 {
				t.Errorf("repeated header: %q", got)
			}
			if resp.Header.Get("X-Hop") != "" || resp.Header.Get("X-Pith-Saved") != "" {
				t.Errorf("the client received %v", resp.Header)
			}
		})
	}
}

// exchangeRaw writes raw bytes to the proxy and returns its answer.
func exchangeRaw(t *testing.T, base, raw string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	fmt.Fprint(conn, raw)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestTheUpstreamNeverComesFromTheRequest(t *testing.T) {
	var uri, host string
	base := upstreamOf(t, func(w http.ResponseWriter, r *http.Request) { uri, host = r.RequestURI, r.Host })
	for _, target := range []string{"http://evil.example/v1/models?a", "/v1/models?a"} {
		resp := exchangeRaw(t, base, "GET "+target+" HTTP/1.1\r\nHost: evil.example\r\n\r\n")
		if resp.StatusCode != http.StatusOK || uri != "/v1/models?a" || strings.Contains(host, "evil") {
			t.Errorf("%s: %d, the upstream received %s of %s", target, resp.StatusCode, uri, host)
		}
	}
	resp := exchangeRaw(t, base, "GET //evil.example/x HTTP/1.1\r\nHost: a\r\n\r\n")
	if resp.StatusCode != http.StatusOK || uri != "//evil.example/x" {
		t.Errorf("%d, the upstream received %s", resp.StatusCode, uri)
	}
}

func TestAnswersThatHaveNoBody(t *testing.T) {
	status := 0
	base := upstreamOf(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	for _, status = range []int{204, 304, 200, 307} {
		resp := do(t, http.MethodGet, base+"/x", nil)
		if body, err := io.ReadAll(resp.Body); err != nil || len(body) != 0 || resp.StatusCode != status {
			t.Errorf("%d: %d %q %v", status, resp.StatusCode, body, err)
		}
	}
}

func TestOlderAndRarerClients(t *testing.T) {
	base := upstreamOf(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		for _, name := range []string{"Expect", "Upgrade", "Http2-Settings"} {
			if value := r.Header.Get(name); value != "" {
				t.Errorf("the upstream received %s: %s", name, value)
			}
		}
		w.(http.Flusher).Flush() // of unknown length
		fmt.Fprintf(w, "%s %s", r.URL.Path, body)
	})
	for name, c := range map[string]struct{ raw, want string }{
		"HTTP/1.0":                  {"GET /a HTTP/1.0\r\n\r\n", "/a "},
		"HTTP/1.0 with a body":      {"POST " + chatPath + " HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}", chatPath + " {}"},
		"an offer of HTTP/2":        {"GET /b HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n", "/b "},
		"expectations":              {"POST /c HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", "/c hi"},
		"expectations of a chat":    {"POST " + chatPath + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}", chatPath + " {}"},
		"two requests in one piece": {"GET /d HTTP/1.1\r\nHost: a\r\n\r\nGET /e HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "/d /e "},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			fmt.Fprint(conn, c.raw)
			reader := bufio.NewReader(conn)
			var got string
			for len(got) < len(c.want) {
				resp, err := http.ReadResponse(reader, nil)
				if err != nil {
					t.Fatalf("after %q: %v", got, err)
				}
				if resp.StatusCode == http.StatusContinue {
					continue
				}
				body, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Fatalf("%d %q %v", resp.StatusCode, body, err)
				}
				got += string(body)
			}
			if got != c.want {
				t.Errorf("received %q, want %q", got, c.want)
			}
			if rest, err := io.ReadAll(reader); err != nil || len(rest) != 0 {
				t.Errorf("after the last answer: %q, %v", rest, err)
			}
		})
	}
}

func TestAnEarlyAnswerEndsAnUpload(t *testing.T) {
	base := upstreamOf(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusInsufficientStorage)
		fmt.Fprint(w, "full")
	})
	for _, framing := range []string{"Content-Length: 1000000\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"} {
		resp := exchangeRaw(t, base, "PUT /v1/files/a HTTP/1.1\r\nHost: a\r\n"+framing)
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "full" || resp.StatusCode != http.StatusInsufficientStorage {
			t.Errorf("%d %q %v", resp.StatusCode, body, err)
		}
	}
}

func TestUpgradesAreRefusedClearly(t *testing.T) {
	base := upstreamOf(t, func(http.ResponseWriter, *http.Request) { t.Error("the upstream was asked") })
	resp := exchangeRaw(t, base, "GET /v1/responses HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusUpgradeRequired || !strings.Contains(string(body), "upgrade_not_supported") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestBodyLimit(t *testing.T) {
	up := newRecorder(t)
	base := startProxy(t, Options{Upstream: up.URL, MaxBody: 1 << 20})
	for _, chunked := range []bool{false, true} {
		for size, want := range map[int]int{1 << 20: http.StatusOK, 1<<20 + 1: http.StatusRequestEntityTooLarge, 5 << 20: http.StatusRequestEntityTooLarge} {
			var body io.Reader = bytes.NewReader(bytes.Repeat([]byte{'['}, size))
			if chunked {
				body = struct{ io.Reader }{body}
			}
			resp := do(t, http.MethodPost, base+chatPath, body)
			answer, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != want {
				t.Errorf("%d bytes, chunked %v: %d %v", size, chunked, resp.StatusCode, err)
			}
			if want != http.StatusOK && !strings.Contains(string(answer), `"request_too_large"`) {
				t.Errorf("answer %s", answer)
			}
		}
	}
	resp := do(t, http.MethodPost, base+"/v1/files", bytes.NewReader(make([]byte, 5<<20)))
	if resp.StatusCode != http.StatusOK || len(up.last()) != 5<<20 {
		t.Errorf("an upload to another path: %d, %d bytes", resp.StatusCode, len(up.last()))
	}
}

func TestABodyThatBreaksOffNeverLooksWhole(t *testing.T) {
	for _, path := range []string{chatPath, "/v1/files"} {
		for _, framing := range []string{"Content-Length: 100\r\n\r\n{\"messages\":", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"} {
			whole := make(chan error, 1)
			up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, err := io.ReadAll(r.Body)
				whole <- err
			}))
			base := startProxy(t, Options{Upstream: up.URL})
			conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(conn, "POST "+path+" HTTP/1.1\r\nHost: a\r\n"+framing)
			_ = conn.(*net.TCPConn).CloseWrite()
			_, _ = io.ReadAll(conn)
			_ = conn.Close()
			up.Close()
			select {
			case err := <-whole:
				if err == nil {
					t.Errorf("%s, %q: the upstream read a whole body", path, framing)
				}
			default: // nothing was sent at all
			}
		}
	}
}

func TestTimeouts(t *testing.T) {
	quit := make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			fmt.Fprint(w, "begin")
			w.(http.Flusher).Flush()
		}
		<-quit
	}))
	t.Cleanup(up.Close)
	t.Cleanup(func() { close(quit) })
	base := startProxy(t, Options{Upstream: up.URL, HeaderTimeout: 50 * time.Millisecond, IdleTimeout: 50 * time.Millisecond})
	resp, answer := post(t, base, []byte(`{}`))
	if resp.StatusCode != http.StatusGatewayTimeout || !strings.Contains(string(answer), "upstream_timeout") {
		t.Errorf("%d %s", resp.StatusCode, answer)
	}
	streamed := do(t, http.MethodGet, base+"/stream", nil)
	if got, err := io.ReadAll(streamed.Body); err == nil || string(got) != "begin" {
		t.Errorf("received %q, %v", got, err)
	}
}

func TestUnreachableUpstream(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	base := startProxy(t, Options{Upstream: "http://" + l.Addr().String()})
	resp, answer := post(t, base, []byte(`{}`))
	if resp.StatusCode != http.StatusBadGateway || !strings.Contains(string(answer), "upstream_unreachable") {
		t.Errorf("%d %s", resp.StatusCode, answer)
	}
}

func TestStaleConnectionsAreNotUsed(t *testing.T) {
	requests, closed := 0, make(chan struct{}, 10)
	up := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		requests++
	}))
	up.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	up.Start()
	t.Cleanup(up.Close)
	base := startProxy(t, Options{Upstream: up.URL, KeepAlive: time.Minute})
	for i := range 5 {
		if resp, answer := post(t, base, []byte(`{}`)); resp.StatusCode != http.StatusOK {
			t.Fatalf("request %d: %d %s", i, resp.StatusCode, answer)
		}
		up.CloseClientConnections()
		<-closed
	}
	if requests != 5 {
		t.Errorf("%d requests, want 5", requests)
	}
}

func TestHTTPSUpstreamUnderAPath(t *testing.T) {
	var uri string
	up := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		uri = r.RequestURI
		_, _ = io.Copy(w, r.Body)
	}))
	t.Cleanup(up.Close)
	roots := x509.NewCertPool()
	roots.AddCert(up.Certificate())
	for _, path := range []string{"/api", "/api/", "/api/v1", "/api/v1/"} {
		base := startProxy(t, Options{Upstream: up.URL + path, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
		for range 2 { // the second time over a pooled connection
			resp, answer := post(t, base, []byte(`{"a":1}`))
			if resp.StatusCode != http.StatusOK || string(answer) != `{"a":1}` || uri != "/api/v1/chat/completions" {
				t.Errorf("%s: %d %s at %s", path, resp.StatusCode, answer, uri)
			}
		}
	}
	base := startProxy(t, Options{Upstream: up.URL})
	if resp, _ := post(t, base, []byte(`{}`)); resp.StatusCode != http.StatusBadGateway {
		t.Errorf("an unknown certificate: %d", resp.StatusCode)
	}
}

func TestShutdownBreaksOffWhatDoesNotEnd(t *testing.T) {
	arrived, stopped := make(chan struct{}), make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(arrived)
		<-r.Context().Done()
		close(stopped)
	}))
	t.Cleanup(up.Close)
	s, err := NewServer(Options{Upstream: up.URL})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	go func() {
		resp, err := http.Post("http://"+l.Addr().String()+chatPath, "application/json", strings.NewReader("{}")) //nolint:noctx // broken off by the server
		if err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-arrived
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shutdown: %v", err)
	}
	<-stopped
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
}

func TestGoOpenAIClient(t *testing.T) {
	base := upstreamOf(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if !bytes.Contains(body, []byte(`"stream":true`)) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"id":"a","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"%d bytes"},"finish_reason":"stop"}]}`, len(body))
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for _, word := range []string{"under ", "the ", "mill"} {
			fmt.Fprintf(w, "data: {\"id\":\"a\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%q}}]}\n\n", word)
			w.(http.Flusher).Flush()
		}
		fmt.Fprint(w, "data: [DONE]\n\n")
	})
	config := openai.DefaultConfig("key")
	config.BaseURL = base + "/v1"
	client := openai.NewClientWithConfig(config)
	request := openai.ChatCompletionRequest{
		Model:    "m",
		Messages: []openai.ChatCompletionMessage{{Role: "user", Content: asking(essay(60, "mill"))}},
	}
	answer, err := client.CreateChatCompletion(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if _, err := fmt.Sscanf(answer.Choices[0].Message.Content, "%d bytes", &n); err != nil || n > len(essay(60, "mill"))*2/3 {
		t.Errorf("answer %q", answer.Choices[0].Message.Content)
	}
	if answer.Header().Get("X-Pith-Saved") == "" {
		t.Error("no X-Pith-Saved header")
	}
	stream, err := client.CreateChatCompletionStream(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	var text strings.Builder
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(part.Choices[0].Delta.Content)
	}
	if text.String() != "under the mill" {
		t.Errorf("streamed %q", text.String())
	}
}

func TestSecretsStayOutOfTheLog(t *testing.T) {
	var log lockedBuffer
	status := http.StatusOK
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/break" {
			conn, buffered, err := w.(http.Hijacker).Hijack()
			if err == nil {
				fmt.Fprint(buffered, "HTTP/1.1 200 OK\r\nhunter2 hunter2\r\n\r\n")
				_ = buffered.Flush()
				_ = conn.Close()
			}
			return
		}
		w.Header().Set("X-Answer", "hunter2")
		w.WriteHeader(status)
		fmt.Fprint(w, `{"error":"hunter2"}`)
	}))
	t.Cleanup(up.Close)
	boom := compressorFunc(func(context.Context, compressors.Input) (compressors.Result, error) { panic("hunter2") })
	for name, c := range map[string]Compressor{"real": realCompressor(t), "panicking": boom} {
		t.Run(name, func(t *testing.T) { // ends once the proxy has, and has logged all
			base := startProxy(t, Options{Upstream: up.URL, Compressor: c, Logger: logTo(&log)})
			body := bytes.ReplaceAll(longBody(t), []byte("Paragraph"), []byte("hunter2 Paragraph"))
			for _, status = range []int{200, 400, 500} {
				post(t, base, body, "Authorization", "Bearer hunter2", "X-Api-Key", "hunter2", "Cookie", "a=hunter2")
			}
			post(t, base, []byte(`{"messages":"hunter2`), "X-Pith-Query", "hunter2")
			post(t, base, body, "X-Pith-Mode", "hunter2")
			do(t, http.MethodGet, base+"/v1/models?key=hunter2", nil)
			do(t, http.MethodGet, base+"/break?key=hunter2", nil)
			exchangeRaw(t, base, "GET /x HTTP/1.1\r\nHost: a\r\nAuthorization hunter2\r\n\r\n")
		})
	}
	lines := strings.Count(log.String(), "\n")
	if lines != 14 {
		t.Errorf("%d lines, want one a request that could be read: %s", lines, log.String())
	}
	if strings.Contains(log.String(), "hunter2") {
		t.Errorf("the log holds a secret: %s", log.String())
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for field, o := range map[string]Options{
		"Upstream":       {},
		"Upstream:":      {Upstream: "ftp://a"},
		"Upstream: ":     {Upstream: "http://user:pw@a"},
		"Upstream: u":    {Upstream: "http://a?x=1"},
		"Mode":           {Upstream: "http://a", Mode: 9},
		"Budget":         {Upstream: "http://a", Budget: compressors.Budget{Rate: 2}},
		"Deadline":       {Upstream: "http://a", Deadline: -1},
		"Concurrency":    {Upstream: "http://a", Concurrency: -1},
		"Remembered":     {Upstream: "http://a", Remembered: -1},
		"MaxBody":        {Upstream: "http://a", MaxBody: -1},
		"ConnectTimeout": {Upstream: "http://a", ConnectTimeout: -1},
		"HeaderTimeout":  {Upstream: "http://a", HeaderTimeout: -1},
		"IdleTimeout":    {Upstream: "http://a", IdleTimeout: -1},
		"KeepAlive":      {Upstream: "http://a", KeepAlive: -1},
	} {
		s, err := NewServer(o)
		if s != nil || err == nil || !strings.Contains(err.Error(), "proxy.Options."+strings.TrimSpace(field)) {
			t.Errorf("%s: %v", field, err)
		}
		if err != nil && strings.Contains(err.Error(), "pw") {
			t.Errorf("the error quotes a password: %v", err)
		}
	}
}
