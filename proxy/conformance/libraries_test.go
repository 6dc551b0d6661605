package conformance

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	openaigo "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"github.com/sashabaranov/go-openai"

	"github.com/pith-llm/pith/proxy"
)

func TestLibraries(t *testing.T) {
	call := toolCall{name: "search", arguments: `{"q":"treasure"}`}
	for _, library := range []struct {
		name, module string
		run          func(t *testing.T, base string) (said string, events int)
	}{
		{"go-openai", "github.com/sashabaranov/go-openai", goOpenAI},
		{"openai-go, chat", "github.com/openai/openai-go/v3", openAIGoChat},
		{"openai-go, responses", "github.com/openai/openai-go/v3", openAIGoResponses},
	} {
		for _, mode := range []proxy.Mode{proxy.ModeOn, proxy.ModeOff} {
			t.Run(library.name+", "+mode.String(), func(t *testing.T) {
				b := newBench(t, call, mode)
				said, events := library.run(t, b.before.URL+"/v1")
				if said != answer {
					t.Errorf("the client shows %q", said)
				}
				if events < 3 {
					t.Errorf("%d events came", events)
				}
				b.check(t, library.name, moduleVersion(t, library.module))
			})
		}
	}
}

// moduleVersion is the version of a module that go.mod asks for.
func moduleVersion(t *testing.T, path string) string {
	t.Helper()
	file, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(file)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == path {
			return fields[1]
		}
	}
	t.Fatalf("go.mod does not name %s", path)
	return ""
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
	for range 2 {
		first, err := client.CreateChatCompletion(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		said := first.Choices[0].Message
		if len(said.ToolCalls) != 1 {
			t.Fatalf("%d tool calls", len(said.ToolCalls))
		}
		request.Messages = append(request.Messages, said, openai.ChatCompletionMessage{Role: "tool", ToolCallID: said.ToolCalls[0].ID, Content: notes()})
	}
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
	for range 2 {
		first, err := client.Chat.Completions.New(t.Context(), params)
		if err != nil {
			t.Fatal(err)
		}
		said := first.Choices[0].Message
		params.Messages = append(params.Messages, said.ToParam(), openaigo.ToolMessage(notes(), said.ToolCalls[0].ID))
	}
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
	for range 2 {
		first, err := client.Responses.New(t.Context(), params)
		if err != nil {
			t.Fatal(err)
		}
		called := first.Output[0].AsFunctionCall()
		output := responses.ResponseInputItemParamOfFunctionCallOutput(notes())
		output.OfFunctionCallOutput.CallID = openaigo.String(called.CallID)
		input = append(input, responses.ResponseInputItemParamOfFunctionCall(called.Arguments, called.CallID, called.Name), output)
		params.Input = responses.ResponseNewParamsInputUnion{OfInputItemList: input}
	}
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
