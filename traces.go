package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.38.0"
	"go.opentelemetry.io/otel/trace"
)

// traceFlush is how long the last spans may take to be sent when pith ends.
const traceFlush = 5 * time.Second

// newTracer returns what sends spans to a collector over HTTP, and what sends the last and ends it; neither does anything
// without a collector. The SDK reads the variables of OpenTelemetry for the rest: headers, sampling, resource attributes, limits.
func newTracer(ctx context.Context, collector string, logger *slog.Logger) (tracer trace.Tracer, stop func(), err error) {
	if collector == "" {
		return nil, func() {}, nil
	}
	endpoint, err := url.Parse(collector)
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https" {
		return nil, nil, fmt.Errorf("traces: %q must be a URL such as http://127.0.0.1:4318", collector)
	}
	if endpoint.Path == "" || endpoint.Path == "/" {
		endpoint.Path = "/v1/traces"
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint.String()))
	if err != nil {
		return nil, nil, fmt.Errorf("traces: %w", err)
	}
	described, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(semconv.ServiceName("pith"), semconv.ServiceVersion(version())), resource.WithFromEnv())
	if err != nil {
		return nil, nil, fmt.Errorf("traces: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { logger.Warn("traces cannot be sent", "error", err) }))
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(described))
	return provider.Tracer("github.com/pith-llm/pith"), func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), traceFlush)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			logger.Warn("the last traces cannot be sent", "error", err)
		}
	}, nil
}
