package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"

	"github.com/sashabaranov/go-openai"

	"github.com/pith-llm/pith/scoring"
)

// HTTPReader returns a reader that is a model of an OpenAI-compatible API, at its base URL with or without /v1. It is asked
// without sampling. What it generates is scored; the APIs do not tell the log-probability of a given answer, so there is
// none.
func HTTPReader(url, key, model string) Reader {
	config := openai.DefaultConfig(key)
	config.BaseURL = strings.TrimSuffix(strings.TrimSuffix(url, "/"), "/v1") + "/v1"
	return httpReader{openai.NewClientWithConfig(config), model}
}

type httpReader struct {
	client *openai.Client
	model  string
}

func (r httpReader) forCase(c Case) caseReader { return httpCase{r, c} }

type httpCase struct {
	httpReader
	c Case
}

// read returns the score of what the model generates.
func (r httpCase) read(ctx context.Context, prompt string) (answer, error) {
	metric, tokens := metricOf(r.c)
	if metric == nil {
		return answer{logProb: math.NaN()}, nil
	}
	generate := r.chat
	if isCompletion(r.c) {
		generate = r.complete
	}
	output, err := generate(ctx, prompt, tokens)
	if err != nil {
		return answer{}, tooLong(err)
	}
	a := withScores(r.c, metric, output)
	a.logProb = math.NaN()
	return a, nil
}

// unsampled is the temperature of the likeliest token: the client leaves a 0 out of the request, and APIs take 1 then.
const unsampled = math.SmallestNonzeroFloat32

func (r httpCase) chat(ctx context.Context, prompt string, tokens int) (string, error) {
	response, err := r.client.CreateChatCompletion(ctx, openai.ChatCompletionRequest{
		Model: r.model, MaxCompletionTokens: tokens, Stop: stopsOf(tokens), Temperature: unsampled,
		Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: prompt}},
	})
	if err != nil {
		return "", err
	}
	if len(response.Choices) == 0 {
		return "", errors.New("the reader's answer has no choices")
	}
	return response.Choices[0].Message.Content, nil
}

func (r httpCase) complete(ctx context.Context, prompt string, tokens int) (string, error) {
	response, err := r.client.CreateCompletion(ctx, openai.CompletionRequest{
		Model: r.model, MaxTokens: tokens, Stop: stopsOf(tokens), Temperature: unsampled, Prompt: prompt,
	})
	if err != nil {
		return "", err
	}
	if len(response.Choices) == 0 {
		return "", errors.New("the reader's answer has no choices")
	}
	return response.Choices[0].Text, nil
}

// tooLong turns what APIs answer to a prompt beyond their context into scoring.ErrContextLength.
func tooLong(err error) error {
	var api *openai.APIError
	if errors.As(err, &api) && api.HTTPStatusCode == http.StatusBadRequest &&
		(api.Code == "context_length_exceeded" || strings.Contains(api.Message, "context length")) {
		return fmt.Errorf("%w: %w", scoring.ErrContextLength, err)
	}
	return err
}
