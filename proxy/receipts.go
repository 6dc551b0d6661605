package proxy

import (
	"container/list"
	"encoding/json"
	"net/http"
	"sync"
)

// receipts holds the latest receipts within a bound of bytes.
type receipts struct {
	limit int

	mu    sync.Mutex
	bytes int
	byID  map[string]*list.Element
	order list.List // of *Receipt, the latest in front
}

// newReceipts returns a store of limit bytes, nil of none.
func newReceipts(limit int) *receipts {
	if limit == 0 {
		return nil
	}
	return &receipts{limit: limit, byID: map[string]*list.Element{}}
}

// put keeps a receipt, which its caller no longer changes, and gives up the oldest beyond the bound; one that passes the bound
// by itself is not kept.
func (s *receipts) put(r *Receipt) {
	size := r.size()
	if size > s.limit {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byID[r.ID] = s.order.PushFront(r)
	s.bytes += size
	for s.bytes > s.limit {
		oldest := s.order.Remove(s.order.Back()).(*Receipt)
		delete(s.byID, oldest.ID)
		s.bytes -= oldest.size()
	}
}

// get returns a receipt by the id of its request.
func (s *receipts) get(id string) (*Receipt, bool) {
	if s == nil {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.byID[id]
	if !ok {
		return nil, false
	}
	return e.Value.(*Receipt), true
}

// size estimates the memory of a receipt, in bytes, as if it shared nothing.
func (r *Receipt) size() int {
	size := 1024 + 16*len(r.Untouched)
	for _, t := range r.Texts {
		size += 192 + 48*len(t.Parts) + 72*len(t.Segments)
		for _, p := range t.Parts {
			size += len(p.Marker)
		}
		for _, s := range t.Segments {
			size += 24 * len(s.Terms)
		}
	}
	return size
}

// serveReceipt answers with the receipt of the request that the path names.
func (s *Server) serveReceipt(w http.ResponseWriter, r *http.Request) {
	receipt, ok := s.latest.Load().receipts.get(r.PathValue("id"))
	if !ok {
		http.Error(w, "no receipt with this id: only the latest are kept, within the setting receipts_mib", http.StatusNotFound)
		return
	}
	sealed, err := receipt.seal()
	if err != nil {
		http.Error(w, "the receipt cannot be written as JSON", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	_ = e.Encode(sealed) // the client is gone if this fails
}
