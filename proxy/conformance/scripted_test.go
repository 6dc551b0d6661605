// Package conformance runs real clients through the proxy in front of a scripted upstream and checks what both ends saw.
package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/proxy"
)

// answer is what the scripted model says in the end.
const answer = "The treasure lies under the mill."

// toolCall is the call that the scripted model makes first.
type toolCall struct{ name, arguments string }

// scripted is an upstream that speaks the dialects: to a request without tool results that offers its tool it answers with
// the call, to every other with the answer.
type scripted struct {
	*httptest.Server
	call toolCall

	mu     sync.Mutex
	bodies []received
}

// received is a request that came to the upstream.
type received struct {
	path string
	body []byte
}

func startUpstream(t testing.TB, call toolCall) *scripted {
	t.Helper()
	s := &scripted{call: call}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *scripted) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if r.Method != http.MethodPost {
		fmt.Fprint(w, `{"object":"list","data":[{"id":"m","object":"model"}]}`)
		return
	}
	var request struct {
		Stream bool `json:"stream"`
	}
	_ = json.Unmarshal(body, &request)
	results := false
	for _, mark := range []string{`"role":"tool"`, `"type":"tool_result"`, `"type":"function_call_output"`} {
		results = results || bytes.Contains(body, []byte(mark))
	}
	calls := !results && bytes.Contains(body, []byte(`"name":"`+s.call.name+`"`))
	s.mu.Lock()
	s.bodies = append(s.bodies, received{r.URL.Path, body})
	s.mu.Unlock()
	switch {
	case strings.HasSuffix(r.URL.Path, "/count_tokens"):
		fmt.Fprintf(w, `{"input_tokens":%d}`, len(body)/4)
	case strings.HasSuffix(r.URL.Path, "/messages"):
		s.send(w, request.Stream, messageEvents(s.call, calls), messageWhole(s.call, calls))
	case strings.HasSuffix(r.URL.Path, "/responses"):
		s.send(w, request.Stream, responseEvents(s.call, calls), responseWhole(s.call, calls))
	default:
		s.send(w, request.Stream, chatEvents(s.call, calls), chatWhole(s.call, calls))
	}
}

// send writes the events one by one, or the whole.
func (s *scripted) send(w http.ResponseWriter, stream bool, events []string, whole string) {
	if !stream {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, whole)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for _, event := range events {
		var kind struct {
			Type string `json:"type"`
		}
		if json.Unmarshal([]byte(event), &kind) == nil && kind.Type != "" {
			fmt.Fprintf(w, "event: %s\n", kind.Type)
		}
		fmt.Fprintf(w, "data: %s\n\n", event)
		w.(http.Flusher).Flush()
	}
}

func (s *scripted) received() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]received(nil), s.bodies...)
}

func quoted(text string) string {
	b, _ := json.Marshal(text)
	return string(b)
}

func chatWhole(call toolCall, calls bool) string {
	if calls {
		return `{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"` + call.name + `","arguments":` + quoted(call.arguments) + `}}]}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`
	}
	return `{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"` + answer + `"}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`
}

func chatEvents(call toolCall, calls bool) []string {
	chunk := func(delta, finish string) string {
		return `{"id":"c","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + `}]}`
	}
	if calls {
		return []string{
			chunk(`{"role":"assistant","tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"`+call.name+`","arguments":""}}]}`, "null"),
			chunk(`{"tool_calls":[{"index":0,"function":{"arguments":`+quoted(call.arguments)+`}}]}`, "null"),
			chunk(`{}`, `"tool_calls"`), "[DONE]",
		}
	}
	events := []string{chunk(`{"role":"assistant","content":""}`, "null")}
	for word := range strings.SplitAfterSeq(answer, " ") {
		events = append(events, chunk(`{"content":`+quoted(word)+`}`, "null"))
	}
	return append(events, chunk(`{}`, `"stop"`), "[DONE]")
}

func messageWhole(call toolCall, calls bool) string {
	content, stop := `{"type":"text","text":"`+answer+`"}`, "end_turn"
	if calls {
		content, stop = `{"type":"tool_use","id":"toolu_1","name":"`+call.name+`","input":`+call.arguments+`}`, "tool_use"
	}
	return `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[` + content + `],"stop_reason":"` + stop + `","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}`
}

func messageEvents(call toolCall, calls bool) []string {
	start, delta, stop := `{"type":"text","text":""}`, `{"type":"text_delta","text":"`+answer+`"}`, "end_turn"
	if calls {
		start, delta, stop = `{"type":"tool_use","id":"toolu_1","name":"`+call.name+`","input":{}}`, `{"type":"input_json_delta","partial_json":`+quoted(call.arguments)+`}`, "tool_use"
	}
	return []string{
		`{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}}`,
		`{"type":"content_block_start","index":0,"content_block":` + start + `}`,
		`{"type":"content_block_delta","index":0,"delta":` + delta + `}`,
		`{"type":"content_block_stop","index":0}`,
		`{"type":"message_delta","delta":{"stop_reason":"` + stop + `","stop_sequence":null},"usage":{"output_tokens":1}}`,
		`{"type":"message_stop"}`,
	}
}

func responseItem(call toolCall, calls bool) string {
	if calls {
		return `{"type":"function_call","id":"fc_1","call_id":"call_1","name":"` + call.name + `","arguments":` + quoted(call.arguments) + `,"status":"completed"}`
	}
	return `{"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"` + answer + `","annotations":[]}]}`
}

func responseWhole(call toolCall, calls bool) string {
	return `{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"m","output":[` + responseItem(call, calls) + `],"usage":{"input_tokens":1,"input_tokens_details":{"cached_tokens":0},"output_tokens":1,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":2}}`
}

func responseEvents(call toolCall, calls bool) []string {
	item := responseItem(call, calls)
	events := []string{
		`{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","status":"in_progress","output":[]}}`,
		`{"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":` + item + `}`,
	}
	if !calls {
		events = append(events, `{"type":"response.output_text.delta","sequence_number":2,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"`+answer+`"}`)
	}
	return append(events, `{"type":"response.output_item.done","sequence_number":3,"output_index":0,"item":`+item+`}`,
		`{"type":"response.completed","sequence_number":4,"response":`+responseWhole(call, calls)+`}`)
}

// notes is a long tool result of which one line tells where the treasure is.
func notes() string {
	var b strings.Builder
	for i := range 240 {
		if i == 100 {
			b.WriteString("The treasure of captain Wren lies under the mill, three paces to the north.\n")
		}
		fmt.Fprintf(&b, "Line %d speaks of tides and ropes, number %d, and of \"nothing\" that anybody asks about.\n", i, i*i)
	}
	return b.String()
}

// task is what the user asks.
const task = "Where does the treasure of captain Wren lie?"

// startProxy serves pith in front of an upstream and returns its address and what it reported.
func startProxy(t testing.TB, upstream string, mode proxy.Mode) (base string, saved func() int) {
	t.Helper()
	compressor, err := compressors.New(compressors.Options{
		Scorer:      compressors.ScorerFunc(overlap),
		CountTokens: func(text string) int { return (len(text) + 3) / 4 }, MinTokens: 100, DefaultRate: 0.4, Verify: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	total := 0
	server, err := proxy.NewServer(proxy.Options{Upstream: upstream, Compressor: compressor, Mode: mode, Observe: func(r proxy.Report) {
		mu.Lock()
		defer mu.Unlock()
		total += r.TokensIn - r.TokensOut
	}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return "http://" + l.Addr().String(), func() int {
		mu.Lock()
		defer mu.Unlock()
		return total
	}
}

// overlap scores a segment by how many of the query's words it holds.
func overlap(_ context.Context, query string, candidates []compressors.Candidate) (compressors.Scores, error) {
	scores := compressors.Scores{Scores: make([]compressors.Score, len(candidates))}
	for i, c := range candidates {
		for word := range strings.FieldsSeq(strings.ToLower(query)) {
			if len(word) > 3 && strings.Contains(strings.ToLower(c.Text), strings.Trim(word, "?.,`")) {
				scores.Scores[i].Value++
			}
		}
	}
	return scores, nil
}
