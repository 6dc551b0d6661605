package proxy

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// held is what a process holds: goroutines and open descriptors.
type held struct{ goroutines, descriptors int }

func holds(t testing.TB) held {
	t.Helper()
	open, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Fatal(err)
	}
	return held{runtime.NumGoroutine(), len(open)}
}

// calm returns what is held once the server behind base has answered for the first time.
func calm(t testing.TB, base string) held {
	t.Helper()
	conn := dialProxy(t, base, "nonsense\r\n\r\n")
	_, _ = io.Copy(io.Discard, conn)
	_ = conn.Close()
	return holds(t)
}

// settles waits until no more is held than before, and fails with all stacks if that does not come to pass. Connections
// close in the background, so it has to wait.
func settles(t testing.TB, before held) {
	t.Helper()
	var now held
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); runtime.Gosched() {
		http.DefaultClient.CloseIdleConnections()
		if now = holds(t); now.goroutines <= before.goroutines && now.descriptors <= before.descriptors {
			return
		}
	}
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	t.Errorf("leaked: %d goroutines and %d descriptors, before %d and %d\n%s", now.goroutines, now.descriptors, before.goroutines, before.descriptors, stacks)
}

// metricsOf returns the metrics of a server by name and labels, as they are scraped.
func metricsOf(t testing.TB, s *Server) map[string]float64 {
	t.Helper()
	w := httptest.NewRecorder()
	s.Admin(func() error { return nil }).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	values := map[string]float64{}
	for line := range strings.Lines(w.Body.String()) {
		at := strings.LastIndexByte(line, ' ')
		var value float64
		if _, err := fmt.Sscan(line[at+1:], &value); err == nil && !strings.HasPrefix(line, "#") {
			values[line[:at]] = value
		}
	}
	return values
}

// reaches waits for a metric to have a value: a request is counted when its answer has been written, and the client may
// have it before.
func reaches(t testing.TB, s *Server, metric string, want float64) {
	t.Helper()
	var got map[string]float64
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if got = metricsOf(t, s); got[metric] == want {
			return
		}
	}
	maps.DeleteFunc(got, func(name string, value float64) bool { return !strings.HasPrefix(name, "pith_requests") || value == 0 })
	t.Errorf("%s is not %v: %v", metric, want, got)
}
