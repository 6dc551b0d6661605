package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/config"
	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/proxy"
	"github.com/pith-llm/pith/scoring"
	"github.com/pith-llm/pith/scoring/models"
	"github.com/pith-llm/pith/scoring/tokenizer"
)

type serveCommand struct {
	config.Edge   `embed:"" group:"Settings"`
	config.Engine `embed:"" group:"Settings"`
}

// drainTime is how long requests under way may take after a signal to stop.
const drainTime = 30 * time.Second

func (c *serveCommand) Run(ctx context.Context, std streams, secrets config.Secrets, given config.Descriptors, from invocation) error {
	if c.Upstream == "" && len(c.Upstreams) == 0 {
		return errors.New("no upstream: say with --upstream, PITH_UPSTREAM or the key upstream where requests go, such as http://127.0.0.1:8000, or 'embedded'")
	}
	asked := *c
	defer keepProcessorFree(&c.Scoring)()
	logger := slog.New(slog.NewTextHandler(std.stderr, nil))
	e, err := newEngine(c.Engine, logger)
	if err != nil {
		return err
	}
	listener, err := listenOn(given, config.ListenDescriptor, c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer func() { _ = listener.Close() }()
	if address, ok := listener.Addr().(*net.TCPAddr); secrets.Access == "" && ok && !address.IP.IsLoopback() {
		return fmt.Errorf("listen: others can reach %s: set PITH_ACCESS_KEY to the token that clients must bring, or listen on 127.0.0.1", c.Listen)
	}
	upstream := c.Upstream
	if upstream == embeddedUpstream {
		model, err := e.startModelServer(logger)
		if err != nil {
			return err
		}
		defer model.stop()
		upstream = model.url
	}
	counts := newCounting(e)
	options, err := counts.options(c.Edge, upstream, logger, nil, secrets)
	if err != nil {
		return err
	}
	tracer, stopTraces, err := newTracer(ctx, c.Traces, logger)
	if err != nil {
		return err
	}
	defer stopTraces()
	options.Tracer = tracer
	server, err := proxy.NewServer(options)
	if err != nil {
		return err
	}
	primed := primedAlready
	if c.Mode != proxy.ModeOff.String() {
		primed = e.prime(ctx, logger)
	}
	listeners := map[string]net.Listener{config.ListenDescriptor: listener}
	if c.Admin != "" {
		if listeners[config.AdminDescriptor], err = listenOn(given, config.AdminDescriptor, c.Admin); err != nil {
			return fmt.Errorf("admin: %w", err)
		}
	}
	if err := announceReady(ctx, given, primed); err != nil {
		return err
	}
	stopAdmin := func() {}
	if c.Admin != "" {
		ready := func() error {
			if ctx.Err() != nil {
				return errors.New("draining")
			}
			return primed.err()
		}
		stopAdmin = serveAdmin(listeners[config.AdminDescriptor], server.Admin(ready), logger)
		defer stopAdmin()
	}
	defer reloadOnHangup(&serving{server, counts, asked, upstream, tracer, logger, secrets}, from)()
	replaced, stopReplacing := replaceOnSignal(replaceable{listeners, from, std, logger, func() {
		stopAdmin()
		patience, cancel := context.WithTimeout(ctx, drainTime)
		defer cancel()
		server.HandOver(patience)
	}})
	defer stopReplacing()
	logger.Info("listening", "address", listener.Addr().String(), "upstream", upstream, "upstreams", len(options.Upstreams), "mode", c.Mode,
		"scorer", c.Scoring.Scorer, "tier", e.tier.String(), "tiers_here", tierList(kernels.Supported()),
		"tiers_lacking", tierList(kernels.Unsupported()), "version", version())
	defer context.AfterFunc(ctx, func() { logger.Info("draining: no new connections", "at_most", drainTime) })()
	return serveUntilDone(ctx, replaced, server, listener)
}

// keepProcessorFree gives Go's scheduler one processor more than forward passes take, and returns what undoes it. With all
// of them in passes nobody waits for the network: a request is noticed only when the scheduler looks after 10 ms, at every
// step of its way. On two cores a request that is only forwarded, while both score, took 60 ms (99 %: 134 ms) before and
// takes 0.3 ms (0.4 ms) so: see BenchmarkPassThrough.
func keepProcessorFree(settings *config.Scoring) (undo func()) {
	processors := runtime.GOMAXPROCS(0)
	if settings.Workers == 0 {
		settings.Workers = processors
	}
	runtime.GOMAXPROCS(max(processors, settings.Workers+1))
	return func() { runtime.GOMAXPROCS(processors) }
}

// serveAdmin answers on a listener of its own until stop is called.
func serveAdmin(listener net.Listener, handler http.Handler, logger *slog.Logger) (stop func()) {
	server := &http.Server{Handler: handler, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	logger.Info("admin listening", "address", listener.Addr().String())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = server.Serve(listener) // ends when it is closed
	}()
	return func() {
		_ = server.Close()
		<-stopped
	}
}

// priming is the loading of what scoring needs.
type priming struct {
	done   chan struct{}
	failed error // once done is closed
}

// primedAlready is that of what needs nothing.
var primedAlready = func() *priming {
	p := &priming{done: make(chan struct{})}
	close(p.done)
	return p
}()

// err says why the models are not ready, nil once they are.
func (p *priming) err() error {
	select {
	case <-p.done:
		return p.failed
	default:
		return errors.New("the models are being loaded")
	}
}

// prime loads what scoring needs, so that no request spends its time on that.
func (e *engine) prime(ctx context.Context, logger *slog.Logger) *priming {
	p := &priming{done: make(chan struct{})}
	go func() {
		defer close(p.done)
		e.counter.Count("The vocabulary is loaded with the first word.")
		scorer, err := e.scorer(e.scorerName())
		if err == nil {
			_, err = scorer.Score(ctx, "is it ready?", []compressors.Candidate{{Text: "It is ready."}, {Text: "It is not."}})
			forget(models.Decoder) // what is used of them was prepared
			forget(models.Encoder)
		}
		if err == nil {
			collectOften()
		} else if ctx.Err() == nil {
			logger.Warn("models cannot be loaded: requests are forwarded as they are", "error", err)
		}
		p.failed = err
	}()
	return p
}

// collectorPercent is by how much the heap may grow between two collections once the models are loaded. It is then mostly caches
// and buffers without pointers, which cost a collection next to nothing: in 'pith bench proxy --soak 2m' 30 took 0.13 GiB
// less than Go's usual 100.
const collectorPercent = 30

// collectOften sets it, unless GOGC in the environment does.
func collectOften() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectorPercent)
	}
}

// scorerName is the scorer that the settings ask for: without time there is none that runs a model.
func (e *engine) scorerName() string {
	if e.settings.Compression.Deadline == 0 {
		return "bm25"
	}
	return e.settings.Scoring.Scorer
}

// proxy returns a server in front of upstream; observe may be nil.
func (e *engine) proxy(edge config.Edge, upstream string, logger *slog.Logger, observe func(proxy.Report), secrets config.Secrets) (*proxy.Server, error) {
	options, err := newCounting(e).options(edge, upstream, logger, observe, secrets)
	if err != nil {
		return nil, err
	}
	return proxy.NewServer(options)
}

// counting holds the compressors of an engine by the vocabulary in which they count. All share one scorer.
type counting struct {
	engine *engine
	scorer *scoring.Scorer // once one is needed
	known  map[string]*compressors.Compressor
}

func newCounting(e *engine) *counting {
	serving := *e
	serving.plan = e.servedPlan()
	return &counting{engine: &serving, known: map[string]*compressors.Compressor{}}
}

// by returns the compressor for a setting of the tokenizer, and its counter.
func (c *counting) by(setting string) (*compressors.Compressor, func(string) int, error) {
	encoding, _ := vocabulary(setting)
	counter, err := tokenizer.NewCounter(encoding)
	if err != nil {
		return nil, nil, fmt.Errorf("tokenizer: %w", err)
	}
	if c.scorer == nil {
		if c.scorer, err = c.engine.newScorer(c.engine.scorerName()); err != nil {
			return nil, nil, fmt.Errorf("scoring.scorer: %w", err)
		}
	}
	if c.known[encoding] == nil {
		e := *c.engine
		e.counter = counter
		if c.known[encoding], err = e.compressorWith(adapted(c.scorer.WithPlan(e.plan)), e.settings.Compression.MinTokens); err != nil {
			return nil, nil, err
		}
	}
	return c.known[encoding], counter.Count, nil
}

// options turns settings into the proxy's options; upstream may be empty if the settings list others.
func (c *counting) options(edge config.Edge, upstream string, logger *slog.Logger, observe func(proxy.Report), secrets config.Secrets) (proxy.Options, error) {
	mode, err := proxy.ParseMode(edge.Mode)
	if err != nil {
		return proxy.Options{}, fmt.Errorf("mode: %w", err)
	}
	cache, err := proxy.ParseCacheClass(edge.PromptCache)
	if err != nil {
		return proxy.Options{}, fmt.Errorf("prompt_cache: %w", err)
	}
	documents, err := proxy.ParseDocumentRules(edge.Documents)
	if err != nil {
		return proxy.Options{}, fmt.Errorf("documents: %w", err)
	}
	egress, err := secrets.EgressProxy(edge.EgressProxy)
	if err != nil {
		return proxy.Options{}, err
	}
	compression := c.engine.settings.Compression
	compressor, count, err := c.by(compression.Tokenizer)
	if err != nil {
		return proxy.Options{}, err
	}
	_, margin := vocabulary(compression.Tokenizer)
	upstreams := make([]proxy.Upstream, len(edge.Upstreams))
	for i, settings := range edge.Upstreams {
		if upstreams[i], err = c.upstream(settings, secrets); err != nil {
			return proxy.Options{}, fmt.Errorf("upstreams: %s: %w", settings.Name, err)
		}
	}
	return proxy.Options{
		Upstream:       upstream,
		Upstreams:      upstreams,
		Proxy:          egress,
		Compressor:     compressor,
		CountTokens:    count,
		TokenMargin:    margin,
		Caches:         c.scorer.CacheStats,
		Cache:          cache,
		Mode:           mode,
		Documents:      documents,
		FileReads:      compression.FileReads,
		Deadline:       compression.Deadline,
		MaxBody:        edge.MaxBody << 20,
		ConnectTimeout: edge.ConnectTimeout,
		HeaderTimeout:  edge.HeaderTimeout,
		IdleTimeout:    edge.IdleTimeout,
		TotalTimeout:   edge.TotalTimeout,
		ClientTimeout:  edge.ClientTimeout,
		Requests:       edge.Requests,
		QueueTimeout:   edge.QueueTimeout,
		Token:          secrets.Access,
		UpstreamKey:    secrets.Upstream,
		Receipts:       receiptBytes(edge),
		Logger:         logger,
		Observe:        observe,
	}, nil
}

// upstream turns the settings of one upstream into its options.
func (c *counting) upstream(settings config.Upstream, secrets config.Secrets) (proxy.Upstream, error) {
	u := proxy.Upstream{
		Name: settings.Name, URL: settings.URL, Path: settings.Path, Models: settings.Models,
		ConnectTimeout: settings.ConnectTimeout, HeaderTimeout: settings.HeaderTimeout, IdleTimeout: settings.IdleTimeout, TotalTimeout: settings.TotalTimeout,
	}
	for _, name := range settings.Dialects {
		dialect, err := proxy.ParseDialect(name)
		if err != nil {
			return u, err
		}
		u.Dialects = append(u.Dialects, dialect)
	}
	var err error
	if u.Cache, err = proxy.ParseCacheClass(settings.PromptCache); err != nil {
		return u, err
	}
	if u.Documents, err = proxy.ParseDocumentRules(settings.Documents); err != nil {
		return u, fmt.Errorf("documents: %w", err)
	}
	if settings.KeyEnv != "" {
		if u.Key, err = secrets.Key(settings.KeyEnv); err != nil {
			return u, err
		}
	}
	if settings.EgressProxy != "" {
		if u.Proxy, err = secrets.EgressProxy(settings.EgressProxy); err != nil {
			return u, err
		}
	}
	counts := c.engine.settings.Compression.Tokenizer
	if settings.Tokenizer != "" {
		counts = settings.Tokenizer
	}
	_, u.TokenMargin = vocabulary(counts)
	if u.Compressor, u.CountTokens, err = c.by(counts); err != nil {
		return u, err
	}
	return u, nil
}

// receiptBytes is the memory for receipts: without an admin address nobody could ask for them.
func receiptBytes(edge config.Edge) int {
	if edge.Admin == "" {
		return 0
	}
	return edge.Receipts << 20
}

// httpServer is what proxy's two servers share.
type httpServer interface {
	Serve(l net.Listener) error
	Shutdown(ctx context.Context) error
}

// serveUntilDone serves until ctx ends and then drains. replaced, which may be nil, is closed once another process has taken over:
// then nobody waits for the end, and the answers under way have their own time unless ctx ends.
func serveUntilDone(ctx context.Context, replaced <-chan struct{}, server httpServer, listener net.Listener) error {
	failed := make(chan error, 1)
	go func() {
		if err := server.Serve(listener); err != nil { // nil is that it was told to end
			failed <- err
		}
	}()
	select {
	case err := <-failed:
		return err
	case <-replaced:
	case <-ctx.Done():
	}
	drain, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(drainTime, cancel) })()
	return server.Shutdown(drain)
}
