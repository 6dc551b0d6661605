package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

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
			b.conn.trailers = b.trailers()
			return int64(b.sent), nil
		}
		if err != nil {
			return int64(b.sent), b.broke(err)
		}
	}
}

// trailers are the lines that came behind the body, but for those of pith and of the connection.
func (b *relayed) trailers() (lines []byte) {
	for _, f := range b.x.trailers {
		if !isOwn([]byte(f.name)) && !isHop([]byte(f.name), b.x.head.options) {
			lines = appendField(lines, f.name, f.value)
		}
	}
	return lines
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
