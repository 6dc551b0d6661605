package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"syscall"

	"go.opentelemetry.io/otel/trace"

	"github.com/pith-llm/pith/config"
	"github.com/pith-llm/pith/proxy"
)

// invocation is what a process was started with, from which its settings are read again.
type invocation struct{ args, environ []string }

// settings reads the settings of pith serve as they are by now.
func (i invocation) settings(ctx context.Context) (serveCommand, error) {
	var cli commands
	_, err := parse(ctx, &cli, i.args, i.environ, streams{})
	return cli.Serve, err
}

// serving is a server with what its options were made from.
type serving struct {
	server   *proxy.Server
	counts   *counting
	settings serveCommand
	upstream string // the URL for the setting of this name
	tracer   trace.Tracer
	logger   *slog.Logger
	secrets  config.Secrets
}

// reloadOnHangup reads the settings again at each SIGHUP until the returned function is called.
func reloadOnHangup(s *serving, from invocation) (stop func()) {
	return onSignal(syscall.SIGHUP, func(<-chan struct{}) bool {
		next, err := from.settings(context.Background())
		if err == nil {
			err = s.reload(next)
		}
		if err != nil {
			s.logger.Error("settings not reloaded: those of before stay", "error", err)
			return true
		}
		s.logger.Info("settings reloaded", "upstreams", len(next.Upstreams), "mode", next.Mode)
		return true
	})
}

// reload has the server go on under other settings. Addresses, models and what counts their memory are only read at the
// start.
func (s *serving) reload(next serveCommand) error {
	for _, fixed := range []struct {
		name          string
		before, after any
	}{
		{"listen", s.settings.Listen, next.Listen},
		{"admin", s.settings.Admin, next.Admin},
		{"traces", s.settings.Traces, next.Traces},
		{"scoring", s.settings.Scoring, next.Scoring},
		{"cache", s.settings.Cache, next.Cache},
	} {
		if fixed.before != fixed.after {
			return fmt.Errorf("%s cannot change while pith runs: restart it", fixed.name)
		}
	}
	upstream := next.Upstream
	switch {
	case upstream == embeddedUpstream && s.settings.Upstream == embeddedUpstream:
		upstream = s.upstream
	case upstream == embeddedUpstream:
		return errors.New("upstream cannot become the embedded model while pith runs: restart it")
	}
	counts := s.counts
	if !reflect.DeepEqual(next.Compression, s.settings.Compression) {
		// The same models under another policy.
		e := *counts.engine
		e.settings.Compression = next.Compression
		counts = newCounting(&e)
		if e.scorerName() == s.counts.engine.scorerName() {
			counts.scorer = s.counts.scorer
		}
	}
	options, err := counts.options(next.Edge, upstream, s.logger, nil, s.secrets)
	if err != nil {
		return err
	}
	options.Tracer = s.tracer
	if err := s.server.Reload(options); err != nil {
		return err
	}
	s.counts, s.settings, s.upstream = counts, next, upstream
	return nil
}
