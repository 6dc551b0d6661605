package proxy

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pith-llm/pith/compressors"
)

// dialProxy opens a raw connection to the proxy and writes the beginning of a request.
func dialProxy(t testing.TB, base, begin string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, begin); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// chatHead is the head of a chat completion whose body has n bytes.
func chatHead(n int) string {
	return "POST " + chatPath + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + strconv.Itoa(n) + "\r\n\r\n"
}

// TestClientsThatLeave has clients leave at each stage of a request: what was under way for them ends at once, is counted,
// and nothing is leaked.
func TestClientsThatLeave(t *testing.T) {
	body := longBody(t)
	whole := chatHead(len(body)) + string(body)
	for _, c := range []struct {
		name    string
		begin   string
		reached string // the stage at which it leaves
		counter string // what counts it; "" for what was no request yet
	}{
		{"inside the head", "POST " + chatPath + " HTT", "", ""},
		{"inside the body", chatHead(len(body)) + string(body[:100]), "", `pith_requests_total{dialect="chat",outcome="refused"}`},
		{"inside a body that is streamed", "POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc", "", `pith_requests_total{dialect="none",outcome="refused"}`},
		{"while its text is compressed", whole, "compressing", `pith_requests_total{dialect="chat",outcome="client_gone"}`},
		{"while the upstream is connected to", whole, "connecting", `pith_requests_total{dialect="chat",outcome="client_gone"}`},
		{"before the upstream answers", whole, "asked", `pith_requests_total{dialect="chat",outcome="client_gone"}`},
		{"inside a stream", whole, "streaming", `pith_requests_total{dialect="chat",outcome="client_gone"}`},
		{"after the last event", whole, "done", `pith_requests_total{dialect="chat",outcome="answered"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			stopped, reached, hangUp := make(chan struct{}), make(chan struct{}), make(chan struct{})
			reach := func(stage string, wait func()) {
				if stage == c.reached {
					close(reached)
					wait()
					close(stopped)
				}
			}
			up := startFaulty(t, func(conn *net.TCPConn, _ *http.Request) {
				closed := func() { _, _ = io.Copy(io.Discard, conn) }
				reach("asked", closed)
				_, _ = io.WriteString(conn, events+oneSent)
				reach("streaming", closed)
				_, _ = io.WriteString(conn, "e\r\ndata: [DONE]\n\n\r\n")
				reach("done", closed)
			})
			real := realCompressor(t)
			s, err := NewServer(Options{
				Upstream: up.url(), KeepAlive: time.Millisecond, Deadline: time.Minute,
				Compressor: compressorFunc(func(ctx context.Context, in compressors.Input) (compressors.Result, error) {
					reach("compressing", func() { <-ctx.Done() })
					return real.Compress(ctx, in)
				}),
				Dial: func(ctx context.Context, address string) (net.Conn, error) {
					reach("connecting", func() {})
					if c.reached == "connecting" {
						<-hangUp // a dial cannot be called off, but nobody waits for it
						return nil, io.EOF
					}
					return (&net.Dialer{}).DialContext(ctx, "tcp", address)
				},
				ConnectTimeout: time.Minute,
			})
			if err != nil {
				t.Fatal(err)
			}
			base := serve(t, s)
			settled := calm(t, base)
			before := metricsOf(t, s)[c.counter]
			conn := dialProxy(t, base, c.begin)
			if c.reached != "" {
				<-reached
			}
			if c.reached == "done" { // it must have come: else the client left before
				reader := bufio.NewReader(conn)
				for line := ""; line != "data: [DONE]\n"; {
					if line, err = reader.ReadString('\n'); err != nil {
						t.Fatal(err)
					}
				}
			}
			_ = conn.Close()
			if c.reached != "" {
				<-stopped
			}
			if c.counter != "" {
				reaches(t, s, c.counter, before+1)
			}
			close(hangUp)
			row(t, "the client leaves "+c.name, "-", cmp.Or(c.counter, "-"))
			settles(t, settled)
		})
	}
}

// TestSlowClients has clients that stop sending, or stop taking: they are given up after the client timeout.
func TestSlowClients(t *testing.T) {
	const endless = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"
	for _, c := range []struct {
		name, begin string
		status      int // of the answer, 0 if there is none
		counter     string
	}{
		{"inside the head", "POST " + chatPath + " HTTP/1.1\r\nHost: loc", 408, `pith_requests_total{dialect="none",outcome="refused"}`},
		{"one byte of a header at a time", "", 408, `pith_requests_total{dialect="none",outcome="refused"}`},
		{"inside the body", chatHead(100) + "{", 408, `pith_requests_total{dialect="chat",outcome="refused"}`},
		{"inside a body that is streamed", "POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc", 408, `pith_requests_total{dialect="none",outcome="refused"}`},
		{"taking the answer", chatHead(2) + "{}", 200, `pith_requests_total{dialect="chat",outcome="broken"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := startFaulty(t, func(conn *net.TCPConn, _ *http.Request) {
				_, _ = io.WriteString(conn, endless)
				for block := make([]byte, 1<<16); ; {
					if _, err := conn.Write(block); err != nil {
						return
					}
				}
			})
			s, err := NewServer(Options{Upstream: up.url(), ClientTimeout: 500 * time.Millisecond, KeepAlive: time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			base := serve(t, s)
			settled := calm(t, base)
			before := metricsOf(t, s)[c.counter]
			conn := dialProxy(t, base, c.begin)
			if c.begin == "" {
				go func() {
					pause := time.NewTicker(5 * time.Millisecond) // shorter than the timeout
					defer pause.Stop()
					for _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nX-Slow: "); err == nil; _, err = io.WriteString(conn, "x") {
						<-pause.C
					}
				}()
			}
			reaches(t, s, c.counter, before+1) // before anything is read
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			switch {
			case err != nil:
				if c.status != 0 {
					t.Errorf("no answer: %v", err)
				}
			case resp.StatusCode != c.status:
				t.Errorf("answered %d, want %d", resp.StatusCode, c.status)
			default:
				_, err = io.Copy(io.Discard, resp.Body)
				if broken := c.status == http.StatusOK; broken != (err != nil) {
					t.Errorf("the answer ends with %v", err)
				}
			}
			_ = conn.Close()
			row(t, "the client stops "+c.name, c.status, c.counter)
			settles(t, settled)
		})
	}
}

// TestAClientWaitsLongerThanItMayTake: a client's time for taking an answer is not used up by waiting for it, neither on a
// connection that brought an answer before nor for the end of a stream that comes long after its last event.
func TestAClientWaitsLongerThanItMayTake(t *testing.T) {
	const patience = 50 * time.Millisecond
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-time.After(2 * patience)
		_, _ = io.WriteString(w, "data: 1\n\n")
		_ = http.NewResponseController(w).Flush()
		<-time.After(2 * patience)
	}))
	t.Cleanup(up.Close)
	base := startProxy(t, Options{Upstream: up.URL, ClientTimeout: patience})
	reused := 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if info.Reused {
			reused++
		}
	}})
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	paths := []string{"/v1/chat/completions", "/v1/embeddings", "/v1/chat/completions", "/v1/nothing"}
	for _, path := range paths {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+path, strings.NewReader(`{"messages":[]}`))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "data: 1\n\n" {
			t.Errorf("%s: %q, %v", path, body, err)
		}
		_ = resp.Body.Close()
	}
	if reused != len(paths)-1 {
		t.Errorf("%d requests on a connection that was used before, want all but the first of %d", reused, len(paths))
	}
}

// TestAFloodOfHeadersIsRefused checks the bound of a request's head.
func TestAFloodOfHeadersIsRefused(t *testing.T) {
	s, err := NewServer(Options{Upstream: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	base := serve(t, s)
	settled := calm(t, base)
	const counter = `pith_requests_total{dialect="none",outcome="refused"}`
	for name, flood := range map[string]string{
		"many": strings.Repeat("X-Flood: f\r\n", 1<<16), "one large": "X-Flood: " + strings.Repeat("f", 1<<20) + "\r\n",
	} {
		before := metricsOf(t, s)[counter]
		conn := dialProxy(t, base, "")
		go func() { _, _ = io.WriteString(conn, "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n"+flood+"\r\n") }()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s: %v %v", name, resp, err)
		}
		reaches(t, s, counter, before+1)
		row(t, "the client floods with headers, "+name, http.StatusRequestHeaderFieldsTooLarge, counter)
		_ = conn.Close()
	}
	settles(t, settled)
}

// TestALargeAnswerNeedsLittleMemory sends an answer far larger than the memory that may be taken for it, to a client that
// reads on and to one that does not read.
func TestALargeAnswerNeedsLittleMemory(t *testing.T) {
	const size, allowed = 1 << 30, 8 << 20
	var sent atomic.Int64
	up := startFaulty(t, func(conn *net.TCPConn, _ *http.Request) {
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
		for block := make([]byte, 1<<16); sent.Load() < size; {
			n, err := conn.Write(block)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	})
	s, err := NewServer(Options{Upstream: up.url(), ClientTimeout: time.Minute, KeepAlive: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	base := serve(t, s)
	settled := calm(t, base)
	heap := func() int64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	runtime.GC()
	before := heap()
	conn := dialProxy(t, base, chatHead(2)+"{}")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	for last := int64(-1); last != sent.Load(); { // until nothing more is taken from the upstream
		last = sent.Load()
		timer := time.NewTimer(50 * time.Millisecond)
		<-timer.C
	}
	if waiting := sent.Load(); waiting > 64<<20 {
		t.Errorf("%d bytes were taken from the upstream for a client that reads nothing", waiting)
	}
	runtime.GC()
	most := heap() - before
	var read int64
	for block := make([]byte, 1<<16); ; {
		n, err := resp.Body.Read(block)
		if read += int64(n); err != nil {
			break
		}
		if read%(1<<24) < 1<<16 {
			most = max(most, heap()-before)
		}
	}
	if read != size || most > allowed {
		t.Errorf("%d bytes came, of %d; the heap grew by %d bytes, %d are allowed", read, size, most, allowed)
	}
	_ = conn.Close()
	const counter = `pith_requests_total{dialect="chat",outcome="answered"}`
	reaches(t, s, counter, 1)
	row(t, "the upstream answers 1 GiB", fmt.Sprintf("200, %d bytes", read), counter)
	settles(t, settled)
}

// TestALongStreamArrivesWhole relays 100,000 events.
func TestALongStreamArrivesWhole(t *testing.T) {
	sum := sha256.New()
	up := startFaulty(t, func(conn *net.TCPConn, _ *http.Request) {
		w := bufio.NewWriterSize(conn, 1<<15)
		fmt.Fprint(w, events)
		for i := range 100_000 {
			event := fmt.Sprintf("data: {\"n\":%d,\"text\":\"é…\"}\n\n", i)
			_, _ = io.WriteString(sum, event)
			fmt.Fprintf(w, "%x\r\n%s\r\n", len(event), event)
		}
		fmt.Fprint(w, "0\r\n\r\n")
		_ = w.Flush()
	})
	s, err := NewServer(Options{Upstream: up.url(), KeepAlive: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	base := serve(t, s)
	settled := calm(t, base)
	resp := do(t, http.MethodPost, base+chatPath, strings.NewReader("{}"))
	got := sha256.New()
	if n, err := io.Copy(got, resp.Body); err != nil || !bytes.Equal(got.Sum(nil), sum.Sum(nil)) {
		t.Errorf("%d bytes came, other than were sent: %v", n, err)
	}
	const counter = `pith_requests_total{dialect="chat",outcome="answered"}`
	reaches(t, s, counter, 1)
	row(t, "the upstream sends 100,000 events", "200, all of them", counter)
	settles(t, settled)
}

// TestAThousandClients asks a thousand questions at the same time, each over long text of its own: each client gets its own
// answer, and its own text went up.
func TestAThousandClients(t *testing.T) {
	const clients = 1000
	up := startFaulty(t, func(conn *net.TCPConn, request *http.Request) {
		if request == nil {
			return // a connection that was not needed
		}
		answer := `{"id":"` + request.Header.Get("X-Client") + `"}`
		fmt.Fprintf(conn, "%s%d\r\nConnection: close\r\n\r\n%s", answers, len(answer), answer)
	})
	s, err := NewServer(Options{
		Upstream: up.url(), Compressor: realCompressor(t), CountTokens: countTokens, Deadline: 10 * time.Minute, KeepAlive: time.Millisecond,
		Requests: clients / 4, QueueTimeout: 10 * time.Minute,
		ConnectTimeout: 10 * time.Minute, ClientTimeout: 10 * time.Minute, // a busy machine gives nobody up
	})
	if err != nil {
		t.Fatal(err)
	}
	s.http.MaxIdleWorkerDuration = 10 * time.Millisecond
	base := serve(t, s)
	settled := calm(t, base)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			body := []byte(`{"messages":[{"role":"user","content":` + encode(t, asking(essay(12, fmt.Sprintf("mill %d", i%50)))) + `}]}`)
			name := strconv.Itoa(i)
			got := look(t, base, requestKind{method: http.MethodPost, path: chatPath, header: map[string]string{"X-Client": name}, body: body})
			if got.status != http.StatusOK || got.body != `{"id":"`+name+`"}` {
				t.Errorf("client %d saw %+v", i, got)
			}
		})
	}
	all.Wait()
	const counter = `pith_requests_total{dialect="chat",outcome="answered"}`
	reaches(t, s, counter, clients)
	row(t, "1,000 clients at the same time", "200, each its own answer", counter)
	if m := metricsOf(t, s); m["pith_tokens_out_total"] >= m["pith_tokens_in_total"] || m[`pith_turns_total{outcome="failed"}`] != 0 {
		t.Errorf("tokens: %v of %v", m["pith_tokens_out_total"], m["pith_tokens_in_total"])
	}
	settles(t, settled)
}

// TestCompressionFaultsAreCounted has the compression panic, and pass its ceiling: the original goes up and a counter tells.
func TestCompressionFaultsAreCounted(t *testing.T) {
	for _, c := range []struct {
		name, reason string
		deadline     time.Duration
		compressor   compressorFunc
	}{
		{"a panic", "panic", time.Minute, func(context.Context, compressors.Input) (compressors.Result, error) { panic("boom") }},
		{"a scorer past its ceiling", "deadline", 50 * time.Millisecond, func(ctx context.Context, _ compressors.Input) (compressors.Result, error) {
			<-ctx.Done()
			return compressors.Result{}, ctx.Err()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := newRecorder(t)
			s, err := NewServer(Options{Upstream: up.URL, Compressor: c.compressor, Deadline: c.deadline, KeepAlive: time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			base := serve(t, s)
			post(t, base, []byte("{}"))
			up.CloseClientConnections()
			http.DefaultClient.CloseIdleConnections()
			settled := calm(t, base)
			body := longBody(t)
			if got := look(t, base, requestKind{method: http.MethodPost, path: chatPath, body: body}); got.status != http.StatusOK || !bytes.Equal(up.last(), body) {
				t.Errorf("seen: %+v", got)
			}
			reaches(t, s, `pith_turns_total{outcome="failed"}`, 1)
			counter := `pith_fail_opens_total{reason="` + c.reason + `"}`
			reaches(t, s, counter, 1)
			row(t, "the compression meets "+c.name, "200, the original went up", counter)
			settles(t, settled)
		})
	}
}
