//go:build clients

package conformance

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pith-llm/pith/proxy"
)

// repeater is a model that repeats what was said last; its tokens are words.
type repeater struct{}

func (repeater) Generate(_ context.Context, r proxy.GenerateRequest, emit func(string) error) (proxy.Generation, error) {
	last := r.Prompt
	if len(r.Messages) > 0 {
		last = r.Messages[len(r.Messages)-1].Content
	}
	prompt, err := repeater{}.Count(r)
	took := proxy.Generation{PromptTokens: prompt, FinishReason: "stop"}
	for word := range strings.SplitAfterSeq(last, " ") {
		if err == nil {
			err = emit(word)
		}
		took.CompletionTokens++
	}
	return took, err
}

func (repeater) Count(r proxy.GenerateRequest) (int, error) {
	words := len(strings.Fields(r.Prompt))
	for _, m := range r.Messages {
		words += len(strings.Fields(m.Content))
	}
	return words, nil
}

// TestVendorsLibrariesAndTheEmbeddedUpstream runs the vendors' libraries in front of the model server, through a proxy.
func TestVendorsLibrariesAndTheEmbeddedUpstream(t *testing.T) {
	folder := os.Getenv("CLIENTS")
	python := filepath.Join(folder, "venv/bin/python")
	if _, err := os.Stat(python); err != nil {
		table.add("the embedded upstream, openai and anthropic (PyPI)", "-", "-", 0, 0, 0, "not installed here: not run")
		return
	}
	model, err := proxy.NewModelServer(repeater{}, proxy.ModelServerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	server, err := proxy.NewServer(proxy.Options{Upstream: "http://" + listen(t, model)})
	if err != nil {
		t.Fatal(err)
	}
	shown, err := exec.CommandContext(t.Context(), python, "testdata/embedded_client.py", "http://"+listen(t, server), answer).CombinedOutput()
	if err != nil || strings.TrimSpace(string(shown)) != answer {
		t.Errorf("%v: %s", err, shown)
	}
}

// listen serves until the test ends and returns the address.
func listen(t *testing.T, server interface {
	Serve(l net.Listener) error
	Shutdown(ctx context.Context) error
},
) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		if err := server.Shutdown(context.Background()); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return l.Addr().String()
}
