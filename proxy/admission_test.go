package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pith-llm/pith/cache"
)

func TestAmbiguousHeadsAreRefused(t *testing.T) {
	up := newRecorder(t)
	base := startProxy(t, Options{Upstream: up.URL})
	const post = "POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\n"
	for name, raw := range map[string]string{
		"two lengths":                     post + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		"two lengths in one":              post + "Content-Length: 3, 3\r\n\r\nabc",
		"a signed length":                 post + "Content-Length: +3\r\n\r\nabc",
		"length and chunks":               post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunks and length":               post + "transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
		"length and identity":             post + "Content-Length: 3\r\nTransfer-Encoding: identity\r\n\r\nabc",
		"two transfer encodings":          post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"an unknown transfer encoding":    post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"chunks hidden behind a vertical": post + "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
		"a space before the colon":        post + "Content-Length : 3\r\n\r\nabc",
		"a space inside a name":           post + "Content Length: 3\r\n\r\n",
		"a folded line":                   post + "X-A: b\r\n c: d\r\n\r\n",
		"a line folded by a tab":          post + "X-A: b\r\n\tTransfer-Encoding: chunked\r\n\r\n",
		"a bare line feed":                post + "X-A: b\nContent-Length: 0\r\n\r\n",
		"a bare carriage return":          post + "X-A: b\rContent-Length: 0\r\n\r\n",
		"a zero byte":                     post + "X-A: \x00\r\n\r\n",
		"two hosts":                       post + "Host: localhost\r\n\r\n",
		"chunks under HTTP/1.0":           "POST /v1/embeddings HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			resp := exchangeRaw(t, base, raw)
			if resp.StatusCode != http.StatusBadRequest || !resp.Close {
				t.Errorf("status %d, closes %v", resp.StatusCode, resp.Close)
			}
		})
	}
	if n := len(up.received()); n != 0 {
		t.Errorf("%d requests went up", n)
	}
	if resp := exchangeRaw(t, base, post+"Content-Length: 3\r\n\r\nabc"); resp.StatusCode != http.StatusOK || string(up.last()) != "abc" {
		t.Errorf("a sound request: %d", resp.StatusCode)
	}
}

func TestOnlyLoopbackNamesAreServedWithoutAToken(t *testing.T) {
	up := newRecorder(t)
	base := startProxy(t, Options{Upstream: up.URL})
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST.:80": 200, "pith.localhost:1": 200, "127.0.0.1": 200, "127.9.9.9:8787": 200, "[::1]:8787": 200,
		"evil.example": 403, "localhost.evil.example:8787": 403, "127.0.0.1.nip.io": 403, "192.168.0.4": 403, "notlocalhost": 403, "[fe80::1]": 403,
	} {
		if resp := exchangeRaw(t, base, "GET /v1/models HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); resp.StatusCode != want {
			t.Errorf("host %q: %d, want %d", host, resp.StatusCode, want)
		}
	}
}

func TestATokenIsWantedAndStaysHere(t *testing.T) {
	up := newRecorder(t)
	base := startProxy(t, Options{Upstream: up.URL, Token: "our token", UpstreamKey: "sk-up"})
	for name, c := range map[string]struct {
		headers []string
		status  int
		want    map[string]string // of what goes up
	}{
		"none":                   {nil, 401, nil},
		"another":                {[]string{"X-Pith-Token", "our tokem"}, 401, nil},
		"only a key":             {[]string{"Authorization", "Bearer sk-mine"}, 401, nil},
		"beside a key":           {[]string{"X-Pith-Token", "our token", "Authorization", "Bearer sk-mine"}, 200, map[string]string{"Authorization": "Bearer sk-mine"}},
		"without a key":          {[]string{"X-Pith-Token", "our token"}, 200, map[string]string{"Authorization": "Bearer sk-up"}},
		"as the key":             {[]string{"Authorization", "Bearer our token"}, 200, map[string]string{"Authorization": "Bearer sk-up"}},
		"as Anthropic's key":     {[]string{"X-Api-Key", "our token", "Anthropic-Version", "2023-06-01"}, 200, map[string]string{"X-Api-Key": "sk-up"}},
		"twice, with no own key": {[]string{"X-Api-Key", "our token", "Authorization", "Bearer our token"}, 200, map[string]string{"Authorization": "Bearer sk-up"}},
	} {
		t.Run(name, func(t *testing.T) {
			resp, answer := post(t, base, []byte(`{"messages":[]}`), append(c.headers, "Host", "evil.example")...)
			if resp.StatusCode != c.status {
				t.Fatalf("%d %s", resp.StatusCode, answer)
			}
			if c.status != http.StatusOK {
				return
			}
			up.mu.Lock()
			defer up.mu.Unlock()
			got := up.requests[len(up.requests)-1].Header
			for _, header := range []string{"Authorization", "X-Api-Key", "X-Pith-Token"} {
				if got.Get(header) != c.want[header] {
					t.Errorf("%s went up as %q, want %q", header, got.Get(header), c.want[header])
				}
			}
		})
	}
	if n := len(up.received()); n != 5 {
		t.Errorf("%d requests went up, want 5", n)
	}
}

func TestErrorsHaveTheShapeOfTheClientsAPI(t *testing.T) {
	base := startProxy(t, Options{Upstream: "http://127.0.0.1:1", MaxBody: 1000})
	for _, c := range []struct {
		path, body, kind string
		status           int
	}{
		{"/v1/messages", `{}`, "api_error", 502},
		{"/v1/messages", strings.Repeat("x", 2000), "request_too_large", 413},
		{"/v1/chat/completions", `{}`, "api_error", 502},
		{"/v1/responses", strings.Repeat("x", 2000), "invalid_request_error", 413},
	} {
		resp := do(t, http.MethodPost, base+c.path, strings.NewReader(c.body))
		var got struct {
			Type      string `json:"type"`
			RequestID string `json:"request_id"`
			Error     struct{ Type, Message string }
		}
		if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		anthropic := c.path == "/v1/messages"
		if resp.StatusCode != c.status || got.Error.Type != c.kind || got.Error.Message == "" || (got.Type == "error") != anthropic ||
			anthropic && got.RequestID != resp.Header.Get("X-Pith-Request-Id") {
			t.Errorf("%s: %d %+v", c.path, resp.StatusCode, got)
		}
	}
}

func TestTooManyRequestsWaitAndAreThenRefused(t *testing.T) {
	arrived, release := make(chan struct{}, 2), make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- struct{}{}
		<-release
		fmt.Fprint(w, "{}")
	}))
	t.Cleanup(up.Close)
	base := startProxy(t, Options{Upstream: up.URL, Requests: 1, QueueTimeout: 20 * time.Millisecond})
	first := make(chan int)
	go func() {
		resp, err := http.Post(base+chatPath, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Error(err)
			first <- 0
			return
		}
		_ = resp.Body.Close()
		first <- resp.StatusCode
	}()
	<-arrived
	resp, answer := post(t, base, []byte("{}"))
	if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") != "1" || !strings.Contains(string(answer), "proxy_overloaded") {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, answer)
	}
	close(release)
	if status := <-first; status != http.StatusOK {
		t.Errorf("the first was answered %d", status)
	}
	if resp, _ := post(t, base, []byte("{}")); resp.StatusCode != http.StatusOK {
		t.Errorf("afterwards: %d", resp.StatusCode)
	}
}

func TestAClientThatLeavesAfterTheLastEventHasItsAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		stream string
		level  string
	}{
		"after the last":  {"data: {}\n\ndata: [DONE]\n\n", `"level":"INFO"`},
		"before the last": {"data: {\"text\":\"data: [DONE]\"}\n\n", `"level":"WARN"`},
	} {
		t.Run(name, func(t *testing.T) {
			var log lockedBuffer
			stopped := make(chan struct{})
			t.Run("", func(t *testing.T) { // ends once the proxy has
				base := upstreamWith(t, Options{Logger: logTo(&log)}, func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					w.Header().Set("Content-Type", "text/event-stream")
					fmt.Fprint(w, c.stream)
					w.(http.Flusher).Flush()
					<-r.Context().Done()
					close(stopped)
				})
				ctx, leave := context.WithCancel(t.Context())
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+chatPath, strings.NewReader("{}"))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := http.DefaultTransport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				got := make([]byte, len(c.stream))
				if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != c.stream {
					t.Errorf("received %q, %v", got, err)
				}
				leave()
				_ = resp.Body.Close()
				<-stopped
			})
			if !strings.Contains(log.String(), c.level) {
				t.Errorf("logged %s", log.String())
			}
		})
	}
}

func TestTerminalEventsAreSeenAcrossReads(t *testing.T) {
	for _, c := range []struct {
		stream string
		want   bool
	}{
		{"data: {}\n\ndata: [DONE]\n\n", true},
		{"data: [DONE]\n\n", true},
		{"event: content\ndata: {}\n\nevent: message_stop\ndata: {}\n\n", true},
		{"event: response.output_text.delta\ndata: {}\n\nevent: response.completed\ndata: {}\n\n", true},
		{"data: {\"text\":\"say data: [DONE] and event: message_stop\"}\n\n", false},
		{strings.Repeat("data: {\"text\":\"long\"}\n\n", 50), false},
	} {
		for size := 1; size < 40; size++ {
			var end terminalEvent
			for rest := c.stream; rest != ""; rest = rest[min(size, len(rest)):] {
				end.see([]byte(rest[:min(size, len(rest))]))
			}
			if end.seen != c.want {
				t.Fatalf("%q in reads of %d: %v", c.stream, size, end.seen)
			}
		}
	}
}

func TestMetricsTellWhatBecameOfRequests(t *testing.T) {
	up := newRecorder(t)
	up.status = func(n int) int { return []int{200, 200, 400, 200}[min(n, 3)] }
	vectors, err := cache.New(cache.Options[string]{MaxBytes: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer vectors.Close()
	key := cache.NewKey("document").Text("text", "hunter2").Sum()
	vectors.Put(key, "a vector", 600)
	caches := func() map[string]cache.Stats { return map[string]cache.Stats{"vectors": vectors.Stats()} }
	caches() // waits for the store
	if found, ok := vectors.Get(key); ok {
		found.Release()
	}
	s, err := NewServer(Options{Upstream: up.URL, Compressor: realCompressor(t), CountTokens: countTokens, Deadline: time.Minute, Caches: caches})
	if err != nil {
		t.Fatal(err)
	}
	admin := httptest.NewServer(s.Admin(func() error { return nil }))
	defer admin.Close()
	read := func(path string) string {
		resp := do(t, http.MethodGet, admin.URL+path, nil)
		got, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Fatalf("%s: %d %v", path, resp.StatusCode, err)
		}
		return string(got)
	}
	var in, out, size int
	t.Run("", func(t *testing.T) { // ends once the proxy has, and has counted all
		base := serve(t, s)
		body := longBody(t)
		size = 3*len(body) + len(`{"messages":[]}`) + len("not JSON hunter2")
		resp, _ := post(t, base, body) // compressed
		in, out = header(t, resp, "X-Pith-Tokens-In"), header(t, resp, "X-Pith-Tokens-Out")
		post(t, base, body, "X-Pith-Mode", "observe")              // remembered, and forwarded as it came
		post(t, base, body)                                        // remembered, refused, sent again
		post(t, base, body, "X-Pith-Mode", "nonsense hunter2")     // refused
		post(t, base, []byte(`{"messages":[]}`))                   // nothing to shorten
		postTo(t, base+"/v1/messages", []byte("not JSON hunter2")) // not understood
		if read("/livez") != "ok\n" || read("/readyz") != "ok\n" {
			t.Error("not alive")
		}
	})
	got := read("/metrics")
	for _, line := range []string{
		`pith_requests_total{dialect="chat",outcome="answered"} 4`, `pith_requests_total{dialect="chat",outcome="refused"} 1`,
		`pith_requests_total{dialect="messages",outcome="answered"} 1`, `pith_turns_total{outcome="compressed"} 1`, `pith_turns_total{outcome="remembered"} 2`,
		`pith_texts_total{outcome="shortened"} 2`, `pith_texts_total{outcome="refused"} 1`,
		fmt.Sprintf("pith_tokens_in_total %d", 3*in), fmt.Sprintf("pith_tokens_out_total %d", out+2*in), fmt.Sprintf("pith_observed_saved_tokens_total %d", in-out),
		`pith_replays_total 1`, `pith_skips_total{reason="no_span"} 1`, `pith_skips_total{reason="not_json"} 1`, `pith_in_flight_requests 0`,
		`pith_overhead_seconds_count 5`, `pith_queue_wait_seconds_count 6`, `pith_queued_requests 0`, `pith_first_byte_seconds_count{dialect="chat"} 4`,
		`pith_cache_hits_total{cache="vectors"} 1`, `pith_cache_misses_total{cache="vectors"} 1`, `pith_cache_evictions_total{cache="vectors"} 0`, `pith_cache_bytes{cache="vectors"} 600`,
		`pith_upstream_wait_seconds_count 5`, `pith_stage_duration_seconds_count{stage="upstream"} 5`, `pith_stage_duration_seconds_count{stage="queue"} 1`, fmt.Sprintf("pith_received_bytes_total %d", size),
		fmt.Sprintf(`pith_text_tokens_saved_total{kind="table"} %d`, in-out), // of lines with one tab each,
	} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
	for line := range strings.Lines(got) {
		name, isType := strings.CutPrefix(line, "# TYPE pith_")
		if name, kind, _ := strings.Cut(strings.TrimSpace(name), " "); isType && (kind == "counter") != strings.HasSuffix(name, "_total") ||
			isType && kind == "histogram" != strings.HasSuffix(name, "_seconds") {
			t.Errorf("the %s %s does not end in what it counts", kind, name)
		}
	}
	if strings.Contains(got, "hunter2") || t.Failed() {
		t.Errorf("metrics: %s", got)
	}
	notReady := httptest.NewRecorder()
	s.Admin(func() error { return nil }).ServeHTTP(notReady, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	if notReady.Code != http.StatusServiceUnavailable {
		t.Errorf("ready after the end: %d", notReady.Code)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, admin.URL+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("another host: %d", resp.StatusCode)
	}
}

func TestAPanicOutsideCompressionFailsOneRequest(t *testing.T) {
	var log lockedBuffer
	up := newRecorder(t)
	base := startProxy(t, Options{Upstream: up.URL, Logger: logTo(&log), Observe: func(Report) { panic("hunter2") }})
	resp, answer := post(t, base, []byte("{}"))
	if resp.StatusCode != http.StatusInternalServerError || strings.Contains(string(answer)+log.String(), "hunter2") {
		t.Errorf("%d %s %s", resp.StatusCode, answer, log.String())
	}
	if resp := do(t, http.MethodGet, base+"/v1/models", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("afterwards: %d", resp.StatusCode)
	}
}
