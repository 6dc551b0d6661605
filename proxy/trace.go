package proxy

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.38.0"
	"go.opentelemetry.io/otel/trace"
)

// headCarrier lets a request's head be read for the trace that it belongs to.
type headCarrier struct{ *fasthttp.RequestHeader }

// Get returns a header whatever the case of its name.
func (c headCarrier) Get(key string) string { return string(headerValue(c.RequestHeader, key)) }

// Set does nothing: a client's headers go up as they came, so the upstream's spans are siblings of pith's.
func (headCarrier) Set(string, string) {}

// Keys is not used by the propagator of trace contexts.
func (headCarrier) Keys() []string { return nil }

// joinTrace notes the trace that the client's headers name. The head is not there any more when the request ends.
func (r *request) joinTrace() {
	if r.server.options.Tracer != nil {
		r.trace = propagation.TraceContext{}.Extract(context.Background(), headCarrier{&r.ctx.Request.Header})
	}
}

// tracedPrompt is a prompt that has ended: a request, or an event of a WebSocket that asked for a response.
type tracedPrompt struct {
	parent  context.Context //nolint:containedctx // names the trace that it belongs to
	name    string
	id      string
	dialect dialect
	up      *upstream // nil if none was found
	report  Report
	edited  bool
	started time.Time
	asked   time.Time // when the upstream first was, zero if it never was
	waited  time.Duration
	status  int
	outcome requestOutcome
	err     error
}

// record writes the spans of a prompt: the request as a whole; in it the compression, with the time of each stage; and the
// exchange with the upstream, with GenAI's attributes. None holds content, and gen_ai.usage is left to the upstream: what
// pith counts are the tokens of texts.
func (s *Server) record(p tracedPrompt) {
	tracer := s.options.Tracer
	if tracer == nil {
		return
	}
	now := time.Now()
	ctx, request := tracer.Start(p.parent, p.name, trace.WithTimestamp(p.started), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("pith.request.id", p.id), attribute.String("pith.outcome", p.outcome.String()), attribute.String("pith.mode", p.report.Mode.String()),
		attribute.Int("pith.tokens.in", p.report.TokensIn), attribute.Int("pith.tokens.out", p.report.TokensOut),
		attribute.Bool("pith.edited", p.edited), attribute.Bool("pith.replayed", p.report.Replayed),
	))
	defer request.End(trace.WithTimestamp(now))
	if strings.HasPrefix(p.name, "POST ") {
		request.SetAttributes(semconv.HTTPRequestMethodPost, semconv.HTTPResponseStatusCode(p.status))
	}
	if p.report.Skip != NotSkipped {
		request.SetAttributes(attribute.String("pith.skip", p.report.Skip.String()))
	}
	failed := p.err != nil && p.outcome != outcomeGone
	if failed {
		fault(request, errorClass(p.err))
	}
	if p.asked.IsZero() {
		return // refused before the upstream was asked
	}
	if p.report.Overhead > 0 {
		_, compression := tracer.Start(ctx, "compress", trace.WithTimestamp(p.asked.Add(-p.report.Overhead)))
		for _, stage := range p.report.Stages {
			if stage.Name != "upstream" {
				compression.SetAttributes(attribute.Float64("pith.stage."+strings.ReplaceAll(stage.Name, "/", ".")+".ms", milliseconds(stage.Duration)))
			}
		}
		compression.End(trace.WithTimestamp(p.asked))
	}
	_, exchange := tracer.Start(ctx, strings.TrimSpace(operation(p.dialect).Value.AsString()+" "+p.report.Model), trace.WithTimestamp(p.asked), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(operation(p.dialect), provider(p.dialect), attribute.Float64("pith.upstream.first_byte.ms", milliseconds(p.waited))))
	if p.report.Model != "" {
		exchange.SetAttributes(semconv.GenAIRequestModel(p.report.Model))
	}
	if p.report.Status != 0 {
		exchange.SetAttributes(semconv.HTTPResponseStatusCode(p.report.Status))
	}
	if p.up != nil {
		exchange.SetAttributes(p.up.place()...)
	}
	switch {
	case failed:
		fault(exchange, errorClass(p.err))
	case p.status >= fasthttp.StatusBadRequest:
		fault(exchange, strconv.Itoa(p.status))
	}
	exchange.End(trace.WithTimestamp(now))
}

// fault marks a span as failed.
func fault(span trace.Span, class string) {
	span.SetStatus(codes.Error, class)
	span.SetAttributes(semconv.ErrorTypeKey.String(class))
}

// operation is what a dialect asks of a model, in GenAI's words.
func operation(d dialect) attribute.KeyValue {
	if d == dialectCompletions {
		return semconv.GenAIOperationNameTextCompletion
	}
	return semconv.GenAIOperationNameChat
}

// provider is whose API the client speaks, whoever serves it.
func provider(d dialect) attribute.KeyValue {
	if d == dialectMessages {
		return semconv.GenAIProviderNameAnthropic
	}
	return semconv.GenAIProviderNameOpenAI
}

// place is where an upstream is.
func (u *upstream) place() []attribute.KeyValue {
	host, port, err := net.SplitHostPort(u.host)
	if err != nil {
		return []attribute.KeyValue{semconv.ServerAddress(u.host)}
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return []attribute.KeyValue{semconv.ServerAddress(host)}
	}
	return []attribute.KeyValue{semconv.ServerAddress(host), semconv.ServerPort(number)}
}
