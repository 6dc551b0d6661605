package compressors

import (
	"errors"
	"fmt"
)

// SegmenterOptions configures a SyntaxSegmenter. The zero value of each field but CountTokens means its default.
type SegmenterOptions struct {
	// CountTokens counts a text's tokens by the upstream's tokenizer. Required. A token is taken to hold at least one
	// byte.
	CountTokens func(string) int
	// MaxTokens is the most tokens of a segment; 512 by default, 256 at least.
	MaxTokens int
	// GroupTokens is about how many tokens of small neighbours (statements, paragraphs, lines) make one segment; 120 by
	// default.
	GroupTokens int
}

// Validate names the first option that is out of range.
func (o SegmenterOptions) Validate() error {
	o = o.withDefaults()
	switch {
	case o.CountTokens == nil:
		return errors.New("CountTokens is required")
	case o.MaxTokens < longSentence:
		return fmt.Errorf("MaxTokens is %d: it must be at least %d", o.MaxTokens, longSentence)
	case o.GroupTokens < 1 || o.GroupTokens > o.MaxTokens:
		return fmt.Errorf("GroupTokens is %d: it must lie from 1 to MaxTokens, %d", o.GroupTokens, o.MaxTokens)
	}
	return nil
}

func (o SegmenterOptions) withDefaults() SegmenterOptions {
	if o.MaxTokens == 0 {
		o.MaxTokens = 512
	}
	if o.GroupTokens == 0 {
		o.GroupTokens = 120
	}
	return o
}

// SyntaxSegmenter cuts a text along what it is made of: code along its syntax, data along its records, other text along
// headings, paragraphs and lines. It may be used concurrently.
//
// Code in a language that it has a grammar for becomes imports, functions, methods and groups of top-level statements,
// each with the comments and decorators before it, and with the names that it defines and uses. The members of a class or
// a namespace have its opening as parent, and so has the line that closes it; a function of more than MaxTokens is its
// signature, parts of its body and its closing. Other code is cut where lines without indentation follow a blank line.
// Code of more than 128 KiB, with brackets nested more than 100 deep or with very many syntax errors is treated as other
// code.
//
// JSON becomes its values, down to records; a log its entries; search results their hits; a diff its files and hunks; the
// output of a test run its parts and failures; markup its sections, blocks and rows; a table its rows.
//
// In text, a heading is a segment and the parent of its section. A paragraph is a segment, or is grouped with its
// neighbours if it is small, or is cut at lines and, in a long line, at sentences.
//
// Segments start at the start of a line or, in a line too long for its segment, at a sentence, in a long line of JSON at a
// value and in one of markup at a tag; only one of these of more than 256 bytes may be cut inside, after a record, a word
// or a comma, else between two runes.
type SyntaxSegmenter struct {
	options SegmenterOptions
	parsers *parsers
}

// NewSegmenter returns a segmenter; it refuses what Validate refuses.
func NewSegmenter(options SegmenterOptions) (*SyntaxSegmenter, error) {
	if err := options.Validate(); err != nil {
		return nil, fmt.Errorf("segmenter options: %w", err)
	}
	return &SyntaxSegmenter{options: options.withDefaults(), parsers: newParsers()}, nil
}

// Segments returns the segments of text in order; none for an empty text.
func (s *SyntaxSegmenter) Segments(text Text) ([]Segment, error) {
	segments, _, err := s.counted(newSource(text.Content), languageOf(text))
	return segments, err
}

// counted returns the segments of src and how many tokens each holds.
func (s *SyntaxSegmenter) counted(src *source, lang *language) ([]Segment, []int, error) {
	c := cutter{source: src, language: lang, SegmenterOptions: s.options, before: make([]int32, src.lines()+1)}
	for i := range src.lines() {
		c.before[i+1] = c.before[i] + int32(estimate(src.line(i)))
	}
	switch {
	case lang.kind == PlainText:
		c.prose(false)
	case lang.kind == MarkdownText:
		c.prose(true)
	case lang.kind == JSONText:
		c.json()
	case lang.kind == LogText:
		c.log()
	case lang.kind == SearchText:
		c.search()
	case lang.kind == DiffText:
		c.diff()
	case lang.kind == TestText:
		c.testOutput()
	case lang.kind == HTMLText:
		c.html()
	case lang.kind == TableText:
		c.table()
	case lang.grammar != nil && parsable(lang.grammar, src.text):
		syntax, err := s.parsers.read(lang.grammar, src)
		if err != nil {
			return nil, nil, err
		}
		if syntax != nil {
			c.level(syntax.units, 0, src.lines(), -1)
			syntax.symbols.assign(c.segments, src.text)
			break
		}
		fallthrough
	default:
		c.indented(0, src.lines())
	}
	return c.segments, c.tokens, nil
}

// cutter collects the segments of one text in order.
type cutter struct {
	*source
	*language
	SegmenterOptions
	before   []int32 // before[i] estimates the tokens before line i
	segments []Segment
	tokens   []int
}

// size estimates the tokens of lines [first, end).
func (c *cutter) size(first, end int) int { return int(c.before[end] - c.before[first]) }

// add appends the bytes [start, end) as one segment, or as several if it counts more than MaxTokens; a header or
// heading then is the parent of what was cut off it. It returns the index of the first.
func (c *cutter) add(start, end int, kind SegmentKind, name string, parent int) int {
	index := len(c.segments)
	n := c.CountTokens(c.text[start:end])
	if n > c.MaxTokens {
		if middle := c.middle(start, end); middle > start {
			c.add(start, middle, kind, name, parent)
			if kind == KindHeader || kind == KindHeading {
				kind, parent = KindLines, index
			}
			c.add(middle, end, kind, name, parent)
			return index
		}
	}
	c.segments = append(c.segments, Segment{Start: start, End: end, Kind: kind, Name: name, Parent: parent})
	c.tokens = append(c.tokens, n)
	return index
}

// middle returns where the bytes [start, end) are best cut in two: the start of a line, else of a sentence, else of a
// piece of a sentence; start if they cannot be cut.
func (c *cutter) middle(start, end int) int {
	first, last := c.lineAt(start), c.lineAt(end-1)
	half := start + (end-start)/2
	if first < last {
		line := min(max(c.lineAt(half), first+1), last)
		if line < last && half-c.start(line) > c.start(line+1)-half {
			line++
		}
		return c.start(line)
	}
	best := start
	choose := func(at int) {
		if at > start && at < end && (best == start || abs(at-half) < abs(best-half)) {
			best = at
		}
	}
	content := c.content(first)
	for at, clause := 0, clauses(content); at < len(content); at = clause(content, at) {
		choose(c.start(first) + at)
	}
	if best > start {
		return best
	}
	for _, at := range appendUnits(nil, content) {
		choose(c.start(first) + at)
	}
	return best
}

func abs(n int) int { return max(n, -n) }
