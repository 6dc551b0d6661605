package scorebench

import (
	"fmt"
	"slices"
)

// Figure is a quantity measured once a round: the median over the rounds, the smallest and the largest.
type Figure struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// figureOf summarises samples; of an even number the median is the mean of the middle two, of none all are 0.
func figureOf(samples []float64) Figure {
	if len(samples) == 0 {
		return Figure{}
	}
	sorted := slices.Sorted(slices.Values(samples))
	n := len(sorted)
	return Figure{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Min: sorted[0], Max: sorted[n-1]}
}

// text writes the figure with the given number of decimals: "10.5 (9.8 to 11.0)".
func (f Figure) text(decimals int) string {
	return fmt.Sprintf("%.*f (%.*f to %.*f)", decimals, f.Median, decimals, f.Min, decimals, f.Max)
}

// Speedup says how many times faster one side of interleaved runs was: the quotient of the medians, and the smallest and
// largest quotient of one round.
type Speedup struct {
	OfMedians float64 `json:"of_medians"`
	Min       float64 `json:"min"`
	Max       float64 `json:"max"`
}

// speedupOf divides rates a by rates b, which were measured in turns: a[i] and b[i] belong to one round.
func speedupOf(a, b []float64) Speedup {
	rounds := make([]float64, len(a))
	for i := range a {
		rounds[i] = a[i] / b[i]
	}
	spread := figureOf(rounds)
	return Speedup{OfMedians: figureOf(a).Median / figureOf(b).Median, Min: spread.Min, Max: spread.Max}
}

func (s Speedup) text() string {
	return fmt.Sprintf("%.2fx (%.2f to %.2f)", s.OfMedians, s.Min, s.Max)
}
