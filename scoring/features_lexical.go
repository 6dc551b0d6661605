package scoring

import (
	"math"
	"slices"
	"strings"
	"sync"
)

// lexical sets the features of words, mentions and compression.
func (c *call) lexical(rows []row) {
	documents := make([]string, len(c.segments))
	for i, s := range c.segments {
		documents[i] = s.document()
	}
	words := newLexicon(c.query.focus, documents, eachWord)
	scores := words.bm25()
	relative := ofTheBest(scores)
	grams := ofTheBest(newLexicon(c.query.focus, documents, eachGram).bm25())
	headline := relative
	if c.query.headline != c.query.short {
		headline = ofTheBest(newLexicon(c.query.headline, documents, eachWord).bm25())
	}
	ranks := reciprocalRanks(scores)
	texts := words.grouped(c.textOf, c.texts)
	ofTexts := ofTheBest(texts.bm25())
	peaks := make([]float64, c.texts)
	for i, v := range relative {
		peaks[c.textOf[i]] = max(peaks[c.textOf[i]], v)
	}
	mentions := newMentions(c.query)
	weights := mentions.weigh(c.segments)
	inPath, pathCover := c.pathWords(words)
	parsings := newParsings(c.query.short)
	inRuns(len(c.segments), func(i int) {
		s, r, t := c.segments[i], &rows[i], c.textOf[i]
		counts := words.row(i)
		r.set(FeatureBM25, relative[i])
		r.set(FeatureBM25Rank, ranks[i])
		r.set(FeatureCoverage, words.coverage(func(t int) bool { return counts[t] > 0 }))
		r.set(FeatureGrams, grams[i])
		r.set(FeatureHeadlineBM25, headline[i])
		r.set(FeatureBestLine, words.bestLine(s.Text))
		r.set(FeatureTextBM25, ofTexts[t])
		r.set(FeatureTextPeak, peaks[t])
		share, cover := nameWords(words, s.Name)
		r.set(FeatureNameInQuery, share)
		r.set(FeaturePathInQuery, inPath[t])
		r.set(FeatureQueryInName, min(1, cover+pathCover[t]))
		r.set(FeatureMentions, mentions.share(s.Text, weights))
		r.set(FeatureNameMentioned, number(mentions.names(lastName(s.Name))))
		r.set(FeatureTextMentioned, number(mentions.namesPath(s.TextName)))
		parse := parsings.Get().(*crossParsing)
		defer parsings.Put(parse)
		r.set(FeatureCompression, parse.saved(s.Text))
	})
}

// bestLine returns the largest coverage of one line of text, or of one sentence of a line.
func (l *lexicon) bestLine(text string) float64 {
	best := 0.0
	held := make([]bool, len(l.terms))
	for line := range strings.Lines(text) {
		for sentence := range strings.SplitSeq(line, ". ") {
			clear(held)
			eachWord(sentence, func(word []byte) {
				if t, ok := l.terms[string(word)]; ok {
					held[t] = true
				}
			})
			best = max(best, l.coverage(func(t int) bool { return held[t] }))
		}
	}
	return best
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// nameWords returns the share of a name's words that the query holds, and the share of the query's that the name holds.
func nameWords(l *lexicon, name string) (share, cover float64) {
	if name == "" {
		return 0, 0
	}
	held := map[int]bool{}
	all, found := map[string]bool{}, 0
	eachWord(name, func(word []byte) {
		if all[string(word)] {
			return
		}
		all[string(word)] = true
		if t, ok := l.terms[string(word)]; ok {
			held[t] = true
			found++
		}
	})
	if len(all) == 0 {
		return 0, 0
	}
	return float64(found) / float64(len(all)), l.coverage(func(t int) bool { return held[t] })
}

// pathWords is nameWords for the name of each text.
func (c *call) pathWords(l *lexicon) (share, cover []float64) {
	share, cover = make([]float64, c.texts), make([]float64, c.texts)
	for i := range c.segments {
		if t := c.textOf[i]; i == 0 || c.textOf[i-1] != t {
			share[t], cover[t] = nameWords(l, c.segments[i].TextName)
		}
	}
	return share, cover
}

// maxMentions bounds how many mentions of a query are looked for.
const maxMentions = 64

// mentions are the spellings in a query that are meant exactly.
type mentions struct {
	spelled []string
	known   map[string]bool
}

// newMentions finds quoted strings, identifiers of several parts, paths, calls, numbers and names of errors; in code, all
// identifiers of three characters and more, the last ones first.
func newMentions(q query) *mentions {
	m := &mentions{known: map[string]bool{}}
	add := func(s string) {
		if len(s) >= 2 && len(s) <= 80 && !m.known[s] && len(m.spelled) < maxMentions {
			m.known[s] = true
			m.spelled = append(m.spelled, s)
		}
	}
	if q.code {
		for _, name := range slices.Backward(identifiers(q.short)) {
			if len(name) >= 3 && !keywords[name] {
				add(name)
			}
		}
		return m
	}
	text := q.focus
	for _, quote := range []byte{'`', '"', '\''} {
		for rest := text; ; {
			open := strings.IndexByte(rest, quote)
			if open < 0 {
				break
			}
			// An apostrophe opens no quotation.
			apostrophe := quote == '\'' && open > 0 && isWordRune(rune(rest[open-1]))
			rest = rest[open+1:]
			length := strings.IndexByte(rest, quote)
			if length < 0 {
				break
			}
			if apostrophe {
				continue
			}
			if quoted := rest[:length]; !strings.Contains(quoted, "\n") {
				add(strings.TrimSpace(quoted))
				rest = rest[length+1:]
			}
		}
	}
	for word := range strings.FieldsFuncSeq(text, isMentionBreak) {
		call := strings.HasSuffix(word, "()")
		word = strings.Trim(word, ".:-/()")
		if word == "" || !call && !isSpelled(word) {
			continue
		}
		add(word)
		if at := strings.LastIndexAny(word, "./:"); at >= 0 { // the last part of a path or of a qualified name alone
			add(word[at+1:])
		}
	}
	return m
}

func isMentionBreak(r rune) bool {
	return !isWordRune(r) && !strings.ContainsRune("./:-()", r)
}

// isSpelled tells a word that is no word of a sentence: with an inner capital, an underscore, an inner full stop, slash or
// double colon, more than one digit, or the ending of an error's name.
func isSpelled(word string) bool {
	digits := 0
	for i := range len(word) {
		switch c := word[i]; {
		case c == '_':
			return true
		case c >= '0' && c <= '9':
			if digits++; digits > 1 {
				return true
			}
		case c >= 'A' && c <= 'Z' && i > 0 && word[i-1] >= 'a' && word[i-1] <= 'z':
			return true
		case (c == '.' || c == '/' || c == ':') && i > 0 && i+1 < len(word) && isWordRune(rune(word[i-1])) && word[i+1] != ' ':
			return true
		}
	}
	return len(word) > len("Error") && (strings.HasSuffix(word, "Error") || strings.HasSuffix(word, "Exception"))
}

// weigh returns how much each mention counts: more the fewer segments hold it, nothing if none or all do.
func (m *mentions) weigh(segments []Segment) []float64 {
	weights := make([]float64, len(m.spelled))
	for k, s := range m.spelled {
		holders := 0
		for _, segment := range segments {
			if strings.Contains(segment.Text, s) {
				holders++
			}
		}
		if holders > 0 {
			weights[k] = math.Log(float64(len(segments)) / float64(holders))
		}
	}
	return weights
}

// share returns the share of the mentions, by weight, that text holds.
func (m *mentions) share(text string, weights []float64) float64 {
	all, part := 0.0, 0.0
	for k, s := range m.spelled {
		all += weights[k]
		if weights[k] > 0 && strings.Contains(text, s) {
			part += weights[k]
		}
	}
	if all == 0 {
		return 0
	}
	return part / all
}

func (m *mentions) names(name string) bool { return name != "" && m.known[name] }

// namesPath reports whether a path, its last part or that without its extension is mentioned.
func (m *mentions) namesPath(path string) bool {
	if m.names(path) {
		return true
	}
	base := path[strings.LastIndexByte(path, '/')+1:]
	stem, _, _ := strings.Cut(base, ".")
	return m.names(base) || len(stem) > 3 && m.names(stem)
}

// crossParsing measures how well texts predict a query: the query is written as the longest pieces that a text holds, of
// minPiece bytes at least, and single bytes between them (Ziv and Merhav 1993, "A Measure of Relative Entropy Between
// Individual Sequences", section III). A piece costs pieceCost bytes.
type crossParsing struct {
	query string
	slots map[uint32]int32 // four bytes that a piece of the query may begin with -> place in heads
	heads []int32          // last place in the text of those four bytes, -1 without one
	chain []int32          // place -> place before with the same four bytes, -1 without one
}

const (
	minPiece  = 4
	pieceCost = 3
	// maxChain bounds how many places are tried for one piece.
	maxChain = 16
)

func newCrossParsing(query string) *crossParsing {
	p := &crossParsing{query: strings.ToLower(query), slots: map[uint32]int32{}}
	for i := 0; i+minPiece <= len(p.query); i++ {
		if _, ok := p.slots[four(p.query, i)]; !ok {
			p.slots[four(p.query, i)] = int32(len(p.slots))
		}
	}
	p.heads = make([]int32, len(p.slots))
	return p
}

// newParsings returns parsings for several goroutines.
func newParsings(query string) *sync.Pool {
	return &sync.Pool{New: func() any { return newCrossParsing(query) }}
}

func four(s string, i int) uint32 {
	return uint32(s[i]) | uint32(s[i+1])<<8 | uint32(s[i+2])<<16 | uint32(s[i+3])<<24
}

// saved returns the share of the query's bytes that text saves, 0 to 1.
func (p *crossParsing) saved(text string) float64 {
	if len(p.query) < minPiece || len(text) < minPiece {
		return 0
	}
	text = strings.ToLower(text)
	for i := range p.heads {
		p.heads[i] = -1
	}
	p.chain = p.chain[:0]
	for i := 0; i+minPiece <= len(text); i++ {
		before := int32(-1)
		if slot, ok := p.slots[four(text, i)]; ok { // only what the query can ask for
			before = p.heads[slot]
			p.heads[slot] = int32(i)
		}
		p.chain = append(p.chain, before)
	}
	cost := 0
	for i := 0; i < len(p.query); {
		longest := 0
		if i+minPiece <= len(p.query) {
			at := p.heads[p.slots[four(p.query, i)]]
			for range maxChain {
				if at < 0 {
					break
				}
				n := minPiece
				for i+n < len(p.query) && int(at)+n < len(text) && p.query[i+n] == text[int(at)+n] {
					n++
				}
				longest = max(longest, n)
				at = p.chain[at]
			}
		}
		if longest < minPiece {
			cost++
			i++
			continue
		}
		cost += pieceCost
		i += longest
	}
	return max(0, 1-float64(cost)/float64(len(p.query)))
}
