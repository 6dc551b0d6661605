package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

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

// trailers are the lines behind the client's body, which has been read to its end, but for those of pith and of the connection.
// fasthttp has refused those that frame a body, route a request, sign it or say for whom it is.
func (r *request) trailers() (lines []byte, err error) {
	fields, err := parseFields(string(r.ctx.Request.Header.TrailerHeader()))
	if err != nil {
		return nil, err
	}
	named := r.connectionHeaders()
	for _, f := range fields {
		if !r.keeps([]byte(f.name), []byte(f.value), named) {
			lines = appendField(lines, f.name, f.value)
		}
	}
	return lines, nil
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
