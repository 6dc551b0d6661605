// Package conformance runs real clients through the proxy in front of a scripted upstream and checks what both ends saw.
package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/pith-llm/pith/compressors"
)

// answer is what the scripted model says in the end.
const answer = "The treasure lies under the mill."

// toolCall is a call that the scripted model makes.
type toolCall struct{ name, arguments, id string }

// scripted is an upstream that speaks the dialects: to a request that offers its tool it answers with a call until two results
// are in, and to every other with the answer.
type scripted struct {
	*httptest.Server
	call toolCall
	gate *gate

	mu     sync.Mutex
	bodies map[string]received
}

// received is a request that came to the upstream.
type received struct {
	path string
	body []byte
}

// exchangeHeader names an exchange to both ends: the upstream sets it, and pith relays it.
const exchangeHeader = "X-Exchange"

func startUpstream(t testing.TB, call toolCall, g *gate) *scripted {
	t.Helper()
	s := &scripted{call: call, gate: g, bodies: map[string]received{}}
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
	results := 0
	for _, mark := range []string{`"role":"tool"`, `"type":"tool_result"`, `"type":"function_call_output"`} {
		results += bytes.Count(body, []byte(mark))
	}
	call := s.call
	call.id = fmt.Sprintf("call_%d", results+1)
	calls := results < 2 && bytes.Contains(body, []byte(`"name":"`+call.name+`"`))
	s.mu.Lock()
	exchange := fmt.Sprint(len(s.bodies))
	s.bodies[exchange] = received{r.URL.Path, body}
	s.mu.Unlock()
	w.Header().Set(exchangeHeader, exchange)
	switch {
	case strings.HasSuffix(r.URL.Path, "/count_tokens"):
		fmt.Fprintf(w, `{"input_tokens":%d}`, len(body)/4)
	case strings.HasSuffix(r.URL.Path, "/messages"):
		s.send(w, exchange, request.Stream, messageEvents(call, calls), messageWhole(call, calls))
	case strings.HasSuffix(r.URL.Path, "/responses"):
		s.send(w, exchange, request.Stream, responseEvents(call, calls), responseWhole(call, calls))
	default:
		s.send(w, exchange, request.Stream, chatEvents(call, calls), chatWhole(call, calls))
	}
}

// send writes the events, each once the one before it has reached the client's side of pith, or the whole.
func (s *scripted) send(w http.ResponseWriter, exchange string, stream bool, events []string, whole string) {
	if !stream {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, whole)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	sent := 0
	for _, event := range events {
		var kind struct {
			Type string `json:"type"`
		}
		text := "data: " + event + "\n\n"
		if json.Unmarshal([]byte(event), &kind) == nil && kind.Type != "" {
			text = "event: " + kind.Type + "\n" + text
		}
		_, _ = io.WriteString(w, text)
		w.(http.Flusher).Flush()
		sent += len(text)
		if !s.gate.passed(exchange, sent) {
			return // a broken answer, which the client shows
		}
	}
}

// received returns the request of an exchange.
func (s *scripted) received(exchange string) (received, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.bodies[exchange]
	return r, ok
}

func quoted(text string) string {
	b, _ := json.Marshal(text)
	return string(b)
}

func chatWhole(call toolCall, calls bool) string {
	if calls {
		return `{"id":"c_` + call.id + `","object":"chat.completion","model":"m","choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":null,"tool_calls":[{"id":"` + call.id + `","type":"function","function":{"name":"` + call.name + `","arguments":` + quoted(call.arguments) + `}}]}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`
	}
	return `{"id":"c_` + call.id + `","object":"chat.completion","model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"` + answer + `"}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`
}

func chatEvents(call toolCall, calls bool) []string {
	chunk := func(delta, finish string) string {
		return `{"id":"c_` + call.id + `","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + `}]}`
	}
	if calls {
		return []string{
			chunk(`{"role":"assistant","tool_calls":[{"index":0,"id":"`+call.id+`","type":"function","function":{"name":"`+call.name+`","arguments":""}}]}`, "null"),
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
		content, stop = `{"type":"tool_use","id":"`+call.id+`","name":"`+call.name+`","input":`+call.arguments+`}`, "tool_use"
	}
	return `{"id":"msg_` + call.id + `","type":"message","role":"assistant","model":"m","content":[` + content + `],"stop_reason":"` + stop + `","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}`
}

func messageEvents(call toolCall, calls bool) []string {
	start, delta, stop := `{"type":"text","text":""}`, `{"type":"text_delta","text":"`+answer+`"}`, "end_turn"
	if calls {
		start, delta, stop = `{"type":"tool_use","id":"`+call.id+`","name":"`+call.name+`","input":{}}`, `{"type":"input_json_delta","partial_json":`+quoted(call.arguments)+`}`, "tool_use"
	}
	return []string{
		`{"type":"message_start","message":{"id":"msg_` + call.id + `","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}}`,
		`{"type":"content_block_start","index":0,"content_block":` + start + `}`,
		`{"type":"content_block_delta","index":0,"delta":` + delta + `}`,
		`{"type":"content_block_stop","index":0}`,
		`{"type":"message_delta","delta":{"stop_reason":"` + stop + `","stop_sequence":null},"usage":{"output_tokens":1}}`,
		`{"type":"message_stop"}`,
	}
}

func responseItem(call toolCall, calls bool) string {
	if calls {
		return `{"type":"function_call","id":"fc_` + call.id + `","call_id":"` + call.id + `","name":"` + call.name + `","arguments":` + quoted(call.arguments) + `,"status":"completed"}`
	}
	return `{"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"` + answer + `","annotations":[]}]}`
}

func responseWhole(call toolCall, calls bool) string {
	return `{"id":"resp_` + call.id + `","object":"response","created_at":1,"status":"completed","model":"m","output":[` + responseItem(call, calls) + `],"usage":{"input_tokens":1,"input_tokens_details":{"cached_tokens":0},"output_tokens":1,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":2}}`
}

func responseEvents(call toolCall, calls bool) []string {
	item := responseItem(call, calls)
	events := []string{
		`{"type":"response.created","sequence_number":0,"response":{"id":"resp_` + call.id + `","object":"response","created_at":1,"status":"in_progress","model":"m","output":[]}}`,
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
