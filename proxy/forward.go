package proxy

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// send forwards the request's head with a body and waits for the head of the answer.
func (r *request) send(body requestBody) (*exchange, error) {
	uri := r.ctx.Request.Header.RequestURI()
	if string(uri) != "*" && !bytes.HasPrefix(uri, []byte("/")) {
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
	named := r.connectionHeaders()
	for key, value := range r.ctx.Request.Header.AllInOrder() {
		switch {
		case strings.EqualFold(string(key), "TE") && takesTrailers(value):
			head.AddBytesKV(key, []byte("trailers")) // all that pith passes on of it
		case strings.EqualFold(string(key), "Trailer") && body.trailers != nil:
			head.AddBytesKV(key, value)
		case r.keeps(key, value, named):
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

// connectionHeaders are the names of the headers that belong to the client's connection because it says so.
func (r *request) connectionHeaders() (names []string) {
	for key, value := range r.ctx.Request.Header.AllInOrder() {
		if strings.EqualFold(string(key), "Connection") {
			names = append(names, connectionOptions(value)...)
		}
	}
	return names
}

// keeps reports whether a header or trailer of the client's is for pith or for the connection, and does not go up.
func (r *request) keeps(key, value []byte, named []string) bool {
	return isOwn(key) || isHop(key, named) || r.ownKey && isCredential(key) && r.isToken(credential(value))
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
