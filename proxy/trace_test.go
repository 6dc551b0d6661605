package proxy

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

func TestSpansOfAPrompt(t *testing.T) {
	const traceID, parentID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	up := newRecorder(t)
	recorder := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("")
	var in, out int
	body := []byte(strings.Replace(string(longBody(t)), "{", `{"hunter2":1,`, 1))
	t.Run("", func(t *testing.T) { // ends once the proxy has
		base := startProxy(t, Options{Upstream: up.URL, Compressor: realCompressor(t), CountTokens: countTokens, Deadline: time.Minute, Tracer: tracer})
		resp, _ := post(t, base, body, "Traceparent", "00-"+traceID+"-"+parentID+"-01", "Authorization", "Bearer hunter2")
		in, out = header(t, resp, "X-Pith-Tokens-In"), header(t, resp, "X-Pith-Tokens-Out")
		_ = do(t, http.MethodGet, base+"/v1/models", nil) // no prompt: no spans
	})
	if sent := up.requests[0].Header.Get("Traceparent"); sent != "00-"+traceID+"-"+parentID+"-01" {
		t.Errorf("the client's header became %q", sent)
	}
	spans := map[string]sdktrace.ReadOnlySpan{}
	for _, s := range recorder.Ended() {
		spans[s.Name()] = s
		if s.SpanContext().TraceID().String() != traceID {
			t.Errorf("%s belongs to trace %s", s.Name(), s.SpanContext().TraceID())
		}
		if text := fmt.Sprint(s.Name(), s.Attributes(), s.Status(), s.Events()); strings.Contains(text, "hunter2") || strings.Contains(text, "treasure") {
			t.Errorf("a span holds content: %s", text)
		}
	}
	request, compression, exchange := spans["POST chat"], spans["compress"], spans["chat m"]
	if len(spans) != 3 || request == nil || compression == nil || exchange == nil {
		t.Fatalf("spans %v", spans)
	}
	if request.Parent().SpanID().String() != parentID || compression.Parent().SpanID() != request.SpanContext().SpanID() || exchange.Parent().SpanID() != request.SpanContext().SpanID() {
		t.Error("the spans do not hang together")
	}
	if request.SpanKind() != trace.SpanKindServer || exchange.SpanKind() != trace.SpanKindClient {
		t.Errorf("kinds %v and %v", request.SpanKind(), exchange.SpanKind())
	}
	if compression.StartTime().Before(request.StartTime()) || exchange.StartTime().Before(compression.EndTime()) || request.EndTime().Before(exchange.EndTime()) {
		t.Error("the spans are not in order")
	}
	host, port, err := net.SplitHostPort(strings.TrimPrefix(up.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		span  sdktrace.ReadOnlySpan
		name  string
		value any
	}{
		{request, "pith.tokens.in", int64(in)},
		{request, "pith.tokens.out", int64(out)},
		{request, "pith.edited", true},
		{request, "pith.outcome", "answered"},
		{request, "http.response.status_code", int64(200)},
		{exchange, "gen_ai.operation.name", "chat"},
		{exchange, "gen_ai.provider.name", "openai"},
		{exchange, "gen_ai.request.model", "m"},
		{exchange, "http.response.status_code", int64(200)},
		{exchange, "server.address", host},
		{exchange, "server.port", port},
	} {
		if got := attributeOf(want.span, want.name); fmt.Sprint(got) != fmt.Sprint(want.value) {
			t.Errorf("%s: %s is %v, want %v", want.span.Name(), want.name, got, want.value)
		}
	}
	if ms, ok := attributeOf(compression, "pith.stage.score.ms").(float64); !ok || ms < 0 {
		t.Errorf("stages: %v", compression.Attributes())
	}
}

func attributeOf(s sdktrace.ReadOnlySpan, name string) any {
	for _, a := range s.Attributes() {
		if a.Key == attribute.Key(name) {
			return a.Value.AsInterface()
		}
	}
	return nil
}

func TestSpansOfFailures(t *testing.T) {
	refusing := newRecorder(t)
	refusing.status = func(int) int { return http.StatusTooManyRequests }
	for _, c := range []struct {
		name, path string
		options    Options
		headers    []string
		want       string
	}{
		{"refused by pith", chatPath, Options{Upstream: refusing.URL}, []string{"X-Pith-Mode", "x"}, "POST chat invalid_header"},
		{"refused by the upstream", "/v1/messages", Options{Upstream: refusing.URL}, nil, "POST messages , chat 429"},
		{"unreachable", "/v1/completions", Options{Upstream: "http://127.0.0.1:1"}, nil, "POST completions upstream_unreachable, text_completion upstream_unreachable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			recorder := tracetest.NewSpanRecorder()
			provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
			c.options.Tracer = provider.Tracer("")
			t.Run("", func(t *testing.T) { postTo(t, startProxy(t, c.options)+c.path, []byte("{}"), c.headers...) })
			if err := provider.Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, s := range recorder.Ended() {
				class, _ := attributeOf(s, "error.type").(string) // none of a span that is well
				got[s.Name()] = class
			}
			for want := range strings.SplitSeq(c.want, ", ") {
				name, class := want[:strings.LastIndexByte(want, ' ')], want[strings.LastIndexByte(want, ' ')+1:]
				if found, ok := got[name]; !ok || found != class {
					t.Errorf("spans and their errors: %v, want %s", got, c.want)
				}
			}
		})
	}
}
