package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestStaleConnectionsAreNotUsed(t *testing.T) {
	requests, closed := 0, make(chan struct{}, 10)
	up := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		requests++
	}))
	up.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	up.Start()
	t.Cleanup(up.Close)
	base := startProxy(t, Options{Upstream: up.URL, KeepAlive: time.Minute})
	for i := range 5 {
		if resp, answer := post(t, base, []byte(`{}`)); resp.StatusCode != http.StatusOK {
			t.Fatalf("request %d: %d %s", i, resp.StatusCode, answer)
		}
		up.CloseClientConnections()
		<-closed
	}
	if requests != 5 {
		t.Errorf("%d requests, want 5", requests)
	}
}

func TestHTTPSUpstreamUnderAPath(t *testing.T) {
	var uri string
	up := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		uri = r.RequestURI
		_, _ = io.Copy(w, r.Body)
	}))
	t.Cleanup(up.Close)
	roots := x509.NewCertPool()
	roots.AddCert(up.Certificate())
	for _, path := range []string{"/api", "/api/", "/api/v1", "/api/v1/"} {
		base := startProxy(t, Options{Upstream: up.URL + path, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
		for range 2 { // the second time over a pooled connection
			resp, answer := post(t, base, []byte(`{"a":1}`))
			if resp.StatusCode != http.StatusOK || string(answer) != `{"a":1}` || uri != "/api/v1/chat/completions" {
				t.Errorf("%s: %d %s at %s", path, resp.StatusCode, answer, uri)
			}
		}
	}
	base := startProxy(t, Options{Upstream: up.URL})
	if resp, _ := post(t, base, []byte(`{}`)); resp.StatusCode != http.StatusBadGateway {
		t.Errorf("an unknown certificate: %d", resp.StatusCode)
	}
}

func TestShutdownBreaksOffWhatDoesNotEnd(t *testing.T) {
	arrived, stopped := make(chan struct{}), make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(arrived)
		<-r.Context().Done()
		close(stopped)
	}))
	t.Cleanup(up.Close)
	s, err := NewServer(Options{Upstream: up.URL})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	go func() {
		resp, err := http.Post("http://"+l.Addr().String()+chatPath, "application/json", strings.NewReader("{}")) //nolint:noctx // broken off by the server
		if err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-arrived
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shutdown: %v", err)
	}
	<-stopped
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
}

// TestHandOverTellsEachConnection has a server give its listener up: a connection that is kept ends with its next answer, which
// says so, and new ones are not taken.
func TestHandOverTellsEachConnection(t *testing.T) {
	up := newRecorder(t)
	s, err := NewServer(Options{Upstream: up.URL})
	if err != nil {
		t.Fatal(err)
	}
	base := serve(t, s)
	conn := dialProxy(t, base, chatHead(2)+"{}")
	answers := bufio.NewReader(conn)
	read := func() *http.Response {
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp
	}
	if read().Close {
		t.Error("the connection was not kept")
	}
	handed := make(chan struct{})
	go func() {
		s.HandOver(t.Context())
		close(handed)
	}()
	<-s.working.Done()
	if _, err := io.WriteString(conn, chatHead(2)+"{}"); err != nil {
		t.Fatal(err)
	}
	if resp := read(); !resp.Close || resp.StatusCode != http.StatusOK {
		t.Errorf("answered %d, closes: %v", resp.StatusCode, resp.Close)
	}
	<-handed
	if late, err := net.Dial("tcp", strings.TrimPrefix(base, "http://")); err == nil {
		_ = late.Close()
		t.Error("a new connection was taken")
	}
}
