package eval

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/pith-llm/pith/compressors"
)

// Loss is a case of which a scorer lost something that must survive.
type Loss struct {
	Task   string  `json:"task"`
	ID     string  `json:"id"`
	Scorer string  `json:"scorer"`
	Rate   float64 `json:"rate"`
	// GoldParts is the share of the labelled parts that survived.
	GoldParts float64 `json:"gold_parts"`
	Query     string  `json:"query"`
	// Segments are those that held what was lost, the likeliest first.
	Segments []LostSegment `json:"segments"`
}

// LostSegment is a segment that should have been kept.
type LostSegment struct {
	Text   string  `json:"text"`    // name of the text
	Name   string  `json:"segment"` // the segment's own
	Start  int     `json:"start"`   // offset in bytes
	End    int     `json:"end"`
	Tokens int     `json:"tokens"`
	Score  float64 `json:"score"`
	// Rank is the place by score among the Of segments of the case, from 1.
	Rank      int    `json:"rank"`
	Of        int    `json:"of"`
	FirstLine string `json:"first_line"`
}

// lostSegments returns the segments of a result that hold what must survive and did not, each once.
func lostSegments(c Case, result compressors.Result, countTokens func(string) int) []LostSegment {
	var ranges []Place
	for _, p := range c.Gold.Parts {
		if !slices.ContainsFunc(p.Places, func(at Place) bool { return holds(keptRanges(result.Texts[at.Text].Parts), at.Start, at.End) }) {
			ranges = append(ranges, p.Places...)
		}
	}
	for _, text := range c.Gold.Texts {
		content := c.Texts[text].Content
		if !hasParts(c, text) && !halfKept(content, keptRanges(result.Texts[text].Parts), countTokens) {
			ranges = append(ranges, Place{text, 0, len(content)})
		}
	}
	var lost []LostSegment
	for text, t := range result.Texts {
		for i, s := range t.Segments {
			inSegment := func(at Place) bool { return at.Text == text && at.Start < s.End && s.Start < at.End }
			if s.KeptTokens < s.Tokens && slices.ContainsFunc(ranges, inSegment) {
				lost = append(lost, newLostSegment(c, result, text, i))
			}
		}
	}
	slices.SortStableFunc(lost, func(a, b LostSegment) int { return cmp.Compare(b.Score, a.Score) })
	return lost
}

func newLostSegment(c Case, result compressors.Result, text, segment int) LostSegment {
	s := result.Texts[text].Segments[segment]
	l := LostSegment{Text: c.Texts[text].Name, Name: s.Name, Start: s.Start, End: s.End, Tokens: s.Tokens, Score: s.Score.Value}
	l.Rank, l.Of = placeOf(result, text, segment)
	l.FirstLine, _, _ = strings.Cut(strings.TrimSpace(c.Texts[text].Content[s.Start:s.End]), "\n")
	return l
}

// worstLosses returns n losses: of those that kept the smallest share of their labelled parts the ones of which the likeliest
// lost segment was thought the least likely.
func worstLosses(all []Loss, n int) []Loss {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b Loss) int {
		return cmp.Or(cmp.Compare(a.GoldParts, b.GoldParts), cmp.Compare(a.Segments[0].Score, b.Segments[0].Score))
	})
	return all[:min(n, len(all))]
}

// writeLosses writes what was lost, a line a segment.
func (r Report) writeLosses(w io.Writer) {
	if len(r.Losses) == 0 {
		return
	}
	fmt.Fprintf(w, "\nThe worst losses of %s at rate %v: what should have been kept, with its place by score among all segments of the case.\n",
		r.Losses[0].Scorer, r.Losses[0].Rate)
	fmt.Fprintln(w, "case\tkept\tplace\tscore\ttokens\ttext\tsegment\tbegins\tquery")
	for _, l := range r.Losses {
		for _, s := range l.Segments {
			fmt.Fprintf(w, "%s\t%.2f\t%d/%d\t%.4f\t%d\t%s\t%s\t%.60q\t%.100q\n",
				l.ID, l.GoldParts, s.Rank, s.Of, s.Score, s.Tokens, s.Text, s.Name, s.FirstLine, l.Query)
		}
	}
}
