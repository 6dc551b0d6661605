package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// socket is a WebSocket between a client and the upstream. Frames pass as they came, each way in one goroutine. Of the
// Responses API the client's text messages are gathered, and a response.create event whose input is shortened goes up as
// one frame; what the upstream says is listened to on its way.
type socket struct {
	r       *request
	x       *exchange
	client  net.Conn // written to; what it sends is read through fasthttp's buffer
	dialect dialect  // of the events; dialectNone if nothing is looked at
	policy  policy
	talk    socketTalk
	prompts socketPrompts
	closed  atomic.Bool // a close frame has passed, either way
	leaving atomic.Bool // pith ends the connection by a close frame of its own

	writing  sync.Mutex // to the client; held for a whole frame, so that a frame of pith's own falls between two
	toClient patientWriter
	out      *bufio.Writer // of it
	torn     bool          // the last frame has not been written in full
	sent     int           // bytes of payloads
	received int           // bytes of payloads
}

// farewell is how long a client may take to answer a close frame.
const farewell = time.Second

// run serves the connection of the client, which sends what is read from in, until either side leaves, the request's time is
// over or the server stops.
func (s *socket) run(in io.Reader, greeting []byte) {
	s.toClient = patientWriter{s.client, s.r.server.options.ClientTimeout}
	s.out = bufio.NewWriterSize(&s.toClient, copyBuffer)
	_ = s.x.conn.SetDeadline(time.Time{}) // silence is no fault here
	defer s.x.Close()
	expired := context.AfterFunc(s.r.life, func() { s.close(closeGoingAway, "the proxy ends this connection") })
	defer context.AfterFunc(s.r.server.working, func() {
		if s.talk.leave() {
			s.close(closeGoingAway, "the proxy is being stopped")
		}
	})()
	_, _ = s.out.Write(greeting) // an error shows when it is flushed
	down := make(chan error, 1)
	go func() {
		down <- s.down()
		if s.closed.Load() || s.leaving.Load() {
			_ = s.client.SetReadDeadline(time.Now().Add(farewell))
		} else {
			_ = s.client.Close() // broken off, as the upstream has
		}
	}()
	err := s.up(in)
	switch {
	case s.leaving.Load():
		_, _ = io.Copy(io.Discard, in) // so that the client can see why
	case s.closed.Load():
		_ = s.x.conn.SetReadDeadline(time.Now().Add(farewell)) // for the upstream's close frame
	default:
		if len(down) == 0 && s.r.life.Err() == nil {
			s.r.finish() // the client left
		}
		_ = s.x.conn.Close()
	}
	if downErr := <-down; err == nil {
		err = downErr
	}
	bad := errors.Is(err, errFrame) || errors.Is(err, errBodyTooLarge)
	ended := s.leaving.Load() || s.r.life.Err() != nil
	if s.closed.Load() || !bad && ended && s.talk.idle() {
		err = nil // nobody misses anything
	}
	if err != nil {
		err = errRelay
	}
	expired()
	s.prompts.abandon()
	s.r.received = s.received
	s.r.done(fasthttp.StatusSwitchingProtocols, s.sent, err)
}

// close ends the upstream's connection and says so to the client, who has a moment to answer.
func (s *socket) close(code closeCode, reason string) {
	s.leaving.Store(true)
	_ = s.x.conn.Close()
	_ = s.client.SetDeadline(time.Now().Add(farewell)) // also for a frame that is being written
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.torn {
		return
	}
	s.torn = true // nothing may follow
	s.toClient.patience = farewell
	_, _ = s.out.Write(closeFrame(code, reason))
	_ = s.out.Flush() // whoever is gone need not know
}

// patientWriter bounds the time in which each write must be taken.
type patientWriter struct {
	conn     net.Conn
	patience time.Duration
}

// Write writes p.
func (w *patientWriter) Write(p []byte) (int, error) {
	if err := w.conn.SetWriteDeadline(time.Now().Add(w.patience)); err != nil {
		return 0, err
	}
	return w.conn.Write(p)
}

// peekUpTo returns what has come, at least one byte and at most n. Before it waits it flushes out.
func peekUpTo(in *bufio.Reader, n int64, out *bufio.Writer) ([]byte, error) {
	if in.Buffered() == 0 {
		if err := out.Flush(); err != nil {
			return nil, err
		}
	}
	if _, err := in.Peek(1); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return in.Peek(int(min(n, int64(in.Buffered()))))
}

// copyFrame passes a frame on as it comes; see, if not nil, is shown the payload.
func copyFrame(out *bufio.Writer, head *frameHead, in *bufio.Reader, see func([]byte)) error {
	if _, err := out.Write(head.bytes()); err != nil {
		return err
	}
	for left := head.length; left > 0; {
		part, err := peekUpTo(in, left, out)
		if err != nil {
			return err
		}
		if see != nil {
			see(part)
		}
		if _, err := out.Write(part); err != nil {
			return err
		}
		_, _ = in.Discard(len(part)) // they are there
		left -= int64(len(part))
	}
	return nil
}

// up passes the client's frames on until one of them ends the connection.
func (s *socket) up(client io.Reader) error {
	in := bufio.NewReaderSize(client, copyBuffer)
	out := bufio.NewWriterSize(&patientWriter{s.x.conn, s.x.up.IdleTimeout}, copyBuffer)
	var order messages
	var message gathered
	for {
		if in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
		}
		head, err := readFrameHead(in)
		if err == nil && !head.masked {
			err = errFrame
		}
		if err == nil && !head.op.isControl() {
			err = order.next(head)
		}
		switch {
		case errors.Is(err, errFrame):
			s.close(closeProtocol, "a frame breaks the protocol")
			return err
		case err != nil:
			return err
		case head.op.isControl() || s.dialect == dialectNone || order.op != opText:
			s.received += int(head.length)
			if err := copyFrame(out, &head, in, nil); err != nil {
				return err
			}
			if head.op == opClose { // after which nothing may follow
				s.closed.Store(true)
				return out.Flush()
			}
			continue
		}
		s.received += int(head.length)
		if err := message.add(head, in, out, s.r.server.options.MaxBody); err != nil {
			if errors.Is(err, errBodyTooLarge) {
				s.close(closeTooBig, "the message is larger than the proxy takes")
			}
			return err
		}
		if !head.fin {
			continue
		}
		if event := s.shorten(message.text); event != nil {
			_, err = out.Write(newFrame(opText, event, newMask()))
		} else {
			err = message.writeTo(out)
		}
		if err != nil {
			return err
		}
		message = gathered{}
	}
}

// gathered is a text message of the client: its frames, and their payloads unmasked, one behind the other.
type gathered struct {
	frames []frameHead
	text   []byte
}

// add reads the payload of the next frame of the message. More than limit bytes, or a frame for every 64 of them, are
// errBodyTooLarge.
func (g *gathered) add(head frameHead, in *bufio.Reader, out *bufio.Writer, limit int) error {
	if head.length > int64(limit-len(g.text)) || len(g.frames) > limit/64 {
		return errBodyTooLarge
	}
	g.frames = append(g.frames, head)
	start := len(g.text)
	for left := head.length; left > 0; { // memory only for what really comes
		part, err := peekUpTo(in, left, out)
		if err != nil {
			return err
		}
		g.text = append(g.text, part...)
		_, _ = in.Discard(len(part)) // they are there
		left -= int64(len(part))
	}
	applyMask(head.mask, g.text[start:])
	return nil
}

// writeTo writes the frames as they came. The text is masked again, and lost.
func (g *gathered) writeTo(out *bufio.Writer) error {
	rest := g.text
	for i := range g.frames {
		head := &g.frames[i]
		payload := rest[:head.length]
		rest = rest[head.length:]
		applyMask(head.mask, payload)
		if _, err := out.Write(head.bytes()); err != nil {
			return err
		}
		if _, err := out.Write(payload); err != nil {
			return err
		}
	}
	return nil
}

// shorten returns the event to send in place of a text message, nil to send it as it came.
func (s *socket) shorten(message []byte) []byte {
	r := s.r
	began := time.Now()
	event, err := readEvent(message)
	if err != nil || event.kind != "response.create" {
		return nil
	}
	p := s.policy
	p.before = s.talk.before(event.previous)
	out := shortened{report: Report{Mode: p.mode, Skip: SkipOff}}
	if p.mode != ModeOff && r.up.Compressor != nil {
		out = r.server.shorten(r.life, r.up.shortener, s.dialect, message, p)
	}
	out.edited = out.edited && p.mode != ModeObserve
	s.talk.asked(out)
	out.report.ID, out.report.Overhead = s.prompts.nextID(r.id), time.Since(began)
	s.prompts.asked(s, began, message, out)
	r.server.metrics.event(out.report)
	r.server.options.Logger.LogAttrs(context.Background(), slog.LevelInfo, "websocket event",
		append([]slog.Attr{slog.String("id", out.report.ID)}, out.report.attrs(s.dialect, out.edited)...)...)
	if r.server.options.Observe != nil {
		r.server.options.Observe(out.report)
	}
	if !out.edited {
		return nil
	}
	return out.body
}

// down passes the upstream's frames on until it ends the connection.
func (s *socket) down() error {
	in := s.x.reader
	var order messages
	var event listened
	for {
		if in.Buffered() == 0 {
			s.writing.Lock()
			err := s.out.Flush()
			s.writing.Unlock()
			if err != nil {
				return err
			}
		}
		head, err := readFrameHead(in)
		if err == nil && head.masked {
			err = errFrame
		}
		if err == nil && !head.op.isControl() {
			err = order.next(head)
		}
		if err != nil {
			return err
		}
		var listen func([]byte)
		if !head.op.isControl() && s.dialect != dialectNone && order.op == opText {
			listen = event.add
		}
		if err := s.frameDown(head, listen); err != nil {
			return err
		}
		if head.op == opClose {
			s.closed.Store(true)
		}
		if listen != nil && head.fin {
			s.heard(event.take())
		}
	}
}

// frameDown writes a frame to the client.
func (s *socket) frameDown(head frameHead, listen func([]byte)) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.torn {
		return net.ErrClosed
	}
	s.torn = true
	if err := copyFrame(s.out, &head, s.x.reader, listen); err != nil {
		return err
	}
	s.torn = false
	s.sent += int(head.length)
	if head.op == opClose {
		return s.out.Flush()
	}
	return nil
}

// heard takes note of an event of the upstream.
func (s *socket) heard(message []byte) {
	event, err := readEvent(message)
	if err != nil {
		return
	}
	s.prompts.heard(event)
	for _, key := range s.talk.heard(event) {
		s.r.up.shortener.memo.fail(key, errRefused)
	}
	if s.talk.left() {
		s.writing.Lock()
		_ = s.out.Flush()
		s.writing.Unlock()
		s.close(closeGoingAway, "the proxy is being stopped")
	}
}

// listened gathers a message of the upstream while it passes, unless it is long.
type listened struct {
	text []byte
	over bool
}

// maxListened is the longest message of the upstream that is read, in bytes.
const maxListened = 1 << 20

func (l *listened) add(part []byte) {
	if l.over = l.over || len(l.text)+len(part) > maxListened; l.over {
		l.text = nil
		return
	}
	l.text = append(l.text, part...)
}

// take returns the message, nil if it was too long, and begins the next.
func (l *listened) take() []byte {
	text := l.text
	*l = listened{}
	return text
}
