package proxy

import (
	"fmt"
	"net"
	"strings"

	"github.com/valyala/fasthttp"
)

// isWebSocket reports whether a request asks for a WebSocket. Other upgrades are offers, which a server may pass over.
func isWebSocket(h *fasthttp.RequestHeader) bool {
	return strings.EqualFold(string(headerValue(h, "Upgrade")), "websocket")
}

// handleWebSocket opens a WebSocket to the upstream and, once that has agreed, to the client. Whoever cannot have one is
// answered 426: clients that try a WebSocket first then use HTTP at once, and retry for seconds on other answers.
func (r *request) handleWebSocket() {
	head := &r.ctx.Request.Header
	if r.method != fasthttp.MethodGet || !head.IsHTTP11() || string(headerValue(head, "Sec-WebSocket-Version")) != "13" ||
		!isHandshakeKey(headerValue(head, "Sec-WebSocket-Key")) || head.ContentLength() > 0 {
		r.upgradeRequired("the request is no handshake of WebSocket version 13")
		return
	}
	policy, err := readPolicy(head, r.server.policy())
	if err != nil {
		r.failPolicy(err)
		return
	}
	d := dialectNone
	if strings.HasSuffix(r.path, "/responses") {
		d = dialectResponses
	}
	r.watch()
	if r.up = r.server.upstreamFor(r.path, d, r.anthropic(), "", false); r.up == nil {
		r.upgradeRequired("no upstream is configured for this path")
		return
	}
	x, err := r.send(requestBody{websocket: true})
	if err != nil {
		r.failUpstream(err)
		return
	}
	switch status := x.head.status; {
	case status == fasthttp.StatusSwitchingProtocols && x.head.value("Sec-WebSocket-Extensions") == "":
	case status == fasthttp.StatusSwitchingProtocols:
		r.open = nil
		x.Close()
		r.failUpstream(&failure{fasthttp.StatusBadGateway, "upstream_broken", errFrame})
		return
	case status == fasthttp.StatusUnauthorized, status == fasthttp.StatusForbidden, status == fasthttp.StatusTooManyRequests,
		status == fasthttp.StatusUpgradeRequired, status >= fasthttp.StatusInternalServerError && status != fasthttp.StatusNotImplemented:
		r.relay(x) // it says more than pith can
		return
	default:
		r.open = nil
		x.Close()
		r.upgradeRequired(fmt.Sprintf("the upstream offers no WebSocket here: it answered %d", status))
		return
	}
	r.open = nil
	x.taken = true
	s := &socket{r: r, x: x, client: r.ctx.Conn(), dialect: d, policy: policy}
	greeting := r.greeting(x.head)
	r.server.sockets.Add(1)
	r.ctx.HijackSetNoResponse(true)
	r.ctx.Hijack(func(conn net.Conn) {
		defer r.server.sockets.Done()
		s.run(conn, greeting)
	})
}

// upgradeRequired answers that plain HTTP is to be used.
func (r *request) upgradeRequired(why string) {
	r.ctx.Response.Header.Set("Sec-WebSocket-Version", "13")
	r.fail(invalidRequest(fasthttp.StatusUpgradeRequired, "upgrade_not_supported", "", why+": use plain HTTP"))
}

// greeting is the answer to the client's handshake: the upstream's, which has answered the client's own key.
func (r *request) greeting(answer answerHead) []byte {
	b := []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
	for _, f := range answer.fields {
		if !isOwn([]byte(f.name)) && !isHop([]byte(f.name), nil) {
			b = appendField(b, f.name, f.value)
		}
	}
	return append(appendField(b, "X-Pith-Request-Id", r.id), "\r\n"...)
}
