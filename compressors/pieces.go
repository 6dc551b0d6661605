package compressors

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Piece is a part of a candidate that can be kept without the rest: a sentence, or the signature or a statement of a
// function.
type Piece struct {
	// Candidate is the index of the candidate; Index counts the pieces of one candidate from 0, of Count.
	Candidate, Index, Count int
	// Start is the offset in the text, Tokens the length by the upstream's tokenizer.
	Start, Tokens int
	Text          string
}

// Refiner is a Scorer that can also rate the pieces of candidates.
type Refiner interface {
	// Refine returns for each piece the probability that it is needed if its candidate is. scores are those of Score for the
	// candidates; pieces stand in order, and those of one candidate tile it.
	Refine(ctx context.Context, query string, candidates []Candidate, scores []Score, pieces []Piece) ([]float64, error)
}

const (
	// refinedFrom is the least probability of a candidate whose pieces are looked at.
	refinedFrom = 0.02
	// divisibleFrom is the fewest tokens of a candidate that is divided, pieceTokens of a piece of prose and codePieceTokens
	// of one of code: smaller ones join the next.
	divisibleFrom   = 40
	pieceTokens     = 8
	codePieceTokens = 16
	maxPieces       = 64
)

// pieces returns the offsets at which segment i of d can be divided, its start first; nil if it cannot.
func (d *document) pieces(i int) []int {
	s := d.segments[i]
	if d.tokens[i] < divisibleFrom {
		return nil
	}
	var starts []int
	switch d.family {
	case Prose:
		starts = d.sentenceStarts(s)
	case Code:
		switch s.Kind {
		case KindFunction, KindMethod, KindClass:
			starts = d.statementStarts(s)
		default:
		}
	case Records: // a record is wanted whole
	}
	if len(starts) < 2 || len(starts) > maxPieces {
		return nil
	}
	return starts
}

// sentenceStarts divides a segment at its lines and sentences.
func (d *document) sentenceStarts(s Segment) []int {
	starts := []int{s.Start}
	var units []int
	for line := d.lineAt(s.Start); line < d.lines() && d.start(line) < s.End; line++ {
		units = appendUnits(units[:0], d.content(line))
		for _, u := range units {
			at := d.start(line) + u
			if last := starts[len(starts)-1]; at > last && at < s.End && estimate(d.text[last:at]) >= pieceTokens {
				starts = append(starts, at)
			}
		}
	}
	return starts
}

// statementStarts divides a definition into its signature and the statements of its body, as far as they stand at the
// body's own indentation, so that no piece opens what another closes.
func (d *document) statementStarts(s Segment) []int {
	first, end := d.lineAt(s.Start), d.lineAt(s.End-1)+1
	body := d.bodyIndentation(first, end)
	if body == "" {
		return nil
	}
	starts := []int{s.Start}
	depth := 0
	inBody := false
	for line := first; line < end; line++ {
		content := d.content(line)
		if line > first && depth <= 1 && !d.blank(line) && indentation(content) == body && !goesOn(content[len(body):]) {
			at := d.start(line)
			last := starts[len(starts)-1]
			if !inBody || estimate(d.text[last:at]) >= codePieceTokens {
				starts = append(starts, at)
			}
			inBody = true
		}
		depth += balance(content)
	}
	// What closes the body is a piece of its own, so that it can stay with the signature.
	last := end - 1
	for last > first && d.blank(last) {
		last--
	}
	if inBody && closes(d.content(last)) && d.start(last) > starts[len(starts)-1] {
		starts = append(starts, d.start(last))
	}
	return starts
}

// bodyIndentation returns the indentation of the first line of a definition's body: the first that is deeper than the
// definition and follows a line that opens a block.
func (d *document) bodyIndentation(first, end int) string {
	opened := false
	for line := first; line < end; line++ {
		if d.blank(line) {
			continue
		}
		content := strings.TrimRight(d.content(line), " \t\r")
		if opened {
			if in := indentation(content); len(in) > len(indentation(d.content(first))) {
				return in
			}
			return ""
		}
		opened = strings.HasSuffix(content, "{") || strings.HasSuffix(content, ":")
	}
	return ""
}

// goesOn reports whether a line goes on with the statement before it, or closes it.
func goesOn(line string) bool {
	return strings.ContainsRune("}])", rune(line[0])) || hasAnyPrefix(line, "else", "elif", "except", "finally", "catch", ".", "&&", "||", "and ", "or ", "end", "?", ":")
}

// balance returns how many brackets a line opens more than it closes, wherever they stand.
func balance(line string) int {
	n := 0
	for i := range len(line) {
		switch line[i] {
		case '(', '[', '{':
			n++
		case ')', ']', '}':
			n--
		}
	}
	return n
}

// whole makes each segment of d one item of the selection.
func (d *document) whole() {
	d.items, d.itemTokens, d.itemOf = d.segments, d.tokens, make([]int, len(d.segments))
	d.values = make([]float64, len(d.segments))
	for i := range d.segments {
		d.itemOf[i], d.values[i] = i, d.scores[i].Value
	}
}

// refine divides the segments that are likely to be needed into pieces and makes those the items of the selection. What a
// segment is worth is divided among its pieces by how likely each is needed.
func (c *Compressor) refine(ctx context.Context, query string, docs []*document, candidates []Candidate) error {
	refiner, ok := c.options.Scorer.(Refiner)
	if !ok {
		return nil
	}
	var pieces []Piece
	var scores []Score
	first := 0 // candidate of the document's first segment
	for _, d := range docs {
		scores = append(scores, d.scores...)
		for i, s := range d.segments {
			if d.scores[i].Value < refinedFrom {
				continue
			}
			starts := d.pieces(i)
			for j, start := range starts {
				end := s.End
				if j+1 < len(starts) {
					end = starts[j+1]
				}
				text := d.text[start:end]
				pieces = append(pieces, Piece{
					Candidate: first + i, Index: j, Count: len(starts), Start: start, Tokens: c.options.CountTokens(text), Text: text,
				})
			}
		}
		first += len(d.segments)
	}
	if len(pieces) == 0 {
		return nil
	}
	needs, err := refiner.Refine(ctx, query, candidates, scores, pieces)
	if err != nil {
		return fmt.Errorf("refine: %w", err)
	}
	if len(needs) != len(pieces) {
		return fmt.Errorf("refine: %d probabilities for %d pieces", len(needs), len(pieces))
	}
	if i := slices.IndexFunc(needs, func(p float64) bool { return math.IsNaN(p) || p < 0 || p > 1 }); i >= 0 {
		return fmt.Errorf("refine: piece %d has probability %v", i, needs[i])
	}
	first = 0
	for _, d := range docs {
		pieces, needs = d.divide(first, pieces, needs)
		first += len(d.segments)
	}
	return nil
}

// divide makes the items of d out of the pieces that it begins with, first being the candidate of its first segment. It
// returns the pieces of other documents.
func (d *document) divide(first int, pieces []Piece, needs []float64) ([]Piece, []float64) {
	d.items, d.itemTokens, d.itemOf, d.values = nil, nil, nil, nil
	itemOf := make([]int, len(d.segments)) // the first item of each segment
	for i, s := range d.segments {
		itemOf[i] = len(d.items)
		if s.Parent >= 0 {
			s.Parent = itemOf[s.Parent]
		}
		n := 0
		total := 0.0
		for n < len(pieces) && pieces[n].Candidate == first+i {
			total += needs[n]
			n++
		}
		if n == 0 {
			d.addItem(s, d.tokens[i], i, d.scores[i].Value)
			continue
		}
		for j, p := range pieces[:n] {
			item := s
			item.Start, item.End = p.Start, p.Start+len(p.Text)
			if j > 0 && d.family == Code {
				item.Parent = itemOf[i] // the signature
				if j == n-1 && closes(strings.TrimRight(p.Text, " \t\r\n")) {
					item.Kind = KindClosing
				}
			}
			share := 1 / float64(n)
			if total > 0 {
				share = needs[j] / total
			}
			d.addItem(item, p.Tokens, i, d.scores[i].Value*share)
		}
		pieces, needs = pieces[n:], needs[n:]
	}
	return pieces, needs
}

func (d *document) addItem(item Segment, tokens, segment int, value float64) {
	d.items = append(d.items, item)
	d.itemTokens = append(d.itemTokens, tokens)
	d.itemOf = append(d.itemOf, segment)
	d.values = append(d.values, value)
}
