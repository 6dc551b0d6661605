package proxy

import (
	"net"
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
	// The answer before has been written: the limit of its last part is none of what is written next.
	_ = c.SetWriteDeadline(time.Time{})
	<-p.done
	c.mu.Lock()
	c.pending = nil
	c.mu.Unlock()
	if p.n > 0 {
		b[0] = p.b[0]
	}
	return p.n, p.err
}
