package proxy

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"sync"
	"time"
)

// watchedListener accepts connections that can be watched for their client's leaving.
type watchedListener struct{ net.Listener }

// Accept wraps the next connection.
func (l watchedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &watchedConn{Conn: conn}, nil
}

// watchedConn is a client's connection. While a request is being answered nothing is due from the client, so a read in
// the background returns only when it leaves, or sends the next request early: the byte read is then handed to the
// next Read. fasthttp itself notices a client's leaving only when a write fails.
type watchedConn struct {
	net.Conn
	// head, if set, is written in place of the next head that fasthttp writes, whose Connection header it lacks, and the empty
	// line: fasthttp's own response keeps neither the order of headers nor all that is said twice.
	head []byte
	// trailers, if set, are written behind the last chunk, which fasthttp writes next: its own trailers cannot have all names.
	trailers []byte

	mu      sync.Mutex
	pending *pendingRead
}

type pendingRead struct {
	done chan struct{}
	b    [1]byte
	n    int
	err  error
}

// watch calls gone, once, if the client leaves before the next Read of the server returns. The request must have been
// read to its end. A watch that is under way goes on and calls the new gone as well.
func (c *watchedConn) watch(gone func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending != nil {
		// The read of an earlier request still waits: the connection was idle since, and nothing was read.
		go func(p *pendingRead) {
			<-p.done
			if p.err != nil {
				gone()
			}
		}(c.pending)
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	p := &pendingRead{done: make(chan struct{})}
	c.pending = p
	go func() {
		p.n, p.err = c.Conn.Read(p.b[:])
		close(p.done)
		if p.err != nil {
			gone()
		}
	}()
}

// Read hands over what the watch has read, waiting for it if need be, and then reads on.
func (c *watchedConn) Read(b []byte) (int, error) {
	c.mu.Lock()
	p := c.pending
	c.mu.Unlock()
	if p == nil || len(b) == 0 {
		return c.Conn.Read(b)
	}
	<-p.done
	c.mu.Lock()
	c.pending = nil
	c.mu.Unlock()
	if p.n > 0 {
		b[0] = p.b[0]
	}
	return p.n, p.err
}

// Write writes, or replaces the head or the last chunk that is due. fasthttp writes each at once, at the beginning of an empty
// buffer.
func (c *watchedConn) Write(b []byte) (int, error) {
	switch {
	case c.head != nil:
		return c.writeHead(b)
	case c.trailers != nil:
		return c.writeTrailers(b)
	}
	return c.Conn.Write(b)
}

// writeHead writes what begins with fasthttp's head with the one that is due.
func (c *watchedConn) writeHead(b []byte) (int, error) {
	head := c.head
	c.head = nil
	own, body, ok := bytes.Cut(b, []byte("\r\n\r\n"))
	if !ok || !bytes.HasPrefix(own, []byte("HTTP/1.1 ")) {
		return 0, errHeadSplit
	}
	for line := range bytes.SplitSeq(own, []byte("\r\n")) {
		if bytes.HasPrefix(line, []byte("Connection: ")) {
			head = append(append(head, line...), "\r\n"...)
		}
	}
	if _, err := c.Conn.Write(append(append(head, "\r\n"...), body...)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// writeTrailers writes the last chunk with the trailers.
func (c *watchedConn) writeTrailers(b []byte) (int, error) {
	trailers := c.trailers
	c.trailers = nil
	if !bytes.Equal(b, lastChunk(nil)) {
		return 0, errLastChunkSplit
	}
	if _, err := c.Conn.Write(lastChunk(trailers)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// lastChunk ends a body in chunks, with the lines of trailers.
func lastChunk(trailers []byte) []byte {
	return slices.Concat([]byte("0\r\n"), trailers, []byte("\r\n"))
}

var (
	errHeadSplit      = errors.New("fasthttp wrote no whole head at once")
	errLastChunkSplit = errors.New("fasthttp wrote the last chunk with something else")
)
