package conformance

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// gate lets the upstream send an event only once the one before it has come out of pith: what is held back is never
// followed by another event, and the wait for it is counted.
type gate struct {
	patience time.Duration

	mu     sync.Mutex
	out    map[string]chan int // bytes of each exchange's answer that came out of pith so far
	events int                 // that came out before the next was sent
	held   int                 // that did not, in the time of patience
}

func newGate(patience time.Duration) *gate {
	return &gate{patience: patience, out: map[string]chan int{}}
}

func (g *gate) exchange(id string) chan int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.out[id] == nil {
		g.out[id] = make(chan int, 1<<12) // more than the reads of an answer
	}
	return g.out[id]
}

// came says that the first n bytes of an exchange's answer came out.
func (g *gate) came(id string, n int) {
	if id != "" {
		g.exchange(id) <- n
	}
}

// passed waits until the first n bytes of an exchange's answer have come out, and reports whether they have.
func (g *gate) passed(id string, n int) bool {
	patience := time.NewTimer(g.patience)
	defer patience.Stop()
	for out, came := g.exchange(id), 0; came < n; {
		select {
		case came = <-out:
		case <-patience.C:
			g.mu.Lock()
			defer g.mu.Unlock()
			g.held++
			return false
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.events++
	return true
}

// counts returns how many events came out in time and how many were held back.
func (g *gate) counts() (events, held int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.events, g.held
}

// TestGateNoticesAProxyThatGathers shows that the check of event order can fail.
func TestGateNoticesAProxyThatGathers(t *testing.T) {
	g := newGate(50 * time.Millisecond)
	up := startUpstream(t, toolCall{}, g)
	gathers := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resp, err := http.Post(up.URL+r.URL.Path, "application/json", r.Body)
		if err != nil {
			return
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body) // the upstream breaks it off
		w.Header().Set(exchangeHeader, resp.Header.Get(exchangeHeader))
		_, _ = w.Write(body)
	}))
	defer gathers.Close()
	before := listenBefore(t, gathers.URL, g)
	resp, err := http.Post(before.URL+"/v1/chat/completions", "application/json", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	stream, err := http.NewRequestWithContext(t.Context(), http.MethodPost, before.URL+"/v1/chat/completions", streamed())
	if err != nil {
		t.Fatal(err)
	}
	if resp, err = http.DefaultClient.Do(stream); err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if events, held := g.counts(); events != 0 || held != 1 {
		t.Errorf("%d events came in time, %d were held back", events, held)
	}
}
