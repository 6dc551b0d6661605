package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// upstream is a server that requests go to. fasthttp pools its connections and writes the request's head; the
// exchange itself is ours, because fasthttp's reads an answer only once the request is written in full, cannot be
// cancelled while it waits, and bounds an answer's whole time instead of its silences. So is the reading of the answer: of its
// head fasthttp keeps too little, and some trailers it takes for a broken body.
type upstream struct {
	Upstream

	pool      *fasthttp.HostClient
	shortener *shortener
	host      string
	prefix    string // of every path
	versioned bool   // the base URL ended with /v1, which is left to the requests
}

// newUpstream returns an upstream whose settings are filled. It lacks its shortener.
func newUpstream(settings Upstream, o Options) (*upstream, error) {
	base, err := parseUpstream(settings.URL)
	if err != nil {
		return nil, err
	}
	address := base.Host
	if base.Port() == "" {
		port := "80"
		if base.Scheme == "https" {
			port = "443"
		}
		address = net.JoinHostPort(base.Hostname(), port)
	}
	dial := o.Dial
	if dial == nil {
		if dial, err = dialer(base, settings.Proxy, settings.ConnectTimeout); err != nil {
			return nil, err
		}
	}
	u := &upstream{Upstream: settings, host: base.Host}
	u.prefix, u.versioned = strings.CutSuffix(strings.TrimSuffix(base.EscapedPath(), "/"), "/v1")
	u.pool = &fasthttp.HostClient{
		Addr:                     address,
		IsTLS:                    base.Scheme == "https",
		TLSConfig:                o.TLS,
		NoDefaultUserAgentHeader: true,
		MaxConns:                 1 << 16,
		MaxIdleConnDuration:      o.KeepAlive,
		ConnPoolStrategy:         fasthttp.LIFO,
		ReadBufferSize:           headerBuffer,
		WriteBufferSize:          headerBuffer,
		WriteTimeout:             settings.ConnectTimeout, // bounds the TLS handshake
		SecureErrorLogMessage:    true,
		Dial: func(address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(context.Background(), settings.ConnectTimeout)
			defer cancel()
			conn, err := dial(ctx, address)
			if err != nil {
				return nil, err
			}
			return &countingConn{Conn: conn}, nil
		},
	}
	return u, nil
}

// parseUpstream reads and checks an upstream's base URL.
func parseUpstream(raw string) (*url.URL, error) {
	base, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, fmt.Errorf("upstream is not a URL: %w", err)
	case base.Scheme != "http" && base.Scheme != "https":
		return nil, fmt.Errorf("upstream %q must begin with http:// or https://", base.Redacted())
	case base.Hostname() == "":
		return nil, fmt.Errorf("upstream %q names no host", base.Redacted())
	case base.User != nil:
		return nil, errors.New("upstream must not hold a user or password: clients send their own credentials")
	case base.RawQuery != "" || base.Fragment != "":
		return nil, fmt.Errorf("upstream %q must end with its path", base.Redacted())
	}
	return base, nil
}

// countingConn counts the bytes written, so that a failed request is sent again only if none was, and notes a read or write
// that ran out of time, which fasthttp's errors do not tell.
type countingConn struct {
	net.Conn
	written  atomic.Int64
	timedOut atomic.Bool
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.note(err)
	return n, err
}

func (c *countingConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	c.note(err)
	return n, err
}

func (c *countingConn) note(err error) {
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		c.timedOut.Store(true)
	}
}

// written returns how many bytes were written to the wire.
func written(conn net.Conn) int64 { return wire(conn).written.Load() }

// wire returns the connection below TLS.
func wire(conn net.Conn) *countingConn {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	return conn.(*countingConn)
}

// requestBody is what goes up: bytes that can be sent again, or a stream that cannot.
type requestBody struct {
	bytes []byte
	// decoded says that bytes no longer have the encodings that the client's head names.
	decoded bool
	// stream is read to its end; length is its size, -1 if unknown. interrupt, if set, makes a Read in progress return.
	stream    io.Reader
	length    int
	interrupt func()
	// finished, if set, is called once the stream has been read to its end.
	finished func()
	// trailers returns the lines that come behind a stream of unknown length, once it has been read to its end.
	trailers func() ([]byte, error)
	// websocket says that the head asks for a WebSocket instead.
	websocket bool
}

// streamed is a body whose bytes are sent while the answer is awaited.
func (b requestBody) streamed() requestBody {
	return requestBody{stream: bytes.NewReader(b.bytes), length: len(b.bytes)}
}

// failure is why an exchange with the upstream failed.
type failure struct {
	status int
	code   string
	err    error
}

func (f *failure) Error() string { return f.code + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// exchange is a request that is being answered.
type exchange struct {
	up       *upstream
	conn     net.Conn
	release  func(reuse bool)
	stop     func() bool // ends the watch over the context
	reader   *bufio.Reader
	head     answerHead // of the answer
	body     io.Reader  // of the answer, nil if it has none
	left     int        // of a body of stated length
	trailers []field    // that came behind a body in chunks, once it was read to its end
	upload   *upload    // nil for a body that was sent at once
	ended    bool       // the answer was read to its end
	taken    bool       // the connection serves another protocol by now
}

// do sends a request and reads the head of the answer. head holds everything but the framing; it is not kept. Interim answers,
// but for 100 and 101, are handed to interim as they come. Ending ctx closes the connection. Unless an error is returned, the
// exchange must be closed.
func (u *upstream) do(ctx context.Context, head *fasthttp.RequestHeader, body requestBody, interim func(answerHead)) (*exchange, error) {
	for {
		x, again, err := u.try(ctx, head, body, interim)
		if err == nil || !again || ctx.Err() != nil {
			return x, err
		}
	}
}

// try is one attempt of do. again says that the request may be sent once more: it went to a pooled connection that the
// upstream had closed, and not a byte of it was written, or it is one that may be repeated.
func (u *upstream) try(ctx context.Context, head *fasthttp.RequestHeader, body requestBody, interim func(answerHead)) (x *exchange, again bool, err error) {
	conn, err := u.acquire(ctx)
	for err == nil && conn.pooled && isStale(wire(conn.conn).Conn) {
		conn.release(false)
		conn, err = u.acquire(ctx)
	}
	if err != nil {
		timeout, ok := errors.AsType[net.Error](err)
		if ok && timeout.Timeout() || errors.Is(err, fasthttp.ErrTLSHandshakeTimeout) {
			return nil, false, &failure{fasthttp.StatusGatewayTimeout, "upstream_connect_timeout", err}
		}
		return nil, false, &failure{fasthttp.StatusBadGateway, "upstream_unreachable", err}
	}
	pooled, before := conn.pooled, written(conn.conn)
	x = &exchange{up: u, conn: conn.conn, release: conn.release}
	x.stop = context.AfterFunc(ctx, func() { _ = x.conn.Close() })
	defer func() {
		if err != nil {
			x.Close()
			x = nil
		}
	}()
	if err := errors.Join(x.conn.SetReadDeadline(time.Time{}), x.conn.SetWriteDeadline(time.Now().Add(u.HeaderTimeout))); err != nil {
		return x, pooled, &failure{fasthttp.StatusBadGateway, "upstream_broken", err}
	}
	if err := x.send(head, body); err != nil {
		failed := &failure{fasthttp.StatusBadGateway, "upstream_broken", err}
		if wire(x.conn).timedOut.Load() {
			failed = &failure{fasthttp.StatusGatewayTimeout, "upstream_timeout", err}
		}
		return x, pooled && written(x.conn) == before, failed
	}
	x.reader = u.pool.AcquireReader(x.conn)
	if err := x.receive(interim); err != nil {
		repeatable := (head.IsGet() || head.IsHead()) && body.stream == nil
		if x.upload != nil {
			if cut := x.upload.cut.Load(); cut != nil {
				return x, false, *cut
			}
		}
		switch {
		case wire(x.conn).timedOut.Load():
			return x, false, &failure{fasthttp.StatusGatewayTimeout, "upstream_timeout", errors.New("no answer in time")}
		case errors.Is(err, errHeadTooLarge):
			return x, false, &failure{fasthttp.StatusBadGateway, "upstream_headers_too_large", err}
		case errors.Is(err, errHead):
			return x, false, &failure{fasthttp.StatusBadGateway, "upstream_broken", err}
		}
		return x, pooled && repeatable, &failure{fasthttp.StatusBadGateway, "upstream_broken", errors.New("the connection broke before an answer")}
	}
	if x.head.status == fasthttp.StatusSwitchingProtocols && !body.websocket {
		return x, false, &failure{fasthttp.StatusBadGateway, "upstream_broken", errHead}
	}
	if !x.head.bodiless(string(head.Method())) {
		x.openBody()
	}
	return x, false, nil
}

// receive reads the head of the answer and those of interim ones before it.
func (x *exchange) receive(interim func(answerHead)) error {
	for range maxInterim {
		head, err := readAnswerHead(x.reader)
		if err != nil {
			return err
		}
		if !head.interim() {
			x.head = head
			return nil
		}
		if head.status != fasthttp.StatusContinue { // which the client has had, if it wanted it
			interim(head)
		}
	}
	return errHead
}

// openBody has the answer's body read as it is framed.
func (x *exchange) openBody() {
	switch x.head.length {
	case inChunks:
		x.body = httputil.NewChunkedReader(x.reader)
	case untilEnd:
		x.body = x.reader
	default:
		x.left = x.head.length
		x.body = io.LimitReader(x.reader, int64(x.left))
	}
}

// lease is a connection of the pool, taken out for one exchange.
type lease struct {
	conn    net.Conn
	pooled  bool // it has served before
	release func(reuse bool)
}

// acquire takes a connection from the pool or makes one, no longer than the connect timeout and ctx allow. What is
// connected after that serves a later request.
func (u *upstream) acquire(ctx context.Context) (lease, error) {
	ctx, cancel := context.WithTimeout(ctx, u.ConnectTimeout)
	defer cancel()
	type acquired struct {
		lease lease
		err   error
	}
	result := make(chan acquired)
	go func() {
		var got acquired
		conn, err := u.pool.AcquireConn(u.ConnectTimeout, false)
		if err != nil {
			got.err = err
		} else {
			got.lease = lease{conn.Conn(), !conn.LastUseTime().IsZero(), func(reuse bool) {
				if reuse {
					u.pool.ReleaseConn(conn)
				} else {
					u.pool.CloseConn(conn)
				}
			}}
		}
		select {
		case result <- got:
		case <-ctx.Done():
			if got.err == nil {
				got.lease.release(true)
			}
		}
	}()
	select {
	case got := <-result:
		return got.lease, got.err
	case <-ctx.Done():
		return lease{}, ctx.Err() // of which a timeout is a net.Error
	}
}

// send writes the request, a stream or much of a body in the background: servers may answer before they have read it all, and then
// read no more.
func (x *exchange) send(head *fasthttp.RequestHeader, body requestBody) error {
	if len(body.bytes) > copyBuffer {
		body = body.streamed()
	}
	if body.stream == nil {
		if body.bytes != nil {
			stateLength(head, len(body.bytes))
		}
		w := x.up.pool.AcquireWriter(x.conn)
		defer x.up.pool.ReleaseWriter(w)
		if err := head.Write(w); err != nil {
			return err
		}
		if _, err := w.Write(body.bytes); err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
		return x.conn.SetReadDeadline(time.Now().Add(x.up.HeaderTimeout))
	}
	stateLength(head, body.length)
	w := x.up.pool.AcquireWriter(x.conn)
	err := head.Write(w)
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		x.up.pool.ReleaseWriter(w)
		return err
	}
	x.upload = &upload{x: x, body: body, done: make(chan struct{})}
	go x.upload.run(w)
	return nil
}

// stateLength states the length of a request's body, -1 if it is sent in chunks.
func stateLength(head *fasthttp.RequestHeader, length int) {
	if length < 0 {
		head.Set("Transfer-Encoding", "chunked")
	} else {
		head.Set("Content-Length", strconv.Itoa(length))
	}
}

// Read reads the answer's body; it fails after a silence of the idle timeout. A body that ends before its length or its
// last chunk is an error, not an end.
func (x *exchange) Read(p []byte) (int, error) {
	if x.body == nil || x.ended {
		return 0, io.EOF
	}
	if err := x.conn.SetReadDeadline(time.Now().Add(x.up.IdleTimeout)); err != nil {
		return 0, err
	}
	n, err := x.body.Read(p)
	x.left -= n
	whole := x.head.length >= 0 && x.left == 0 // told with the last bytes: the client, which has counted them, may leave
	switch {
	case !whole && !errors.Is(err, io.EOF):
		return n, err
	case x.head.length == inChunks:
		if x.trailers, err = readTrailers(x.reader); err != nil {
			return n, err
		}
	case x.head.length >= 0 && !whole:
		return n, io.ErrUnexpectedEOF
	}
	x.ended = true
	return n, io.EOF
}

// hasBody reports whether the answer has a body, be it an empty one.
func (x *exchange) hasBody() bool { return x.body != nil }

// Close ends the exchange: the connection goes back to the pool if both sides are through with it, else it is closed,
// which tells the upstream to stop.
func (x *exchange) Close() {
	uploaded := x.upload == nil || x.upload.stop()
	alive := x.stop()
	reuse := false
	if x.head.status != 0 {
		framed := !x.hasBody() || x.ended && x.head.length != untilEnd
		reuse = alive && uploaded && framed && !x.taken && !x.head.closes && x.reader.Buffered() == 0
	}
	if x.reader != nil {
		x.up.pool.ReleaseReader(x.reader)
	}
	x.release(reuse)
}

// upload sends a request body while the answer may already be read.
type upload struct {
	x    *exchange
	body requestBody
	done chan struct{}
	sent bool // in full; valid once done is closed
	cut  atomic.Pointer[error]
}

// errBodyCut wraps why a client's body broke off.
var errBodyCut = errors.New("the client's body broke off")

// run copies the stream, flushing after every read. A stream that breaks breaks the request too: closing the connection
// before the last byte is what tells the upstream that it is not whole.
func (up *upload) run(w *bufio.Writer) {
	defer close(up.done)
	defer up.x.up.pool.ReleaseWriter(w)
	defer func() { _ = up.x.conn.SetReadDeadline(time.Now().Add(up.x.up.HeaderTimeout)) }() // for the answer, however this ends
	buffer := make([]byte, copyBuffer)
	chunked := up.body.length < 0
	left := up.body.length
	for {
		n, err := up.body.stream.Read(buffer)
		if left -= n; errors.Is(err, io.EOF) && !chunked && left > 0 {
			err = io.ErrUnexpectedEOF
		}
		if n > 0 {
			_ = up.x.conn.SetWriteDeadline(time.Now().Add(up.x.up.IdleTimeout))
			if writeErr := writeBody(w, buffer[:n], chunked); writeErr != nil {
				return // the upstream has heard enough; its answer may say why
			}
		}
		switch {
		case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			if chunked {
				trailers, err := up.body.trailers()
				if err != nil {
					up.broke(err)
					return
				}
				if _, err := w.Write(lastChunk(trailers)); err != nil || w.Flush() != nil {
					return
				}
			}
			up.sent = true
			if up.body.finished != nil {
				up.body.finished()
			}
			return
		case err != nil:
			up.broke(err)
			return
		}
	}
}

// broke breaks the request off because the client's body cannot be sent to its end.
func (up *upload) broke(err error) {
	err = fmt.Errorf("%w: %w", errBodyCut, err)
	up.cut.Store(&err)
	_ = up.x.conn.Close()
}

// writeBody writes a piece of a body and flushes it.
func writeBody(w *bufio.Writer, p []byte, chunked bool) error {
	if !chunked {
		_, err := w.Write(p)
		return errors.Join(err, w.Flush())
	}
	_, err := fmt.Fprintf(w, "%x\r\n", len(p))
	_, err2 := w.Write(p)
	_, err3 := w.WriteString("\r\n")
	return errors.Join(err, err2, err3, w.Flush())
}

// stop waits for the copying to end, by force if it has not, and reports whether the body was sent in full.
func (up *upload) stop() bool {
	select {
	case <-up.done:
	default:
		_ = up.x.conn.Close()
		if up.body.interrupt != nil {
			up.body.interrupt()
		}
		<-up.done
	}
	return up.sent
}
