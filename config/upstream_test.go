package config

import (
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestLoadReadsTheListOfUpstreams(t *testing.T) {
	source, err := Load(writeFile(t, `
upstream: http://127.0.0.1:8000
upstreams:
  - url: https://api.anthropic.com
    dialects: [messages]
    models: [claude-*]
    key_env: ANTHROPIC_API_KEY
    tokenizer: approximate
    prompt_cache: paid
    documents: |
      FACTS>>...<<FACTS
    header_timeout: 2m
    idle_timeout: 1s
    connect_timeout: 100ms
    total_timeout: 1h
  - name: google
    url: https://generativelanguage.googleapis.com/v1beta/openai
    path: /google
    egress_proxy: socks5://127.0.0.1:1080
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []Upstream{
		{
			Name: "api.anthropic.com", URL: "https://api.anthropic.com", Dialects: []string{"messages"}, Models: []string{"claude-*"}, KeyEnv: "ANTHROPIC_API_KEY",
			Tokenizer: "approximate", PromptCache: "paid", Documents: "FACTS>>...<<FACTS\n", HeaderTimeout: 2 * time.Minute, IdleTimeout: time.Second, ConnectTimeout: 100 * time.Millisecond, TotalTimeout: time.Hour,
		},
		{Name: "google", URL: "https://generativelanguage.googleapis.com/v1beta/openai", Path: "/google", EgressProxy: "socks5://127.0.0.1:1080"},
	}
	if got := source.Upstreams(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	for content, want := range map[string]string{
		"upstreams:\n  - url: http://a\n    colour: red\n":     "pith.yaml:3",
		"upstreams:\n  - url: http://a\n    idle_timeout: x\n": `invalid duration "x"`,
		"upstreams: http://a\n":                                "pith.yaml:1",
		"upstreams:\n  - name: a\n":                            "entry 1 has no url",
		"upstreams:\n  - url: http://a\n  - url: a\n":          "entry 2 has no url",
	} {
		if _, err := Load(writeFile(t, content), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", content, err, want)
		}
	}
}

func TestEgressProxyOfTheEnvironment(t *testing.T) {
	environ := []string{"HTTPS_PROXY=http://secure:1", "http_proxy=http://plain:1", "NO_PROXY=.internal,10.0.0.0/8"}
	for _, c := range []struct{ setting, upstream, want string }{
		{"environment", "https://api.openai.com", "http://secure:1"},
		{"environment", "http://example.com", "http://plain:1"},
		{"environment", "https://a.internal", ""},
		{"environment", "http://10.1.2.3:8000", ""},
		{"environment", "http://127.0.0.1:8000", ""},
		{"off", "https://api.openai.com", ""},
		{"socks5://other:1", "http://127.0.0.1:8000", "socks5://other:1"},
	} {
		find, err := LoadSecrets(environ).EgressProxy(c.setting)
		if err != nil {
			t.Fatal(err)
		}
		upstream, err := url.Parse(c.upstream)
		if err != nil {
			t.Fatal(err)
		}
		got, err := find(upstream)
		if err != nil || got == nil != (c.want == "") || got != nil && got.String() != c.want {
			t.Errorf("%s of %s: %v %v, want %q", c.setting, c.upstream, got, err, c.want)
		}
	}
	if _, err := LoadSecrets(nil).EgressProxy("user:secret@proxy"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("no URL: %v", err)
	}
}

func TestKeysOfUpstreamsComeFromTheEnvironment(t *testing.T) {
	secrets := LoadSecrets([]string{"ANTHROPIC_API_KEY=sk-1", "EMPTY="})
	if key, err := secrets.Key("ANTHROPIC_API_KEY"); err != nil || key != "sk-1" {
		t.Errorf("%q %v", key, err)
	}
	for _, name := range []string{"EMPTY", "NONE"} {
		if _, err := secrets.Key(name); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
