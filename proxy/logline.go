package proxy

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/pith-llm/pith/compressors"
)

// done ends the request and writes its line.
func (r *request) done(status, size int, err error) {
	gone := errors.Is(r.life.Err(), context.Canceled)
	r.finish()
	if r.entered {
		r.server.leave()
	}
	outcome := outcomeOf(status, err, gone)
	r.server.metrics.done(r, outcome, size)
	if r.dialect != dialectNone {
		r.server.record(tracedPrompt{
			parent: r.trace, name: "POST " + r.dialect.String(), id: r.id, dialect: r.dialect, up: r.up, report: r.report, edited: r.edited,
			started: r.started, asked: r.asked, waited: r.waited, status: status, outcome: outcome, err: err,
		})
	}
	fields := []slog.Attr{
		slog.String("id", r.id),
		slog.String("method", r.method),
		slog.String("path", r.path),
		slog.Int("status", status),
		slog.Int("bytes_out", size),
		slog.Duration("duration", time.Since(r.started)),
		slog.Duration("upstream_wait", r.waited),
	}
	if r.up != nil {
		fields = append(fields, slog.String("upstream", r.up.Name))
	}
	if r.dialect != dialectNone {
		fields = append(fields, r.report.attrs(r.dialect, r.edited)...)
	}
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelWarn
		fields = append(fields, slog.String("error", errorClass(err)), slog.Bool("client_gone", gone))
	}
	r.server.options.Logger.LogAttrs(context.Background(), level, "request", fields...)
}

// attrs is what the log says of a report.
func (r *Report) attrs(d dialect, edited bool) []slog.Attr {
	failed, worth, unworthy, cut, unread := 0, 0, 0, 0, 0
	for _, turn := range r.Turns {
		if turn.Err != nil {
			failed++
			continue
		}
		for i, w := range turn.Worth {
			switch {
			case turn.Result.Texts[i].Skip == compressors.SkipNotWorthIt:
				unworthy++
			case w != nil:
				worth += w.Net()
			}
		}
		cut += turn.Result.Cut
		unread += turn.Result.Unread
	}
	return []slog.Attr{
		slog.String("dialect", d.String()),
		slog.String("mode", r.Mode.String()),
		slog.String("skip", r.Skip.String()),
		slog.Int("turns", len(r.Turns)),
		slog.Int("turns_failed", failed),
		slog.Int("segments_cut", cut),
		slog.Int("segments_unread", unread),
		slog.Int("tokens_in", r.TokensIn),
		slog.Int("tokens_out", r.TokensOut),
		slog.Int("worth_millitokens", worth),
		slog.Int("texts_not_worth_it", unworthy),
		slog.Bool("edited", edited),
		slog.Bool("replayed", r.Replayed),
		slog.Duration("overhead", r.Overhead),
	}
}

// errorClass names an error without quoting what it may quote.
func errorClass(err error) string {
	if failed, ok := errors.AsType[*failure](err); ok {
		return failed.code
	}
	if errors.Is(err, errRelay) {
		return errRelay.Error()
	}
	return err.Error()
}
