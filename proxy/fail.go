package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/valyala/fasthttp"
)

// fail answers with an error of our own.
func (r *request) fail(e apiError) {
	r.setHeaders()
	e.writeAs(&r.ctx.Response, r.anthropic(), r.id)
	r.done(e.status, len(r.ctx.Response.Body()), errors.New(e.code))
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
