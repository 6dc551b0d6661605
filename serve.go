package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"time"

	"github.com/pith-llm/pith/config"
	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/proxy"
)

type serveCommand struct {
	config.Edge   `embed:"" group:"Settings"`
	config.Engine `embed:"" group:"Settings"`
}

// drainTime is how long requests under way may take after a signal to stop.
const drainTime = 30 * time.Second

func (c *serveCommand) Run(ctx context.Context, std streams) error {
	if c.Upstream == "" {
		return errors.New("no upstream: say with --upstream, PITH_UPSTREAM or the key upstream where requests go, such as http://127.0.0.1:8000, or 'embedded'")
	}
	defer keepProcessorFree(&c.Scoring)()
	logger := slog.New(slog.NewTextHandler(std.stderr, nil))
	e, err := newEngine(c.Engine, logger)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
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
	server, err := e.proxy(c.Edge, upstream, logger, nil)
	if err != nil {
		return err
	}
	logger.Info("listening", "address", listener.Addr().String(), "upstream", upstream, "mode", c.Mode,
		"scorer", c.Scoring.Scorer, "tier", e.tier.String(), "tiers_here", tierList(kernels.Supported()),
		"tiers_lacking", tierList(kernels.Unsupported()), "version", version())
	return serveUntilDone(ctx, server, listener)
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

// proxy returns a server in front of upstream; observe may be nil.
func (e *engine) proxy(edge config.Edge, upstream string, logger *slog.Logger, observe func(proxy.Report)) (*proxy.Server, error) {
	mode, err := proxy.ParseMode(edge.Mode)
	if err != nil {
		return nil, fmt.Errorf("mode: %w", err)
	}
	documents, err := proxy.ParseDocumentRules(edge.Documents)
	if err != nil {
		return nil, fmt.Errorf("documents: %w", err)
	}
	compressor, err := e.compressor(e.settings.Scoring.Scorer)
	if err != nil {
		return nil, err
	}
	return proxy.NewServer(proxy.Options{
		Upstream:       upstream,
		Compressor:     compressor,
		CountTokens:    e.counter.Count,
		Mode:           mode,
		Documents:      documents,
		FileReads:      e.settings.Compression.FileReads,
		Deadline:       e.settings.Compression.Deadline,
		MaxBody:        edge.MaxBody << 20,
		ConnectTimeout: edge.ConnectTimeout,
		HeaderTimeout:  edge.HeaderTimeout,
		IdleTimeout:    edge.IdleTimeout,
		Logger:         logger,
		Observe:        observe,
	})
}

// httpServer is what proxy's two servers share.
type httpServer interface {
	Serve(l net.Listener) error
	Shutdown(ctx context.Context) error
}

// serveUntilDone serves until ctx ends and then drains.
func serveUntilDone(ctx context.Context, server httpServer, listener net.Listener) error {
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	return server.Shutdown(drain)
}
