package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// lines collects what a command writes and lets a test wait for a line.
type lines struct {
	mu      sync.Mutex
	text    strings.Builder
	waiters map[*regexp.Regexp]chan string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	for pattern, found := range l.waiters {
		if m := pattern.FindStringSubmatch(l.text.String()); m != nil {
			found <- m[len(m)-1]
			delete(l.waiters, pattern)
		}
	}
	return len(p), nil
}

// wait is what gives the last group of the first match of a pattern.
func (l *lines) wait(pattern string) <-chan string {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := make(chan string, 1)
	if l.waiters == nil {
		l.waiters = map[*regexp.Regexp]chan string{}
	}
	l.waiters[regexp.MustCompile(pattern)] = found
	return found
}

// clear forgets what was written.
func (l *lines) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Reset()
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// startServe runs 'pith serve' on free ports until the test ends and returns its addresses.
func startServe(t *testing.T, environ []string, flags ...string) (listen, admin string) {
	t.Helper()
	return startServeLogged(t, &lines{}, environ, flags...)
}

// startServeLogged is startServe with a log to look at.
func startServeLogged(t *testing.T, log *lines, environ []string, flags ...string) (listen, admin string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	listening, admitting := log.wait(`msg=listening address=(\S+)`), log.wait(`msg="admin listening" address=(\S+)`)
	ended := make(chan error, 1)
	args := append([]string{"serve", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--scoring-scorer=bm25", "--compression-deadline=1m"}, flags...)
	go func() {
		ended <- run(ctx, args, append(environ, "PITH_CACHE_DIR=off"), streams{strings.NewReader(""), io.Discard, log})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("serve: %v", err)
		}
	})
	select {
	case admin = <-admitting:
		return <-listening, admin
	case err := <-ended:
		ended <- err
		t.Fatalf("serve ended: %v", err)
		return "", ""
	}
}

// seen is an upstream that keeps the bodies of prompts and answers them.
type seen struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
	heads  []http.Header
}

func startSeen(t *testing.T) *seen {
	t.Helper()
	s := &seen{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // a test that needs all of it looks
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.Method == http.MethodPost {
			s.bodies, s.heads = append(s.bodies, string(body)), append(s.heads, r.Header)
		}
		_, _ = io.WriteString(w, `{"choices":[{"message":{"role":"assistant","content":"under the mill"}}]}`)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *seen) received() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.bodies...)
}

// TestAFullDiskCostsAWarning has the weights' folder take no more than part of a file, as a full disk does: pith starts and
// serves with weights in memory, says why, and leaves no part of a file behind.
func TestAFullDiskCostsAWarning(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(unix.SIGXFSZ)
	defer signal.Reset(unix.SIGXFSZ)
	full := before
	full.Cur = 1 << 20
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
			t.Error(err)
		}
	}()
	up, dir := startSeen(t), t.TempDir()
	var log lines
	warned := log.wait(`level=WARN msg="model loaded" model=encoder .*weight_file_error="(write .*)"`)
	listen, _ := startServeLogged(t, &log, nil, "--upstream="+up.URL, "--scoring-scorer=encoder", "--cache-dir="+dir)
	t.Log(<-warned)
	resp, err := http.Post("http://"+listen+"/v1/chat/completions", "application/json", strings.NewReader(`{"messages":[{"role":"user","content":"Where?"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	left, err := os.ReadDir(dir)
	if err != nil || resp.StatusCode != http.StatusOK || len(left) > 0 {
		t.Errorf("answered %d, left %v: %v", resp.StatusCode, left, err)
	}
}
