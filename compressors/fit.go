package compressors

import (
	"context"
	"time"
)

// rendering is one text as it would be sent.
type rendering struct {
	kept   bitset
	output string
	parts  []Part
	tokens int
	skip   SkipReason
}

func (r *rendering) result(d *document) TextResult {
	t := TextResult{
		Output: r.output, Parts: r.parts, Segments: make([]SegmentResult, len(d.segments)),
		TokensIn: d.tokensIn, TokensOut: r.tokens, Skip: r.skip, Kind: d.kind,
	}
	for i, s := range d.segments {
		t.Segments[i] = SegmentResult{Segment: s, Tokens: d.tokens[i], Score: d.scores[i]}
	}
	at := 0
	for i, item := range d.items {
		if !r.kept.has(i) {
			continue
		}
		for d.segments[at].End <= item.Start {
			at++
		}
		// An item is a part of a segment, or one or several whole ones.
		for j := at; j < len(d.segments) && d.segments[j].Start < item.End; j++ {
			s := &t.Segments[j]
			s.SignatureOnly = item.auxiliary && (!s.Kept || s.SignatureOnly)
			s.Kept = true
			if item.Start <= s.Start && s.End <= item.End {
				s.KeptTokens += d.tokens[j]
			} else {
				s.KeptTokens += item.tokens
			}
		}
	}
	return t
}

// fitter finds the selection whose rendered texts come nearest to the budget without passing it.
type fitter struct {
	docs   []*document
	order  []ranked
	needs  *dependencies // nil to pay no heed to them
	free   int           // items of order that may fill the budget; those after them only up to floor
	budget int
	floor  int
	count  func(string) int

	best                   []rendering
	total                  int // tokens of best
	selectTime, renderTime time.Duration
	parseTime              time.Duration
}

// maxTries bounds how often a selection is rendered and counted. Two or three times is usual: the estimate is off by
// little, and always in the same direction for the same text.
const maxTries = 8

// fit chooses by estimate, counts what was chosen, and corrects the limit of the estimate by the difference.
func (f *fitter) fit(ctx context.Context) error {
	f.total = -1
	markers := newMarkerCosts(f.count)
	limit := f.budget
	for try := 0; limit >= 0; try++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		start := time.Now()
		s := choose(f.docs, f.order, f.needs, f.free, limit, min(limit, f.floor), markers)
		f.selectTime += time.Since(start)

		start = time.Now()
		texts, total := f.render(s)
		f.renderTime += time.Since(start)
		if total > f.budget {
			if f.total >= 0 || s.empty() {
				break // an earlier try fits
			}
			// Faster with every try, so that an estimate of any quality ends.
			limit -= max(total-f.budget, 1) << try
			continue
		}
		if total <= f.total {
			break
		}
		f.best, f.total = texts, total
		if total == f.budget || try >= maxTries {
			break
		}
		limit = s.cost + f.budget - total
	}
	if f.total < 0 {
		f.drop()
	}
	return nil
}

func (s *selection) empty() bool {
	for _, kept := range s.kept {
		for _, word := range kept {
			if word != 0 {
				return false
			}
		}
	}
	return true
}

// render renders a selection and counts its tokens.
func (f *fitter) render(s *selection) ([]rendering, int) {
	texts := make([]rendering, len(f.docs))
	total := 0
	for i, d := range f.docs {
		texts[i] = f.renderText(d, s.kept[i], false)
		total += texts[i].tokens
	}
	return texts, total
}

func (f *fitter) renderText(d *document, kept bitset, drop bool) rendering {
	r := rendering{kept: kept}
	r.output, r.parts = render(d.source, d.comment, d.items, kept, drop)
	r.tokens = f.count(r.output)
	// A marker can count more than what it stands for.
	if r.tokens >= d.tokensIn && !drop {
		return whole(d, SkipNoSaving)
	}
	return r
}

// whole returns the rendering that leaves d as it is.
func whole(d *document, reason SkipReason) rendering {
	kept := newBitset(len(d.items))
	for i := range d.items {
		kept.set(i)
	}
	return rendering{kept: kept, output: d.text, parts: wholePart(d.text), tokens: d.tokensIn, skip: reason}
}

// drop is the outcome for a budget that does not hold the markers alone: as many texts as fit keep theirs, from the first.
func (f *fitter) drop() {
	f.best, f.total = make([]rendering, len(f.docs)), 0
	full := false
	for i, d := range f.docs {
		none := newBitset(len(d.items))
		r := f.renderText(d, none, false)
		if full = full || f.total+r.tokens > f.budget; full {
			r = f.renderText(d, none, true)
		}
		f.best[i] = r
		f.total += r.tokens
	}
}

// restore leaves whole, in order, each text that saves fewer than minSaving tokens, if the budget has room for it.
func (f *fitter) restore(minSaving int) {
	for i, d := range f.docs {
		r := &f.best[i]
		if saved := d.tokensIn - r.tokens; saved < minSaving && f.total+saved <= f.budget {
			*r = whole(d, SkipNoSaving)
			f.total += saved
		}
	}
}
