package eval

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/scoring"
)

// WriteFitReport writes what the combination is worth on cases that it was not fitted on, beside single features: the mean
// reciprocal rank of the first needed segment, and the share of needed texts of which all needed segments stay when whole
// segments are chosen by score until the next does not fit. It is quick and leaves markers and the fine stage out: `pith
// eval run --folds` measures the whole path.
func WriteFitReport(w io.Writer, fit Fit, cases []FeatureCase) error {
	scores := []fitScore{
		{"combination", func(c FeatureCase, s FeatureSegment) float64 {
			return fit.Folds[FoldOf(c.Group)].Probability(s.Family, s.Values)
		}},
		{"no decoder", func(c FeatureCase, s FeatureSegment) float64 {
			return fit.Folds[FoldOf(c.Group)].Probability(s.Family, s.Values[:scoring.CheapFeatures[1]])
		}},
	}
	for _, f := range []scoring.Feature{scoring.FeatureBM25, scoring.FeatureCosine, scoring.FeatureLate} {
		scores = append(scores, fitScore{f.String(), func(_ FeatureCase, s FeatureSegment) float64 { return float64(s.Values[f]) }})
	}
	var tasks []string
	for _, c := range cases {
		if c.needsAny() && !slices.Contains(tasks, c.Task) {
			tasks = append(tasks, c.Task)
		}
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "task\tn")
	for _, s := range scores {
		fmt.Fprintf(table, "\t%s", s.name)
	}
	fmt.Fprintln(table)
	for _, task := range tasks {
		n := 0
		sums := make([][3]float64, len(scores))
		for _, c := range cases {
			if c.Task != task || !c.needsAny() {
				continue
			}
			n++
			for k, s := range scores {
				rank, order := s.rank(c)
				if k < 2 { // probabilities are weighed against cost
					_, order = fitScore{of: func(c FeatureCase, f FeatureSegment) float64 {
						return s.of(c, f) / float64(f.Tokens+breakTokens(f.Family))
					}}.rank(c)
				}
				sums[k][0] += keptShare(c, order, 0.25)
				sums[k][1] += keptShare(c, order, 0.1)
				sums[k][2] += rank
			}
		}
		fmt.Fprintf(table, "%s\t%d", task, n)
		for _, s := range sums {
			fmt.Fprintf(table, "\t%s", strings.ReplaceAll(fmt.Sprintf("%.2f/%.2f %.2f", s[0]/float64(n), s[1]/float64(n), s[2]/float64(n)), "0.", "."))
		}
		fmt.Fprintln(table)
	}
	loss, count := 0.0, 0
	for _, c := range cases {
		for _, s := range c.Segments {
			p := scores[0].of(c, s)
			if !s.Needed {
				p = 1 - p
			}
			loss -= math.Log(max(p, 1e-9))
			count++
		}
	}
	fmt.Fprintf(table, "log loss of the combination\t%.4f over %d segments\n", loss/float64(max(count, 1)), count)
	return table.Flush()
}

// needsAny reports whether a segment of the case is needed.
func (c FeatureCase) needsAny() bool {
	return slices.ContainsFunc(c.Segments, func(s FeatureSegment) bool { return s.Needed })
}

// breakTokens is compressors.BreakTokens of the family with that name.
func breakTokens(family string) int {
	for f := compressors.Prose; f <= compressors.Records; f++ {
		if f.String() == family {
			return compressors.BreakTokens(f)
		}
	}
	return 0
}

// fitScore is one way to rate segments.
type fitScore struct {
	name string
	of   func(FeatureCase, FeatureSegment) float64
}

// rank returns the reciprocal rank of the first needed segment, and all segments, the best first.
func (s fitScore) rank(c FeatureCase) (float64, []int) {
	values, order := make([]float64, len(c.Segments)), make([]int, len(c.Segments))
	for i, segment := range c.Segments {
		values[i], order[i] = s.of(c, segment), i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(values[b], values[a]) })
	for place, i := range order {
		if c.Segments[i].Needed {
			return 1 / float64(place+1), order
		}
	}
	return 0, order
}

// keptShare returns the share of texts with needed segments of which all of them are kept.
func keptShare(c FeatureCase, order []int, rate float64) float64 {
	total := 0
	needed, lost := map[int]bool{}, map[int]bool{}
	for _, s := range c.Segments {
		total += s.Tokens
		if s.Needed {
			needed[s.Text] = true
		}
	}
	budget := int(rate * float64(total))
	for _, i := range order {
		s := c.Segments[i]
		if s.Tokens <= budget {
			budget -= s.Tokens
		} else if s.Needed {
			lost[s.Text] = true
		}
	}
	return float64(len(needed)-len(lost)) / float64(len(needed))
}
