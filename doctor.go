package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/config"
	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/proxy"
)

type doctorCommand struct {
	config.Edge   `embed:"" group:"Settings"`
	config.Engine `embed:"" group:"Settings"`
}

// Help says what is looked at.
func (doctorCommand) Help() string {
	return "Checks with the settings of 'pith serve': the settings themselves, the CPU tier, that the models load and score, the ports, the upstream, " +
		"and the clock. It asks the upstream for its list of models, once, and sends nothing else. The exit status is 1 if anything is wrong."
}

// finding is the outcome of one check.
type finding struct {
	grade grade
	// says is what was found, advice what to do about it; empty if nothing is to be done.
	says, advice string
}

type grade uint8

const (
	fine grade = iota
	warned
	wrong
)

// String returns the word at the start of the check's line.
func (g grade) String() string { return [...]string{"ok", "warning", "WRONG"}[g] }

const (
	// doctorPatience bounds each look at the network.
	doctorPatience = 5 * time.Second
	// maxSkew is how far the clock may be off: signatures and tokens are refused beyond about five minutes.
	maxSkew = 2 * time.Minute
)

func (c *doctorCommand) Run(ctx context.Context, std streams, secrets config.Secrets) error {
	type check struct {
		name  string
		check func() finding
	}
	checks := []check{
		{"settings", func() finding { return c.checkSettings(secrets) }},
		{"CPU", c.checkTier},
		{"models", func() finding { return c.checkModels(ctx) }},
		{"listen", func() finding { return c.checkPort(c.Listen, "listen", secrets) }},
		{"admin", func() finding { return c.checkAdmin(ctx, secrets) }},
	}
	var clock time.Time // by the first upstream that tells it
	for _, u := range c.upstreams(secrets) {
		checks = append(checks, check{u.name, func() finding {
			f, told := c.checkUpstream(ctx, u, secrets)
			if clock.IsZero() {
				clock = told
			}
			if f.grade == fine {
				f.says += "; prompt cache " + u.cache()
			}
			return f
		}})
	}
	checks = append(checks, check{"clock", func() finding { return checkClock(time.Now(), clock, buildTime()) }})
	failed := 0
	for _, check := range checks {
		f := check.check()
		line := fmt.Sprintf("%-8s %-9s %s", f.grade, check.name, f.says)
		if f.advice != "" {
			line += " -> " + f.advice
		}
		fmt.Fprintln(std.stdout, line)
		if f.grade == wrong {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d checks found something wrong", failed, len(checks))
	}
	return nil
}

// checkSettings builds what serve would build of the settings, without starting it. Unknown keys have stopped the command
// before.
func (c *doctorCommand) checkSettings(secrets config.Secrets) finding {
	if c.Upstream == "" && len(c.Upstreams) == 0 {
		return finding{wrong, "no upstream", "say with --upstream, PITH_UPSTREAM or the key upstream where requests go, such as https://api.openai.com"}
	}
	e, err := newEngine(c.Engine, slog.New(slog.DiscardHandler))
	if err != nil {
		return finding{wrong, err.Error(), "mend the setting that it names"}
	}
	upstream := c.Upstream
	if upstream == embeddedUpstream {
		upstream = "http://127.0.0.1"
	}
	if _, err := e.proxy(c.Edge, upstream, slog.New(slog.DiscardHandler), nil, secrets); err != nil {
		return finding{wrong, err.Error(), "mend the setting that it names"}
	}
	return finding{says: fmt.Sprintf("valid; mode %s, scorer %s, policy %s", c.Mode, c.Scoring.Scorer, c.Compression.Policy)}
}

// checkTier looks at the instructions that scoring uses.
func (c *doctorCommand) checkTier() finding {
	tier := kernels.Best()
	if c.Scoring.Tier != "auto" {
		pinned, err := kernels.ParseTier(c.Scoring.Tier)
		if err != nil {
			return finding{wrong, err.Error(), "set scoring.tier to auto"}
		}
		if !pinned.Supported() {
			return finding{wrong, fmt.Sprintf("scoring.tier pins %s, which this CPU lacks", pinned), "set scoring.tier to auto, or to " + tier.String()}
		}
		tier = pinned
	}
	if tier == kernels.Generic {
		return finding{
			warned, "generic: this CPU or this build has no vector instructions that pith uses",
			"set scoring.scorer to bm25, which needs none, or expect compressions to pass their deadline",
		}
	}
	return finding{says: fmt.Sprintf("%s (%s)", tier, tierList(kernels.Supported())) + c.plannedTokens(tier)}
}

// plannedTokens says what a turn may cost.
func (c *doctorCommand) plannedTokens(tier kernels.Tier) string {
	e, err := newEngine(c.Engine, slog.New(slog.DiscardHandler))
	if err != nil || e.servedPlan().Time == 0 { // what is wrong is said elsewhere
		return ""
	}
	plan := e.servedPlan()
	encoder, decoder := plan.Tokens(0)
	return fmt.Sprintf("; a turn may cost %v by the speeds of %s: %d tokens of the encoder, or %d of the decoder in their place",
		plan.Time, tier, encoder, min(decoder, c.Scoring.ModelTokens))
}

// checkModels loads what scoring needs and scores once, from a cold start.
func (c *doctorCommand) checkModels(ctx context.Context) finding {
	e, err := newEngine(c.Engine, slog.New(slog.DiscardHandler))
	if err != nil {
		return finding{wrong, "not tried: the settings are wrong", ""}
	}
	name := e.scorerName()
	scorer, err := e.scorer(name)
	if err != nil {
		return finding{wrong, err.Error(), "set scoring.scorer to one of those that 'pith serve --help' names"}
	}
	start := time.Now()
	scores, err := scorer.Score(ctx, "when is a retry counted?", []compressors.Candidate{
		{Text: "A retry is counted once its deadline has passed."}, {Text: "Boats lie along the quay in the evening."},
	})
	if err != nil {
		return finding{wrong, err.Error(), "mend scoring.decoder or scoring.encoder, or leave them empty for the embedded models"}
	}
	if scores.Scores[0].Value <= scores.Scores[1].Value {
		return finding{wrong, fmt.Sprintf("%s scores nonsense above an answer", name), "use models that are made for this: leave scoring.decoder and scoring.encoder empty"}
	}
	took := time.Since(start).Round(time.Millisecond)
	folder, err := c.Cache.Folder()
	if err == nil && folder != "" {
		err = writable(folder)
	}
	if err != nil {
		return finding{warned, fmt.Sprintf("%s scores, %v after a cold start; weights cannot be kept: %v", name, took, err), "set cache.dir to a folder that can be written, or every start prepares them"}
	}
	return finding{says: fmt.Sprintf("%s scores, %v after a cold start", name, took)}
}

// writable reports why no file can be made in a folder.
func writable(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(folder, "doctor")
	if err != nil {
		return err
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}

// checkPort looks whether an address can be listened on, or pith does so already.
func (c *doctorCommand) checkPort(address, setting string, secrets config.Secrets) finding {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		if isPith(address) {
			return finding{says: "a pith is running at " + address}
		}
		return finding{wrong, err.Error(), "stop what listens there, or set " + setting + " to another address"}
	}
	defer func() { _ = listener.Close() }()
	if at, ok := listener.Addr().(*net.TCPAddr); ok && !at.IP.IsLoopback() && secrets.Access == "" {
		return finding{wrong, "others can reach " + address + ", and PITH_ACCESS_KEY is not set", "set it to the token that clients must bring, or listen on 127.0.0.1"}
	}
	return finding{says: address + " is free"}
}

// checkAdmin looks at the admin address, which asks for no token.
func (c *doctorCommand) checkAdmin(ctx context.Context, secrets config.Secrets) finding {
	if c.Admin == "" {
		return finding{says: "no admin address: no metrics, receipts and 'pith stats'"}
	}
	if _, err := readStats(ctx, c.Admin); err == nil {
		return finding{says: "a pith answers at " + c.Admin}
	}
	secrets.Access = "" // no token protects it
	f := c.checkPort(c.Admin, "admin", secrets)
	if f.grade == wrong && strings.Contains(f.says, "PITH_ACCESS_KEY") {
		return finding{warned, "others can reach " + c.Admin + ", which asks for no token", "listen on 127.0.0.1, or see that a firewall keeps it to yourself"}
	}
	return f
}

// askedUpstream is an upstream of the settings.
type askedUpstream struct {
	name, url, key, egress, promptCache string
}

// cache says by which class prompts are priced there. The settings' check speaks of one that is none.
func (u askedUpstream) cache() string {
	class, err := proxy.ParseCacheClass(u.promptCache)
	if err == nil && class == proxy.CacheAuto {
		class = proxy.CacheClassOf(u.url)
	}
	return class.String()
}

// upstreams are all that the settings name.
func (c *doctorCommand) upstreams(secrets config.Secrets) []askedUpstream {
	var all []askedUpstream
	if c.Upstream != "" {
		all = append(all, askedUpstream{"upstream", c.Upstream, secrets.Upstream, c.EgressProxy, c.PromptCache})
	}
	for _, u := range c.Upstreams {
		one := askedUpstream{u.Name, u.URL, secrets.Upstream, u.EgressProxy, u.PromptCache}
		if u.KeyEnv != "" {
			one.key, _ = secrets.Key(u.KeyEnv) // the settings' check speaks of one that is missing
		}
		if one.egress == "" {
			one.egress = c.EgressProxy
		}
		all = append(all, one)
	}
	return all
}

// checkUpstream asks an upstream for its models, and returns the time by its clock.
func (c *doctorCommand) checkUpstream(ctx context.Context, u askedUpstream, secrets config.Secrets) (finding, time.Time) {
	if u.url == embeddedUpstream {
		return finding{says: "the model inside this binary"}, time.Time{}
	}
	egress, err := secrets.EgressProxy(u.egress)
	if err != nil {
		return finding{wrong, err.Error(), "mend the setting that it names"}, time.Time{}
	}
	transport := &http.Transport{Proxy: func(r *http.Request) (*url.URL, error) { return egress(r.URL) }}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	models := strings.TrimSuffix(strings.TrimSuffix(u.url, "/"), "/v1") + "/v1/models"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, models, nil)
	if err != nil {
		return finding{wrong, err.Error(), "mend its URL"}, time.Time{}
	}
	if u.key != "" {
		req.Header.Set("Authorization", "Bearer "+u.key)
		req.Header.Set("X-Api-Key", u.key)
		req.Header.Set("Anthropic-Version", "2023-06-01")
	}
	start := time.Now()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return finding{wrong, err.Error(), adviceFor(err)}, time.Time{}
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	_ = resp.Body.Close()
	took := time.Since(start).Round(time.Millisecond)
	clock, _ := http.ParseTime(resp.Header.Get("Date")) // without one there is nothing to compare
	switch {
	case resp.StatusCode == http.StatusUnauthorized && u.key != "":
		return finding{wrong, fmt.Sprintf("%s refuses the configured key (%d)", models, resp.StatusCode), "set PITH_UPSTREAM_KEY, or the variable that key_env names, to a key that is valid, or leave it to clients to bring theirs"}, clock
	case resp.StatusCode >= http.StatusInternalServerError:
		return finding{warned, fmt.Sprintf("%s answers %d", models, resp.StatusCode), "see whether the upstream is in order"}, clock
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return finding{says: fmt.Sprintf("%s answers in %v, and wants a key, which clients bring", models, took)}, clock
	case resp.StatusCode != http.StatusOK:
		return finding{warned, fmt.Sprintf("%s answers %d", models, resp.StatusCode), "see whether the setting upstream has the right path"}, clock
	}
	return finding{says: fmt.Sprintf("%s answers in %v", models, took)}, clock
}

// adviceFor says what to do about an upstream that cannot be asked.
func adviceFor(err error) string {
	switch {
	case isA[*net.DNSError](err):
		return "see that its name is spelled right and that names are resolved here"
	case isA[x509.UnknownAuthorityError](err), isA[*tls.CertificateVerificationError](err):
		return "see the clock, and install the certificate authority of the upstream or of what stands before it"
	case isA[tls.RecordHeaderError](err):
		return "it does not speak TLS at this port: say http:// or another port"
	case errors.Is(err, context.DeadlineExceeded):
		return "see whether a firewall is in the way"
	}
	return "see that it is running and that its port is right"
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// checkClock compares the clock with the upstream's and with the time of this build; either may be unknown.
func checkClock(now, upstream, built time.Time) finding {
	const advice = "set the clock: certificates and tokens depend on it"
	if skew := now.Sub(upstream).Round(time.Second); !upstream.IsZero() && skew.Abs() > maxSkew {
		return finding{wrong, fmt.Sprintf("%v away from the upstream's", skew), advice}
	}
	if now.Before(built) {
		return finding{wrong, "before the time at which this binary's source was committed, " + built.Format(time.RFC3339), advice}
	}
	if upstream.IsZero() {
		return finding{says: now.UTC().Format(time.RFC3339) + ", with no upstream's clock to compare"}
	}
	return finding{says: "agrees with the upstream's"}
}

// buildTime is when the source of this binary was committed, zero if unknown.
func buildTime() time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return time.Time{}
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.time" {
			built, _ := time.Parse(time.RFC3339, setting.Value) // zero if it is none
			return built
		}
	}
	return time.Time{}
}
