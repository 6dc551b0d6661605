package scoring

import (
	"context"
	"slices"
)

// cascaded scores all segments by the cheap terms, and the best of them with the decoder too. Those come first: their sum
// is moved up to lie above all others, by one at least.
func (s *Scorer) cascaded(ctx context.Context, c *call) ([]float64, error) {
	all := allOf(c.segments)
	for _, name := range []string{termBM25, termEncoder} {
		if err := c.compute(ctx, name, all); err != nil {
			return nil, err
		}
	}
	values := sumOfZ(c.out.Terms, all)
	for i := range values {
		values[i] = rounded(values[i])
	}
	best, rest := s.shortlist(values)
	if err := c.compute(ctx, termLM, best); err != nil {
		return nil, err
	}
	sums := sumOfZ(c.out.Terms, best)
	shift := 0.0
	if len(rest) > 0 {
		shift = values[rest[0]] - slices.Min(sums) + 1
	}
	for at, i := range best {
		values[i] = sums[at] + shift
	}
	return values, nil
}

// shortlist divides the segments, best first, into those that the decoder reads and the rest; ties go to the earlier
// segment.
func (s *Scorer) shortlist(values []float64) (best, rest []int) {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case values[a] > values[b]:
			return -1
		case values[a] < values[b]:
			return 1
		}
		return 0
	})
	n := min(s.options.Rerank, len(order))
	best, rest = order[:n], order[n:]
	slices.Sort(best) // so that results do not depend on near ties in the order
	return best, rest
}
