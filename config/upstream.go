package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"golang.org/x/net/http/httpproxy"
)

// Upstream is an entry of the list upstreams, which only a file can hold. Requests go to the first whose conditions (path,
// dialects, models) they meet, and to the setting upstream if they meet none.
type Upstream struct {
	Name           string        `yaml:"name"`            // in logs; the host of the URL if empty
	URL            string        `yaml:"url"`             // base URL, with or without /v1
	Path           string        `yaml:"path"`            // below which it is reached, such as /google
	Dialects       []string      `yaml:"dialects"`        // that it speaks: chat, completions, responses, messages; all if empty
	Models         []string      `yaml:"models"`          // that it serves, claude-* for instance; all if empty
	KeyEnv         string        `yaml:"key_env"`         // variable that holds its API key, for requests that bring none
	Tokenizer      string        `yaml:"tokenizer"`       // as compression.tokenizer, which it replaces
	PromptCache    string        `yaml:"prompt_cache"`    // as prompt_cache; auto, by its own host, if empty
	Documents      string        `yaml:"documents"`       // rules for the prompts that go to it, beside those of the setting of this name
	EgressProxy    string        `yaml:"egress_proxy"`    // as egress_proxy, which it replaces
	ConnectTimeout time.Duration `yaml:"connect_timeout"` // as the settings of these names; total_timeout can only be shorter
	HeaderTimeout  time.Duration `yaml:"header_timeout"`
	IdleTimeout    time.Duration `yaml:"idle_timeout"`
	TotalTimeout   time.Duration `yaml:"total_timeout"`
}

// readUpstreams takes the list of upstreams.
func (s *Source) readUpstreams(path string, node ast.Node) error {
	if err := yaml.NodeToValue(node, &s.upstreams, yaml.Strict()); err != nil {
		if syntax := yaml.Error(nil); errors.As(err, &syntax) {
			return fmt.Errorf("%s:%d: upstreams: %s", path, syntax.GetToken().Position.Line, syntax.GetMessage())
		}
		return fmt.Errorf("%s: upstreams: %w", path, err)
	}
	for i := range s.upstreams {
		u := &s.upstreams[i]
		base, err := url.Parse(u.URL)
		if err != nil || base.Host == "" {
			return fmt.Errorf("%s: upstreams: entry %d has no url with a host", path, i+1)
		}
		if u.Name == "" {
			u.Name = base.Host
		}
	}
	return nil
}

// Upstreams returns the entries of the list upstreams.
func (s *Source) Upstreams() []Upstream { return s.upstreams }

// Key returns the API key that the named variable holds.
func (s Secrets) Key(variable string) (string, error) {
	if key := s.variables[variable]; key != "" {
		return key, nil
	}
	return "", fmt.Errorf("key_env: the variable %s is not set", variable)
}

// EgressProxy returns what finds the proxy for an upstream, by a setting: "environment" is HTTPS_PROXY, HTTP_PROXY and
// NO_PROXY (which exempt loopback addresses), "off" is none, everything else a proxy's URL.
func (s Secrets) EgressProxy(setting string) (func(*url.URL) (*url.URL, error), error) {
	switch setting {
	case "environment":
		environment := httpproxy.Config{
			HTTPProxy:  s.either("HTTP_PROXY"),
			HTTPSProxy: s.either("HTTPS_PROXY"),
			NoProxy:    s.either("NO_PROXY"),
		}
		return environment.ProxyFunc(), nil
	case "off", "":
		return func(*url.URL) (*url.URL, error) { return nil, nil }, nil //nolint:nilnil // as net/http means it
	}
	proxy, err := url.Parse(setting)
	if err != nil || proxy.Host == "" {
		return nil, errors.New("egress_proxy must be environment, off or a URL such as http://proxy:3128") // the value may hold a password
	}
	return func(*url.URL) (*url.URL, error) { return proxy, nil }, nil
}

// either returns a variable in capitals or, as curl has it, in small letters.
func (s Secrets) either(name string) string {
	if value := s.variables[name]; value != "" {
		return value
	}
	return s.variables[strings.ToLower(name)]
}
