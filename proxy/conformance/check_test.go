package conformance

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/proxy"
)

// patience is how long a client may take for an event; only a failing test waits for it.
const patience = time.Minute

// streamed is the body of a request for a stream.
func streamed() io.Reader { return strings.NewReader(`{"stream":true}`) }

// between is a plain forwarder that keeps what the client sent, byte for byte, before pith sees it, and tells the gate what came
// out of pith.
type between struct {
	*httptest.Server
	gate *gate
	mu   sync.Mutex
	sent []sent
}

// sent is a prompt of the client's with how pith and the upstream name it.
type sent struct {
	body                []byte
	requestID, exchange string
}

func listenBefore(t testing.TB, base string, g *gate) *between {
	t.Helper()
	target, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	b := &between{gate: g}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r2 := r.Clone(r.Context())
		r2.URL.Scheme, r2.URL.Host, r2.RequestURI = target.Scheme, target.Host, ""
		r2.Body = io.NopCloser(bytes.NewReader(body))
		r2.ContentLength = int64(len(body))
		resp, err := http.DefaultTransport.RoundTrip(r2)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		exchange := resp.Header.Get(exchangeHeader)
		if r.Method == http.MethodPost {
			b.mu.Lock()
			b.sent = append(b.sent, sent{body, resp.Header.Get("X-Pith-Request-Id"), exchange})
			b.mu.Unlock()
		}
		maps.Copy(w.Header(), resp.Header)
		w.WriteHeader(resp.StatusCode)
		buffer := make([]byte, 4096)
		for came := 0; ; {
			n, err := resp.Body.Read(buffer)
			_, _ = w.Write(buffer[:n])
			w.(http.Flusher).Flush()
			came += n
			b.gate.came(exchange, came)
			if err != nil {
				return
			}
		}
	}))
	t.Cleanup(b.Close)
	return b
}

// bench is one client's place: the scripted upstream, pith in front of it, and what listens before pith.
type bench struct {
	mode     proxy.Mode
	gate     *gate
	upstream *scripted
	before   *between
	server   *proxy.Server
}

// newBench starts all three.
func newBench(t *testing.T, call toolCall, mode proxy.Mode) *bench {
	t.Helper()
	b := &bench{mode: mode, gate: newGate(patience)}
	b.upstream = startUpstream(t, call, b.gate)
	compressor, err := compressors.New(compressors.Options{
		Scorer:      compressors.ScorerFunc(overlap),
		CountTokens: countTokens, MinTokens: 100, DefaultRate: 0.4, Verify: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.server, err = proxy.NewServer(proxy.Options{
		Upstream: b.upstream.URL, Compressor: compressor, CountTokens: countTokens, Mode: mode, Deadline: patience, Receipts: 64 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- b.server.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.server.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	b.before = listenBefore(t, "http://"+l.Addr().String(), b.gate)
	return b
}

func countTokens(text string) int { return (len(text) + 3) / 4 }

// receipt fetches the receipt of a request from the admin side.
func (b *bench) receipt(t *testing.T, id string) proxy.Receipt {
	t.Helper()
	w := httptest.NewRecorder()
	b.server.Admin(func() error { return nil }).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/receipts/"+id, nil))
	r, err := proxy.ParseReceipt(w.Body.Bytes())
	if err != nil {
		t.Fatalf("receipt of request %q: %d: %v", id, w.Code, err)
	}
	return r
}

// check holds what the client sent against what the upstream saw, and adds a row to the table:
//
//   - by its receipt each request's body is the client's own bytes but for texts from which lines are left out, and that body is
//     what the upstream saw;
//   - what a request has in common with an earlier one is forwarded with the same bytes, and a text that comes again in a later
//     request, whatever a client has changed before it, becomes the same bytes again;
//   - each event came out of pith before the next was sent;
//   - with compression on the notes, and nothing else that the client says, were shortened, the line that answers is still there,
//     and a shortened text came again in a later request; with compression off every body is the client's.
func (b *bench) check(t *testing.T, client, version string) {
	t.Helper()
	b.before.mu.Lock()
	all := slices.Clone(b.before.sent)
	b.before.mu.Unlock()
	var forwarded [][]byte
	became := map[string]string{} // by turn and source
	shortened, again, saved := 0, 0, 0
	for i, s := range all {
		got, ok := b.upstream.received(s.exchange)
		if !ok {
			t.Errorf("request %d did not reach the upstream", i)
			return
		}
		r := b.receipt(t, s.requestID)
		replayed, err := r.Verify(s.body, countTokens)
		if err != nil {
			t.Errorf("request %d: %v", i, err)
			return
		}
		if !bytes.Equal(replayed, got.body) {
			t.Errorf("request %d: the upstream saw another body than the receipt proves", i)
		}
		t.Logf("%s: %d bytes came, %d went up", got.path, len(s.body), len(got.body))
		for _, text := range r.Texts {
			if !text.Shortened {
				continue
			}
			shortened++
			if source := s.body[text.Start:text.End]; !bytes.Contains(source, []byte("speaks of tides and ropes")) {
				t.Errorf("request %d: shortened what is not of the notes: %.300s", i, source)
			}
			key := fmt.Sprint(text.Turn, " ", string(s.body[text.Start:text.End]))
			parts := fmt.Sprint(shifted(text))
			if before, ok := became[key]; !ok {
				became[key] = parts
			} else if again++; before != parts {
				t.Errorf("request %d: a text of turn %d became another than before", i, text.Turn)
			}
		}
		if answers := []byte("lies under the mill, three paces"); bytes.Contains(s.body, answers) && !bytes.Contains(got.body, answers) {
			t.Errorf("request %d lost the line that answers", i)
		}
		saved += r.TokensIn - r.TokensOut
		// The earlier request that has most in common with this one is the turn before it.
		last, most := -1, 0
		for j := range i {
			if n := common(all[j].body, s.body); n >= most {
				last, most = j, n
			}
		}
		if last >= 0 {
			want := image(r, most)
			if n := common(forwarded[last], got.body); n < want {
				t.Errorf("request %d has %d bytes in common with request %d, which are %d once forwarded, and only %d were the same", i, most, last, want, n)
			}
		}
		forwarded = append(forwarded, got.body)
	}
	events, held := b.gate.counts()
	if len(all) < 3 || events < 4 || held > 0 {
		t.Errorf("%d requests, %d events came out in time, %d were held back", len(all), events, held)
	}
	switch {
	case b.mode == proxy.ModeOff && shortened > 0:
		t.Errorf("%d texts changed with compression off", shortened)
	case b.mode == proxy.ModeOn && (shortened == 0 || saved <= 0 || again == 0):
		t.Errorf("%d texts were shortened, %d tokens saved, %d came again in a later turn", shortened, saved, again)
	}
	verdict := "pass"
	if t.Failed() {
		verdict = "FAILED"
	}
	table.add(client, version, b.mode.String(), len(all), shortened, events, verdict)
}

// shifted are the parts of a text, counted from its start.
func shifted(text proxy.ReceiptText) []proxy.ReceiptPart {
	parts := slices.Clone(text.Parts)
	for i := range parts {
		parts[i].Start -= text.Start
		parts[i].End -= text.Start
	}
	return parts
}

// image returns how many bytes the first n of a body are once forwarded, less those of a shortened text that they cut.
func image(r proxy.Receipt, n int) int {
	if !r.Edited {
		return n
	}
	size := n
	for _, text := range r.Texts {
		switch {
		case !text.Shortened || text.Start >= n:
		case text.End > n:
			size -= n - text.Start
		default:
			for _, part := range text.Parts {
				if part.Marker != "" || part.Dropped {
					size += len(escaped(part.Marker)) - (part.End - part.Start)
				}
			}
		}
	}
	return size
}

// escaped is a marker as it stands in JSON.
func escaped(marker string) string { return strings.Trim(quoted(marker), `"`) }

// common returns how many bytes a and b begin with alike.
func common(a, b []byte) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// table is what was seen of each client; tests with -v print it at the end.
var table conformance

type conformance struct {
	mu   sync.Mutex
	rows []string
}

func (c *conformance) add(columns ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows = append(c.rows, strings.Repeat("%v\t", len(columns)-1)+"%v\n")
	c.rows[len(c.rows)-1] = fmt.Sprintf(c.rows[len(c.rows)-1], columns...)
}

func TestMain(m *testing.M) {
	code := m.Run()
	if testing.Verbose() && len(table.rows) > 0 {
		w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
		fmt.Fprintln(w, "\nclient\tversion\tmode\trequests\ttexts shortened\tevents in order\tverdict")
		for _, row := range table.rows {
			fmt.Fprint(w, row)
		}
		_ = w.Flush()
	}
	os.Exit(code)
}
