package proxy

import (
	"fmt"
	"reflect"
)

// Reload has new requests answered under other options. Requests under way end under those with which they began. What is
// known stays: metrics, and where the bounds and the compressor are the same, receipts and what became of turns. If the
// options make no sense the old ones stay and the error says why. The time that a client has for the head of a request
// stays as it was. Reload must not be called concurrently.
func (s *Server) Reload(o Options) error {
	if err := o.Validate(); err != nil {
		return err
	}
	before := s.latest.Load()
	next := &Server{
		options: o.filled(), metrics: before.metrics, latest: before.latest, loopback: before.loopback, base: before.base, end: before.end,
		working: before.working, drain: before.drain, sockets: before.sockets,
	}
	if err := next.open(before); err != nil {
		return fmt.Errorf("proxy.Options: %w", err)
	}
	s.latest.Store(next)
	before.closeIdle()
	return nil
}

// open makes what the options describe, or takes it from the server of before, which may be nil.
func (s *Server) open(before *Server) error {
	o := s.options
	if before != nil && before.options.Concurrency == o.Concurrency {
		s.slots = before.slots
	} else {
		s.slots = make(chan struct{}, o.Concurrency)
	}
	if before != nil && before.options.Requests == o.Requests {
		s.places = before.places
	} else {
		s.places = make(chan struct{}, o.Requests)
	}
	if before != nil && before.options.Receipts == o.Receipts {
		s.receipts = before.receipts
	} else {
		s.receipts = newReceipts(o.Receipts)
	}
	return s.openUpstreams(before)
}

// shortenerLike returns a shortener that does the same as sh, nil if there is none. s may be nil.
func (s *Server) shortenerLike(sh *shortener) *shortener {
	if s == nil {
		return nil
	}
	for _, u := range s.upstreams {
		known := u.shortener
		if sameCompressor(known.compressor, sh.compressor) && known.slots == sh.slots &&
			known.memo.limit == sh.memo.limit && known.memo.deadline == sh.memo.deadline {
			return known
		}
	}
	return nil
}

// sameCompressor reports whether two compressors are one; of those that cannot be compared that is not known.
func sameCompressor(a, b Compressor) bool {
	return a != nil && b != nil && reflect.TypeOf(a).Comparable() && a == b
}

// closeIdle closes the connections to the upstreams that nobody uses.
func (s *Server) closeIdle() {
	for _, u := range s.upstreams {
		u.pool.CloseIdleConnections()
	}
}
