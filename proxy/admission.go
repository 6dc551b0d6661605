package proxy

import (
	"bytes"
	"context"
	"crypto/subtle"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// admit decides whether a request may go on, and answers it if not: its head must be unambiguous, it must be meant for
// this server and hold the token where there is one, and a place must be free within the bounded wait.
func (r *request) admit() bool {
	s, head := r.server, &r.ctx.Request.Header
	if reason := malformed(head.RawHeaders()); reason != "" {
		// What the body is cannot be told, so nothing more is read from the connection.
		r.ctx.Response.SetConnectionClose()
		r.fail(invalidRequest(fasthttp.StatusBadRequest, "malformed_header", "", "the request's header "+reason))
		return false
	}
	switch {
	case s.options.Token != "":
		if !r.authenticate() {
			drain(r.ctx, strangerDrain)
			r.fail(apiError{
				status: fasthttp.StatusUnauthorized, kind: "authentication_error", code: "invalid_token",
				message: "this proxy wants its token, as X-Pith-Token or as the API key",
			})
			return false
		}
	case s.loopback.Load() && !isLoopbackHost(string(head.Host())):
		drain(r.ctx, strangerDrain)
		r.fail(apiError{
			status: fasthttp.StatusForbidden, kind: "permission_error", code: "host_not_allowed",
			message: "the Host header does not name this machine: without a token only loopback names are served",
		})
		return false
	}
	queueing := time.Now()
	free := s.enter(r.life)
	s.metrics.queue.Observe(time.Since(queueing).Seconds())
	if !free {
		drain(r.ctx, s.options.MaxBody)
		r.ctx.Response.Header.Set("Retry-After", "1")
		r.fail(apiError{
			status: fasthttp.StatusTooManyRequests, kind: "rate_limit_error", code: "proxy_overloaded",
			message: "this proxy is answering as many requests as it may: try again",
		})
		return false
	}
	r.entered = true
	return true
}

// strangerDrain is how much is read, in bytes, from a client that is not let in, so that it can see the answer.
const strangerDrain = 1 << 20

// enter takes one of the places for requests, waiting for it no longer than the options say.
func (s *Server) enter(ctx context.Context) bool {
	select {
	case s.places <- struct{}{}:
		return true
	default:
	}
	patience := time.NewTimer(s.options.QueueTimeout)
	defer patience.Stop()
	s.metrics.queued.Inc()
	defer s.metrics.queued.Dec()
	select {
	case s.places <- struct{}{}:
		return true
	case <-patience.C:
	case <-ctx.Done():
	}
	return false
}

// leave gives the place back.
func (s *Server) leave() { <-s.places }

// malformed says what is wrong with the lines of a head, "" if nothing is. fasthttp refuses two Content-Lengths, two
// Transfer-Encodings, and encodings other than chunked; it lets pass what is checked here, on which servers differ.
func malformed(raw []byte) string {
	length, encoding := false, false
	for len(raw) > 0 {
		end := bytes.IndexByte(raw, '\n')
		if end < 0 {
			return "" // the raw header ends with the last line's break or before it
		}
		line := raw[:end]
		raw = raw[end+1:]
		if end == 0 || line[end-1] != '\r' {
			return "holds a line feed without a carriage return"
		}
		line = line[:end-1]
		switch {
		case bytes.IndexByte(line, '\r') >= 0:
			return "holds a carriage return without a line feed"
		case len(line) > 0 && (line[0] == ' ' || line[0] == '\t'):
			return "folds a line"
		}
		name, _, _ := bytes.Cut(line, []byte(":"))
		if bytes.IndexByte(name, ' ') >= 0 {
			return "holds a name with a space"
		}
		length = length || strings.EqualFold(string(name), "Content-Length")
		encoding = encoding || strings.EqualFold(string(name), "Transfer-Encoding")
	}
	if length && encoding {
		return "states both Content-Length and Transfer-Encoding"
	}
	return ""
}

// isLoopbackHost reports whether a Host header names this machine as only it can be reached: a page whose own name was
// made to resolve to 127.0.0.1 sends that name. A request without a name comes from no browser.
func isLoopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// authenticate looks for the token in the X-Pith-Token header and in those that carry API keys. A key that is the token is
// pith's own and must not go up: ownKey remembers it.
func (r *request) authenticate() bool {
	ok := false
	for key, value := range r.ctx.Request.Header.All() {
		switch {
		case strings.EqualFold(string(key), tokenHeader):
			ok = r.isToken(value) || ok
		case isCredential(key):
			if r.isToken(credential(value)) {
				r.ownKey, ok = true, true
			}
		}
	}
	return ok
}

const tokenHeader = "X-Pith-Token"

func (r *request) isToken(value []byte) bool {
	return subtle.ConstantTimeCompare(value, []byte(r.server.options.Token)) == 1
}

// isCredential reports whether a header carries the API key of one of the dialects.
func isCredential(name []byte) bool {
	return strings.EqualFold(string(name), "Authorization") || strings.EqualFold(string(name), "X-Api-Key")
}

// credential is the key in the value of such a header.
func credential(value []byte) []byte {
	if scheme, key, ok := bytes.Cut(value, []byte(" ")); ok && strings.EqualFold(string(scheme), "Bearer") {
		return bytes.TrimSpace(key)
	}
	return value
}

// setCredential writes the configured key of the upstream into a head from which pith's own was left out. A client's own
// key is the client's.
func (r *request) setCredential(head *fasthttp.RequestHeader) {
	key := r.up.Key
	if key == "" {
		return
	}
	for name := range head.All() {
		if isCredential(name) {
			return
		}
	}
	if r.anthropic() {
		head.Set("X-Api-Key", key)
	} else {
		head.Set("Authorization", "Bearer "+key)
	}
}

// anthropic reports whether the client speaks Anthropic's API, so that errors and keys have its shape.
func (r *request) anthropic() bool {
	return r.dialect == dialectMessages || headerValue(&r.ctx.Request.Header, "Anthropic-Version") != nil
}
