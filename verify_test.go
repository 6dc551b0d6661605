package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pith-llm/pith/config"
)

// TestVerifyReplaysAReceiptOfTheProxy goes the whole way: a request through the proxy with real signals, its receipt from the
// admin side, and the command on files.
func TestVerifyReplaysAReceiptOfTheProxy(t *testing.T) {
	var forwarded []byte
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		forwarded, _ = io.ReadAll(r.Body)
		_, _ = io.WriteString(w, `{"choices":[]}`)
	}))
	defer upstream.Close()
	command := parseServe(t, []string{"PITH_CACHE_DIR=off"}, "--scoring-scorer=bm25", "--compression-deadline=1m", "--admin=127.0.0.1:0", "--upstream="+upstream.URL)
	e, err := newEngine(command.Engine, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	server, err := e.proxy(command.Edge, upstream.URL, slog.New(slog.DiscardHandler), nil, config.Secrets{})
	if err != nil {
		t.Fatal(err)
	}
	admin := httptest.NewServer(server.Admin(func() error { return nil }))
	defer admin.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		if err := server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()

	text, err := demoText()
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{"model": "m", "messages": []any{map[string]string{
		"role": "user", "content": "<document>\n" + text + "\n</document>\n\nWhen is a call refused, and who decides it?",
	}}})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post("http://"+listener.Addr().String()+"/v1/chat/completions", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	asked, err := http.Get(admin.URL + "/receipts/" + resp.Header.Get("X-Pith-Request-Id"))
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := io.ReadAll(asked.Body)
	_ = asked.Body.Close()
	if err != nil || asked.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %v", asked.StatusCode, err)
	}

	file := func(name string, content []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	stdout, _, err := pith(t, "", "verify", "--tokenizer=o200k_base", file("receipt", receipt), file("body", body), file("forwarded", forwarded))
	if err != nil || !strings.Contains(stdout, "with 1 of 1 texts shortened") || !strings.Contains(stdout, "nothing invented") {
		t.Fatalf("%v: %s", err, stdout)
	}
	if len(forwarded) > len(body)/2 {
		t.Errorf("%d of %d bytes were forwarded", len(forwarded), len(body))
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"another body":      {[]string{file("receipt", receipt), file("body", append([]byte(" "), body...))}, "not the body that came"},
		"another upstream":  {[]string{file("receipt", receipt), file("body", body), file("forwarded", body)}, "not the body that was forwarded"},
		"another tokenizer": {[]string{"--tokenizer=cl100k_base", file("receipt", receipt), file("body", body)}, "tokens"},
		"a changed receipt": {[]string{file("receipt", bytes.Replace(receipt, []byte(`"status": 200`), []byte(`"status": 500`), 1)), file("body", body)}, "digest"},
		"no receipt":        {[]string{file("body", body), file("body", body)}, "no receipt"},
	} {
		if _, _, err := pith(t, "", append([]string{"verify"}, c.args...)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
