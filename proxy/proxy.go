// Package proxy is the HTTP edge: it takes requests for the APIs of OpenAI and Anthropic, shortens the long texts of
// prompts, and relays everything else as it is.
//
// The steps of a prompt, in order: find its dialect by method and path; read the policy from the headers; read the body; find the turns, the query
// and the spans of each by their places in the raw JSON; have each turn compressed, or remember what became of it;
// splice what is kept into the body, from the client's own bytes; send it; relay the answer, flushing what each read
// brings; write one log line. An error on the way to the splice sends the original bytes: compression never fails a
// request.
package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"go.opentelemetry.io/otel/trace"

	"github.com/pith-llm/pith/cache"
	"github.com/pith-llm/pith/compressors"
)

// Options configures a Server. Only Upstream or Upstreams must be set.
type Options struct {
	// Upstream is the base URL of the API, http or https, such as https://api.openai.com; a path is kept, but for a
	// final /v1, which requests bring themselves. The upstream's host never comes from a request.
	Upstream string
	// Upstreams are several, chosen by path, dialect and model. Upstream, if set too, takes what none of them takes.
	Upstreams []Upstream
	// Proxy returns the URL of the http or socks5 proxy through which an upstream is reached, nil for none. It is asked
	// once for each; nil asks none.
	Proxy func(upstream *url.URL) (*url.URL, error)
	// TokenMargin is Upstream's, as in the type of that name.
	TokenMargin float64
	// Cache is Upstream's, as in the type of that name.
	Cache CacheClass
	// Compressor shortens texts; without one every request is forwarded as it is.
	Compressor Compressor
	// CountTokens counts tokens as the upstream's model does, for reports; nil counts only what the compressor counts.
	CountTokens func(string) int
	// Caches returns the statistics of the scorer's caches by name, for the metrics; nil has none.
	Caches func() map[string]cache.Stats
	// Mode is what happens unless a request says otherwise.
	Mode Mode
	// Budget is the budget of a turn unless a request says otherwise; the zero value is the compressor's default rate.
	Budget compressors.Budget
	// FileReads also shortens what file-reading tools returned, although an edit may have to quote it.
	FileReads bool
	// Documents says where prompts hold documents, for templates that are not known.
	Documents []DocumentRule
	// Deadline bounds the compression of one request; past it the turns that are left are forwarded as they are.
	// 2 s if 0.
	Deadline time.Duration
	// Concurrency bounds the turns that are compressed at the same time; others wait, within the deadline. The number
	// of CPUs if 0.
	Concurrency int
	// Requests bounds the requests that are answered at the same time; 1,024 if 0. One more waits up to QueueTimeout, 1 s
	// if 0, and is then answered 429.
	Requests     int
	QueueTimeout time.Duration
	// Token, if set, must come with every request, as X-Pith-Token or as the API key; without it a server on a loopback
	// address answers only requests whose Host is a loopback name.
	Token string
	// UpstreamKey is the API key that goes up where the client sent none, or the token in its place.
	UpstreamKey string
	// Remembered bounds the memory for outcomes of turns, in bytes; 64 MiB if 0.
	Remembered int
	// Receipts bounds the memory for receipts of requests, in bytes, which Admin hands out; 0 keeps none.
	Receipts int
	// MaxBody is the largest body of a chat completion, in bytes; a larger one is answered 413. 64 MiB if 0. Bodies
	// of other paths are streamed and have no bound.
	MaxBody int
	// ConnectTimeout bounds connecting to the upstream, TLS included; 10 s if 0.
	ConnectTimeout time.Duration
	// HeaderTimeout bounds the time from the end of the request to the head of the answer; 10 min if 0.
	HeaderTimeout time.Duration
	// IdleTimeout bounds a silence inside an answer; 5 min if 0.
	IdleTimeout time.Duration
	// TotalTimeout bounds a request from its head to the end of its answer; 1 h if 0.
	TotalTimeout time.Duration
	// ClientTimeout bounds how long a client may take for the head of a request, for the next part of its body and to
	// take the next part of the answer; 1 min if 0.
	ClientTimeout time.Duration
	// KeepAlive is how long an unused connection to the upstream is kept. It must be shorter than the upstream keeps
	// it, since a request on a connection that the upstream is closing cannot be repeated. 4 s if 0: common servers
	// close after 5.
	KeepAlive time.Duration
	// TLS is the client's configuration for an https upstream; nil is the system's roots.
	TLS *tls.Config
	// Dial connects to the upstream; nil is TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Logger takes one line a request, without prompts or credentials; nil discards it.
	Logger *slog.Logger
	// Tracer, if set, gets the spans of each prompt once it has ended, without content. Where a request names a trace they are
	// part of it.
	Tracer trace.Tracer
	// Observe, if set, is called with the report of each chat completion once the upstream has begun to answer, before
	// the client sees the answer. It may be called concurrently. The report holds prompts.
	Observe func(Report)
}

// Validate reports options that make no sense and names the field.
func (o Options) Validate() error {
	if o.Mode > ModeOff {
		return fmt.Errorf("proxy.Options.Mode is %d: it must be ModeOn, ModeObserve or ModeOff", o.Mode)
	}
	if err := o.Budget.Validate(); err != nil {
		return fmt.Errorf("proxy.Options.Budget: %w", err)
	}
	for _, rule := range o.Documents {
		if err := rule.Validate(); err != nil {
			return fmt.Errorf("proxy.Options.Documents: %w", err)
		}
	}
	for _, number := range []struct {
		name  string
		value int64
	}{
		{"Deadline", int64(o.Deadline)},
		{"Concurrency", int64(o.Concurrency)},
		{"Requests", int64(o.Requests)},
		{"QueueTimeout", int64(o.QueueTimeout)},
		{"Remembered", int64(o.Remembered)},
		{"Receipts", int64(o.Receipts)},
		{"MaxBody", int64(o.MaxBody)},
		{"ConnectTimeout", int64(o.ConnectTimeout)},
		{"HeaderTimeout", int64(o.HeaderTimeout)},
		{"IdleTimeout", int64(o.IdleTimeout)},
		{"TotalTimeout", int64(o.TotalTimeout)},
		{"ClientTimeout", int64(o.ClientTimeout)},
		{"KeepAlive", int64(o.KeepAlive)},
	} {
		if number.value < 0 {
			return fmt.Errorf("proxy.Options.%s is %d: it must not be negative", number.name, number.value)
		}
	}
	return o.validateUpstreams()
}

// filled returns the options with their defaults.
func (o Options) filled() Options {
	fill(&o.Deadline, 2*time.Second)
	fill(&o.Concurrency, runtime.GOMAXPROCS(0))
	fill(&o.Requests, 1024)
	fill(&o.QueueTimeout, time.Second)
	fill(&o.Remembered, 64<<20)
	fill(&o.MaxBody, 64<<20)
	fill(&o.ConnectTimeout, 10*time.Second)
	fill(&o.HeaderTimeout, 10*time.Minute)
	fill(&o.IdleTimeout, 5*time.Minute)
	fill(&o.TotalTimeout, time.Hour)
	fill(&o.ClientTimeout, time.Minute)
	fill(&o.KeepAlive, 4*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func fill[T int | time.Duration](value *T, fallback T) {
	if *value == 0 {
		*value = fallback
	}
}

const (
	// headerBuffer bounds the head of a request and of an answer, in bytes.
	headerBuffer = 32 << 10
	// copyBuffer is the most that one read of a body takes, in bytes.
	copyBuffer = 32 << 10
	// clientIdle is how long a client's unused connection is kept.
	clientIdle = 3 * time.Minute
)

// Server is the proxy.
type Server struct {
	options   Options
	upstreams []*upstream
	// byModel says that the upstream depends on the model that a body names.
	byModel bool
	// compresses says that some upstream has a compressor.
	compresses bool
	metrics    *metrics
	// receipts is nil if none are kept.
	receipts *receipts
	slots    chan struct{} // for compressions
	places   chan struct{} // for requests
	http     *fasthttp.Server
	// latest is the server with the options of the last Reload, which new requests go to; itself before.
	latest *atomic.Pointer[Server]
	// loopback says that only this machine can connect.
	loopback *atomic.Bool
	// working ends when Shutdown or HandOver begins, and with it the listening, each connection with its next answer, and each
	// WebSocket that is not waiting for a response.
	working context.Context //nolint:containedctx // tells goroutines, as base does
	drain   context.CancelFunc
	sockets *sync.WaitGroup
	// base ends when Shutdown stops waiting: whatever is under way ends with it.
	base context.Context //nolint:containedctx // the life of the server, under which requests run
	end  context.CancelFunc
}

// NewServer returns a proxy for the upstreams of o.
func NewServer(o Options) (*Server, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	s := &Server{options: o.filled(), latest: &atomic.Pointer[Server]{}, loopback: &atomic.Bool{}}
	if err := s.open(nil); err != nil {
		return nil, err
	}
	s.base, s.end = context.WithCancel(context.Background())
	s.working, s.drain = context.WithCancel(s.base)
	s.sockets = &sync.WaitGroup{}
	s.latest.Store(s)
	s.http = newHTTPServer(func(ctx *fasthttp.RequestCtx) { s.latest.Load().handle(ctx) })
	s.http.ErrorHandler = s.badRequest
	s.http.ReadTimeout = s.options.ClientTimeout // each part of a body has its own
	s.metrics = newMetrics(s)
	return s, nil
}

// newHTTPServer returns a server whose handler gets every body as a stream.
func newHTTPServer(handler fasthttp.RequestHandler) *fasthttp.Server {
	return &fasthttp.Server{
		Handler:                       handler,
		ErrorHandler:                  badRequest,
		HeaderReceived:                streamAll,
		Logger:                        silent{},
		IdleTimeout:                   clientIdle,
		ReadBufferSize:                headerBuffer,
		WriteBufferSize:               headerBuffer,
		StreamRequestBody:             true,
		DisablePreParseMultipartForm:  true,
		DisableHeaderNamesNormalizing: true,
		NoDefaultServerHeader:         true,
		NoDefaultDate:                 true,
		NoDefaultContentType:          true,
		CloseOnShutdown:               true,
		SecureErrorLogMessage:         true,
	}
}

// streamAll keeps fasthttp from reading the first 8 KiB of a body before the handler runs: it reads no more than the
// limit ahead, and a body beyond the limit is handed over as a stream all the same.
func streamAll(*fasthttp.RequestHeader) fasthttp.RequestConfig {
	return fasthttp.RequestConfig{MaxRequestBodySize: 1}
}

// silent drops fasthttp's own messages, which may quote requests.
type silent struct{}

// Printf does nothing.
func (silent) Printf(string, ...any) {}

// badRequest answers what is not HTTP, or not in time.
func badRequest(ctx *fasthttp.RequestCtx, err error) {
	unreadable(err).write(&ctx.Response)
	ctx.Response.SetConnectionClose()
}

// badRequest answers it, counts it and logs it.
func (s *Server) badRequest(ctx *fasthttp.RequestCtx, err error) {
	r := &request{server: s.latest.Load(), ctx: ctx, id: newID(), started: time.Now()}
	r.life, r.finish = context.WithCancel(s.base)
	ctx.Response.Header.Set("X-Pith-Request-Id", r.id)
	ctx.Response.SetConnectionClose()
	_ = ctx.SetWriteDeadline(time.Now().Add(s.options.ClientTimeout))
	r.fail(unreadable(err))
}

// unreadable says why a request cannot be read.
func unreadable(err error) apiError {
	if _, ok := errors.AsType[*fasthttp.ErrSmallBuffer](err); ok {
		return invalidRequest(fasthttp.StatusRequestHeaderFieldsTooLarge, "headers_too_large", "", fmt.Sprintf("the request's head is larger than %d bytes", headerBuffer))
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return invalidRequest(fasthttp.StatusRequestTimeout, "head_timeout", "", "the request's head did not come in time")
	}
	return invalidRequest(fasthttp.StatusBadRequest, "bad_request", "", "the request cannot be read as HTTP")
}

// Serve answers the connections of l until Shutdown, HandOver or an error of l.
func (s *Server) Serve(l net.Listener) error {
	address, ok := l.Addr().(*net.TCPAddr)
	s.loopback.Store(ok && address.IP.IsLoopback())
	once := closedOnce{l, sync.OnceValue(l.Close)}
	defer context.AfterFunc(s.working, func() { _ = once.Close() })()
	return s.http.Serve(watchedListener{once})
}

// closedOnce is a listener that more than one may close.
type closedOnce struct {
	net.Listener
	once func() error
}

// Close closes it, or returns what that returned.
func (c closedOnce) Close() error { return c.once() }

// HandOver stops accepting for the sake of another process that has the same listener. It returns once each connection has ended
// with an answer that says so, or its client has closed it; or when ctx ends. Shutdown closes what is left.
func (s *Server) HandOver(ctx context.Context) {
	s.drain()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for s.http.GetOpenConnectionsCount() >= 0 { // it is one too few once nothing is accepted
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// Shutdown stops accepting, waits for requests under way until ctx ends, and then breaks them off.
func (s *Server) Shutdown(ctx context.Context) error {
	s.drain()
	err := s.http.ShutdownWithContext(ctx)
	ended := make(chan struct{})
	go func() {
		s.sockets.Wait() // none is added any more
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.end()
	<-ended
	s.latest.Load().closeIdle()
	return err
}
