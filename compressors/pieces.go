package compressors

import (
	"fmt"
	"math"
	"slices"
)

// Piece is a part of a candidate that can be kept without the rest: a sentence.
type Piece struct {
	// Candidate is the index of the candidate; Index counts the pieces of one candidate from 0, of Count.
	Candidate, Index, Count int
	// Start is the offset in the text, Tokens the length by the upstream's tokenizer.
	Start, Tokens int
	Text          string
}

const (
	// refinedFrom is the least probability of a candidate whose pieces are looked at.
	refinedFrom = 0.02
	// divisibleFrom is the fewest tokens of a candidate that is divided, pieceTokens of a piece: smaller ones join the next.
	divisibleFrom = 40
	pieceTokens   = 8
	maxPieces     = 64
)

// pieces returns the offsets at which segment i of d can be divided, its start first; nil if it cannot. Only prose is: of a
// function all is wanted or nothing. Divided into signature and statements, code_needle kept .83 and .83 of its gold at rates
// .25 and .10 in place of .94 and .89 (n=18), commit_localize .71 and .58 in place of .79 and .71 (n=12).
func (d *document) pieces(i int) []int {
	s := d.segments[i]
	if d.family != Prose || d.tokens[i] < divisibleFrom {
		return nil
	}
	starts := d.sentenceStarts(s)
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

// whole makes each segment of d one item of the selection.
func (d *document) whole() {
	d.items = make([]item, len(d.segments))
	for i, s := range d.segments {
		d.items[i] = item{Segment: s, tokens: d.tokens[i], load: d.tokens[i], of: i, value: d.scores[i].Value}
	}
}

// refine divides the segments that are likely to be needed into pieces and makes those the items of the selection. What a
// segment is worth is divided among its pieces by how likely each is needed.
func (c *Compressor) refine(docs []*document, needsOf func([]Piece) ([]float64, error)) error {
	var pieces []Piece
	first := 0 // candidate of the document's first segment
	for _, d := range docs {
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
	needs, err := needsOf(pieces)
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
	d.items = nil
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
			d.items = append(d.items, item{Segment: s, tokens: d.tokens[i], load: d.tokens[i], of: i, value: d.scores[i].Value})
			continue
		}
		for j, p := range pieces[:n] {
			piece := s
			piece.Start, piece.End = p.Start, p.Start+len(p.Text)
			share := 1 / float64(n)
			if total > 0 {
				share = needs[j] / total
			}
			d.items = append(d.items, item{Segment: piece, tokens: p.Tokens, load: p.Tokens, of: i, value: d.scores[i].Value * share})
		}
		pieces, needs = pieces[n:], needs[n:]
	}
	return pieces, needs
}
