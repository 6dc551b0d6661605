package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pith-llm/pith/config"
)

// served is a 'pith serve' in a process of its own.
type served struct {
	*exec.Cmd
	log            lines
	listen, admin  string
	binary, config string // their files
}

// startProcess starts one whose binary and settings can be replaced.
func startProcess(t *testing.T, upstream string) *served {
	t.Helper()
	dir := t.TempDir()
	s := &served{binary: filepath.Join(dir, "pith"), config: filepath.Join(dir, "pith.yaml")}
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s.replace(t, own)
	s.configure(t, "upstream: "+upstream)
	s.Cmd = exec.Command(s.binary, "serve", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--scoring-scorer=bm25", "--cache-dir=off", "--config="+s.config)
	s.Env = append(os.Environ(), asCommand+"=1")
	s.Stderr = &s.log
	listening, admitting := s.log.wait(`msg=listening address=(\S+)`), s.log.wait(`msg="admin listening" address=(\S+)`)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	s.admin, s.listen = <-admitting, <-listening
	t.Cleanup(func() { _ = s.Process.Signal(syscall.SIGTERM) }) // it may have been replaced
	return s
}

// replace puts another file in the binary's place.
func (s *served) replace(t *testing.T, by string) {
	t.Helper()
	_ = os.Remove(s.binary)
	if err := os.Symlink(by, s.binary); err != nil {
		t.Fatal(err)
	}
}

func (s *served) configure(t *testing.T, settings string) {
	t.Helper()
	if err := os.WriteFile(s.config, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
}

func startUpstream(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	up := httptest.NewServer(answer)
	t.Cleanup(up.Close)
	return up.URL
}

func (s *served) signal(t *testing.T, which os.Signal) {
	t.Helper()
	if err := s.Process.Signal(which); err != nil {
		t.Fatal(err)
	}
}

// asker is a client that repeats nothing: it asks on one connection for as long as answers leave it open.
type asker struct {
	address string
	conn    net.Conn
	reader  *bufio.Reader
}

func (a *asker) ask() (answer string, err error) {
	if a.conn == nil {
		if a.conn, err = net.Dial("tcp", a.address); err != nil {
			return "", err
		}
		a.reader = bufio.NewReader(a.conn)
	}
	if _, err := io.WriteString(a.conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(a.reader, nil)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(resp.Body)
	if resp.Close {
		_ = a.conn.Close()
		a.conn = nil
	}
	return string(body), err
}

// TestAnUpgradeLosesNothing asks all through the replacement of a process by another, on connections that are kept and on new
// ones, without ever asking again, while a stream goes on: each request has its answer, from the old process's upstream or the new
// one's, the stream has its end, and the old process ends by itself.
func TestAnUpgradeLosesNothing(t *testing.T) {
	more := make(chan struct{})
	streaming := startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/stream" {
			fmt.Fprint(w, "begin ")
			w.(http.Flusher).Flush()
			<-more
		}
		fmt.Fprint(w, "a")
	})
	after := startUpstream(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "b") })
	s := startProcess(t, streaming)
	once := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	stream, err := once.Get("http://" + s.listen + "/v1/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Body.Close() }()

	var asking sync.WaitGroup
	var answers [2]atomic.Int64
	for i := range 8 {
		asking.Go(func() {
			for a := (&asker{address: s.listen}); answers[1].Load() < 1000; {
				answer, err := a.ask()
				if err != nil || answer != "a" && answer != "b" {
					t.Errorf("answered %q, %v", answer, err)
					return
				}
				answers[answer[0]-'a'].Add(1)
				if i%2 == 0 && a.conn != nil { // half of them open a connection for each request
					_ = a.conn.Close()
					a.conn = nil
				}
			}
		})
	}
	s.configure(t, "upstream: "+after)
	upgraded := s.log.wait(`msg="upgraded: .*" successor=(\d+)`)
	s.signal(t, syscall.SIGUSR2)
	var successor int
	if _, err := fmt.Sscan(<-upgraded, &successor); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(successor, syscall.SIGKILL) }()
	asking.Wait()
	close(more)
	if body, err := io.ReadAll(stream.Body); err != nil || string(body) != "begin a" {
		t.Errorf("the stream under way: %q, %v", body, err)
	}
	if _, err := readStats(t.Context(), s.admin); err != nil {
		t.Error(err)
	}
	t.Logf("%d answers by the old process, %d by the new", answers[0].Load(), answers[1].Load())
	if err := syscall.Kill(successor, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := s.Wait(); err != nil { // the new process has the log too, so this is the end of both
		t.Errorf("the old process: %v\n%s", err, &s.log)
	}
}

// TestABadUpgradeChangesNothing has the new process fail: the old one goes on, says why, and can be upgraded later.
func TestABadUpgradeChangesNothing(t *testing.T) {
	up := startUpstream(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a") })
	s := startProcess(t, up)
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ binary, settings, why string }{
		{own, "upstraem: x", "ended before it was ready: exit status 1"},
		{"/bin/false", "upstream: " + up, "ended before it was ready: exit status 1"},
		{"/nowhere/pith", "upstream: " + up, "no such file"},
	} {
		s.replace(t, c.binary)
		s.configure(t, c.settings)
		failed := s.log.wait(`msg="not upgraded: .*error="(.*)"`)
		s.signal(t, syscall.SIGUSR2)
		if why := <-failed; !strings.Contains(why, c.why) {
			t.Errorf("%s: %s, want %q", c.binary, why, c.why)
		}
		if answer, err := (&asker{address: s.listen}).ask(); err != nil || answer != "a" {
			t.Errorf("%s: answered %q, %v", c.binary, answer, err)
		}
		s.log.clear()
	}
	s.signal(t, syscall.SIGTERM)
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
}

func TestAnInheritedListenerMustBeTCP(t *testing.T) {
	null, err := unix.Open(os.DevNull, unix.O_RDONLY, 0) // listenOn closes it
	if err != nil {
		t.Fatal(err)
	}
	given := config.Descriptors{config.ListenDescriptor: uintptr(null)}
	if _, err := listenOn(given, config.ListenDescriptor, "127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "descriptor") {
		t.Errorf("a device: %v", err)
	}
}

// TestASecondSignalDoesNotWait has a process told to end twice, while an answer goes on that does not end.
func TestASecondSignalDoesNotWait(t *testing.T) {
	up := startUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	s := startProcess(t, up)
	resp, err := http.Get("http://" + s.listen + "/v1/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	draining := s.log.wait("draining")
	s.signal(t, syscall.SIGTERM)
	<-draining
	start := time.Now()
	ended := make(chan struct{})
	go func() {
		_ = s.Wait() // by the signal
		close(ended)
	}()
	for again := time.NewTicker(10 * time.Millisecond); ; {
		select {
		case <-again.C:
			_ = s.Process.Signal(syscall.SIGTERM) // it has ended if this fails
			continue
		case <-ended:
		}
		break
	}
	if took := time.Since(start); took > drainTime/2 {
		t.Errorf("it ended after %v", took)
	}
}
