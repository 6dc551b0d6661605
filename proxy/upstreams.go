package proxy

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Upstream is one of several servers, and says which requests go to it: those that meet all of its conditions. Where
// several would take a request, the first does.
type Upstream struct {
	// Name stands in logs and metrics; it must be unique.
	Name string
	// URL is the base URL, as Options.Upstream.
	URL string
	// Path is the path below which the upstream is reached, such as /openai; requests go up without it. All if empty.
	Path string
	// Dialects are what it speaks. A request of no dialect counts as one of Anthropic's or OpenAI's by its headers. All if
	// empty.
	Dialects []Dialect
	// Models are the names of the models that it serves; a final * stands for any ending. All if empty. A request of no
	// dialect names a model only if it is JSON or a multipart form, not encoded, and does so in its first 64 KiB: without one it goes to
	// an upstream for all models, or else to the first for some, and so does one whose model nobody serves.
	Models []string
	// Key is the API key that goes up in place of a missing one, instead of Options.UpstreamKey.
	Key string
	// ConnectTimeout, HeaderTimeout, IdleTimeout and TotalTimeout are those of Options where 0; TotalTimeout can only be
	// shorter.
	ConnectTimeout, HeaderTimeout, IdleTimeout, TotalTimeout time.Duration
	// Proxy is as Options.Proxy, which it replaces.
	Proxy func(*url.URL) (*url.URL, error)
	// Compressor and CountTokens count as the models of this upstream do; nil is those of Options.
	Compressor  Compressor
	CountTokens func(string) int
	// TokenMargin is by how much the count may be wrong, as a share of it: a text is replaced only if it is still shorter
	// then. For models whose tokens can only be estimated.
	TokenMargin float64
	// Cache says what a prompt costs that comes again, by which each saving is weighed.
	Cache CacheClass
	// Documents are rules for the prompts that go here, beside those of Options.
	Documents []DocumentRule

	inherits bool // the compressor of the options
}

// validate names the field that makes no sense.
func (u Upstream) validate() error {
	if _, err := parseUpstream(u.URL); err != nil {
		return fmt.Errorf("URL: %w", err)
	}
	if u.Path != "" && (u.Path[0] != '/' || strings.HasSuffix(u.Path, "/")) {
		return fmt.Errorf("path is %q: it must begin with a slash and not end with one", u.Path)
	}
	for _, model := range u.Models {
		if star := strings.IndexByte(model, '*'); model == "" || star >= 0 && star != len(model)-1 {
			return fmt.Errorf("model is %q: it must be a name, of which a * may stand for the end", model)
		}
	}
	for _, timeout := range []time.Duration{u.ConnectTimeout, u.HeaderTimeout, u.IdleTimeout, u.TotalTimeout} {
		if timeout < 0 {
			return fmt.Errorf("timeout is %v: it must not be negative", timeout)
		}
	}
	if !(u.TokenMargin >= 0 && u.TokenMargin < 1) {
		return fmt.Errorf("token margin is %v: it must be at least 0 and below 1", u.TokenMargin)
	}
	for _, rule := range u.Documents {
		if err := rule.Validate(); err != nil {
			return fmt.Errorf("documents: %w", err)
		}
	}
	if int(u.Cache) >= len(cacheClassNames) {
		return fmt.Errorf("prompt cache is %v: there is no such class", u.Cache)
	}
	return nil
}

// upstreams lists all upstreams of the options: the one of the simple case takes what no other does.
func (o Options) upstreams() []Upstream {
	all := slices.Clone(o.Upstreams)
	if o.Upstream != "" {
		all = append(all, Upstream{Name: "default", URL: o.Upstream, Key: o.UpstreamKey, TokenMargin: o.TokenMargin, Cache: o.Cache})
	}
	for i := range all {
		u := &all[i]
		fallback := func(value *time.Duration, of time.Duration) {
			if *value == 0 {
				*value = of
			}
		}
		fallback(&u.ConnectTimeout, o.ConnectTimeout)
		fallback(&u.HeaderTimeout, o.HeaderTimeout)
		fallback(&u.IdleTimeout, o.IdleTimeout)
		fallback(&u.TotalTimeout, o.TotalTimeout)
		if u.Proxy == nil {
			u.Proxy = o.Proxy
		}
		if u.Cache == CacheAuto {
			u.Cache = CacheClassOf(u.URL)
		}
		if u.Key == "" {
			u.Key = o.UpstreamKey
		}
	}
	return all
}

// validateUpstreams checks all upstreams.
func (o Options) validateUpstreams() error {
	if o.Upstream == "" && len(o.Upstreams) == 0 {
		return errors.New("proxy.Options.Upstream is empty: it must be the base URL of the API")
	}
	if o.Upstream != "" {
		if _, err := parseUpstream(o.Upstream); err != nil {
			return fmt.Errorf("proxy.Options.Upstream: %w", err)
		}
	}
	if !(o.TokenMargin >= 0 && o.TokenMargin < 1) {
		return fmt.Errorf("proxy.Options.TokenMargin is %v: it must be at least 0 and below 1", o.TokenMargin)
	}
	names := map[string]bool{}
	for _, u := range o.upstreams() {
		if u.Name == "" || names[u.Name] {
			return fmt.Errorf("proxy.Options.Upstreams: name %q is empty or given twice", u.Name)
		}
		names[u.Name] = true
		if err := u.validate(); err != nil {
			return fmt.Errorf("proxy.Options.Upstreams: %s: %w", u.Name, err)
		}
	}
	return nil
}

// openUpstreams makes the upstreams of the options. Those that count tokens alike share compressions, and what is remembered
// is divided among the shorteners. A shortener of before that does the same is kept, with what it remembers.
func (s *Server) openUpstreams(before *Server) error {
	o := s.options
	all := o.upstreams()
	first := make([]int, len(all)) // of those that count alike
	kinds := 0
	for i := range all {
		own := all[i].Compressor != nil
		first[i] = slices.IndexFunc(all[:i], func(u Upstream) bool {
			return own && sameCompressor(u.Compressor, all[i].Compressor) || !own && u.inherits
		})
		if first[i] < 0 {
			first[i] = i
			kinds++
		}
		if !own {
			all[i].Compressor, all[i].CountTokens, all[i].inherits = o.Compressor, o.CountTokens, true
		}
		s.compresses = s.compresses || all[i].Compressor != nil
		s.byModel = s.byModel || len(all[i].Models) > 0
	}
	for i, settings := range all {
		u, err := newUpstream(settings, o)
		if err != nil {
			return err
		}
		var shared *shortener
		if first[i] < i {
			shared = s.upstreams[first[i]].shortener
		} else {
			shared = s.newShortener(settings, o.Remembered/kinds)
			if known := before.shortenerLike(shared); known != nil {
				shared = known
			}
		}
		u.shortener = shared.through(gate{settings.Cache, settings.TokenMargin}, slices.Concat(settings.Documents, o.Documents))
		s.upstreams = append(s.upstreams, u)
	}
	return nil
}

// below reports whether a path lies at or below the upstream's own.
func (u *upstream) below(path string) bool {
	rest, ok := strings.CutPrefix(path, u.Path)
	return ok && (u.Path == "" || rest == "" || rest[0] == '/')
}

// speaks reports whether the upstream knows a dialect; of a request without one only whose API it belongs to is known.
func (u *upstream) speaks(d dialect, anthropic bool) bool {
	if len(u.Dialects) == 0 || slices.Contains(u.Dialects, d) {
		return true
	}
	return d == dialectNone && slices.ContainsFunc(u.Dialects, func(known dialect) bool { return (known == dialectMessages) == anthropic })
}

// serves reports whether the upstream has a model.
func (u *upstream) serves(model string) bool {
	return len(u.Models) == 0 || slices.ContainsFunc(u.Models, func(known string) bool {
		prefix, open := strings.CutSuffix(known, "*")
		return known == model || open && strings.HasPrefix(model, prefix)
	})
}

// upstreamFor returns the upstream of a request, nil if none takes it. Where the model is not known it is one for all
// models, or else the first for some.
func (s *Server) upstreamFor(path string, d dialect, anthropic bool, model string, known bool) *upstream {
	var first *upstream // that would do but for the model
	for _, u := range s.upstreams {
		if !u.below(path) || !u.speaks(d, anthropic) {
			continue
		}
		if u.serves(model) {
			return u
		}
		if first == nil {
			first = u
		}
	}
	if known {
		return nil
	}
	return first
}

// modelOf returns the model that a body names at its top level, "" if it names none.
func modelOf(body []byte) string {
	model := ""
	err := parseObject(body, func(s *scanner, key string) error {
		if key != "model" {
			return s.skip(1)
		}
		var err error
		model, err = s.text(1)
		return err
	})
	if err != nil {
		return ""
	}
	return model
}

// versioned are the paths of the APIs as they follow the version.
var versioned = [...]string{"/chat/completions", "/completions", "/responses", "/messages", "/models", "/embeddings", "/audio", "/moderations", "/rerank"}

// target returns the request URI under which the upstream knows a client's. A client whose base URL lacks the version that
// the upstream's has is given it. The asterisk of OPTIONS speaks of the whole server.
func (u *upstream) target(uri string) string {
	if uri == "*" {
		return uri
	}
	uri = strings.TrimPrefix(uri, u.Path)
	if uri == "" || uri[0] != '/' {
		uri = "/" + uri
	}
	if u.versioned {
		path, _, _ := strings.Cut(uri, "?")
		for _, known := range versioned {
			if path == known || strings.HasPrefix(path, known+"/") {
				return u.prefix + "/v1" + uri
			}
		}
	}
	return u.prefix + uri
}
