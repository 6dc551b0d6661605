package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

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
		w.Header().Set("X-Pith-Tokens-Saved", "forged")
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
			if resp.Header.Get("X-Hop") != "" || resp.Header.Get("X-Pith-Tokens-Saved") != "" {
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
		resp := exchangeRaw(t, base, "GET "+target+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if resp.StatusCode != http.StatusOK || uri != "/v1/models?a" || strings.Contains(host, "evil") {
			t.Errorf("%s: %d, the upstream received %s of %s", target, resp.StatusCode, uri, host)
		}
	}
	resp := exchangeRaw(t, base, "GET //evil.example/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if resp.StatusCode != http.StatusOK || uri != "//evil.example/x" {
		t.Errorf("%d, the upstream received %s", resp.StatusCode, uri)
	}
}

func TestTheAsteriskIsForwarded(t *testing.T) {
	lines := make(chan string, 2)
	up := startFaulty(t, func(conn *net.TCPConn, request *http.Request) {
		lines <- request.Method + " " + request.RequestURI
		raw("HTTP/1.1 200 OK\r\nAllow: POST\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")(conn, request)
	})
	base := startProxy(t, Options{Upstream: up.url() + "/api/v1"})
	resp := exchangeRaw(t, base, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Allow") != "POST" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	if line := <-lines; line != "OPTIONS *" {
		t.Errorf("the upstream received %s", line)
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
		"an offer of HTTP/2":        {"GET /b HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n", "/b "},
		"expectations":              {"POST /c HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", "/c hi"},
		"expectations of a chat":    {"POST " + chatPath + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}", chatPath + " {}"},
		"two requests in one piece": {"GET /d HTTP/1.1\r\nHost: localhost\r\n\r\nGET /e HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "/d /e "},
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
		resp := exchangeRaw(t, base, "PUT /v1/files/a HTTP/1.1\r\nHost: localhost\r\n"+framing)
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "full" || resp.StatusCode != http.StatusInsufficientStorage {
			t.Errorf("%d %q %v", resp.StatusCode, body, err)
		}
	}
}

func TestUpgradesAreRefusedClearly(t *testing.T) {
	base := upstreamOf(t, func(http.ResponseWriter, *http.Request) { t.Error("the upstream was asked") })
	resp := exchangeRaw(t, base, "GET /v1/responses HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
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
			fmt.Fprint(conn, "POST "+path+" HTTP/1.1\r\nHost: localhost\r\n"+framing)
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
