package scoring

import (
	"cmp"
	"slices"

	"github.com/pith-llm/pith/cache"
)

// passage is a text that the encoder reads, or the beginning of one.
type passage struct {
	key  cache.Key
	text string
	ids  []int32 // nil until they are needed
}

func newPassage(text string) passage {
	return passage{key: cache.NewKey("document").Text("text", text).Sum(), text: text}
}

// passage is what the encoder reads of a segment.
func (c *call) passage(i int) passage { return passage{key: c.keys[i], text: c.segments[i].document()} }

// tokenize sets the ids of those passages that lack them.
func tokenize(encoder *Encoder, passages []passage) {
	_ = inParallel(len(passages), encoder.options.Workers, func(i int) error {
		if p := &passages[i]; p.ids == nil {
			p.ids = encoder.Tokens(p.text)
		}
		return nil
	})
}

// begin cuts a passage to its first tokens, [CLS] and [SEP] included, and reports whether it was longer.
func (p *passage) begin(tokens int) bool {
	if len(p.ids) <= tokens {
		return false
	}
	p.key = cache.NewKey("beginning").Key("document", p.key).Int("tokens", tokens).Sum()
	p.ids = append(slices.Clone(p.ids[:tokens-1]), p.ids[len(p.ids)-1])
	return true
}

// reading is what the encoder reads of the segments of a call.
type reading struct {
	which    []int     // the segments that are read, in order
	passages []passage // what is read of each
	cut      int       // of how many only the beginning
}

// allOf is all of the segments which.
func (c *call) allOf(which []int) reading {
	r := reading{which: which, passages: make([]passage, len(which))}
	for k, i := range which {
		r.passages[k] = c.passage(i)
	}
	return r
}

// beginnings are the lengths to which segments are cut, in tokens with [CLS] and [SEP].
var beginnings = [...]int{192, 128, 96, 64, 48, shortestBeginning}

const shortestBeginning = 32

// planned is what the plan allows: everything; or else, in the order of the query's words that they have, the best segments
// whole and the beginnings of the others, as long as they fit; or else the shortest beginnings of as many as fit. Code is not
// read whole: a definition says at its beginning what it is.
func (c *call) planned(encoder *Encoder, rows []row) reading {
	if c.scorer.options.Plan.Time == 0 {
		return c.allOf(allOf(c.segments))
	}
	room := c.purse.encoder() - len(encoder.Tokens(c.query.short))
	if c.query.headline != c.query.short {
		room -= len(encoder.Tokens(c.query.headline))
	}
	room = max(0, room)
	if r, ok := c.everything(encoder, room); ok {
		return r
	}
	order := descending(wordSums(rows))
	order = order[:min(len(order), room/shortestBeginning)] // the others are not looked at, however many they are
	passages := make([]passage, len(order))
	for k, i := range order {
		passages[k] = c.passage(i)
	}
	tokenize(encoder, passages)
	whole := room / 2 * c.others(order) / max(1, len(order))
	var best, rest []int // places in order
	for k, i := range order {
		if n := len(passages[k].ids); c.segments[i].Family != Code && n <= whole {
			whole -= n
			room -= n
			best = append(best, k)
		} else {
			rest = append(rest, k)
		}
	}
	rest = rest[:min(len(rest), room/shortestBeginning)]
	var r reading
	limit := beginningWithin(passages, rest, room)
	for _, k := range rest {
		if passages[k].begin(limit) {
			r.cut++
		}
	}
	best = append(best, rest...)
	slices.SortFunc(best, func(a, b int) int { return cmp.Compare(order[a], order[b]) })
	for _, k := range best {
		r.which, r.passages = append(r.which, order[k]), append(r.passages, passages[k])
	}
	return r
}

// bytesOfToken is more than a token of the encoder holds on average, of any text that is not white space for the most part.
const bytesOfToken = 12

// everything reads all segments; false if they do not fit.
func (c *call) everything(encoder *Encoder, room int) (reading, bool) {
	least := 0
	for i := range c.segments {
		least += min(len(c.segments[i].Text)/bytesOfToken, encoder.limit)
	}
	if least > room { // without a closer look, since there may be any number of them
		return reading{}, false
	}
	r := c.allOf(allOf(c.segments))
	tokenize(encoder, r.passages)
	for _, p := range r.passages {
		room -= len(p.ids)
	}
	return r, room >= 0
}

// others counts those of segments that are no code.
func (c *call) others(which []int) int {
	n := 0
	for _, i := range which {
		if c.segments[i].Family != Code {
			n++
		}
	}
	return n
}

// beginningWithin returns the longest of beginnings that fits into room if each of the passages which is cut to it; the
// shortest if none does.
func beginningWithin(passages []passage, which []int, room int) int {
	for _, limit := range beginnings {
		sum := 0
		for _, k := range which {
			sum += min(limit, len(passages[k].ids))
		}
		if sum <= room {
			return limit
		}
	}
	return shortestBeginning
}

// wordSums tells which segments the encoder reads where it cannot read all: those with most of the query's words, exact
// mentions and names.
func wordSums(rows []row) []float64 {
	sums := make([]float64, len(rows))
	for i := range rows {
		r := &rows[i]
		words := r[FeatureBM25] + r[FeatureGrams] + r[FeatureBestLine] + r[FeatureHeadlineBM25] + r[FeatureMentions]
		names := r[FeatureTextPeak] + r[FeatureNameMentioned] + r[FeatureTextMentioned] + r[FeatureQueryInName]
		sums[i] = rounded(float64(words) + float64(names)/2)
	}
	return sums
}
