package proxy

import (
	"context"
	"crypto/rand"
	"encoding/hex"
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
	defer func() {
		_ = ctx.SetWriteDeadline(time.Now().Add(s.options.ClientTimeout))
		if s.working.Err() != nil {
			ctx.Response.SetConnectionClose()
		}
	}()
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
	out := r.shorten(body, plain, policy)
	out.report.Overhead = time.Since(read)
	r.report, r.edited = out.report, out.edited
	receipt := r.draftReceipt(body, plain, out)
	x, err := r.sendShortened(body, out)
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

// shorten returns what is to go up in place of a body that was decoded to plain: the body as it came, encoded or not, unless a
// text of it became shorter.
func (r *request) shorten(body, plain []byte, policy policy) shortened {
	asItCame := shortened{body: body, report: Report{Mode: policy.mode, Skip: SkipOff}}
	switch {
	case policy.mode == ModeOff, r.up.Compressor == nil:
		return asItCame
	case plain == nil:
		asItCame.report.Skip = SkipEncoded
		return asItCame
	}
	out := r.server.shorten(r.life, r.up.shortener, r.dialect, plain, policy)
	if !out.edited || policy.mode == ModeObserve {
		out.body, out.edited = body, false
	}
	return out
}

// sendShortened forwards a prompt, and the body as it came if the upstream refuses what became of it.
func (r *request) sendShortened(body []byte, out shortened) (*exchange, error) {
	x, err := r.send(requestBody{bytes: out.body, decoded: out.edited})
	if err != nil || !out.edited || !refuses(x.head.status) {
		return x, err
	}
	x.Close()
	x, err = r.send(requestBody{bytes: body})
	r.report.Replayed, r.edited = true, false
	r.report.TokensOut = r.report.TokensIn
	if err == nil && x.head.status < fasthttp.StatusBadRequest {
		for _, key := range out.keys {
			r.up.shortener.memo.fail(key, errRefused)
		}
	}
	return x, err
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
		if length < 0 {
			body.trailers = r.trailers
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
