package proxy

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	openaigo "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"github.com/sashabaranov/go-openai"
)

func TestModelServerContinuesTexts(t *testing.T) {
	client := clientOf(startProxy(t, Options{Upstream: startModel(t, echo{}), Compressor: realCompressor(t)}))
	whole, err := client.CreateCompletion(t.Context(), openai.CompletionRequest{Model: "any", Prompt: "one two three", MaxTokens: 2})
	if err != nil {
		t.Fatal(err)
	}
	if choice := whole.Choices[0]; whole.Object != "text_completion" || choice.Text != "one two " || choice.FinishReason != "length" || whole.Usage.TotalTokens != 5 {
		t.Errorf("answer %+v", whole)
	}
	words := strings.Repeat("word ", 40)
	if whole, err = client.CreateCompletion(t.Context(), openai.CompletionRequest{Prompt: []string{words}}); err != nil || whole.Usage.CompletionTokens != 16 {
		t.Errorf("without a bound: %+v, %v", whole, err)
	}
	stream, err := client.CreateCompletionStream(t.Context(), openai.CompletionRequest{Prompt: "one two three", MaxTokens: 9, Stop: []string{"three"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	text, reason := "", ""
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text += part.Choices[0].Text
		reason += part.Choices[0].FinishReason
	}
	if text != "one two " || reason != "stop" {
		t.Errorf("streamed %q, %q", text, reason)
	}
}

func TestModelServerAnswersResponses(t *testing.T) {
	base := startProxy(t, Options{Upstream: startModel(t, echo{}), Compressor: realCompressor(t)})
	client := openaigo.NewClient(option.WithBaseURL(base+"/v1"), option.WithAPIKey("key"), option.WithMaxRetries(0))
	ask := func(text string) responses.ResponseNewParams {
		output := responses.ResponseInputItemParamOfFunctionCallOutput(text)
		output.OfFunctionCallOutput.CallID = openaigo.String("c")
		return responses.ResponseNewParams{
			Model: "any", Instructions: openaigo.String("Be brief."),
			Input: responses.ResponseNewParamsInputUnion{OfInputItemList: responses.ResponseInputParam{
				responses.ResponseInputItemParamOfMessage("Call.", responses.EasyInputMessageRoleUser),
				responses.ResponseInputItemParamOfFunctionCall("{}", "c", "search"), output,
			}},
		}
	}
	whole, err := client.Responses.New(t.Context(), ask("one two three"))
	if err != nil {
		t.Fatal(err)
	}
	if whole.OutputText() != "one two three " || whole.Status != responses.ResponseStatusCompleted || whole.Model != "tiny" {
		t.Errorf("answer %s", whole.RawJSON())
	}
	if u := whole.Usage; u.InputTokens != 3 || u.OutputTokens != 3 || u.TotalTokens != 6 {
		t.Errorf("usage %+v", u)
	}
	bounded := ask("one two three")
	bounded.MaxOutputTokens = openaigo.Int(2)
	stream := client.Responses.NewStreaming(t.Context(), bounded)
	var kinds []string
	var last responses.Response
	text := ""
	for i := int64(0); stream.Next(); i++ {
		e := stream.Current()
		if e.SequenceNumber != i {
			t.Errorf("event %d has number %d", i, e.SequenceNumber)
		}
		if e.Type == "response.output_text.delta" {
			text += e.Delta
		}
		kinds, last = append(kinds, strings.TrimPrefix(e.Type, "response.")), e.Response
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	const want = "created in_progress output_item.added content_part.added output_text.delta output_text.delta " +
		"output_text.done content_part.done output_item.done incomplete"
	if got := strings.Join(kinds, " "); got != want || text != "one two " {
		t.Errorf("events %s, text %q", got, text)
	}
	if last.OutputText() != text || last.IncompleteDetails.Reason != "max_output_tokens" || last.Usage.OutputTokens != 2 {
		t.Errorf("last event %s", last.RawJSON())
	}
	if counted, err := client.Responses.InputTokens.Count(t.Context(), responses.InputTokenCountParams{
		Input: responses.InputTokenCountParamsInputUnion{OfString: openaigo.String("one two")},
	}); err != nil || counted.InputTokens != 2 {
		t.Errorf("count %+v, %v", counted, err)
	}
}

func TestModelServerAnswersMessages(t *testing.T) {
	base := startProxy(t, Options{Upstream: startModel(t, echo{}), Compressor: realCompressor(t)})
	const said = `"model":"any","system":[{"type":"text","text":"Be brief."}],"messages":[{"role":"user","content":[` +
		`{"type":"tool_result","tool_use_id":"c","content":[{"type":"text","text":"one "}]},{"type":"document","source":{"type":"text","data":"two "}},` +
		`{"type":"image","source":{"type":"base64","data":"AAAA"}},{"type":"text","text":"three"}]}]`
	type message struct {
		Type, Role, Model string
		Content           []struct{ Type, Text string }
		StopReason        *string `json:"stop_reason"`
		Usage             struct {
			Input  int `json:"input_tokens"`
			Output int `json:"output_tokens"`
		}
	}
	resp, body := postTo(t, base+"/v1/messages", []byte(`{"max_tokens":100,`+said+`}`))
	var whole message
	if err := json.Unmarshal(body, &whole); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v: %d %s", err, resp.StatusCode, body)
	}
	if whole.Type != "message" || whole.Role != "assistant" || whole.Model != "tiny" || whole.Content[0].Text != "one two three " ||
		*whole.StopReason != "end_turn" || whole.Usage.Input != 3 || whole.Usage.Output != 3 {
		t.Errorf("answer %s", body)
	}

	_, body = postTo(t, base+"/v1/messages", []byte(`{"max_tokens":2,"stream":true,`+said+`}`))
	var kinds []string
	text := ""
	for block := range strings.SplitSeq(strings.TrimSuffix(string(body), "\n\n"), "\n\n") {
		name, data, _ := strings.Cut(block, "\n")
		var e struct {
			Type    string
			Message message
			Delta   struct {
				Text       string
				StopReason string `json:"stop_reason"`
			}
			Usage struct {
				Output int `json:"output_tokens"`
			}
		}
		if err := json.Unmarshal([]byte(strings.TrimPrefix(data, "data: ")), &e); err != nil || name != "event: "+e.Type {
			t.Fatalf("%v: event %q", err, block)
		}
		kinds = append(kinds, e.Type)
		text += e.Delta.Text
		switch e.Type {
		case "message_start":
			if e.Message.StopReason != nil || e.Message.Usage.Input != 5 { // what Count says
				t.Errorf("begins with %s", data)
			}
		case "message_delta":
			if e.Delta.StopReason != "max_tokens" || e.Usage.Output != 2 {
				t.Errorf("ends with %s", data)
			}
		}
	}
	const want = "message_start content_block_start content_block_delta content_block_delta content_block_stop message_delta message_stop"
	if got := strings.Join(kinds, " "); got != want || text != "one two " {
		t.Errorf("events %s, text %q", got, text)
	}

	if _, body := postTo(t, base+"/v1/messages/count_tokens", []byte(`{`+said+`}`)); strings.TrimSpace(string(body)) != `{"input_tokens":5}` {
		t.Errorf("count %s", body)
	}
	for name, c := range map[string]struct {
		path, body string
		status     int
		says       string
	}{
		"no messages":     {"/v1/messages", `{}`, 400, "there must be at least one message (missing_required_parameter)"},
		"no tokens":       {"/v1/messages", `{"max_tokens":0,` + said + `}`, 400, "max_tokens is 0: it must be at least 1 (invalid_value)"},
		"too long":        {"/v1/messages", `{"messages":[{"role":"user","content":"too long"}]}`, 400, "8 tokens: " + ErrPromptTooLong.Error() + " (context_length_exceeded)"},
		"nothing counted": {"/v1/messages/count_tokens", `{`, 400, "(invalid_json)"},
	} {
		resp, body := postTo(t, base+c.path, []byte(c.body))
		var shape struct {
			Type  string
			Error struct{ Type, Message string }
		}
		if err := json.Unmarshal(body, &shape); err != nil || resp.StatusCode != c.status || shape.Type != "error" ||
			shape.Error.Type != "invalid_request_error" || !strings.HasSuffix(shape.Error.Message, c.says) {
			t.Errorf("%s: %d %s, %v", name, resp.StatusCode, body, err)
		}
	}
}

func TestModelServerListsTheModelForBothVendors(t *testing.T) {
	base := startModel(t, echo{})
	for header, want := range map[string]string{
		"":                  `{"data":[{"created":0,"id":"tiny","object":"model","owned_by":"pith"}],"object":"list"}`,
		"Anthropic-Version": `{"data":[{"created_at":"","display_name":"tiny","id":"tiny","type":"model"}],"first_id":"tiny","has_more":false,"last_id":"tiny"}`,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/v1/models", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			req.Header.Set(header, "2023-06-01")
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var list map[string]any
		if err := errors.Join(json.NewDecoder(resp.Body).Decode(&list), resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		model := list["data"].([]any)[0].(map[string]any)
		for name, zero := range map[string]any{"created": 0, "created_at": ""} {
			if _, ok := model[name]; ok {
				model[name] = zero
			}
		}
		if got := encode(t, list); got != want {
			t.Errorf("with %q: %s", header, got)
		}
	}
}
