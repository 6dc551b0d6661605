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

// GenerateRequest is a conversation to be answered, or a text to be continued.
type GenerateRequest struct {
	Messages []ChatMessage
	// Prompt is continued as it is, if there are no Messages.
	Prompt string
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

const (
	finishStop   = "stop"
	finishLength = "length"
)

// Generator continues conversations and texts.
type Generator interface {
	// Generate passes the answer to emit as it grows, in whole characters, and stops when emit fails or ctx ends. A prompt that
	// leaves no room for an answer is ErrPromptTooLong.
	Generate(ctx context.Context, request GenerateRequest, emit func(text string) error) (Generation, error)
	// Count returns the tokens of a request's prompt.
	Count(request GenerateRequest) (int, error)
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

// ModelServer serves a local model as an upstream for a Server or for any client: OpenAI's Chat Completions, Completions and
// Responses, Anthropic's Messages, each as JSON and as events, the counts of tokens of the latter two, and the list of models.
// Sampling parameters and tools are ignored, and nothing is kept between requests.
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

// modelPaths are the paths under which the model answers, and countPaths those under which it only counts.
var (
	modelPaths = map[string]dialect{
		chatPath: dialectChat, "/v1/completions": dialectCompletions, "/v1/responses": dialectResponses, "/v1/messages": dialectMessages,
	}
	countPaths = map[string]dialect{"/v1/responses/input_tokens": dialectResponses, "/v1/messages/count_tokens": dialectMessages}
)

const modelsPath = "/v1/models"

func (s *ModelServer) handle(ctx *fasthttp.RequestCtx) {
	path := string(ctx.Path())
	speaks, answers := modelPaths[path]
	counted, counts := countPaths[path]
	id, single := strings.CutPrefix(path, modelsPath+"/")
	anthropic := speaks == dialectMessages || counted == dialectMessages || headerValue(&ctx.Request.Header, "Anthropic-Version") != nil
	fail := func(e apiError) { e.writeAs(&ctx.Response, anthropic, "") }
	want := fasthttp.MethodPost
	switch {
	case answers, counts:
	case path == modelsPath, single && id == s.options.Model:
		want = fasthttp.MethodGet
	case single:
		fail(invalidRequest(fasthttp.StatusNotFound, "model_not_found", "model", fmt.Sprintf("the only model is %q", s.options.Model)))
		return
	default:
		fail(invalidRequest(fasthttp.StatusNotFound, "unknown_url", "", "only chat/completions, completions, responses, messages and models are served, under /v1"))
		return
	}
	if string(ctx.Method()) != want {
		fail(invalidRequest(fasthttp.StatusMethodNotAllowed, "method_not_allowed", "", "use "+want))
		ctx.Response.Header.Set("Allow", want)
		return
	}
	switch {
	case answers:
		s.complete(ctx, speaks)
	case counts:
		s.count(ctx, counted)
	case single:
		s.answer(ctx, s.model(anthropic))
	case anthropic:
		s.answer(ctx, map[string]any{"data": []any{s.model(true)}, "has_more": false, "first_id": s.options.Model, "last_id": s.options.Model})
	default:
		s.answer(ctx, map[string]any{"object": "list", "data": []any{s.model(false)}})
	}
}

// model describes the model to OpenAI's or Anthropic's clients.
func (s *ModelServer) model(anthropic bool) map[string]any {
	if anthropic {
		return map[string]any{"type": "model", "id": s.options.Model, "display_name": s.options.Model, "created_at": s.started.UTC().Format(time.RFC3339)}
	}
	return map[string]any{"id": s.options.Model, "object": "model", "created": s.started.Unix(), "owned_by": "pith"}
}

// count answers how many tokens a request's prompt has.
func (s *ModelServer) count(ctx *fasthttp.RequestCtx, d dialect) {
	request, refused := s.read(ctx, d)
	tokens := 0
	if refused == nil {
		var err error
		if tokens, err = s.generator.Count(request.GenerateRequest); err != nil {
			failed := generationFailed()
			refused = &failed
		}
	}
	switch {
	case refused != nil:
		refused.writeAs(&ctx.Response, d == dialectMessages, "")
	case d == dialectMessages:
		s.answer(ctx, map[string]any{"input_tokens": tokens})
	default:
		s.answer(ctx, map[string]any{"object": "response.input_tokens", "input_tokens": tokens})
	}
}

func generationFailed() apiError {
	return apiError{status: fasthttp.StatusInternalServerError, kind: "server_error", code: "generation_failed", message: "the model failed to answer"}
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

// completion is one answer under way.
type completion struct {
	answered
	spelling

	server  *ModelServer
	dialect dialect
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

// complete answers a request of dialect d.
func (s *ModelServer) complete(ctx *fasthttp.RequestCtx, d dialect) {
	c := &completion{server: s, dialect: d, events: make(chan event)}
	var kind string
	c.spelling, kind = spellingOf(d)
	c.answered = answered{id: kind + newID(), model: s.options.Model, started: time.Now()}
	request, refused := s.read(ctx, d)
	if refused != nil {
		c.fail(ctx, *refused)
		return
	}
	c.request = request
	if d == dialectMessages && request.stream { // its first event says how long the prompt is
		var err error
		if c.prompt, err = s.generator.Count(request.GenerateRequest); err != nil {
			c.fail(ctx, generationFailed())
			return
		}
	}
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
		e := generationFailed()
		if errors.Is(first.err, ErrPromptTooLong) {
			e = invalidRequest(fasthttp.StatusBadRequest, "context_length_exceeded", "messages", first.err.Error())
		}
		c.fail(ctx, e)
	case request.stream:
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
		last.took, last.err = c.server.generator.Generate(life, c.request.GenerateRequest, func(text string) error { return send(event{text: text}) })
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
		c.fail(ctx, generationFailed())
		return
	}
	c.server.answer(ctx, c.whole(&c.answered, text.String(), e.took))
	c.log(fasthttp.StatusOK, e.took, "")
}

// fail answers with an error in the shape of the dialect.
func (c *completion) fail(ctx *fasthttp.RequestCtx, e apiError) {
	e.writeAs(&ctx.Response, c.dialect == dialectMessages, "")
	c.log(e.status, Generation{}, e.code)
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
	write := func(events []serverEvent) {
		for _, e := range events {
			if s.err != nil {
				return
			}
			var n int
			n, s.err = w.Write(e.bytes())
			total += int64(n)
		}
	}
	write(s.begin(&s.answered))
	e := s.first
	var text strings.Builder
	for ; !e.end && s.err == nil; e = <-s.events {
		text.WriteString(e.text)
		write(s.piece(&s.answered, e.text))
	}
	if s.err == nil {
		s.took, s.err = e.took, e.err
	}
	if s.err == nil {
		write(s.end(&s.answered, text.String(), s.took))
	}
	return total, s.err
}

// bytes is the event as it is sent.
func (e serverEvent) bytes() []byte {
	var line []byte
	if e.name != "" {
		line = append(append(append(line, "event: "...), e.name...), '\n')
	}
	line = append(line, "data: "...)
	if text, ok := e.data.(string); ok {
		line = append(line, text...)
	} else {
		line = append(line, marshal(e.data)...)
	}
	return append(line, "\n\n"...)
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
		"id", c.id, "status", status, "error", problem, "dialect", c.dialect.String(), "stream", c.request.stream,
		"prompt_tokens", took.PromptTokens, "completion_tokens", took.CompletionTokens, "duration", time.Since(c.started))
}
