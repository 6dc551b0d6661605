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

// record writes the spans of a prompt that has ended: the request as a whole; in it the compression, with the time of each
// stage; and the exchange with the upstream, with GenAI's attributes. None holds content, and gen_ai.usage is left to the
// upstream: what pith counts are the tokens of texts.
func (r *request) record(status int, outcome requestOutcome, err error) {
	tracer := r.server.options.Tracer
	if tracer == nil || r.dialect == dialectNone {
		return
	}
	now := time.Now()
	ctx, request := tracer.Start(r.trace, "POST "+r.dialect.String(), trace.WithTimestamp(r.started), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		semconv.HTTPRequestMethodPost, semconv.HTTPResponseStatusCode(status),
		attribute.String("pith.request.id", r.id), attribute.String("pith.outcome", outcome.String()), attribute.String("pith.mode", r.report.Mode.String()),
		attribute.Int("pith.tokens.in", r.report.TokensIn), attribute.Int("pith.tokens.out", r.report.TokensOut),
		attribute.Bool("pith.edited", r.edited), attribute.Bool("pith.replayed", r.report.Replayed),
	))
	defer request.End(trace.WithTimestamp(now))
	if r.report.Skip != NotSkipped {
		request.SetAttributes(attribute.String("pith.skip", r.report.Skip.String()))
	}
	failed := err != nil && outcome != outcomeGone
	if failed {
		fault(request, errorClass(err))
	}
	if r.asked.IsZero() {
		return // refused before the upstream was asked
	}
	if r.overhead > 0 {
		_, compression := tracer.Start(ctx, "compress", trace.WithTimestamp(r.asked.Add(-r.overhead)))
		for _, stage := range r.report.Stages {
			if stage.Name != "upstream" {
				compression.SetAttributes(attribute.Float64("pith.stage."+strings.ReplaceAll(stage.Name, "/", ".")+".ms", milliseconds(stage.Duration)))
			}
		}
		compression.End(trace.WithTimestamp(r.asked))
	}
	_, exchange := tracer.Start(ctx, strings.TrimSpace(operation(r.dialect).Value.AsString()+" "+r.report.Model), trace.WithTimestamp(r.asked), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(operation(r.dialect), r.provider(), attribute.Float64("pith.upstream.first_byte.ms", milliseconds(r.waited))))
	if r.report.Model != "" {
		exchange.SetAttributes(semconv.GenAIRequestModel(r.report.Model))
	}
	if r.report.Status != 0 {
		exchange.SetAttributes(semconv.HTTPResponseStatusCode(r.report.Status))
	}
	if r.up != nil {
		exchange.SetAttributes(r.up.place()...)
	}
	switch {
	case failed:
		fault(exchange, errorClass(err))
	case status >= fasthttp.StatusBadRequest:
		fault(exchange, strconv.Itoa(status))
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
func (r *request) provider() attribute.KeyValue {
	if r.dialect == dialectMessages {
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
