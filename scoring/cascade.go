package scoring

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"time"
)

// bestSegments is how many segments by the cheap sum are asked what else they point to.
const bestSegments = 5

// cascaded returns the probability that each segment is needed: from the cheap features for all of them, then with the
// decoder for those that can still change the decision, as far as the price allows.
func (s *Scorer) cascaded(ctx context.Context, c *call) ([]float64, error) {
	rows, err := c.cheap(ctx)
	if err != nil {
		return nil, err
	}
	first := c.probabilities(s.combination, rows, nil)
	which, err := c.worthReading(s.combination, rows, first, c.decoderTokens())
	if err != nil {
		return nil, err
	}
	if err := c.decoded(ctx, rows, which); err != nil {
		return nil, err
	}
	parts := make([]row, len(rows))
	values := c.probabilities(s.combination, rows, parts)
	c.explain(rows, parts)
	return values, nil
}

// decoderTokens is what the decoder may read once the encoder has.
func (c *call) decoderTokens() int {
	o := c.scorer.options
	if o.Plan.Time == 0 {
		return o.ModelTokens
	}
	return min(o.ModelTokens, c.purse.decoder())
}

// Features are the signals of the segments of one call.
type Features struct {
	// Rows holds the values of each segment in the order of FeatureNames; NaN where the decoder did not read it.
	Rows [][]float32
	// ModelTokens is what they cost, as in Scores.
	ModelTokens int
}

// Features returns all signals of a default scorer, with the decoder reading segments in the order of a sum that needs no
// fitting. It is what a combination is fitted on. Its errors are those of Score.
func (s *Scorer) Features(ctx context.Context, query string, segments []Segment) (Features, error) {
	if strings.TrimSpace(query) == "" {
		return Features{}, ErrNoQuery
	}
	if len(segments) == 0 {
		return Features{}, nil
	}
	c := s.newCall(query, segments)
	rows, err := c.cheap(ctx)
	if err != nil {
		return Features{}, err
	}
	which, err := c.affordable(cheapSums(rows), c.decoderTokens())
	if err != nil {
		return Features{}, err
	}
	if err := c.decoded(ctx, rows, which); err != nil {
		return Features{}, err
	}
	f := Features{ModelTokens: c.out.ModelTokens, Rows: make([][]float32, len(rows))}
	for i := range rows {
		f.Rows[i] = rows[i][:firstPieceFeature]
	}
	return f, nil
}

// cheap returns the rows of all segments without the decoder's features.
func (c *call) cheap(ctx context.Context) ([]row, error) {
	rows := make([]row, len(c.segments))
	for i := range rows {
		rows[i].unread()
	}
	start := time.Now()
	c.lexical(rows)
	c.stage("lexical", start)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	start = time.Now()
	if err := c.encoded(ctx, rows); err != nil {
		return nil, err
	}
	c.stage("encoder", start)
	start = time.Now()
	sums := cheapSums(rows)
	c.places(rows, sums)
	best := descending(sums)
	best = best[:min(bestSegments, len(best))]
	c.echoes(rows, best)
	c.structure(rows, best)
	c.stage("structure", start)
	return rows, nil
}

func (c *call) stage(name string, start time.Time) {
	c.out.Stages = append(c.out.Stages, Stage{name, time.Since(start)})
}

// cheapSums returns a sum that needs no fitting: what BM25, cosine and late interaction have of the best.
func cheapSums(rows []row) []float64 {
	sums := make([]float64, len(rows))
	for i := range rows {
		r := &rows[i]
		sums[i] = rounded(float64(r[FeatureBM25]) + 4*float64(r[FeatureInstructedGap]) + 4*float64(r[FeatureLateGap]))
	}
	return sums
}

// worthReading returns the segments that the decoder reads for a price: those first whose need is the least certain for
// what they cost, and none of which a combination makes nothing of what it reads.
func (c *call) worthReading(combination *Combination, rows []row, probabilities []float64, price int) ([]int, error) {
	values := make([]float64, len(probabilities))
	for i, p := range probabilities {
		if values[i] = math.NaN(); !combination.reads(c.segments[i].Family, &rows[i]) {
			continue
		}
		values[i] = rounded(1e4 * p * (1 - p) / float64(16+len(c.segments[i].Text)/4+len(c.query.short)/4))
	}
	return c.affordable(values, price)
}

// leastRead is the part of the segments in question, one in so many, below which the decoder reads none: its signals tell
// those that it read from each other. Of logs it can read an eighth, and what it said cost a third of the kinds of errors that
// log_errors asks for (18 cases, a quarter of the tokens).
const leastRead = 4

// affordable returns the segments that the decoder reads for a price in tokens, cold: in the order of values, the largest
// first, passing over those that no longer fit and those whose value is no number; none if they are fewer than one in
// leastRead of the numbers. The result is in the order of the segments.
func (c *call) affordable(values []float64, price int) ([]int, error) {
	if price <= 0 || !slices.ContainsFunc(values, func(v float64) bool { return !math.IsNaN(v) }) {
		return nil, nil
	}
	lm, err := c.scorer.lm()
	if err != nil {
		return nil, err
	}
	query := len(c.query.prompt(lm.Tokenizer()).tokens)
	price -= query // alone
	var which []int
	asked := 0
	for _, i := range descending(values) {
		if math.IsNaN(values[i]) {
			break
		}
		if asked++; price < 2*query {
			continue
		}
		document := c.segments[i].document()
		if len(document)/12 > price { // a token seldom holds so many bytes
			continue
		}
		cost := query + min(maxSegmentTokens, len(lm.Tokenizer().Encode(nil, document)))
		if cost <= price {
			price -= cost
			which = append(which, i)
		}
	}
	if len(which)*leastRead < asked {
		return nil, nil
	}
	slices.Sort(which)
	return which, nil
}

// probabilities returns what a combination makes of rows, rounded, and what each feature contributes if parts is not nil.
func (c *call) probabilities(combination *Combination, rows []row, parts []row) []float64 {
	values := make([]float64, len(rows))
	for i := range rows {
		var own *row
		if parts != nil {
			own = &parts[i]
		}
		values[i] = rounded(combination.probability(c.segments[i].Family, &rows[i], own))
	}
	return values
}

// explain makes terms of what each feature contributes, in log-odds; features that contribute nowhere are left out.
func (c *call) explain(rows, parts []row) {
	for f := range firstPieceFeature {
		term := Term{Name: f.String(), Values: make([]float64, len(rows))}
		any := false
		for i := range rows {
			term.Values[i] = rounded(float64(parts[i][f]))
			if f >= firstDecoderFeature && !rows[i].read() {
				term.Values[i] = math.NaN()
			} else if term.Values[i] != 0 {
				any = true
			}
		}
		if any {
			c.out.Terms = append(c.out.Terms, term)
		}
	}
}

// descending returns the indices of values, the largest first, what is not a number last, ties in order.
func descending(values []float64) []int {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(values[b], values[a]) })
	return order
}
