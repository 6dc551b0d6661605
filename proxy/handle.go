package proxy

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/pith-llm/pith/compressors"
)

const chatPath = "/v1/chat/completions"

// request is one request on its way through the proxy.
type request struct {
	server  *Server
	ctx     *fasthttp.RequestCtx
	id      string
	started time.Time
	path    string // without the query string, which may hold a key
	method  string

	life   context.Context //nolint:containedctx // ends when the client leaves, the request ends or the server stops
	finish context.CancelFunc

	open     *exchange // that nothing else closes yet
	received int       // bytes of the body
	entered  bool      // holds one of the server's places
	ownKey   bool      // the client's API key is pith's token

	up      *upstream // that the request goes to, once it is known
	dialect dialect   // of the body that was looked at, dialectNone if none is
	report  Report
	listing bool // the client asked for the list of documents
	edited  bool
	waited  time.Duration   // for the upstream's head
	asked   time.Time       // when the upstream first was
	trace   context.Context //nolint:containedctx // that the request belongs to, if traces are recorded
}

func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	r := &request{server: s, ctx: ctx, id: newID(), started: time.Now(), path: string(ctx.Path()), method: string(ctx.Method())}
	r.life, r.finish = context.WithTimeout(s.base, s.options.TotalTimeout)
	r.dialect = dialectOf(r.method, r.path)
	r.joinTrace()
	ctx.Response.Header.Set("X-Pith-Request-Id", r.id)
	// The answer's head is written once this returns; each part of a relayed body has its own time. fasthttp flushes each answer
	// that has a deadline, which relay and inform count on.
	defer func() { _ = ctx.SetWriteDeadline(time.Now().Add(s.options.ClientTimeout)) }()
	defer func() {
		if recover() != nil { // what it says may quote the request
			if r.open != nil {
				r.open.Close()
			}
			ctx.Response.SetConnectionClose()
			r.client().head = nil
			r.fail(apiError{status: fasthttp.StatusInternalServerError, kind: "api_error", code: "internal_error", message: "this proxy failed"})
		}
	}()
	switch {
	case !r.admit():
	case isWebSocket(&ctx.Request.Header):
		r.handleWebSocket()
	case r.dialect != dialectNone:
		r.handlePrompt()
	default:
		r.handleOther()
	}
}

func newID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails, says its documentation
	return hex.EncodeToString(b[:])
}

// handlePrompt answers a request of a dialect.
func (r *request) handlePrompt() {
	policy, err := readPolicy(&r.ctx.Request.Header, r.server.policy())
	if err != nil {
		r.failPolicy(err)
		return
	}
	r.listing = policy.documents
	body, err := r.readBody()
	if err != nil {
		return
	}
	read := time.Now()
	r.watch()

	out := shortened{body: body, report: Report{Mode: policy.mode, Skip: SkipOff}}
	var plain []byte // nil if the encoding is not known, or nobody wants to look
	if policy.mode != ModeOff && r.server.compresses || r.server.byModel {
		var ok bool
		if plain, ok = r.decode(body); !ok {
			return
		}
	}
	if !r.choose(r.model(plain)) {
		return
	}
	switch {
	case policy.mode == ModeOff, r.up.Compressor == nil:
		plain = nil
	case plain == nil:
		out.report.Skip = SkipEncoded
	default:
		out = r.server.shorten(r.life, r.up.shortener, r.dialect, plain, policy)
		if !out.edited {
			out.body = body // as it came, encoded or not
		}
	}
	if policy.mode == ModeObserve {
		out.body, out.edited, r.edited = body, false, false
	} else {
		r.edited = out.edited
	}
	out.report.Overhead = time.Since(read)
	r.report = out.report
	receipt := r.draftReceipt(body, plain, out)

	x, err := r.send(requestBody{bytes: out.body, decoded: r.edited})
	if err == nil && r.edited && refuses(x.head.status) {
		x.Close()
		x, err = r.send(requestBody{bytes: body})
		r.report.Replayed, r.edited = true, false
		r.report.TokensOut = r.report.TokensIn
		if err == nil && x.head.status < fasthttp.StatusBadRequest {
			for _, key := range out.keys {
				r.up.shortener.memo.fail(key, errRefused)
			}
		}
	}
	if err != nil {
		receipt.finish(r.report, r.edited, r.waited, body)
		r.failUpstream(err)
		return
	}
	r.report.ID, r.report.Status = r.id, x.head.status
	receipt.finish(r.report, r.edited, r.waited, body)
	r.report.Stages = append(r.report.Stages, compressors.Stage{Name: "upstream", Duration: r.waited})
	if r.server.options.Observe != nil {
		r.server.options.Observe(r.report)
	}
	r.relay(x)
}

// failPolicy answers a request whose X-Pith headers make no sense.
func (r *request) failPolicy(err error) {
	drain(r.ctx, r.server.options.MaxBody)
	param := ""
	if bad, ok := errors.AsType[*policyError](err); ok {
		param = bad.header
	}
	r.fail(invalidRequest(fasthttp.StatusBadRequest, "invalid_header", param, err.Error()))
}

// refuses reports whether a status may be about the request's body. Credentials, missing models, timeouts and rates are
// not about it.
func refuses(status int) bool {
	switch status {
	case fasthttp.StatusUnauthorized, fasthttp.StatusForbidden, fasthttp.StatusNotFound, fasthttp.StatusRequestTimeout, fasthttp.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status < 500
}

// decode undoes the encodings of the body, nil if one of them is not known, and answers the request if that cannot be.
func (r *request) decode(body []byte) (plain []byte, ok bool) {
	plain, err := decodeBody(body, contentEncodings(&r.ctx.Request.Header), r.server.options.MaxBody)
	switch {
	case errors.Is(err, errUnknownEncoding):
		return nil, true
	case errors.Is(err, errBodyTooLarge):
		_ = r.tooLarge()
		return nil, false
	case err != nil:
		r.fail(invalidRequest(fasthttp.StatusBadRequest, "corrupt_body", "", "the request's body is not what its Content-Encoding says"))
		return nil, false
	}
	return plain, true
}

// model is what a body names as its model, "" where that does not matter.
func (r *request) model(body []byte) string {
	if !r.server.byModel {
		return ""
	}
	return modelOf(body)
}

// choose finds the upstream of the request by the model, "" if that is not known, and answers it if there is none.
func (r *request) choose(model string) bool {
	r.up = r.server.upstreamFor(r.path, r.dialect, r.anthropic(), model, r.dialect != dialectNone)
	if r.up == nil {
		r.fail(invalidRequest(fasthttp.StatusNotFound, "no_upstream", "model", "no upstream is configured for this path and model"))
		return false
	}
	if r.up.TotalTimeout < r.server.options.TotalTimeout {
		all := r.finish
		life, end := context.WithTimeout(r.life, r.up.TotalTimeout-time.Since(r.started))
		r.life, r.finish = life, func() {
			end()
			all()
		}
	}
	return true
}

// handleOther forwards a request as it is, streaming its body.
func (r *request) handleOther() {
	stream := r.bodyStream()
	length := r.ctx.Request.Header.ContentLength()
	model := ""
	if r.server.byModel && stream != nil && length != 0 {
		model, stream = peekModel(&r.ctx.Request.Header, stream)
	}
	if !r.choose(model) {
		drain(r.ctx, strangerDrain)
		return
	}
	var body requestBody
	switch {
	case stream != nil && length != 0:
		body = requestBody{
			stream: stream, length: length, finished: r.watch,
			interrupt: func() { _ = r.ctx.Conn().SetReadDeadline(time.Unix(1, 0)) },
		}
	case length == 0 && len(headerValue(&r.ctx.Request.Header, "Content-Length")) > 0:
		body.bytes = []byte{}
		r.watch()
	default:
		r.watch()
	}
	x, err := r.send(body)
	if err != nil {
		r.failUpstream(err)
		return
	}
	r.relay(x)
}

// watch ends the request's life when the client leaves.
func (r *request) watch() {
	r.client().watch(r.finish)
}

// bodyStream is the client's body, each part of which must come in time; nil if there is none.
func (r *request) bodyStream() io.Reader {
	stream := r.ctx.RequestBodyStream()
	if stream == nil {
		return nil
	}
	return &patientReader{stream: stream, conn: r.ctx.Conn(), patience: r.server.options.ClientTimeout, life: r.life, received: &r.received}
}

// patientReader bounds the wait for each part of a body, and not that for all of it.
type patientReader struct {
	stream   io.Reader
	conn     net.Conn
	patience time.Duration
	life     context.Context //nolint:containedctx // the request's
	received *int            // bytes so far
}

// Read reads a part of the body.
func (p *patientReader) Read(b []byte) (int, error) {
	if err := p.life.Err(); err != nil {
		return 0, err
	}
	if err := p.conn.SetReadDeadline(time.Now().Add(p.patience)); err != nil {
		return 0, err
	}
	n, err := p.stream.Read(b)
	*p.received += n
	return n, err
}

// readBody reads the whole body within the limit. On an error the answer is written.
func (r *request) readBody() ([]byte, error) {
	limit := r.server.options.MaxBody
	length := r.ctx.Request.Header.ContentLength()
	stream := r.bodyStream()
	if stream == nil || length == 0 {
		return []byte{}, nil
	}
	if length > limit {
		return nil, r.tooLarge()
	}
	var body bytes.Buffer
	if length > 0 {
		body.Grow(min(length, 1<<20) + bytes.MinRead) // more only for what really arrives
	}
	_, err := body.ReadFrom(io.LimitReader(stream, int64(limit)+1))
	if err == nil && length > 0 && body.Len() < length {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		r.failBody(err)
		return nil, err
	}
	if body.Len() > limit {
		return nil, r.tooLarge()
	}
	return body.Bytes(), nil
}

var errBodyTooLarge = errors.New("body too large")

func (r *request) tooLarge() error {
	drain(r.ctx, r.server.options.MaxBody)
	r.fail(invalidRequest(fasthttp.StatusRequestEntityTooLarge, "request_too_large", "",
		fmt.Sprintf("the request's body is larger than the limit of %d bytes", r.server.options.MaxBody)))
	return errBodyTooLarge
}

// drain reads on for a while without keeping anything: closing a connection with unread bytes resets it, and the client
// would miss the answer.
func drain(ctx *fasthttp.RequestCtx, limit int) {
	stream := ctx.RequestBodyStream()
	if stream == nil {
		return
	}
	_ = ctx.Conn().SetReadDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.CopyN(io.Discard, stream, max(256<<20, 2*int64(limit)))
	_ = ctx.Conn().SetReadDeadline(time.Time{})
}

// send forwards the request's head with a body and waits for the head of the answer.
func (r *request) send(body requestBody) (*exchange, error) {
	uri := r.ctx.Request.Header.RequestURI()
	if asterisk := string(uri) == "*"; !asterisk && (len(uri) == 0 || uri[0] != '/') {
		// The absolute form names a host; only its path counts.
		_, after, found := bytes.Cut(uri, []byte("://"))
		if slash := bytes.IndexByte(after, '/'); found && slash >= 0 {
			uri = after[slash:]
		} else {
			uri = []byte("/")
		}
	}
	head := &fasthttp.RequestHeader{}
	head.DisableNormalizing()
	head.DisableSpecialHeader() // fasthttp would keep the last of equal names, drop empty values and spell cookies anew
	head.SetNoDefaultContentType(true)
	head.SetMethod(r.method)
	head.SetRequestURI(r.up.target(string(uri)))
	head.Set("Host", r.up.host)
	var named []string
	for key, value := range r.ctx.Request.Header.AllInOrder() {
		if strings.EqualFold(string(key), "Connection") {
			named = append(named, connectionOptions(value)...)
		}
	}
	for key, value := range r.ctx.Request.Header.AllInOrder() {
		switch {
		case strings.EqualFold(string(key), "TE") && takesTrailers(value):
			head.AddBytesKV(key, []byte("trailers")) // all that pith passes on of it
		case isOwn(key) || isHop(key, named):
		case r.ownKey && isCredential(key) && r.isToken(credential(value)):
		case body.decoded && strings.EqualFold(string(key), "Content-Encoding"):
		case body.websocket && strings.EqualFold(string(key), "Sec-WebSocket-Extensions"): // compressed frames could not be read
		default:
			head.AddBytesKV(key, value)
		}
	}
	if body.websocket {
		head.Set("Connection", "Upgrade")
		head.Set("Upgrade", "websocket")
	}
	r.setCredential(head)
	waiting := time.Now()
	if r.asked.IsZero() {
		r.asked = waiting
	}
	x, err := r.up.do(r.life, head, body, r.inform)
	r.waited += time.Since(waiting)
	r.open = x
	return x, err
}

// isHop reports whether a header belongs to one connection, or to the framing, which is written anew.
func isHop(key []byte, named []string) bool {
	switch name := strings.ToLower(string(key)); name {
	case "connection", "proxy-connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade",
		"host", "content-length", "expect":
		return true
	default:
		return slices.Contains(named, name)
	}
}

// connectionOptions are the headers that a Connection header declares to belong to the connection.
func connectionOptions(value []byte) []string {
	var names []string
	for name := range strings.SplitSeq(string(value), ",") {
		if name = strings.ToLower(strings.TrimSpace(name)); name != "" && name != "close" {
			names = append(names, name)
		}
	}
	return names
}

// takesTrailers reports whether a TE header says that trailers are read.
func takesTrailers(value []byte) bool {
	return slices.Contains(connectionOptions(value), "trailers")
}

// headerValue finds a header whatever the case of its name.
func headerValue(h *fasthttp.RequestHeader, name string) []byte {
	for key, value := range h.All() {
		if strings.EqualFold(string(key), name) {
			return value
		}
	}
	return nil
}

// relay passes an answer on: its head as it was spelled, in place of the one that fasthttp writes for the response. Its body is
// written after the handler has returned.
func (r *request) relay(x *exchange) {
	r.open = nil
	response := &r.ctx.Response
	response.SetStatusCode(x.head.status)
	r.setHeaders()
	length := x.head.length
	switch {
	case !x.hasBody():
		length = noBody
	case length == untilEnd && r.ctx.Request.Header.IsHTTP11():
		length = inChunks
	case length == inChunks && !r.ctx.Request.Header.IsHTTP11():
		length = untilEnd // older clients know of no chunks
	}
	if length == untilEnd {
		response.SetConnectionClose()
	}
	head := x.head.appendTo(nil, length)
	for key, value := range response.Header.All() {
		if !isHop(key, nil) { // the server adds what it does with the connection
			head = appendField(head, string(key), string(value))
		}
	}
	r.client().head = head
	if length == noBody {
		x.Close()
		r.done(x.head.status, 0, nil)
		return
	}
	response.ImmediateHeaderFlush = true
	response.SetBodyStream(&relayed{
		x: x, length: length, r: r, conn: r.client(), patience: r.server.options.ClientTimeout,
		events: strings.HasPrefix(x.head.value("Content-Type"), "text/event-stream"),
	}, max(length, -1))
}

// client is the client's connection.
func (r *request) client() *watchedConn { return r.ctx.Conn().(*watchedConn) }

// inform passes an interim answer on at once. Nothing else waits to be written: each answer is flushed. A client that does not take
// it misses it; that it has left shows elsewhere.
func (r *request) inform(interim answerHead) {
	if !r.ctx.Request.Header.IsHTTP11() {
		return // and knows of none
	}
	conn := r.client()
	_ = conn.SetWriteDeadline(time.Now().Add(r.server.options.ClientTimeout))
	_, _ = conn.Write(append(interim.appendTo(nil, noBody), "\r\n"...))
}

// setHeaders states what was done.
func (r *request) setHeaders() {
	if r.dialect == dialectNone {
		return
	}
	h := &r.ctx.Response.Header
	h.Set("X-Pith-Tokens-In", strconv.Itoa(r.report.TokensIn))
	h.Set("X-Pith-Tokens-Out", strconv.Itoa(r.report.TokensOut))
	h.Set("X-Pith-Tokens-Saved", strconv.Itoa(r.report.TokensIn-r.report.TokensOut))
	h.Set("X-Pith-Overhead-Ms", strconv.FormatFloat(milliseconds(r.report.Overhead), 'f', 1, 64))
	if r.listing {
		h.Set(documentsHeader, documentList(r.report))
	}
}

// fail answers with an error of our own.
func (r *request) fail(e apiError) {
	r.setHeaders()
	e.writeAs(&r.ctx.Response, r.anthropic(), r.id)
	r.done(e.status, len(r.ctx.Response.Body()), errors.New(e.code))
}

// failBody answers a client whose body broke off.
func (r *request) failBody(err error) {
	r.ctx.Response.SetConnectionClose()
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		r.fail(invalidRequest(fasthttp.StatusRequestTimeout, "body_timeout", "", "the next part of the request's body did not come in time"))
		return
	}
	r.fail(invalidRequest(fasthttp.StatusBadRequest, "incomplete_body", "", "the request's body ended early"))
}

// failUpstream answers for an upstream that could not.
func (r *request) failUpstream(err error) {
	if errors.Is(err, errBodyCut) {
		r.failBody(err)
		return
	}
	failed, ok := errors.AsType[*failure](err)
	if !ok {
		failed = &failure{fasthttp.StatusBadGateway, "upstream_broken", err}
	}
	if errors.Is(r.life.Err(), context.DeadlineExceeded) {
		failed = &failure{fasthttp.StatusGatewayTimeout, "request_timeout", err}
	}
	message := "the upstream broke the connection"
	if errors.Is(failed, errHead) {
		message = "the upstream's answer cannot be read as HTTP"
	}
	switch failed.code {
	case "upstream_unreachable":
		message = "the upstream cannot be reached"
	case "upstream_connect_timeout":
		message = "the upstream could not be connected to in time"
	case "request_timeout":
		message = "the request took longer than requests may"
	case "upstream_headers_too_large":
		message = fmt.Sprintf("the head of the upstream's answer is larger than %d bytes", headerBuffer)
	case "upstream_timeout":
		message = "the upstream did not answer in time"
	}
	r.setHeaders()
	upstreamFailed(failed.status, failed.code, message).writeAs(&r.ctx.Response, r.anthropic(), r.id)
	if r.ctx.RequestBodyStream() != nil && r.dialect == dialectNone {
		r.ctx.Response.SetConnectionClose() // part of its body may be unread
	}
	r.done(failed.status, len(r.ctx.Response.Body()), failed)
}

// done ends the request and writes its line.
func (r *request) done(status, size int, err error) {
	gone := errors.Is(r.life.Err(), context.Canceled)
	r.finish()
	if r.entered {
		r.server.leave()
	}
	outcome := outcomeOf(status, err, gone)
	r.server.metrics.done(r, outcome, size)
	if r.dialect != dialectNone {
		r.server.record(tracedPrompt{
			parent: r.trace, name: "POST " + r.dialect.String(), id: r.id, dialect: r.dialect, up: r.up, report: r.report, edited: r.edited,
			started: r.started, asked: r.asked, waited: r.waited, status: status, outcome: outcome, err: err,
		})
	}
	fields := []slog.Attr{
		slog.String("id", r.id),
		slog.String("method", r.method),
		slog.String("path", r.path),
		slog.Int("status", status),
		slog.Int("bytes_out", size),
		slog.Duration("duration", time.Since(r.started)),
		slog.Duration("upstream_wait", r.waited),
	}
	if r.up != nil {
		fields = append(fields, slog.String("upstream", r.up.Name))
	}
	if r.dialect != dialectNone {
		fields = append(fields, r.report.attrs(r.dialect, r.edited)...)
	}
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelWarn
		fields = append(fields, slog.String("error", errorClass(err)), slog.Bool("client_gone", gone))
	}
	r.server.options.Logger.LogAttrs(context.Background(), level, "request", fields...)
}

// attrs is what the log says of a report.
func (r *Report) attrs(d dialect, edited bool) []slog.Attr {
	failed, worth, unworthy, cut, unread := 0, 0, 0, 0, 0
	for _, turn := range r.Turns {
		if turn.Err != nil {
			failed++
			continue
		}
		for i, w := range turn.Worth {
			switch {
			case turn.Result.Texts[i].Skip == compressors.SkipNotWorthIt:
				unworthy++
			case w != nil:
				worth += w.Net()
			}
		}
		cut += turn.Result.Cut
		unread += turn.Result.Unread
	}
	return []slog.Attr{
		slog.String("dialect", d.String()),
		slog.String("mode", r.Mode.String()),
		slog.String("skip", r.Skip.String()),
		slog.Int("turns", len(r.Turns)),
		slog.Int("turns_failed", failed),
		slog.Int("segments_cut", cut),
		slog.Int("segments_unread", unread),
		slog.Int("tokens_in", r.TokensIn),
		slog.Int("tokens_out", r.TokensOut),
		slog.Int("worth_millitokens", worth),
		slog.Int("texts_not_worth_it", unworthy),
		slog.Bool("edited", edited),
		slog.Bool("replayed", r.Replayed),
		slog.Duration("overhead", r.Overhead),
	}
}

// errorClass names an error without quoting what it may quote.
func errorClass(err error) string {
	if failed, ok := errors.AsType[*failure](err); ok {
		return failed.code
	}
	if errors.Is(err, errRelay) {
		return errRelay.Error()
	}
	return err.Error()
}

// relayed is an answer's body on its way to the client.
type relayed struct {
	x        *exchange
	r        *request
	conn     *watchedConn
	events   bool          // the body is an event stream
	end      terminalEvent // of it
	patience time.Duration // for the client to take a part
	length   int           // or inChunks, untilEnd
	sent     int
	err      error
	once     sync.Once
}

var (
	errRelay = errors.New("stream_broken")
	// errNoLastChunk makes fasthttp close the connection instead of writing a last chunk, which it does for every body without a
	// length.
	errNoLastChunk = errors.New("the body ends with the connection")
)

// Read reads a part of the answer.
func (b *relayed) Read(p []byte) (int, error) { return b.x.Read(p) }

// SupportsBodyWriteTo lets fasthttp call WriteTo.
func (b *relayed) SupportsBodyWriteTo() bool { return true }

// WriteTo copies the answer, flushing what each read brings. An error makes fasthttp close the connection without the
// last chunk or before the stated length is reached, so a broken answer never looks whole. fasthttp flushes a chunk when
// it is written; a body of known length it would gather, so that goes to the connection itself, past a buffer that is
// empty since the head was flushed, and so does one that ends with the connection.
func (b *relayed) WriteTo(w io.Writer) (int64, error) {
	if b.length != inChunks {
		w = b.conn
	}
	buffer := make([]byte, copyBuffer)
	for {
		n, err := b.x.Read(buffer)
		if n > 0 {
			if b.events {
				b.end.see(buffer[:n])
			}
			b.bound()
			written, writeErr := w.Write(buffer[:n])
			if b.sent == 0 && written > 0 {
				b.r.server.metrics.firstByte.WithLabelValues(b.r.dialect.String()).Observe(time.Since(b.r.started).Seconds())
			}
			b.sent += written
			if writeErr != nil {
				if timeout, ok := errors.AsType[net.Error](writeErr); !ok || !timeout.Timeout() {
					b.r.finish() // the client has left, whether the watch has noticed or not
				}
				return int64(b.sent), b.broke(writeErr)
			}
		}
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			b.bound() // for the last chunk, perhaps long after what came before it
			if b.length == untilEnd {
				return int64(b.sent), errNoLastChunk
			}
			b.trail()
			return int64(b.sent), nil
		}
		if err != nil {
			return int64(b.sent), b.broke(err)
		}
	}
}

// trail has the fields that came behind the body written behind the last chunk.
func (b *relayed) trail() {
	h := &b.r.ctx.Response.Header
	for _, f := range b.x.trailers() {
		if !isOwn([]byte(f.name)) && !isHop([]byte(f.name), b.x.head.options) && h.AddTrailer(f.name) == nil {
			h.Add(f.name, f.value)
		}
	}
}

// bound limits the time that the client may take for what is written next.
func (b *relayed) bound() { _ = b.conn.SetWriteDeadline(time.Now().Add(b.patience)) }

// broke ends an answer before its time and returns err. A client that has seen the last event and leaves has its answer. One whose
// answer ends with the connection learns that it is not whole by a reset.
func (b *relayed) broke(err error) error {
	if tcp, ok := b.conn.Conn.(*net.TCPConn); ok && b.length == untilEnd {
		_ = tcp.SetLinger(0)
	}
	if !b.end.seen || !errors.Is(b.r.life.Err(), context.Canceled) {
		b.err = errRelay
	}
	return err
}

// Close ends the request.
func (b *relayed) Close() error {
	b.once.Do(func() {
		b.x.Close()
		b.r.done(b.x.head.status, b.sent, b.err)
	})
	return nil
}
