package compressors

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"
)

// document is one text of a plan, segmented and scored. Its items are what is chosen from: segments, or pieces of them.
type document struct {
	*source
	name    string
	kind    TextKind
	comment string
	family  Family
	grammar *grammar // nil without one
	// sourceErrors returns syntaxErrors of the source, which is parsed once for all selections; set where there is a grammar.
	sourceErrors func() (count int, parsed bool)
	segments     []Segment
	tokens       []int // of each segment
	scores       []Score
	tokensIn     int

	items []item // they tile the text as the segments do
}

// item is what is kept or not: a segment, a part of one, or several that belong together.
type item struct {
	Segment // its Parent is an item
	tokens  int
	// of is the segment that it is of; of several, the best.
	of    int
	value float64
	// load is the tokens of what is kept for value: the item and, of a definition, what stands around its body.
	load int
	// auxiliary is set for what is around a body: it has no value of its own and is not chosen by value.
	auxiliary bool
	// led says that the item before the parent is the comment of the same definition, which is kept with this, its body.
	led bool
}

// ranked is one item of a turn in the order of choice.
type ranked struct {
	text, item int
	score      float64
}

// BreakTokens is what an item of a family costs in the order of choice besides its own tokens. In prose and records that
// is about the marker that it brings. Of code it is as much as a short function: a probability knows nothing of lengths,
// and of two segments that are as likely to hold what is needed the shorter is less often all of it. With 8, 30, 80 and
// 120 tokens commit_localize keeps .44, .51, .55 and .56 of its gold at a rate of .10 and .76, .76, .78 and .79 at .25
// (n=72), code_needle .83, .83, .84, .85 and .94, .95, .95, .95 (n=144), swe_localize .54, .53, .58, .57 and .77, .75,
// .75, .75 (n=60).
func BreakTokens(f Family) int {
	switch f {
	case Prose:
		return 3
	case Code:
		return 80
	default:
		return 8
	}
}

// rank orders all items by value, ties by text and then by offset. Values that are probabilities are divided by what the
// item costs: chosen in this order, items fill a budget with the most that is needed (Dantzig 1957, the greedy solution of
// the knapsack problem, which is off by less than one item).
func rank(docs []*document, probabilities bool) []ranked {
	var order []ranked
	for t, d := range docs {
		for i, item := range d.items {
			if item.auxiliary {
				continue
			}
			value := item.value
			if probabilities {
				value /= float64(item.load + BreakTokens(d.family))
			}
			order = append(order, ranked{t, i, value})
		}
	}
	slices.SortStableFunc(order, func(a, b ranked) int { return cmp.Compare(b.score, a.score) })
	return order
}

// likelyFirst returns order with the items first whose segment is likely to be needed, in both parts as before, and their
// number.
func likelyFirst(docs []*document, order []ranked, threshold float64) ([]ranked, int) {
	isLikely := func(r ranked) bool {
		d := docs[r.text]
		return d.scores[d.items[r.item].of].Value >= threshold
	}
	likely := make([]ranked, 0, len(order))
	for _, r := range order {
		if isLikely(r) {
			likely = append(likely, r)
		}
	}
	n := len(likely)
	for _, r := range order {
		if !isLikely(r) {
			likely = append(likely, r)
		}
	}
	return likely, n
}

// selection is a choice of items with its estimated cost: the sum of the kept items' tokens and of the markers'.
// The cost of the rendered text differs by what a tokenizer merges across their edges.
type selection struct {
	docs     []*document
	kept     []bitset
	closings []map[int][]int // of each text: see document.closings
	markers  *markerCosts
	cost     int
	with     []int // scratch
}

// choose keeps items in the given order as long as the cost stays within limit; one that does not fit is passed over. An
// item comes with its parents and with what closes them. Last, gaps whose marker costs as much as their text are filled.
func choose(docs []*document, order []ranked, needs *dependencies, free, limit, floor int, markers *markerCosts) *selection {
	s := &selection{docs: docs, kept: make([]bitset, len(docs)), closings: make([]map[int][]int, len(docs)), markers: markers}
	for t, d := range docs {
		s.closings[t] = d.closings()
		s.kept[t] = newBitset(len(d.items))
		s.cost += s.gapCost(t, -1, len(d.items))
	}
	if needs == nil {
		s.take(order, free, limit, floor)
	} else {
		most := limit - int(needs.share*float64(limit))
		s.take(order, free, most, min(floor, most))
		s.support(order, needs, min(limit, s.cost+int(needs.share/(1-needs.share)*float64(s.cost))))
		s.take(order, free, limit, floor)
	}
	s.fill()
	return s
}

// take keeps the items of order, the first free of them within limit and the others within floor.
func (s *selection) take(order []ranked, free, limit, floor int) {
	for place, r := range order {
		if place == free {
			limit = floor
		}
		if s.kept[r.text].has(r.item) || len(s.closings[r.text][r.item]) == 0 && s.docs[r.text].bare(r.item) {
			continue
		}
		s.keep(r.text, r.item, limit)
	}
}

// keep keeps an item with its parents, with what closes them and, of a body, with its comment. It changes nothing if the cost
// would pass limit.
func (s *selection) keep(text, item, limit int) {
	d, kept := s.docs[text], s.kept[text]
	with := s.with[:0]
	tokens := 0
	for i := item; i >= 0 && !kept.has(i); i = d.items[i].Parent {
		with = append(with, i)
		tokens += d.items[i].tokens
	}
	if d.items[item].led {
		with = append(with, d.items[item].Parent-1)
		tokens += d.items[d.items[item].Parent-1].tokens
	}
	for _, i := range with {
		for _, closing := range s.closings[text][i] {
			if !kept.has(closing) && closing != item {
				with = append(with, closing)
				tokens += d.items[closing].tokens
			}
		}
	}
	s.with = with
	if s.cost+tokens-maxMarker > limit {
		return
	}
	before := s.cost
	for _, i := range with {
		s.add(text, i)
	}
	if s.cost <= limit {
		return
	}
	for _, i := range with {
		kept.clear(i)
	}
	s.cost = before
}

// bare reports whether an item opens a block that only the items in it make complete: in Python, what ends in a colon. It
// is kept with one of those or not at all.
func (d *document) bare(i int) bool {
	s := d.items[i]
	return d.family == Code && s.Kind == KindHeader && strings.HasSuffix(strings.TrimRight(d.text[s.Start:s.End], " \t\r\n"), ":")
}

// closings returns for each item that opens something the items that close it, or go on with it between two blocks.
func (d *document) closings() map[int][]int {
	var list map[int][]int
	for i, s := range d.items {
		if s.Kind == KindClosing && s.Parent >= 0 {
			if list == nil {
				list = map[int][]int{}
			}
			list[s.Parent] = append(list[s.Parent], i)
		}
	}
	return list
}

// maxMarker bounds the tokens of a marker that keeping one more segment can make superfluous, unless the indentation is
// extreme: it spares the look at segments that are far too long.
const maxMarker = 64

// add keeps one segment.
func (s *selection) add(text, segment int) {
	kept := s.kept[text]
	previous, next := kept.previous(segment), kept.next(segment, len(s.docs[text].items))
	s.cost -= s.gapCost(text, previous, next)
	kept.set(segment)
	s.cost += s.docs[text].items[segment].tokens + s.gapCost(text, previous, segment) + s.gapCost(text, segment, next)
}

// gapCost returns the tokens of the markers for the segments between previous and next.
func (s *selection) gapCost(text, previous, next int) int {
	if previous+1 == next {
		return 0
	}
	d := s.docs[text]
	return s.markers.of(d, d.items[previous+1].Start, d.items[next-1].End)
}

// fill keeps the segments of every gap that counts no more tokens than its marker.
func (s *selection) fill() {
	for t, d := range s.docs {
		n := len(d.items)
		for previous := -1; previous < n; {
			next := s.kept[t].next(previous, n)
			text, orphan := 0, false
			for i := previous + 1; i < next; i++ {
				text += d.items[i].tokens
				if p := d.items[i].Parent; p >= 0 && p <= previous && !s.kept[t].has(p) {
					orphan = true
				}
			}
			if next > previous+1 && !orphan {
				if marker := s.gapCost(t, previous, next); text <= marker {
					for i := previous + 1; i < next; i++ {
						s.kept[t].set(i)
					}
					s.cost += text - marker
				}
			}
			previous = next
		}
	}
}

// markerCosts counts the tokens of markers, each spelling once.
type markerCosts struct {
	count func(string) int
	known map[string]int
	parts []Part
}

func newMarkerCosts(count func(string) int) *markerCosts {
	return &markerCosts{count: count, known: map[string]int{}}
}

// of returns the tokens of the markers that stand for the elided bytes [start, end) of d.
func (m *markerCosts) of(d *document, start, end int) int {
	m.parts = appendGap(m.parts[:0], d.source, d.comment, start, end)
	total := 0
	for _, p := range m.parts {
		text := p.Marker
		if text == "" {
			text = d.text[p.Start:p.End]
		}
		n, ok := m.known[text]
		if !ok {
			n = m.count(text)
			m.known[text] = n
		}
		total += n
	}
	return total
}

// bitset holds one bit a segment.
type bitset []uint64

func newBitset(n int) bitset { return make(bitset, (n+63)/64) }

func (b bitset) has(i int) bool { return b[i/64]>>(i%64)&1 != 0 }
func (b bitset) set(i int)      { b[i/64] |= 1 << (i % 64) }
func (b bitset) clear(i int)    { b[i/64] &^= 1 << (i % 64) }

// previous returns the last set bit before i, -1 without one.
func (b bitset) previous(i int) int {
	w := i / 64
	word := b[w] & (1<<(i%64) - 1)
	for word == 0 {
		if w--; w < 0 {
			return -1
		}
		word = b[w]
	}
	return w*64 + bits.Len64(word) - 1
}

// next returns the first set bit after i, n without one.
func (b bitset) next(i, n int) int {
	i++
	if i >= n {
		return n
	}
	w := i / 64
	word := b[w] >> (i % 64) << (i % 64)
	for word == 0 {
		if w++; w == len(b) {
			return n
		}
		word = b[w]
	}
	return w*64 + bits.TrailingZeros64(word)
}
