package proxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// script answers one request on a raw connection, which is closed when it returns.
type script func(conn *net.TCPConn, request *http.Request)

// raw writes bytes, and then ends the connection in an orderly way.
func raw(answer string) script {
	return func(conn *net.TCPConn, _ *http.Request) { _, _ = io.WriteString(conn, answer) }
}

// reset writes bytes and then resets the connection.
func reset(answer string) script {
	return func(conn *net.TCPConn, _ *http.Request) {
		_, _ = io.WriteString(conn, answer)
		_ = conn.SetLinger(0)
	}
}

// stall writes bytes and is then silent until the other end leaves.
func stall(answer string) script {
	return func(conn *net.TCPConn, _ *http.Request) {
		_, _ = io.WriteString(conn, answer)
		_, _ = io.Copy(io.Discard, conn)
	}
}

// faulty is an upstream on raw TCP that misbehaves as its script says.
type faulty struct {
	net.Listener
	requests atomic.Int64
	open     atomic.Int64 // connections
	working  sync.WaitGroup
}

func startFaulty(t testing.TB, answer script) *faulty {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &faulty{Listener: l}
	f.working.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f.open.Add(1)
			f.working.Go(func() {
				defer f.open.Add(-1)
				f.serve(conn.(*net.TCPConn), answer)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		f.working.Wait()
	})
	return f
}

// serve reads one request, if it is one, and plays the script.
func (f *faulty) serve(conn *net.TCPConn, answer script) {
	defer func() { _ = conn.Close() }()
	request, err := http.ReadRequest(bufio.NewReader(conn))
	if err == nil {
		if _, err := io.Copy(io.Discard, request.Body); err != nil {
			return
		}
		f.requests.Add(1)
	}
	answer(conn, request)
}

// rest waits until no connection is open, so that none is taken for the next request while it is being closed.
func (f *faulty) rest() {
	for end := time.Now().Add(20 * time.Second); f.open.Load() > 0 && time.Now().Before(end); {
		runtime.Gosched()
	}
}

func (f *faulty) url() string { return "http://" + f.Addr().String() }

// sight is what a client sees of an answer.
type sight struct {
	status int
	header http.Header // of the upstream: without pith's own and those of the connection
	body   string
	whole  bool  // it ended as its framing says
	err    error // why there is no answer, or not all of it
}

// look sends a request and reads its answer as far as it goes; an answer without a head has status 0.
func look(t testing.TB, base string, kind requestKind) sight {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), kind.method, base+kind.path, bytes.NewReader(kind.body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range kind.header {
		req.Header.Set(name, value)
	}
	req.Header.Set("Accept-Encoding", "gzip") // so that the client decodes nothing
	req.Close = true                          // whatever the other end does with the connection
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return sight{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	seen := sight{status: resp.StatusCode, header: resp.Header, body: string(body), whole: err == nil, err: err}
	maps.DeleteFunc(seen.header, func(name string, _ []string) bool {
		return isOwn([]byte(name)) || isHop([]byte(name), nil)
	})
	return seen
}

// String says what a client sees in a few words.
func (s sight) String() string {
	var shape struct {
		Error struct{ Code, Message string }
	}
	_ = json.Unmarshal([]byte(s.body), &shape) // most answers are no errors
	code := shape.Error.Code
	if _, after, ok := strings.Cut(strings.TrimSuffix(shape.Error.Message, ")"), "("); ok && code == "" {
		code = after
	}
	switch {
	case s.status == 0:
		return "no answer"
	case !s.whole:
		return fmt.Sprintf("%d, broken off after %d bytes", s.status, len(s.body))
	case code != "":
		return fmt.Sprintf("%d %s", s.status, code)
	}
	return fmt.Sprintf("%d, %d bytes", s.status, len(s.body))
}

// row prints a row of the table of faults: what happened, what the client saw, and the counter that tells.
func row(t *testing.T, fault string, client any, counter string) {
	t.Helper()
	t.Logf("| %s | %v | `%s` |", fault, client, counter)
}

// requestKind is what a client asks.
type requestKind struct {
	name, method, path string
	header             map[string]string
	body               []byte
	dialect            dialect
}

// requestKinds are a request of each API that is shortened, and one that is forwarded raw.
func requestKinds(t *testing.T) []requestKind {
	anthropic := map[string]string{"Anthropic-Version": "2023-06-01"}
	return []requestKind{
		{"chat", http.MethodPost, chatPath, nil, longBody(t), dialectChat},
		{"messages", http.MethodPost, "/v1/messages", anthropic, longBody(t), dialectMessages},
		{"other", http.MethodGet, "/v1/models", nil, nil, dialectNone},
	}
}

const (
	events  = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	oneSent = "f\r\ndata: {\"n\":1}\n\n\r\n"
	answers = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
	limits  = "x-ratelimit-remaining-tokens: 12\r\nanthropic-ratelimit-requests-reset: 2026-01-01T00:00:00Z\r\n"
)

// status is an answer in full with further header lines.
func status(line, headers string) script {
	return raw("HTTP/1.1 " + line + "\r\n" + headers + "Content-Type: application/json\r\nContent-Length: 14\r\nConnection: close\r\n\r\n{\"error\":\"no\"}")
}

// TestUpstreamFaults has an upstream misbehave in every way, towards requests of all kinds. With want empty the client sees
// through the proxy what it sees without it, to the byte; otherwise it sees an error of the proxy with that code, in the
// shape of its API, or part of an answer, broken off where without the proxy it would wait for ever. In each case the upstream
// is asked once, the outcome is counted, and nothing is leaked. With -v each case prints a row of a table:
//
//	go test -v -run 'Fault|Client|Answer|Stream' ./proxy | sed -n 's/.*_test.go:[0-9]*: |/|/p'
func TestUpstreamFaults(t *testing.T) {
	brief := Options{HeaderTimeout: 100 * time.Millisecond, IdleTimeout: 100 * time.Millisecond}
	silence := Options{IdleTimeout: 100 * time.Millisecond}
	cases := []struct {
		name    string
		answer  script
		secure  bool // over TLS
		options Options
		part    string // of an answer that breaks off
		want    string // the code of the proxy's error, "" for the answer of the upstream
		status  int    // of that error
		outcome requestOutcome
	}{
		{name: "refuses connections", options: Options{Upstream: "http://127.0.0.1:1"}, want: "upstream_unreachable", status: 502, outcome: outcomeFailed},
		{name: "is not connected to in time", options: Options{ConnectTimeout: 50 * time.Millisecond, Dial: func(ctx context.Context, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}, want: "upstream_connect_timeout", status: 504, outcome: outcomeFailed},
		{name: "takes nothing", options: Options{HeaderTimeout: 100 * time.Millisecond, Dial: func(ctx context.Context, _ string) (net.Conn, error) {
			conn, other := net.Pipe() // which nobody reads
			t.Cleanup(func() { _ = other.Close() })
			return conn, nil
		}}, want: "upstream_timeout", status: 504, outcome: outcomeFailed},
		{name: "does not shake hands", answer: stall(""), secure: true, options: Options{ConnectTimeout: 50 * time.Millisecond}, want: "upstream_connect_timeout", status: 504, outcome: outcomeFailed},
		{name: "speaks no TLS", answer: raw("HTTP/1.1 200 OK\r\n\r\n"), secure: true, want: "upstream_unreachable", status: 502, outcome: outcomeFailed},
		{name: "resets before the head", answer: reset(""), want: "upstream_broken", status: 502, outcome: outcomeFailed},
		{name: "resets inside the head", answer: reset("HTTP/1.1 200 OK\r\nContent-Le"), want: "upstream_broken", status: 502, outcome: outcomeFailed},
		{name: "ends before the head", answer: raw(""), want: "upstream_broken", status: 502, outcome: outcomeFailed},
		{name: "does not speak HTTP", answer: raw("SSH-2.0-OpenSSH_9.9\r\n\r\n"), want: "upstream_broken", status: 502, outcome: outcomeFailed},
		{name: "states two lengths", answer: raw(answers + "2\r\nContent-Length: 3\r\n\r\n{}"), want: "upstream_broken", status: 502, outcome: outcomeFailed},
		{name: "switches to a protocol nobody asked for", answer: raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"), want: "upstream_broken", status: 502, outcome: outcomeFailed},
		{name: "has only interim answers", answer: raw(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 1000)), want: "upstream_broken", status: 502, outcome: outcomeFailed},
		{name: "spells a header with a space", answer: raw("HTTP/1.1 200 OK\r\nX A: b\r\nContent-Length: 2\r\n\r\n{}"), want: "upstream_broken", status: 502, outcome: outcomeFailed},
		{name: "floods with headers", answer: raw("HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Flood: "+strings.Repeat("f", 90)+"\r\n", 20_000) + "\r\n"), want: "upstream_headers_too_large", status: 502, outcome: outcomeFailed},
		{name: "stalls before the head", answer: stall(""), options: brief, want: "upstream_timeout", status: 504, outcome: outcomeFailed},
		{name: "stalls inside the head", answer: stall("HTTP/1.1 200 OK\r\nX-A"), options: brief, want: "upstream_timeout", status: 504, outcome: outcomeFailed},
		{name: "takes longer than requests may", answer: stall(""), options: Options{TotalTimeout: 100 * time.Millisecond}, want: "request_timeout", status: 504, outcome: outcomeFailed},
		{name: "stalls inside a body", answer: stall(answers + "100\r\n\r\n{\"id\":"), options: silence, part: "{\"id\":", outcome: outcomeBroken},
		{name: "stalls inside a stream", answer: stall(events + oneSent), options: silence, part: "data: {\"n\":1}\n\n", outcome: outcomeBroken},
		{name: "resets inside a body", answer: reset(answers + "100\r\n\r\n{\"id\":"), outcome: outcomeBroken},
		{name: "resets inside a stream", answer: reset(events + oneSent), outcome: outcomeBroken},
		{name: "ends a stream without its last chunk", answer: raw(events + oneSent), outcome: outcomeBroken},
		{name: "ends inside a chunk", answer: raw(events + "ff\r\ndata: {\"n\":1}\n\n"), outcome: outcomeBroken},
		{name: "sends a chunk that is none", answer: raw(events + oneSent + "zz\r\n"), outcome: outcomeBroken},
		{name: "sends less than the stated length", answer: raw(answers + "100\r\n\r\n{\"id\":"), outcome: outcomeBroken},
		{name: "sends more than the stated length", answer: raw(answers + "2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n"), outcome: outcomeAnswered},
		{name: "states no length", answer: raw("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"id\":1}"), outcome: outcomeAnswered},
		{name: "truncates gzip", answer: raw(answers + "12\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xffgz"), outcome: outcomeAnswered},
		{name: "answers JSON with events", answer: raw(events + oneSent + "0\r\n\r\n"), outcome: outcomeAnswered},
		{name: "answers a stream with JSON", answer: raw(answers + "10\r\n\r\n{\"id\":\"a\"}"), outcome: outcomeAnswered},
		{name: "ends a stream without its last event", answer: raw(events + oneSent + "0\r\n\r\n"), outcome: outcomeAnswered},
		{name: "reports an error inside a stream", answer: raw(events + "1c\r\nevent: error\ndata: {\"e\":1}\n\n\r\n0\r\n\r\n"), outcome: outcomeAnswered},
		{name: "cuts a character in two chunks", answer: raw(events + "7\r\ndata: \xc3\r\n3\r\n\xa9\n\n\r\n0\r\n\r\n"), outcome: outcomeAnswered},
		{name: "429", answer: status("429 Too Many Requests", ""), outcome: outcomeAnswered},
		{name: "429 with Retry-After", answer: status("429 Too Many Requests", "Retry-After: 17\r\nretry-after-ms: 16500\r\nx-should-retry: true\r\n"+limits), outcome: outcomeAnswered},
		{name: "500", answer: status("500 Internal Server Error", ""), outcome: outcomeAnswered},
		{name: "500 with Retry-After", answer: status("500 Internal Server Error", "retry-after: Fri, 31 Dec 2027 23:59:59 GMT\r\nX-Should-Retry: false\r\n"), outcome: outcomeAnswered},
		{name: "529", answer: status("529 Overloaded", ""), outcome: outcomeAnswered},
		{name: "529 with Retry-After", answer: status("529 ", "Retry-After: 3\r\n"+limits), outcome: outcomeAnswered},
		{name: "redirects elsewhere", answer: status("307 Temporary Redirect", "X-Location: http://evil.example/\r\n"), outcome: outcomeAnswered},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			up := startFaulty(t, c.answer)
			o := c.options
			if o.Upstream == "" {
				o.Upstream = up.url()
			}
			if c.secure {
				o.Upstream = "https://" + up.Addr().String()
			}
			o.Compressor, o.CountTokens, o.KeepAlive, o.Deadline = realCompressor(t), countTokens, time.Millisecond, time.Minute
			fill(&o.ConnectTimeout, time.Minute)
			s, err := NewServer(o)
			if err != nil {
				t.Fatal(err)
			}
			base := serve(t, s)
			settled := calm(t, base)
			for _, ask := range requestKinds(t) {
				t.Run(ask.name, func(t *testing.T) {
					up.rest()
					before, requests := metricsOf(t, s), up.requests.Load()
					got := look(t, base, ask)
					// What gives up after a time may do so before the upstream has looked.
					timed := c.options.HeaderTimeout > 0 || c.options.TotalTimeout > 0
					if asked := up.requests.Load() - requests; c.answer != nil && !c.secure && asked != 1 && (!timed || asked != 0) {
						t.Errorf("the upstream was asked %d times", asked)
					}
					switch {
					case c.want != "":
						checkError(t, got, ask, c.status, c.want)
					case c.part != "":
						if got.status != http.StatusOK || got.body != c.part || got.whole {
							t.Errorf("seen: %+v, want the beginning of an answer, %q", got, c.part)
						}
					default:
						want := look(t, up.url(), ask)
						if got.status != want.status || got.body != want.body || got.whole != want.whole || !maps.EqualFunc(got.header, want.header, slices.Equal) {
							t.Errorf("seen through the proxy: %+v\nseen directly: %+v", got, want)
						}
					}
					counter := fmt.Sprintf("pith_requests_total{dialect=%q,outcome=%q}", ask.dialect, c.outcome)
					reaches(t, s, counter, before[counter]+1)
					if ask.dialect == dialectChat {
						row(t, "the upstream "+c.name, got, counter)
					}
				})
			}
			settles(t, settled)
		})
	}
}

// TestAnUpstreamThatTakesNoBody has an upstream read the head of an upload and then nothing more: the client hears of it after
// the time for a silence and that for an answer, not after that for the whole request.
func TestAnUpstreamThatTakesNoBody(t *testing.T) {
	s, err := NewServer(Options{
		Upstream: "http://upstream", IdleTimeout: 50 * time.Millisecond, HeaderTimeout: 50 * time.Millisecond, KeepAlive: time.Millisecond,
		Dial: func(context.Context, string) (net.Conn, error) {
			conn, other := net.Pipe()
			t.Cleanup(func() { _ = other.Close() })
			go func() { // the head, and then nothing
				for reader := bufio.NewReaderSize(other, 16); ; {
					if line, err := reader.ReadString('\n'); err != nil || line == "\r\n" {
						return
					}
				}
			}()
			return conn, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	base := serve(t, s)
	settled := calm(t, base)
	ask := requestKind{method: http.MethodPost, path: "/v1/files", body: make([]byte, 1<<20)}
	got := look(t, base, ask)
	checkError(t, got, ask, http.StatusGatewayTimeout, "upstream_timeout")
	const counter = `pith_requests_total{dialect="none",outcome="upstream_failed"}`
	reaches(t, s, counter, 1)
	row(t, "the upstream takes no body", got, counter)
	settles(t, settled)
}

// TestAnUpstreamThatAnswersBeforeItHasReadAll refuses a large prompt by its head and reads no more of it: the client sees that at
// once, as it does without the proxy.
func TestAnUpstreamThatAnswersBeforeItHasReadAll(t *testing.T) {
	up, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = up.Close() })
	go func() {
		for {
			conn, err := up.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			status("413 Content Too Large", "X-Limit: 1\r\n")(conn.(*net.TCPConn), nil)
		}
	}()
	s, err := NewServer(Options{Upstream: "http://" + up.Addr().String(), HeaderTimeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	base := serve(t, s)
	settled := calm(t, base)
	got := look(t, base, requestKind{method: http.MethodPost, path: chatPath, body: bytes.Repeat([]byte{' '}, 32<<20)})
	if got.status != http.StatusRequestEntityTooLarge || got.header.Get("X-Limit") != "1" || !got.whole {
		t.Errorf("seen: %+v", got)
	}
	const counter = `pith_requests_total{dialect="chat",outcome="answered"}`
	reaches(t, s, counter, 1)
	row(t, "the upstream answers before it has read all", got, counter)
	settled.descriptors++ // the upstream's own end
	settles(t, settled)
}

// checkError checks that an answer is an error of the proxy in the shape of the API.
func checkError(t *testing.T, got sight, ask requestKind, status int, code string) {
	t.Helper()
	var shape struct {
		Type  string
		Error struct{ Type, Message, Code string }
	}
	if err := json.Unmarshal([]byte(got.body), &shape); err != nil || got.status != status || !got.whole {
		t.Fatalf("seen: %+v, want status %d", got, status)
	}
	if ask.dialect == dialectMessages {
		if shape.Type != "error" || !strings.HasSuffix(shape.Error.Message, "("+code+")") {
			t.Errorf("seen: %s, want code %s", got.body, code)
		}
	} else if shape.Error.Code != code || shape.Error.Message == "" {
		t.Errorf("seen: %s, want code %s", got.body, code)
	}
}
