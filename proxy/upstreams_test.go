package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pith-llm/pith/compressors"
)

// named is an upstream that answers with its name and with what it was asked.
func named(t testing.TB, name string) string {
	t.Helper()
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%s %s %s%s", name, r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("X-Api-Key"))
	}))
	t.Cleanup(up.Close)
	return up.URL
}

func TestUpstreamsAreChosenByPathDialectAndModel(t *testing.T) {
	options := Options{
		Upstreams: []Upstream{
			{Name: "google", URL: named(t, "google") + "/v1beta/openai", Path: "/google"},
			{Name: "claude", URL: named(t, "claude"), Dialects: []Dialect{dialectMessages}, Models: []string{"claude-*"}, Key: "sk-claude"},
			{Name: "qwen", URL: named(t, "qwen") + "/v1/", Models: []string{"qwen3", "qwen-*"}},
			{Name: "other", URL: named(t, "other"), Dialects: []Dialect{dialectChat, dialectResponses}},
		},
		Compressor: realCompressor(t), UpstreamKey: "sk-all",
	}
	chat := func(model string) string { return `{"messages":[],"model":"` + model + `"}` }
	for name, c := range map[string]struct {
		path, body string
		headers    []string
		status     int
		want       string
	}{
		"below a path":                   {"/google/chat/completions?a=1", chat("qwen3"), nil, 200, "google /v1beta/openai/chat/completions?a=1 Bearer sk-all"},
		"a path that only begins so":     {"/google2/chat/completions", chat("x"), nil, 200, "other /google2/chat/completions Bearer sk-all"},
		"a dialect and a model":          {"/v1/messages", chat("claude-5"), nil, 200, "claude /v1/messages sk-claude"},
		"the client's own key":           {"/v1/messages", chat("claude-5"), []string{"X-Api-Key", "mine"}, 200, "claude /v1/messages mine"},
		"a model of another dialect":     {"/v1/chat/completions", chat("claude-5"), nil, 200, "other /v1/chat/completions Bearer sk-all"},
		"a model by name":                {"/v1/chat/completions", chat("qwen3"), nil, 200, "qwen /v1/chat/completions Bearer sk-all"},
		"a name that only begins so":     {"/v1/chat/completions", chat("qwen33"), nil, 200, "other /v1/chat/completions Bearer sk-all"},
		"a model by its beginning":       {"/v1/completions", `{"prompt":"a","model":"qwen-7b"}`, nil, 200, "qwen /v1/completions Bearer sk-all"},
		"a version that the base has":    {"/chat/completions", chat("qwen-1"), nil, 200, "qwen /v1/chat/completions Bearer sk-all"},
		"a version that the base lacks":  {"/chat/completions", chat("x"), nil, 200, "other /chat/completions Bearer sk-all"},
		"an escaped model":               {"/v1/chat/completions", `{"messages":[],"mod\u0065l":"qwen\u0033"}`, nil, 200, "qwen /v1/chat/completions Bearer sk-all"},
		"no model":                       {"/v1/chat/completions", `{"messages":[]}`, nil, 200, "other /v1/chat/completions Bearer sk-all"},
		"not JSON":                       {"/v1/responses", `{"messages`, nil, 200, "other /v1/responses Bearer sk-all"},
		"a model that nobody has":        {"/v1/messages", chat("opus"), []string{"Anthropic-Version", "2023-06-01"}, 404, "no_upstream"},
		"a raw request of OpenAI's":      {"/v1/models", "", nil, 200, "other /v1/models Bearer sk-all"},
		"a raw request of Anthropic's":   {"/v1/models", "", []string{"Anthropic-Version", "2023-06-01"}, 200, "claude /v1/models sk-claude"},
		"a model in the mode off":        {"/v1/chat/completions", chat("qwen3"), []string{"X-Pith-Mode", "off"}, 200, "qwen /v1/chat/completions Bearer sk-all"},
		"a raw request below a path":     {"/google/files", "", nil, 200, "google /v1beta/openai/files Bearer sk-all"},
		"the path itself":                {"/google", "", nil, 200, "google /v1beta/openai/ Bearer sk-all"},
		"a host in the request's target": {"//evil.example/v1/chat/completions", chat("qwen3"), nil, 200, "qwen //evil.example/v1/chat/completions Bearer sk-all"},
	} {
		t.Run(name, func(t *testing.T) {
			base := startProxy(t, options)
			resp, answer := postTo(t, base+c.path, []byte(c.body), c.headers...)
			if resp.StatusCode != c.status || c.status == 200 && string(answer) != c.want || !strings.Contains(string(answer), c.want) {
				t.Errorf("%d %q, want %d %q", resp.StatusCode, answer, c.status, c.want)
			}
		})
	}
	t.Run("an encoded body", func(t *testing.T) {
		base := startProxy(t, options)
		if _, answer := post(t, base, encodeAs(t, "zstd", []byte(chat("qwen3"))), "Content-Encoding", "zstd"); !strings.HasPrefix(string(answer), "qwen ") {
			t.Errorf("%q", answer)
		}
	})
	t.Run("what no other takes", func(t *testing.T) {
		o := options
		o.Upstream = named(t, "last")
		base := startProxy(t, o)
		if _, answer := postTo(t, base+"/v1/messages", []byte(chat("opus"))); !strings.HasPrefix(string(answer), "last ") {
			t.Errorf("%q", answer)
		}
	})
}

func TestEachUpstreamHasItsTimeouts(t *testing.T) {
	silent := startFaulty(t, stall("")).url()
	for name, c := range map[string]struct {
		upstream Upstream
		want     string
	}{
		"head":    {Upstream{HeaderTimeout: 50 * time.Millisecond}, "upstream_timeout"},
		"total":   {Upstream{TotalTimeout: 50 * time.Millisecond}, "request_timeout"},
		"connect": {Upstream{ConnectTimeout: 50 * time.Millisecond, URL: "https" + strings.TrimPrefix(silent, "http")}, "upstream_connect_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			c.upstream.Name = "brief"
			if c.upstream.URL == "" {
				c.upstream.URL = silent
			}
			base := startProxy(t, Options{Upstreams: []Upstream{c.upstream}})
			if resp, answer := post(t, base, []byte("{}")); resp.StatusCode != http.StatusGatewayTimeout || !strings.Contains(string(answer), c.want) {
				t.Errorf("%d %s", resp.StatusCode, answer)
			}
		})
	}
	t.Run("idle", func(t *testing.T) {
		up := startFaulty(t, stall(events+oneSent))
		base := startProxy(t, Options{Upstreams: []Upstream{{Name: "brief", URL: up.url(), IdleTimeout: 50 * time.Millisecond}}})
		if got := look(t, base, requestKind{method: http.MethodGet, path: "/"}); got.whole || got.body != "data: {\"n\":1}\n\n" {
			t.Errorf("seen: %+v", got)
		}
	})
}

// TestUpstreamsCountTokensTheirWay gives upstreams compressors of their own, and margins within which a saving is none.
func TestUpstreamsCountTokensTheirWay(t *testing.T) {
	up := newRecorder(t)
	calls := map[string]int{}
	saving := func(name string, out int) Compressor {
		return compressorFunc(func(_ context.Context, in compressors.Input) (compressors.Result, error) {
			calls[name]++
			text := in.Texts[0].Content
			return compressors.Result{Texts: []compressors.TextResult{{
				Output: text[:1], TokensIn: 1000, TokensOut: out, Parts: []compressors.Part{{End: 1}, {Start: 1, End: len(text), Dropped: true}},
			}}}, nil
		})
	}
	base := startProxy(t, Options{
		Upstream: up.URL, Compressor: saving("shared", 960),
		Upstreams: []Upstream{
			{Name: "exact", URL: up.URL, Models: []string{"exact"}},
			{Name: "guess", URL: up.URL, Models: []string{"guess"}, TokenMargin: 0.05},
			{Name: "own", URL: up.URL, Models: []string{"own"}, TokenMargin: 0.05, Compressor: saving("own", 940)},
		},
	})
	body := string(longBody(t))
	for _, c := range []struct {
		model   string
		changed bool
	}{{"exact", true}, {"other", true}, {"guess", false}, {"own", true}, {"guess", false}} {
		sent := strings.Replace(body, `"model":"m"`, `"model":"`+c.model+`"`, 1)
		resp, _ := post(t, base, []byte(sent))
		if resp.StatusCode != http.StatusOK || (string(up.last()) != sent) != c.changed {
			t.Errorf("%s: %d, changed %v", c.model, resp.StatusCode, !c.changed)
		}
	}
	if calls["shared"] != 1 || calls["own"] != 1 { // those that count alike share what is known
		t.Errorf("compressions: %v", calls)
	}
}

// connectProxy is an http proxy that tunnels wherever it is asked to, and counts.
func connectProxy(t *testing.T) (address string, tunnels *atomic.Int64) {
	t.Helper()
	tunnels = &atomic.Int64{}
	l := startFaulty(t, func(client *net.TCPConn, request *http.Request) {
		if request.Method != http.MethodConnect || request.Header.Get("Proxy-Authorization") != "Basic dTpw" {
			_, _ = io.WriteString(client, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
			return
		}
		upstream, err := net.Dial("tcp", request.Host)
		if err != nil {
			return
		}
		defer func() { _ = upstream.Close() }()
		tunnels.Add(1)
		_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
		go func() {
			_, _ = io.Copy(upstream, client)
			_ = upstream.(*net.TCPConn).CloseWrite()
		}()
		_, _ = io.Copy(client, upstream)
	})
	return l.Addr().String(), tunnels
}

func TestUpstreamsHaveRulesOfTheirOwn(t *testing.T) {
	up := newRecorder(t)
	base := startProxy(t, Options{
		Upstreams: []Upstream{
			{Name: "ours", URL: up.URL, Path: "/ours", Documents: []DocumentRule{{Open: "FACTS>>", Close: "<<FACTS"}}},
			{Name: "other", URL: up.URL},
		},
		Documents: []DocumentRule{{Open: "PAPERS>>", Close: "<<PAPERS"}}, Compressor: realCompressor(t), CountTokens: countTokens,
	})
	for _, c := range []struct {
		path, mark string
		shortened  bool
	}{{"/ours/chat/completions", "FACTS", true}, {"/ours/chat/completions", "PAPERS", true}, {"/chat/completions", "FACTS", false}, {"/chat/completions", "PAPERS", true}} {
		body := []byte(`{"messages":[{"role":"system","content":` + encode(t, c.mark+">>"+essay(60, "mill")+"<<"+c.mark) + `},{"role":"user","content":"` + question + `"}]}`)
		postTo(t, base+c.path, body)
		if got := len(up.last()) < len(body)*2/3; got != c.shortened {
			t.Errorf("%s, %s: shortened %v", c.path, c.mark, got)
		}
	}
	if _, err := NewServer(Options{Upstreams: []Upstream{{Name: "a", URL: up.URL, Documents: []DocumentRule{{}}}}}); err == nil {
		t.Error("a rule that matches everywhere passes")
	}
}

func TestUpstreamsAreReachedThroughAProxy(t *testing.T) {
	address, tunnels := connectProxy(t)
	through := func(*url.URL) (*url.URL, error) { return url.Parse("http://u:p@" + address) }
	direct := func(*url.URL) (*url.URL, error) { return nil, nil } //nolint:nilnil // as net/http means it
	up := named(t, "up")
	for name, c := range map[string]struct {
		options Options
		want    int64
	}{
		"all":      {Options{Upstream: up, Proxy: through}, 1},
		"none":     {Options{Upstream: up}, 0},
		"one":      {Options{Upstreams: []Upstream{{Name: "a", URL: up, Proxy: through}}}, 1},
		"but one":  {Options{Upstreams: []Upstream{{Name: "a", URL: up, Proxy: direct}}, Proxy: through}, 0},
		"one less": {Options{Upstreams: []Upstream{{Name: "a", URL: up, Path: "/a", Proxy: direct}}, Upstream: up, Proxy: through}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			before := tunnels.Load()
			base := startProxy(t, c.options)
			if resp, answer := post(t, base, []byte("{}")); resp.StatusCode != http.StatusOK || tunnels.Load()-before != c.want {
				t.Errorf("%d %s, %d tunnels", resp.StatusCode, answer, tunnels.Load()-before)
			}
		})
	}
	t.Run("that refuses", func(t *testing.T) {
		base := startProxy(t, Options{Upstream: up, Proxy: func(*url.URL) (*url.URL, error) { return url.Parse("http://u:secret@" + address) }})
		if resp, answer := post(t, base, []byte("{}")); resp.StatusCode != http.StatusBadGateway || !strings.Contains(string(answer), "upstream_unreachable") || strings.Contains(string(answer), "secret") {
			t.Errorf("%d %s", resp.StatusCode, answer)
		}
	})
	_, err := NewServer(Options{Upstream: up, Proxy: func(*url.URL) (*url.URL, error) { return url.Parse("ftp://u:secret@a") }})
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), `"ftp"`) {
		t.Errorf("an unknown scheme: %v", err)
	}
}

func TestUpstreamsAreChecked(t *testing.T) {
	sound := Upstream{Name: "a", URL: "http://a"}
	for want, u := range map[string]Upstream{
		`"" is empty`: {URL: "http://a"}, "given twice": sound, "URL": {Name: "b", URL: "ftp://b"}, "path": {Name: "b", URL: "http://b", Path: "b/"},
		"model": {Name: "b", URL: "http://b", Models: []string{"a*b"}}, "timeout": {Name: "b", URL: "http://b", IdleTimeout: -1},
		"margin": {Name: "b", URL: "http://b", TokenMargin: 1}, "prompt cache": {Name: "b", URL: "http://b", Cache: 99},
	} {
		if _, err := NewServer(Options{Upstreams: []Upstream{sound, u}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestReload has a request under way end as it began, new ones go elsewhere, and bad options change nothing.
func TestReload(t *testing.T) {
	up := startFaulty(t, func(conn *net.TCPConn, _ *http.Request) {
		_, _ = io.WriteString(conn, events+oneSent)
		_, _ = bufio.NewReader(conn).ReadByte() // until the other end leaves
	})
	compressor := realCompressor(t)
	s, err := NewServer(Options{Upstream: up.url(), Compressor: compressor, CountTokens: countTokens, Deadline: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	base := serve(t, s)
	first := do(t, http.MethodPost, base+chatPath, strings.NewReader(string(longBody(t))))
	begun := make([]byte, len("data: {\"n\":1}\n\n"))
	if _, err := io.ReadFull(first.Body, begun); err != nil {
		t.Fatal(err)
	}
	next := newRecorder(t)
	if err := s.Reload(Options{Upstream: "ftp://nowhere"}); err == nil || !strings.Contains(err.Error(), "ftp") {
		t.Errorf("bad options: %v", err)
	}
	if err := s.Reload(Options{Upstream: next.URL, Compressor: compressor, CountTokens: countTokens, Deadline: time.Minute, MaxBody: 50_000}); err != nil {
		t.Fatal(err)
	}
	if resp, _ := post(t, base, longBody(t)); resp.StatusCode != http.StatusOK || len(next.received()) != 1 {
		t.Errorf("after the reload: %d, %d requests at the new upstream", resp.StatusCode, len(next.received()))
	}
	if resp, _ := post(t, base, make([]byte, 60_000)); resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a body beyond the new limit: %d", resp.StatusCode)
	}
	if m := metricsOf(t, s); m[`pith_turns_total{outcome="remembered"}`] != 1 || m["pith_in_flight_requests"] != 1 {
		t.Errorf("what was known was lost, or the request under way: %v, %v", m[`pith_turns_total{outcome="remembered"}`], m["pith_in_flight_requests"])
	}
	_ = first.Body.Close() // it went on until here
	reaches(t, s, `pith_requests_total{dialect="chat",outcome="client_gone"}`, 1)
	if err := s.Reload(Options{Upstream: next.URL, Compressor: compressor, Mode: ModeOff}); err != nil {
		t.Fatal(err)
	}
	if post(t, base, longBody(t)); string(next.last()) != string(longBody(t)) {
		t.Error("the mode is still on")
	}
}
