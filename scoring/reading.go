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

// codeBytes is how much code the encoder reads for one call, 1,500 tokens or so. It tells the best segments from each other, and
// hardly finds one that words, names and structure pass over: with twice as much no more gold is kept (0.83 of it for 0.80 on
// commit_localize at a quarter of the tokens, 0.97 for 0.95 on code_needle, out of fold), and reading all took 98 % of the time
// (`pith eval run` prints the stages).
const codeBytes = 6_000

// readable are the segments that the encoder reads: all but code, and of code those with most of the query's words, as far as
// codeBytes go; what no longer fits is passed over.
func (c *call) readable(rows []row) []int {
	var which, code []int
	for i := range c.segments {
		if c.segments[i].Family == Code {
			code = append(code, i)
		} else {
			which = append(which, i)
		}
	}
	room := codeBytes
	for _, at := range descending(wordSums(rows, code)) {
		if n := len(c.segments[code[at]].Text); n <= room {
			room -= n
			which = append(which, code[at])
		}
	}
	slices.Sort(which)
	return which
}

// planned is what the plan allows of the segments that are readable: everything; or else, in the order of the query's words
// that they have, the best segments whole and the beginnings of the others, as long as they fit; or else the shortest
// beginnings of as many as fit.
func (c *call) planned(encoder *Encoder, rows []row, readable []int) reading {
	if c.scorer.options.Plan.Time == 0 {
		return c.allOf(readable)
	}
	room := c.purse.encoder() - c.questionTokens(encoder)
	if c.query.headline != c.query.short {
		room -= len(encoder.Tokens(c.query.headline))
	}
	room = max(0, room)
	if r, ok := c.everything(encoder, room, readable); ok {
		return r
	}
	sums := wordSums(rows, readable)
	order := make([]int, min(len(readable), room/shortestBeginning)) // the others are not looked at, however many they are
	for k, at := range descending(sums)[:len(order)] {
		order[k] = readable[at]
	}
	passages := make([]passage, len(order))
	for k, i := range order {
		passages[k] = c.passage(i)
	}
	tokenize(encoder, passages)
	whole := room / 2
	var best, rest []int // places in order
	for k := range order {
		if n := len(passages[k].ids); n <= whole {
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

// everything reads all that is readable; false if it does not fit.
func (c *call) everything(encoder *Encoder, room int, readable []int) (reading, bool) {
	least := 0
	for _, i := range readable {
		least += min(len(c.segments[i].Text)/bytesOfToken, encoder.limit)
	}
	if least > room { // without a closer look, since there may be any number of them
		return reading{}, false
	}
	r := c.allOf(readable)
	tokenize(encoder, r.passages)
	for _, p := range r.passages {
		room -= len(p.ids)
	}
	return r, room >= 0
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

// wordSums tells which of the segments the encoder reads where it cannot read all: those with most of the query's words,
// exact mentions and names.
func wordSums(rows []row, which []int) []float64 {
	sums := make([]float64, len(which))
	for k, i := range which {
		r := &rows[i]
		words := r[FeatureBM25] + r[FeatureGrams] + r[FeatureBestLine] + r[FeatureHeadlineBM25] + r[FeatureMentions]
		names := r[FeatureTextPeak] + r[FeatureNameMentioned] + r[FeatureTextMentioned] + r[FeatureQueryInName]
		sums[k] = rounded(float64(words) + float64(names)/2)
	}
	return sums
}
