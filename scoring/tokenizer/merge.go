package tokenizer

import (
	"math"
	"slices"
	"sync"
)

// noRank marks a pair that cannot be joined.
const noRank = math.MaxUint32

// heapFrom is the number of symbols from which joining keeps its candidates in a heap: below it, looking through all
// pairs for the lowest rank is faster.
const heapFrom = 64

// A ranker knows which pairs of tokens can be joined.
type ranker interface {
	// join returns the rank (lower joins first) and the token of the word's bytes [start, end), which are the tokens
	// left and right; noRank if they cannot be joined.
	join(word string, start, end int, left, right int32) (rank uint32, id int32)
}

// symbol is one token of a word being joined. It covers the bytes from start to the next symbol's start.
type symbol struct {
	start, next, prev int32
	id                int32
	rank              uint32 // of joining this symbol with the next one
	joined            int32  // the token that this gives
}

type candidate struct {
	rank   uint32
	symbol int32
}

// merger holds the memory for joining one word at a time.
type merger struct {
	symbols []symbol
	heap    []candidate
}

var mergers = sync.Pool{New: func() any { return new(merger) }}

// maxKept bounds the memory that an idle merger keeps, in symbols.
const maxKept = 1 << 16

func (m *merger) release() {
	if cap(m.symbols) <= maxKept {
		mergers.Put(m)
	}
}

// merge appends to dst the tokens of word: its bytes, joined pair by pair, the lowest rank first and the leftmost of equal
// ranks. single maps a byte to its token; a byte mapped to -1 is dropped. With count set, nothing is appended. It returns
// dst and the number of tokens.
func (m *merger) merge(dst []int32, word string, single *[256]int32, r ranker, count bool) ([]int32, int) {
	n := len(word)
	if cap(m.symbols) < n+1 {
		m.symbols = make([]symbol, max(n+1, 2*heapFrom))
	}
	s := m.symbols[:0]
	for i := range n {
		if id := single[word[i]]; id >= 0 {
			at := int32(len(s))
			s = append(s, symbol{start: int32(i), id: id, prev: at - 1, next: at + 1})
		}
	}
	end := int32(len(s))
	s = append(s, symbol{start: int32(n), prev: end - 1, next: -1, rank: noRank})
	for i := range end {
		m.rank(s, word, r, i)
	}
	if end < heapFrom {
		s = m.scan(s, word, r)
		if !count {
			for i := range s[:len(s)-1] {
				dst = append(dst, s[i].id)
			}
		}
		return dst, len(s) - 1
	}
	m.drain(s, word, r)
	tokens := 0
	for i := int32(0); i < end; i = s[i].next {
		if !count {
			dst = append(dst, s[i].id)
		}
		tokens++
	}
	return dst, tokens
}

// rank sets the rank of joining symbol i with its successor, by the linked list.
func (m *merger) rank(s []symbol, word string, r ranker, i int32) {
	j := s[i].next
	if s[j].next < 0 {
		s[i].rank = noRank
		return
	}
	end := s[s[j].next].start
	s[i].rank, s[i].joined = r.join(word, int(s[i].start), int(end), s[i].id, s[j].id)
}

// scan joins until no pair can be joined, in a dense array.
func (m *merger) scan(s []symbol, word string, r ranker) []symbol {
	for {
		best, at := uint32(noRank), -1
		for i := range s {
			if s[i].rank < best {
				best, at = s[i].rank, i
			}
		}
		if at < 0 {
			return s
		}
		s[at].id = s[at].joined
		s = slices.Delete(s, at+1, at+2)
		for _, i := range [2]int{at - 1, at} {
			if i < 0 {
				continue
			}
			s[i].rank = noRank
			if i+2 < len(s) {
				s[i].rank, s[i].joined = r.join(word, int(s[i].start), int(s[i+2].start), s[i].id, s[i+1].id)
			}
		}
	}
}

// drain joins until no pair can be joined, taking candidates from a heap: n log n for n symbols.
func (m *merger) drain(s []symbol, word string, r ranker) {
	m.heap = m.heap[:0]
	for i := range s {
		if s[i].rank != noRank {
			m.heap = append(m.heap, candidate{s[i].rank, int32(i)})
		}
	}
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	for len(m.heap) > 0 {
		top := m.heap[0]
		if s[top.symbol].rank != top.rank { // a neighbour was joined since
			m.pop()
			continue
		}
		i := top.symbol
		gone := s[i].next
		s[gone].rank = noRank
		s[i].id, s[i].next = s[i].joined, s[gone].next
		s[s[i].next].prev = i
		m.rank(s, word, r, i)
		if s[i].rank != noRank {
			m.heap[0] = candidate{s[i].rank, i}
			m.down(0)
		} else {
			m.pop()
		}
		if p := s[i].prev; p >= 0 {
			m.rank(s, word, r, p)
			if s[p].rank != noRank {
				m.push(candidate{s[p].rank, p})
			}
		}
	}
}

func (c candidate) less(d candidate) bool {
	return c.rank < d.rank || c.rank == d.rank && c.symbol < d.symbol
}

func (m *merger) push(c candidate) {
	m.heap = append(m.heap, c)
	h := m.heap
	for i := len(h) - 1; i > 0; {
		parent := (i - 1) / 2
		if !h[i].less(h[parent]) {
			break
		}
		h[i], h[parent] = h[parent], h[i]
		i = parent
	}
}

func (m *merger) pop() {
	last := len(m.heap) - 1
	m.heap[0] = m.heap[last]
	m.heap = m.heap[:last]
	m.down(0)
}

func (m *merger) down(i int) {
	h := m.heap
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if child+1 < len(h) && h[child+1].less(h[child]) {
			child++
		}
		if !h[child].less(h[i]) {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}
