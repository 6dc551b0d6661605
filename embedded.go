package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/pith-llm/pith/proxy"
	"github.com/pith-llm/pith/scoring"
)

const (
	// embeddedUpstream is the value of the setting upstream that stands for the model inside this binary.
	embeddedUpstream  = "embedded"
	embeddedModelName = "SmolLM2-135M-Instruct"
)

// modelServer is the decoder of an engine, answering on a free loopback port.
type modelServer struct {
	url  string
	stop func()
}

// startModelServer serves the engine's decoder, the one that scores, under the APIs of OpenAI and Anthropic.
func (e *engine) startModelServer(logger *slog.Logger) (*modelServer, error) {
	server, err := proxy.NewModelServer(generator{e.lm}, proxy.ModelServerOptions{Model: embeddedModelName, Logger: logger})
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("embedded upstream: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serveUntilDone(ctx, nil, server, listener) }()
	return &modelServer{
		url: "http://" + listener.Addr().String(),
		stop: func() {
			cancel()
			if err := <-done; err != nil {
				logger.Error("embedded upstream", "error", err)
			}
		},
	}, nil
}

// generator lets a language model answer for proxy's model server.
type generator struct {
	lm func() (*scoring.LM, error)
}

func (g generator) Generate(ctx context.Context, request proxy.GenerateRequest, emit func(text string) error) (proxy.Generation, error) {
	lm, prompt, err := g.prompt(request)
	if err != nil {
		return proxy.Generation{}, err
	}
	result, err := lm.Generate(ctx, scoring.GenerateOptions{Prompt: prompt, MaxTokens: request.MaxTokens, Stop: request.Stop}, emit)
	if errors.Is(err, scoring.ErrContextLength) {
		err = fmt.Errorf("%w: %w", proxy.ErrPromptTooLong, err)
	}
	return proxy.Generation{
		PromptTokens: len(prompt), CompletionTokens: result.Tokens, FinishReason: result.Reason.String(),
	}, err
}

func (g generator) Count(request proxy.GenerateRequest) (int, error) {
	_, prompt, err := g.prompt(request)
	return len(prompt), err
}

// prompt returns the tokens that the model reads of a request.
func (g generator) prompt(request proxy.GenerateRequest) (*scoring.LM, []int32, error) {
	lm, err := g.lm()
	if err != nil {
		return nil, nil, err
	}
	if len(request.Messages) == 0 {
		return lm, lm.Tokenizer().Encode(nil, request.Prompt), nil
	}
	messages := make([]scoring.Message, len(request.Messages))
	for i, m := range request.Messages {
		messages[i] = scoring.Message(m)
	}
	prompt, err := lm.ChatPrompt(messages)
	return lm, prompt, err
}
