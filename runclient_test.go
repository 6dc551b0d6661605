package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// asClient is the argument that makes the test's binary the client that 'pith run' starts.
const asClient = "be-a-client"

// client asks a long question, waits for a signal, or dies of one.
func client(what string) int {
	switch what {
	case "asks":
		text, err := demoText()
		if err != nil {
			return 1
		}
		body, err := json.Marshal(map[string]any{"model": "m", "messages": []any{map[string]string{
			"role": "user", "content": "<document>\n" + text + "\n</document>\n\nWhen is a call refused, and who decides it?",
		}}})
		if err != nil {
			return 1
		}
		req, err := http.NewRequest(http.MethodPost, os.Getenv("OPENAI_BASE_URL")+"/chat/completions", strings.NewReader(string(body)))
		if err != nil {
			return 1
		}
		req.Header.Set("Authorization", "Bearer "+os.Getenv("OPENAI_API_KEY"))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 1
		}
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			return 1
		}
		fmt.Println(string(answer), resp.Header.Get("X-Pith-Tokens-Saved"))
		return 7
	case "waits":
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM)
		fmt.Println("ready")
		<-signals
		return 3
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// runWith runs 'pith run' and returns the client's exit status.
func runWith(t *testing.T, environ []string, stdout io.Writer, args ...string) (status int, stderr string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for i, arg := range args {
		if arg == "--" {
			args = append(slices.Clone(args[:i+1]), append([]string{self, asClient}, args[i+1:]...)...)
			break
		}
	}
	var log lines
	err = run(t.Context(), append([]string{"run", "--scoring-scorer=bm25", "--compression-deadline=1m"}, args...), append(environ, "PITH_CACHE_DIR=off"), streams{strings.NewReader(""), stdout, &log})
	if ended, ok := errors.AsType[exitError](err); ok {
		return int(ended), log.String()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, log.String()
}

func TestRunStartsAProxyAndAClient(t *testing.T) {
	up := startSeen(t)
	for _, c := range []struct{ name, upstream, variable string }{
		{"an upstream that is set", up.URL, ""},
		{"the client's own base URL", "", "OPENAI_BASE_URL=" + up.URL + "/v1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := len(up.received())
			var shown lines
			status, said := runWith(t, []string{c.variable, "OPENAI_API_KEY=k", "PITH_UPSTREAM_KEY=unused"}, &shown, "--listen=127.0.0.1:1", "--upstream="+c.upstream, "--", "asks")
			if status != 7 || !strings.Contains(shown.String(), "under the mill") {
				t.Errorf("status %d, the client shows %q", status, shown.String())
			}
			bodies := up.received()[before:]
			if len(bodies) != 1 || !strings.Contains(bodies[0], "lines…") {
				t.Errorf("%d requests came, or nothing was shortened", len(bodies))
			}
			if lines := strings.Split(strings.TrimSpace(said), "\n"); len(lines) != 1 || !strings.HasPrefix(lines[0], "pith: 1 requests, 1 of them shortened: ") {
				t.Errorf("it said %q", said)
			}
		})
	}
}

func TestRunUsesAProxyThatIsRunning(t *testing.T) {
	up := startSeen(t)
	for _, key := range []string{"", "hunter2"} {
		environ := []string{"PITH_ACCESS_KEY=" + key, "PITH_UPSTREAM_KEY=sk-up"}
		listen, admin := startServe(t, environ, "--upstream="+up.URL)
		var shown lines
		status, said := runWith(t, append(environ, "OPENAI_API_KEY=own"), &shown, "--listen="+listen, "--admin="+admin, "--", "asks")
		if status != 7 || !strings.Contains(said, "all clients of http://"+listen) || strings.Contains(said, "(0 %)") {
			t.Errorf("key %q: status %d, it said %q, the client %q", key, status, said, shown.String())
		}
	}
	up.mu.Lock()
	defer up.mu.Unlock()
	for i, want := range []string{"Bearer own", "Bearer sk-up"} {
		if got := up.heads[i].Get("Authorization"); got != want {
			t.Errorf("the upstream's key was %q, want %q", got, want)
		}
	}
}

func TestRunPassesSignalsAndStatusOn(t *testing.T) {
	var shown lines
	ready := shown.wait("ready")
	go func() {
		<-ready
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
	}()
	if status, said := runWith(t, nil, &shown, "--listen=127.0.0.1:1", "--upstream=http://127.0.0.1:1", "--quiet", "--", "waits"); status != 3 || said != "" {
		t.Errorf("status %d, it said %q", status, said)
	}
	if status, _ := runWith(t, nil, io.Discard, "--listen=127.0.0.1:1", "--upstream=http://127.0.0.1:1", "--", "dies"); status != 128+int(syscall.SIGKILL) {
		t.Errorf("status %d of a client that was killed", status)
	}
	if _, _, err := pith(t, "", "run", "--", "no-such-client"); err == nil || !strings.Contains(err.Error(), "no-such-client") {
		t.Errorf("a command that does not exist: %v", err)
	}
	if _, _, err := pith(t, "", "run"); err == nil {
		t.Error("no command was run")
	}
}

func TestClientsArePointedAtTheProxy(t *testing.T) {
	const base = "http://127.0.0.1:9"
	environ := environment{"HOME=/home/me", "OPENAI_BASE_URL=http://elsewhere", "ANTHROPIC_API_KEY=own", "PITH_UPSTREAM_KEY=secret"}
	for _, c := range []struct {
		client    string
		key       string
		want      []string
		arguments string
		upstream  string
	}{
		{client: "claude", want: []string{"ANTHROPIC_BASE_URL=" + base, "ANTHROPIC_API_KEY=own"}, upstream: "https://api.anthropic.com"},
		{client: "aider", key: "token", want: []string{"OPENAI_API_BASE=" + base + "/v1", "ANTHROPIC_API_KEY=token", "OPENAI_API_KEY=token"}, upstream: "http://elsewhere"},
		{client: "/usr/bin/codex", want: []string{"OPENAI_BASE_URL=" + base + "/v1"}, arguments: `-c openai_base_url="` + base + `/v1"`, upstream: "http://elsewhere"},
		{client: "opencode", want: []string{`OPENCODE_CONFIG_CONTENT={"provider":{"anthropic":{"options":{"baseURL":"` + base + `/v1"}},"openai":{"options":{"baseURL":"` + base + `/v1"}}}}`}, upstream: "http://elsewhere"},
	} {
		got := pointed(environ, c.client, base, c.key)
		for _, want := range append(c.want, "HOME=/home/me") {
			if !slices.Contains(got, want) {
				t.Errorf("%s: no %s in %q", c.client, want, got)
			}
		}
		if all := strings.Join(got, "\n"); strings.Contains(all, "secret") || strings.Contains(all, "elsewhere") {
			t.Errorf("%s: it gets %q", c.client, got)
		}
		if args := strings.Join(pointedArguments([]string{c.client, "say", "hi"}, base), " "); args != strings.TrimSpace(c.arguments+" say hi") {
			t.Errorf("%s: arguments %q", c.client, args)
		}
		if to, others := upstreamsOf(c.client, environ); to != c.upstream || len(others) != 1 || others[0].URL == to {
			t.Errorf("%s: upstream %q and %v, want %q", c.client, to, others, c.upstream)
		}
	}
	if own := pointed(environment{"OPENCODE_CONFIG_CONTENT={}"}, "opencode", base, ""); !slices.Contains(own, "OPENCODE_CONFIG_CONTENT={}") {
		t.Errorf("the user's own settings are gone: %q", own)
	}
	if to, others := upstreamsOf("codex", environment{"ANTHROPIC_BASE_URL=http://a"}); to != "https://api.openai.com" || others[0].URL != "http://a" {
		t.Errorf("codex goes to %s and %v", to, others)
	}
}
