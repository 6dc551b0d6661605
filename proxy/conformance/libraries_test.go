package conformance

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	openaigo "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"github.com/sashabaranov/go-openai"

	"github.com/pith-llm/pith/proxy"
)

// between is a plain forwarder that keeps what the client sent, byte for byte, before pith sees it.
type between struct {
	*httptest.Server
	mu     sync.Mutex
	bodies [][]byte
}

func listenBefore(t testing.TB, base string) *between {
	t.Helper()
	target, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	b := &between{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if r.Method == http.MethodPost {
			b.mu.Lock()
			b.bodies = append(b.bodies, body)
			b.mu.Unlock()
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
		maps.Copy(w.Header(), resp.Header)
		w.WriteHeader(resp.StatusCode)
		buffer := make([]byte, 4096)
		for {
			n, err := resp.Body.Read(buffer)
			_, _ = w.Write(buffer[:n])
			w.(http.Flusher).Flush()
			if err != nil {
				return
			}
		}
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *between) sent() [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([][]byte(nil), b.bodies...)
}

// check compares what the client sent with what the upstream saw.
func check(t *testing.T, mode proxy.Mode, sent [][]byte, got []received, saved int) {
	t.Helper()
	if len(sent) != len(got) || len(sent) == 0 {
		t.Fatalf("%d requests were sent, %d came", len(sent), len(got))
	}
	replaced := 0
	for i := range sent {
		if i > 0 { // what was forwarded of the talk so far is forwarded again
			if same := common(sent[i-1], sent[i]); common(got[i-1].body, got[i].body) < same {
				t.Errorf("request %d shares %d bytes with the one before it, and %d once forwarded", i, same, common(got[i-1].body, got[i].body))
			}
		}
		if bytes.Equal(sent[i], got[i].body) {
			continue
		}
		replaced++
		// The first and last bytes, up to the tool's result, are the client's; only its lines may go.
		from := bytes.Index(sent[i], []byte("Line 0 speaks"))
		to := bytes.LastIndex(sent[i], []byte("anybody asks about.\\n"))
		if from < 0 || to < from {
			t.Fatalf("request %d changed and holds no tool result", i)
		}
		if !bytes.HasPrefix(got[i].body, sent[i][:from]) || !bytes.HasSuffix(got[i].body, sent[i][to+len("anybody asks about.\\n"):]) {
			t.Errorf("request %d changed outside the tool's result", i)
		}
		if !bytes.Contains(got[i].body, []byte("lies under the mill, three paces")) {
			t.Errorf("request %d lost the line that answers", i)
		}
	}
	switch {
	case mode == proxy.ModeOff && replaced > 0:
		t.Errorf("%d requests changed with compression off", replaced)
	case mode == proxy.ModeOn && (replaced == 0 || saved <= 0):
		t.Errorf("nothing was replaced: %d requests, %d tokens saved", replaced, saved)
	}
}

// common returns how many bytes a and b begin with alike.
func common(a, b []byte) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

func TestLibraries(t *testing.T) {
	call := toolCall{"search", `{"q":"treasure"}`}
	clients := map[string]func(t *testing.T, base string) (said string, events int){
		"go-openai":            goOpenAI,
		"openai-go, chat":      openAIGoChat,
		"openai-go, responses": openAIGoResponses,
	}
	for name, run := range clients {
		for _, mode := range []proxy.Mode{proxy.ModeOn, proxy.ModeOff} {
			t.Run(name+", "+mode.String(), func(t *testing.T) {
				up := startUpstream(t, call)
				base, saved := startProxy(t, up.URL, mode)
				before := listenBefore(t, base)
				said, events := run(t, before.URL+"/v1")
				if said != answer {
					t.Errorf("the client shows %q", said)
				}
				if events < 3 {
					t.Errorf("%d events came", events)
				}
				check(t, mode, before.sent(), up.received(), saved())
			})
		}
	}
}

// goOpenAI asks, answers the tool call, streams the answer, and returns it with the number of its parts.
func goOpenAI(t *testing.T, base string) (string, int) {
	config := openai.DefaultConfig("key")
	config.BaseURL = base
	client := openai.NewClientWithConfig(config)
	request := openai.ChatCompletionRequest{
		Model:    "m",
		Messages: []openai.ChatCompletionMessage{{Role: "user", Content: task}},
		Tools:    []openai.Tool{{Type: "function", Function: &openai.FunctionDefinition{Name: "search", Parameters: map[string]any{"type": "object"}}}},
	}
	first, err := client.CreateChatCompletion(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	said := first.Choices[0].Message
	if len(said.ToolCalls) != 1 {
		t.Fatalf("%d tool calls", len(said.ToolCalls))
	}
	request.Messages = append(request.Messages, said, openai.ChatCompletionMessage{Role: "tool", ToolCallID: said.ToolCalls[0].ID, Content: notes()})
	stream, err := client.CreateChatCompletionStream(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	var text strings.Builder
	events := 0
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return text.String(), events
		}
		if err != nil {
			t.Fatal(err)
		}
		events++
		text.WriteString(part.Choices[0].Delta.Content)
	}
}

func openAIGoChat(t *testing.T, base string) (string, int) {
	client := openaigo.NewClient(option.WithBaseURL(base), option.WithAPIKey("key"))
	params := openaigo.ChatCompletionNewParams{
		Model:    "m",
		Messages: []openaigo.ChatCompletionMessageParamUnion{openaigo.UserMessage(task)},
		Tools:    []openaigo.ChatCompletionToolUnionParam{openaigo.ChatCompletionFunctionTool(openaigo.FunctionDefinitionParam{Name: "search"})},
	}
	first, err := client.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	said := first.Choices[0].Message
	params.Messages = append(params.Messages, said.ToParam(), openaigo.ToolMessage(notes(), said.ToolCalls[0].ID))
	stream := client.Chat.Completions.NewStreaming(t.Context(), params)
	var text strings.Builder
	events := 0
	for stream.Next() {
		events++
		text.WriteString(stream.Current().Choices[0].Delta.Content)
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	return text.String(), events
}

func openAIGoResponses(t *testing.T, base string) (string, int) {
	client := openaigo.NewClient(option.WithBaseURL(base), option.WithAPIKey("key"))
	input := responses.ResponseInputParam{responses.ResponseInputItemParamOfMessage(task, responses.EasyInputMessageRoleUser)}
	params := responses.ResponseNewParams{
		Model: "m",
		Input: responses.ResponseNewParamsInputUnion{OfInputItemList: input},
		Tools: []responses.ToolUnionParam{responses.ToolParamOfFunction("search", map[string]any{"type": "object"}, false)},
	}
	first, err := client.Responses.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	called := first.Output[0].AsFunctionCall()
	output := responses.ResponseInputItemParamOfFunctionCallOutput(notes())
	output.OfFunctionCallOutput.CallID = openaigo.String(called.CallID)
	input = append(input, responses.ResponseInputItemParamOfFunctionCall(called.Arguments, called.CallID, called.Name), output)
	params.Input = responses.ResponseNewParamsInputUnion{OfInputItemList: input}
	stream := client.Responses.NewStreaming(t.Context(), params)
	var text strings.Builder
	events := 0
	for stream.Next() {
		events++
		if delta := stream.Current(); delta.Type == "response.output_text.delta" {
			text.WriteString(delta.Delta)
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	return text.String(), events
}
