package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// TestTracesReachACollector runs 'pith serve' against a collector that speaks OTLP over HTTP.
func TestTracesReachACollector(t *testing.T) {
	var mu sync.Mutex
	var got collector.ExportTraceServiceRequest
	var raw bytes.Buffer
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			var err error
			if body, err = gzip.NewReader(body); err != nil {
				t.Error(err)
				return
			}
		}
		data, err := io.ReadAll(body)
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		var one collector.ExportTraceServiceRequest
		if err := proto.Unmarshal(data, &one); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		proto.Merge(&got, &one)
		raw.Write(data)
	}))
	defer server.Close()
	up := startSeen(t)
	t.Run("", func(t *testing.T) { // ends once pith has, and has sent all
		listen, _ := startServe(t, nil, "--upstream="+up.URL, "--traces="+server.URL)
		resp, err := http.Post("http://"+listen+"/v1/chat/completions", "application/json", strings.NewReader(`{"model":"gpt-x","messages":[{"role":"user","content":"hunter2?"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	})
	names := map[string]bool{}
	for _, r := range got.GetResourceSpans() {
		if !strings.Contains(r.GetResource().String(), `"pith"`) {
			t.Errorf("resource %v", r.GetResource())
		}
		for _, scope := range r.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				names[s.GetName()] = true
			}
		}
	}
	if !names["POST chat"] || !names["chat gpt-x"] {
		t.Errorf("spans %v", names)
	}
	if bytes.Contains(raw.Bytes(), []byte("hunter2")) {
		t.Error("a span holds content")
	}
}

func TestTracesWantACollectorsURL(t *testing.T) {
	for _, bad := range []string{"127.0.0.1:4318", "ftp://x", "http://"} {
		if _, _, err := newTracer(t.Context(), bad, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "traces") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if tracer, stop, err := newTracer(t.Context(), "", nil); tracer != nil || err != nil {
		t.Errorf("a tracer without a collector: %v", err)
	} else {
		stop()
	}
}
