package proxy

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// TestEventsOfAWebSocketLeaveReceiptsAndSpans sends an event that is shortened, one that is not, and one that is
// refused. The ids of their log lines lead to receipts, which replay to what went up.
func TestEventsOfAWebSocketLeaveReceiptsAndSpans(t *testing.T) {
	up := startWSUpstream(t, func(n int) string { return []string{saidItem, saidItem, ""}[min(n, 2)] })
	recorder := tracetest.NewSpanRecorder()
	var log lockedBuffer
	o := wsOptions(t, up.URL)
	o.Receipts, o.Logger = 1<<20, logTo(&log)
	o.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("")
	s, err := NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	conn := dialSocket(t, serve(t, s), nil)
	long := encode(t, asking(essay(60, "mill")))
	events := []string{
		`{"type":"response.create","model":"m","input":` + long + `}`,
		`{"type":"response.create","model":"m","input":"hello"}`,
		`{"type":"response.create","model":"m","input":` + strings.Replace(long, "mill", "pier", 1) + `}`,
	}
	for _, event := range events {
		create(t, conn, event)
	}
	if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Fatal(err)
	}
	reaches(t, s, `pith_requests_total{dialect="none",outcome="answered"}`, 1)

	var ids []string
	for line := range strings.Lines(log.String()) {
		var entry struct{ Msg, ID string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		if entry.Msg == "websocket event" {
			ids = append(ids, entry.ID)
		}
	}
	if len(ids) != len(events) {
		t.Fatalf("%d lines for %d events: %s", len(ids), len(events), log.String())
	}
	for i, id := range ids {
		kept, ok := s.receipts.get(id)
		if !ok {
			t.Fatalf("no receipt of event %d, %s", i, id)
		}
		receipt, err := kept.seal()
		if err != nil {
			t.Fatal(err)
		}
		forwarded, err := receipt.Verify([]byte(events[i]), countTokens)
		if err != nil || string(forwarded) != up.received[i] {
			t.Errorf("event %d: replayed to what went up: %t, %v", i, string(forwarded) == up.received[i], err)
		}
		if status := []int{200, 200, 400}[i]; receipt.Status != status || receipt.Edited != (i != 1) || receipt.Model != "m" || receipt.Dialect != "responses" || !strings.HasSuffix(id, fmt.Sprint("-", i+1)) {
			t.Errorf("event %d: %+v", i, receipt)
		}
	}
	spans := map[string]int{}
	for _, span := range recorder.Ended() {
		spans[span.Name()+" "+span.Status().Description]++
	}
	if spans["response.create "] != 3 || spans["chat m "] != 2 || spans["chat m 400"] != 1 || spans["compress "] != 3 {
		t.Errorf("spans: %v", spans)
	}
}

// TestAWebSocketThatBreaksEndsItsEvents has the upstream leave before it has answered.
func TestAWebSocketThatBreaksEndsItsEvents(t *testing.T) {
	o := wsOptions(t, "")
	o.Receipts = 1 << 20
	s, client, _, upstream := rawSocket(t, o)
	if _, err := client.Write(frame(true, opText, `{"type":"response.create","model":"m","input":"hello"}`, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := readFrameHead(bufio.NewReader(upstream)); err != nil {
		t.Fatal(err)
	}
	_ = upstream.Close()
	reaches(t, s, `pith_requests_total{dialect="none",outcome="broken"}`, 1)
	s.receipts.mu.Lock()
	defer s.receipts.mu.Unlock()
	for _, e := range s.receipts.byID {
		if r := e.Value.(*Receipt); r.Status != 0 {
			t.Errorf("the receipt of an event without answer: %+v", r)
		}
	}
	if len(s.receipts.byID) != 1 {
		t.Errorf("%d receipts for an event", len(s.receipts.byID))
	}
}

func TestEventsThatNeverEndAreNotKept(t *testing.T) {
	o := wsOptions(t, "http://127.0.0.1:1")
	s, err := NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	socket := &socket{r: &request{server: s, up: s.upstreams[0]}, dialect: dialectResponses}
	for range 3 * maxPrompts {
		socket.prompts.asked(socket, time.Now(), []byte("{}"), shortened{})
	}
	if open := len(socket.prompts.open); open != maxPrompts {
		t.Errorf("%d events wait for their end, at most %d may", open, maxPrompts)
	}
}
