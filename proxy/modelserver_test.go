package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/sashabaranov/go-openai"
)

// echo answers with the words of the last message, one at a time, up to the request's bounds.
type echo struct{ step chan struct{} }

func (e echo) Generate(ctx context.Context, r GenerateRequest, emit func(string) error) (Generation, error) {
	last := r.Prompt
	if len(r.Messages) > 0 {
		last = r.Messages[len(r.Messages)-1].Content
	}
	took := Generation{PromptTokens: len(strings.Fields(last)), FinishReason: "stop"}
	switch {
	case strings.HasPrefix(last, "too long"):
		return took, fmt.Errorf("%d tokens: %w", len(last), ErrPromptTooLong)
	case strings.HasPrefix(last, "fail"):
		return took, errors.New("secret reason")
	case strings.HasPrefix(last, "panic"):
		panic("secret reason")
	}
	for word := range strings.FieldsSeq(last) {
		if e.step != nil {
			select {
			case <-e.step:
			case <-ctx.Done():
				return took, ctx.Err()
			}
		}
		if len(r.Stop) > 0 && word == r.Stop[0] {
			return took, nil
		}
		if word == "break" {
			return took, errors.New("secret reason")
		}
		if took.CompletionTokens == r.MaxTokens && r.MaxTokens > 0 {
			took.FinishReason = "length"
			return took, nil
		}
		took.CompletionTokens++
		if err := emit(word + " "); err != nil {
			return took, err
		}
	}
	return took, nil
}

// Count counts the words of all that is said.
func (echo) Count(r GenerateRequest) (int, error) {
	words := len(strings.Fields(r.Prompt))
	for _, m := range r.Messages {
		words += len(strings.Fields(m.Content))
	}
	return words, nil
}

func startModel(t *testing.T, g Generator) string {
	t.Helper()
	s, err := NewModelServer(g, ModelServerOptions{Model: "tiny", MaxBody: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return "http://" + l.Addr().String()
}

func clientOf(base string) *openai.Client {
	config := openai.DefaultConfig("key")
	config.BaseURL = base + "/v1"
	return openai.NewClientWithConfig(config)
}

func TestModelServerAnswersThroughTheProxy(t *testing.T) {
	client := clientOf(startProxy(t, Options{Upstream: startModel(t, echo{}), Compressor: realCompressor(t)}))
	answer, err := client.CreateChatCompletion(t.Context(), openai.ChatCompletionRequest{
		Model: "any", MaxCompletionTokens: 3,
		Messages: []openai.ChatCompletionMessage{{Role: "user", MultiContent: []openai.ChatMessagePart{
			{Type: "text", Text: "one two "}, {Type: "text", Text: "three four"},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	choice := answer.Choices[0]
	if choice.Message.Content != "one two three " || choice.FinishReason != "length" || answer.Model != "tiny" {
		t.Errorf("answer %+v", answer)
	}
	if answer.Usage.PromptTokens != 4 || answer.Usage.CompletionTokens != 3 || answer.Usage.TotalTokens != 7 {
		t.Errorf("usage %+v", answer.Usage)
	}
	answer, err = client.CreateChatCompletion(t.Context(), openai.ChatCompletionRequest{
		Model: "any", Stop: []string{"three"}, Messages: []openai.ChatCompletionMessage{{Role: "user", Content: "one two three"}},
	})
	if err != nil || answer.Choices[0].Message.Content != "one two " || answer.Choices[0].FinishReason != "stop" {
		t.Errorf("answer %+v, %v", answer, err)
	}
	models, err := client.ListModels(t.Context())
	if err != nil || len(models.Models) != 1 || models.Models[0].ID != "tiny" {
		t.Errorf("models %+v, %v", models, err)
	}
	if model, err := client.GetModel(t.Context(), "tiny"); err != nil || model.ID != "tiny" {
		t.Errorf("model %+v, %v", model, err)
	}
	if _, err := client.GetModel(t.Context(), "huge"); err == nil {
		t.Error("a model that is not there was found")
	}
}

func TestModelServerStreamsEachPieceAtOnce(t *testing.T) {
	step := make(chan struct{})
	client := clientOf(startProxy(t, Options{Upstream: startModel(t, echo{step})}))
	words := []string{"one ", "two ", "three "}
	go func() { step <- struct{}{} }() // the head of the answer waits for the first word
	stream, err := client.CreateChatCompletionStream(t.Context(), openai.ChatCompletionRequest{
		Model: "m", StreamOptions: &openai.StreamOptions{IncludeUsage: true},
		Messages: []openai.ChatCompletionMessage{{Role: "user", Content: strings.Join(words, "")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	next := func() openai.ChatCompletionStreamResponse {
		t.Helper()
		part, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return part
	}
	if first := next(); first.Choices[0].Delta.Role != "assistant" {
		t.Errorf("first event %+v", first)
	}
	for i, word := range words {
		if i > 0 {
			step <- struct{}{}
		}
		if part := next(); part.Choices[0].Delta.Content != word {
			t.Fatalf("event %+v, want %q", part, word)
		}
	}
	if part := next(); part.Choices[0].FinishReason != "stop" {
		t.Errorf("event %+v", part)
	}
	if part := next(); len(part.Choices) != 0 || part.Usage == nil || part.Usage.CompletionTokens != 3 {
		t.Errorf("usage event %+v", part)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestModelServerStopsForAClientThatLeaves(t *testing.T) {
	stopped := make(chan error, 1)
	base := startModel(t, generatorFunc(func(ctx context.Context, _ GenerateRequest, emit func(string) error) (Generation, error) {
		err := emit("word")
		if err == nil {
			<-ctx.Done()
			err = ctx.Err()
		}
		stopped <- err
		return Generation{}, err
	}))
	ctx, leave := context.WithCancel(t.Context())
	stream, err := clientOf(base).CreateChatCompletionStream(ctx, openai.ChatCompletionRequest{
		Messages: []openai.ChatCompletionMessage{{Role: "user", Content: "x"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	leave()
	_ = stream.Close()
	if err := <-stopped; !errors.Is(err, context.Canceled) {
		t.Errorf("the model stopped for %v", err)
	}
}

// generatorFunc lets a function be a Generator.
type generatorFunc func(context.Context, GenerateRequest, func(string) error) (Generation, error)

func (f generatorFunc) Generate(ctx context.Context, r GenerateRequest, emit func(string) error) (Generation, error) {
	return f(ctx, r, emit)
}

func (f generatorFunc) Count(GenerateRequest) (int, error) { return 0, nil }

func TestModelServerRefusesInTheShapeOfTheAPI(t *testing.T) {
	base := startModel(t, echo{})
	says := func(content string) string { return `{"messages":[{"role":"user","content":` + content + `}]}` }
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		code, param              string
	}{
		{"no JSON", "POST", chatPath, `{"messages":`, 400, "invalid_json", ""},
		{"deep JSON", "POST", chatPath, strings.Repeat("[", 1<<19), 400, "invalid_json", ""},
		{"an array", "POST", chatPath, `[]`, 400, "invalid_type", ""},
		{"no messages", "POST", chatPath, `{"model":"x"}`, 400, "missing_required_parameter", "messages"},
		{"no role", "POST", chatPath, `{"messages":[{"content":"x"}]}`, 400, "missing_required_parameter", "messages[0].role"},
		{"a wrong type", "POST", chatPath, `{"messages":[{"role":"user","content":"a"}],"max_tokens":"many"}`, 400, "invalid_type", "max_tokens"},
		{"a fraction of a token", "POST", chatPath, `{"messages":[{"role":"user","content":"a"}],"max_tokens":1.5}`, 400, "invalid_type", "max_tokens"},
		{"content of a wrong type", "POST", chatPath, says(`7`), 400, "invalid_type", "messages.content"},
		{"no tokens", "POST", chatPath, `{"messages":[{"role":"user"}],"max_tokens":0}`, 400, "invalid_value", "max_tokens"},
		{"no tokens by the newer name", "POST", chatPath, `{"messages":[{"role":"user"}],"max_completion_tokens":-1}`, 400, "invalid_value", "max_completion_tokens"},
		{"two answers", "POST", chatPath, `{"messages":[{"role":"user"}],"n":2}`, 400, "unsupported_value", "n"},
		{"many stops", "POST", chatPath, `{"messages":[{"role":"user"}],"stop":["a","b","c","d","e"]}`, 400, "invalid_value", "stop"},
		{"a prompt too long", "POST", chatPath, says(`"too long"`), 400, "context_length_exceeded", "messages"},
		{"a prompt too long, streamed", "POST", chatPath, `{"stream":true,"messages":[{"role":"user","content":"too long"}]}`, 400, "context_length_exceeded", "messages"},
		{"a body too large", "POST", chatPath, says(`"` + strings.Repeat("x", 1<<20) + `"`), 413, "request_too_large", ""},
		{"a model that fails", "POST", chatPath, says(`"fail"`), 500, "generation_failed", ""},
		{"a model that panics", "POST", chatPath, says(`"panic"`), 500, "generation_failed", ""},
		{"a model that fails later", "POST", chatPath, says(`"one break"`), 500, "generation_failed", ""},
		{"another method", "GET", chatPath, ``, 405, "method_not_allowed", ""},
		{"another path", "POST", "/v1/embeddings", `{}`, 404, "unknown_url", ""},
		{"no input", "POST", "/v1/responses", `{}`, 400, "missing_required_parameter", "input"},
		{"a response to go on from", "POST", "/v1/responses", `{"input":"a","previous_response_id":"resp_1"}`, 400, "previous_response_not_found", "previous_response_id"},
		{"a conversation to go on with", "POST", "/v1/responses", `{"input":"a","conversation":{"id":"c"}}`, 400, "unsupported_parameter", "conversation"},
		{"an answer for later", "POST", "/v1/responses", `{"input":"a","background":true}`, 400, "unsupported_value", "background"},
		{"no tokens of a response", "POST", "/v1/responses", `{"input":"a","max_output_tokens":0}`, 400, "invalid_value", "max_output_tokens"},
		{"an item without a role", "POST", "/v1/responses", `{"input":[{"content":"a"}]}`, 400, "missing_required_parameter", "input[0].role"},
		{"a response too long", "POST", "/v1/responses", `{"input":"too long"}`, 400, "context_length_exceeded", "messages"},
		{"nothing to count", "POST", "/v1/responses/input_tokens", `{"input":[]}`, 400, "missing_required_parameter", "input"},
		{"no prompt", "POST", "/v1/completions", `{"prompt":""}`, 400, "missing_required_parameter", "prompt"},
		{"two prompts", "POST", "/v1/completions", `{"prompt":["a","b"]}`, 400, "unsupported_value", "prompt"},
		{"a prompt of tokens", "POST", "/v1/completions", `{"prompt":[1,2]}`, 400, "invalid_type", "prompt"},
		{"a prompt to be repeated", "POST", "/v1/completions", `{"prompt":"a","echo":true}`, 400, "unsupported_value", "echo"},
		{"a suffix", "POST", "/v1/completions", `{"prompt":"a","suffix":"b"}`, 400, "unsupported_value", "suffix"},
		{"the best of two", "POST", "/v1/completions", `{"prompt":"a","best_of":2}`, 400, "unsupported_value", "best_of"},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp := do(t, c.method, base+c.path, strings.NewReader(c.body))
			answer, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			var shaped struct {
				Error struct{ Message, Type, Param, Code string }
			}
			if err := json.Unmarshal(answer, &shaped); err != nil {
				t.Fatalf("%v in %q", err, answer)
			}
			if e := shaped.Error; resp.StatusCode != c.status || e.Code != c.code || e.Param != c.param || e.Message == "" || e.Type == "" {
				t.Errorf("%d %s", resp.StatusCode, answer)
			}
			if strings.Contains(string(answer), "secret") {
				t.Errorf("the answer tells too much: %s", answer)
			}
		})
	}
	t.Run("a stream that fails breaks off", func(t *testing.T) {
		resp := do(t, http.MethodPost, base+chatPath, strings.NewReader(`{"stream":true,"messages":[{"role":"user","content":"one two break three"}]}`))
		answer, err := io.ReadAll(resp.Body)
		if err == nil || strings.Contains(string(answer), "[DONE]") || !strings.Contains(string(answer), "two") {
			t.Errorf("%q, %v", answer, err)
		}
	})
}
