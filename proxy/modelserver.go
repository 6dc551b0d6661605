package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// ChatMessage is one message of a conversation, its text parts joined.
type ChatMessage struct {
	Role, Content string
}

// GenerateRequest is a conversation to be continued.
type GenerateRequest struct {
	Messages []ChatMessage
	// MaxTokens bounds the answer; 0 leaves it to the model.
	MaxTokens int
	// Stop ends the answer before the first of these texts.
	Stop []string
}

// Generation is what an answer took.
type Generation struct {
	PromptTokens, CompletionTokens int
	// FinishReason is "stop" or "length".
	FinishReason string
}

// Generator continues conversations. It passes the answer to emit as it grows, in whole characters, and stops when emit
// fails or ctx ends. A prompt that leaves no room for an answer is ErrPromptTooLong.
type Generator interface {
	Generate(ctx context.Context, request GenerateRequest, emit func(text string) error) (Generation, error)
}

// ErrPromptTooLong is returned, perhaps wrapped, by a Generator whose context the prompt exceeds.
var ErrPromptTooLong = errors.New("the prompt is longer than the model's context")

// ModelServerOptions configures a ModelServer. The zero value works.
type ModelServerOptions struct {
	// Model is the name under which the model is listed and answers, whatever a request calls it; "local" if empty.
	Model string
	// MaxBody is the largest body of a request, in bytes; 64 MiB if 0.
	MaxBody int
	// Concurrency bounds the answers generated at the same time; others wait. The number of CPUs if 0.
	Concurrency int
	// Logger takes one line a request, without prompts; nil discards it.
	Logger *slog.Logger
}

// Validate names the first field that makes no sense.
func (o ModelServerOptions) Validate() error {
	switch {
	case o.MaxBody < 0:
		return fmt.Errorf("proxy.ModelServerOptions.MaxBody is %d: it must not be negative", o.MaxBody)
	case o.Concurrency < 0:
		return fmt.Errorf("proxy.ModelServerOptions.Concurrency is %d: it must not be negative", o.Concurrency)
	}
	return nil
}

// ModelServer serves a local model under /v1/chat/completions (JSON and SSE) and /v1/models, as an upstream for a Server
// or for any client of the API. Sampling parameters and tools are ignored.
type ModelServer struct {
	generator Generator
	options   ModelServerOptions
	slots     chan struct{}
	http      *fasthttp.Server
	base      context.Context //nolint:containedctx // the life of the server, under which requests run
	end       context.CancelFunc
	started   time.Time
}

// NewModelServer returns a server of generator.
func NewModelServer(generator Generator, o ModelServerOptions) (*ModelServer, error) {
	if generator == nil {
		return nil, errors.New("proxy.NewModelServer: the generator is nil")
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Model == "" {
		o.Model = "local"
	}
	fill(&o.MaxBody, 64<<20)
	fill(&o.Concurrency, runtime.GOMAXPROCS(0))
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &ModelServer{generator: generator, options: o, slots: make(chan struct{}, o.Concurrency), started: time.Now()}
	s.base, s.end = context.WithCancel(context.Background())
	s.http = newHTTPServer(s.handle)
	return s, nil
}

// Serve answers the connections of l until Shutdown or an error of l.
func (s *ModelServer) Serve(l net.Listener) error { return s.http.Serve(watchedListener{l}) }

// Shutdown stops accepting, waits for answers under way until ctx ends, and then breaks them off.
func (s *ModelServer) Shutdown(ctx context.Context) error {
	err := s.http.ShutdownWithContext(ctx)
	s.end()
	return err
}

func (s *ModelServer) handle(ctx *fasthttp.RequestCtx) {
	path, method := string(ctx.Path()), string(ctx.Method())
	id, single := strings.CutPrefix(path, "/v1/models/")
	want := fasthttp.MethodGet
	switch {
	case path == chatPath:
		want = fasthttp.MethodPost
	case path == "/v1/models", single && id == s.options.Model:
	case single:
		invalidRequest(fasthttp.StatusNotFound, "model_not_found", "model", fmt.Sprintf("the only model is %q", s.options.Model)).write(&ctx.Response)
		return
	default:
		invalidRequest(fasthttp.StatusNotFound, "unknown_url", "", "only /v1/chat/completions and /v1/models are served").write(&ctx.Response)
		return
	}
	if method != want {
		invalidRequest(fasthttp.StatusMethodNotAllowed, "method_not_allowed", "", fmt.Sprintf("use %s", want)).write(&ctx.Response)
		ctx.Response.Header.Set("Allow", want)
		return
	}
	switch {
	case path == chatPath:
		s.complete(ctx)
	case single:
		s.answer(ctx, s.model())
	default:
		s.answer(ctx, map[string]any{"object": "list", "data": []any{s.model()}})
	}
}

func (s *ModelServer) model() map[string]any {
	return map[string]any{"id": s.options.Model, "object": "model", "created": s.started.Unix(), "owned_by": "pith"}
}

// answer writes v as JSON.
func (s *ModelServer) answer(ctx *fasthttp.RequestCtx, v any) {
	ctx.Response.Header.SetContentType("application/json")
	ctx.Response.SetBodyRaw(append(marshal(v), '\n'))
}

// marshal encodes what cannot fail to encode: strings, numbers and maps of them.
func marshal(v any) []byte {
	encoded, err := json.Marshal(v)
	if err != nil {
		panic("proxy: " + err.Error())
	}
	return encoded
}

// completion is one chat completion under way.
type completion struct {
	server  *ModelServer
	id      string
	started time.Time
	request completionRequest
	events  chan event
	finish  context.CancelFunc
}

// event is a piece of the answer, or its end.
type event struct {
	text string
	end  bool
	took Generation
	err  error
}

// complete answers a chat completion.
func (s *ModelServer) complete(ctx *fasthttp.RequestCtx) {
	c := &completion{server: s, id: "chatcmpl-" + newID(), started: time.Now(), events: make(chan event)}
	request, refused := s.read(ctx)
	if refused != nil {
		refused.write(&ctx.Response)
		c.log(refused.status, Generation{}, refused.code)
		return
	}
	c.request = request
	life, finish := context.WithCancel(s.base)
	c.finish = finish
	if conn, ok := ctx.Conn().(*watchedConn); ok {
		conn.watch(finish)
	}
	go c.generate(life)
	// The status depends on whether there is a first piece.
	first := <-c.events
	switch {
	case first.err != nil:
		finish()
		e := apiError{status: fasthttp.StatusInternalServerError, kind: "server_error", code: "generation_failed", message: "the model failed to answer"}
		if errors.Is(first.err, ErrPromptTooLong) {
			e = invalidRequest(fasthttp.StatusBadRequest, "context_length_exceeded", "messages", first.err.Error())
		}
		e.write(&ctx.Response)
		c.log(e.status, Generation{}, e.code)
	case request.Stream:
		ctx.Response.Header.SetContentType("text/event-stream")
		ctx.Response.Header.Set("Cache-Control", "no-cache")
		ctx.Response.ImmediateHeaderFlush = true
		ctx.Response.SetBodyStream(&eventStream{completion: c, first: first}, -1)
	default:
		c.respond(ctx, first)
	}
}

// generate runs the model and passes on what it says. The last event has end set; all must be received.
func (c *completion) generate(life context.Context) {
	defer close(c.events)
	send := func(e event) error {
		select {
		case c.events <- e:
			return nil
		case <-life.Done():
			return life.Err()
		}
	}
	select {
	case c.server.slots <- struct{}{}:
		defer func() { <-c.server.slots }()
	case <-life.Done():
		c.events <- event{end: true, err: life.Err()}
		return
	}
	last := event{end: true, err: errPanic}
	func() {
		defer func() { _ = recover() }() // the value may quote the prompt: last says that there was one
		last.took, last.err = c.server.generator.Generate(life, GenerateRequest{
			Messages: c.request.messages, MaxTokens: c.request.limit(), Stop: c.request.Stop,
		}, func(text string) error { return send(event{text: text}) })
	}()
	c.events <- last
}

// respond writes the whole answer as one JSON object.
func (c *completion) respond(ctx *fasthttp.RequestCtx, e event) {
	defer c.finish()
	var text strings.Builder
	for ; !e.end; e = <-c.events {
		text.WriteString(e.text)
	}
	if e.err != nil {
		failed := apiError{status: fasthttp.StatusInternalServerError, kind: "server_error", code: "generation_failed", message: "the model failed to answer"}
		failed.write(&ctx.Response)
		c.log(failed.status, e.took, failed.code)
		return
	}
	c.server.answer(ctx, map[string]any{
		"id": c.id, "object": "chat.completion", "created": c.started.Unix(), "model": c.server.options.Model,
		"choices": []any{map[string]any{
			"index": 0, "message": map[string]any{"role": "assistant", "content": text.String()}, "logprobs": nil, "finish_reason": e.took.FinishReason,
		}},
		"usage": usage(e.took),
	})
	c.log(fasthttp.StatusOK, e.took, "")
}

func usage(took Generation) map[string]any {
	return map[string]any{
		"prompt_tokens": took.PromptTokens, "completion_tokens": took.CompletionTokens,
		"total_tokens": took.PromptTokens + took.CompletionTokens,
	}
}

// eventStream writes an answer as server-sent events while it is generated.
type eventStream struct {
	*completion
	first event
	took  Generation
	err   error
	once  sync.Once
}

var errNoRead = errors.New("an event stream is written, not read")

// Read is never called: the stream writes itself.
func (s *eventStream) Read([]byte) (int, error) { return 0, errNoRead }

// SupportsBodyWriteTo has fasthttp call WriteTo.
func (s *eventStream) SupportsBodyWriteTo() bool { return true }

// WriteTo writes the events; each is flushed when it is written. If the model fails, the stream breaks off without its
// last event.
func (s *eventStream) WriteTo(w io.Writer) (int64, error) {
	var total int64
	write := func(data []byte) {
		if s.err != nil {
			return
		}
		line := append(append([]byte("data: "), data...), "\n\n"...)
		var n int
		n, s.err = w.Write(line)
		total += int64(n)
	}
	chunk := func(delta map[string]any, reason any) {
		write(marshal(s.chunk([]any{map[string]any{"index": 0, "delta": delta, "logprobs": nil, "finish_reason": reason}}, nil)))
	}
	chunk(map[string]any{"role": "assistant", "content": ""}, nil)
	e := s.first
	for ; !e.end && s.err == nil; e = <-s.events {
		chunk(map[string]any{"content": e.text}, nil)
	}
	if s.err == nil {
		s.took, s.err = e.took, e.err
	}
	if s.err != nil {
		return total, s.err
	}
	chunk(map[string]any{}, s.took.FinishReason)
	if s.request.Options.IncludeUsage {
		write(marshal(s.chunk([]any{}, usage(s.took))))
	}
	write([]byte("[DONE]"))
	return total, s.err
}

// chunk is the envelope of one event.
func (s *eventStream) chunk(choices []any, usage any) map[string]any {
	c := map[string]any{
		"id": s.id, "object": "chat.completion.chunk", "created": s.started.Unix(), "model": s.server.options.Model, "choices": choices,
	}
	if s.request.Options.IncludeUsage {
		c["usage"] = usage
	}
	return c
}

// Close ends the generation and waits for it.
func (s *eventStream) Close() error {
	s.once.Do(func() {
		s.finish()
		for range s.events { // until the model has stopped
		}
		problem := ""
		if s.err != nil {
			problem = "stream_broken"
		}
		s.log(fasthttp.StatusOK, s.took, problem)
	})
	return nil
}

// log writes the request's line.
func (c *completion) log(status int, took Generation, problem string) {
	c.server.options.Logger.Info("generated",
		"id", c.id, "status", status, "error", problem, "stream", c.request.Stream,
		"prompt_tokens", took.PromptTokens, "completion_tokens", took.CompletionTokens, "duration", time.Since(c.started))
}
