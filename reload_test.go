package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// servedLog runs 'pith serve' with a settings file and returns its address, what waits for a line of its log, and what
// waits for its end.
func servedLog(t *testing.T, ctx context.Context, file string, environ ...string) (base string, until func(string) string, end func() error) {
	t.Helper()
	reader, writer := io.Pipe()
	logged := make(chan string, 1000)
	go func() {
		defer close(logged)
		for scanner := bufio.NewScanner(reader); scanner.Scan(); {
			logged <- scanner.Text()
		}
	}()
	until = func(want string) string {
		t.Helper()
		for line := range logged {
			if strings.Contains(line, want) {
				return line
			}
		}
		t.Fatalf("the log ended without %q", want)
		return ""
	}
	ended := make(chan error, 1)
	args := []string{"serve", "--listen=127.0.0.1:0", "--scoring-scorer=bm25", "--cache-dir=off", "--config", file}
	go func() {
		ended <- run(ctx, args, environ, streams{strings.NewReader(""), io.Discard, writer})
		_ = writer.Close()
	}()
	line := until("msg=listening")
	return "http://" + regexp.MustCompile(`address=(\S+)`).FindStringSubmatch(line)[1], until, func() error { return <-ended }
}

// echo is an upstream that answers with its name, the path and the key.
func echo(t *testing.T, name string) string {
	t.Helper()
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%s %s %s", name, r.URL.Path, r.Header.Get("Authorization"))
	}))
	t.Cleanup(up.Close)
	return up.URL
}

func ask(t *testing.T, base, model string) string {
	t.Helper()
	resp, err := http.Post(base+"/v1/chat/completions", "application/json", strings.NewReader(`{"messages":[],"model":"`+model+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func TestHangupReloadsTheSettings(t *testing.T) {
	a, b := echo(t, "a"), echo(t, "b")
	file := filepath.Join(t.TempDir(), "pith.yaml")
	write := func(content string) {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hangup := func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	write("upstream: " + a + "\nupstreams:\n  - url: " + b + "\n    models: [b-*]\n    key_env: KEY_OF_B\n    tokenizer: approximate\n")
	ctx, stop := context.WithCancel(t.Context())
	base, until, end := servedLog(t, ctx, file, "KEY_OF_B=sk-b")
	check := func(model, want string) {
		t.Helper()
		if got := ask(t, base, model); got != want {
			t.Errorf("model %s: %q, want %q", model, got, want)
		}
	}
	check("a-1", "a /v1/chat/completions ")
	check("b-1", "b /v1/chat/completions Bearer sk-b")
	for content, why := range map[string]string{
		"upstream: " + a + "\nupstraem: x\n": "upstraem",
		"upstream: ftp://a\n":                "must begin with http",
		"upstream: " + a + "\nlisten: 127.0.0.1:1\nmode: off\nscoring:\n  kv: 3\n": "kv",
		"upstream: " + a + "\nscoring:\n  model_tokens: 3\n":                       "scoring cannot change",
		"upstreams: [{url: " + b + ", key_env: KEY_OF_C}]":                         "KEY_OF_C",
	} {
		write(content)
		hangup()
		if line := until("level=ERROR"); !strings.Contains(line, "not reloaded") || !strings.Contains(line, why) {
			t.Errorf("logged %s, want %q", line, why)
		}
	}
	check("b-1", "b /v1/chat/completions Bearer sk-b")
	write("upstreams: [{url: " + b + "}]\ncompression: {rate: 0.2, tokenizer: cl100k_base}\n")
	hangup()
	until("settings reloaded")
	check("a-1", "b /v1/chat/completions ")
	stop()
	if err := end(); err != nil {
		t.Error(err)
	}
}

// TestTerminationDrains sends SIGTERM while an answer is streamed: the answer ends, new connections are refused, idle ones
// are closed, and the command ends without an error.
func TestTerminationDrains(t *testing.T) {
	more := make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, "begin ")
		w.(http.Flusher).Flush()
		if r.URL.Path == "/v1/chat/completions" {
			<-more
		}
		fmt.Fprint(w, "end")
	}))
	t.Cleanup(up.Close)
	file := filepath.Join(t.TempDir(), "pith.yaml")
	if err := os.WriteFile(file, []byte("upstream: "+up.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(t.Context(), syscall.SIGTERM)
	defer stop()
	base, until, end := servedLog(t, ctx, file)
	idle, err := http.Get(base + "/v1/models")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, idle.Body)
	_ = idle.Body.Close()
	resp, err := http.Post(base+"/v1/chat/completions", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	until("draining")
	for err == nil { // until the listener is closed
		var late *http.Response
		if late, err = (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(base + "/v1/models"); err == nil {
			_ = late.Body.Close()
		}
	}
	close(more)
	if answer, err := io.ReadAll(resp.Body); err != nil || string(answer) != "begin end" {
		t.Errorf("the answer under way: %q, %v", answer, err)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}
