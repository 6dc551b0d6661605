package eval

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
)

// Estimate is a mean over cases with its 95 % interval.
type Estimate struct {
	Mean float64
	// Low and High are the 2.5 and 97.5 percentiles of the mean over resampled cases (Efron 1979, percentile method).
	Low, High float64
	// N counts the cases; without any, the other fields are 0 and mean nothing.
	N int
}

// resamples is how many times the cases are drawn anew. The ends of the interval then vary by about a twentieth of its
// width from seed to seed.
const resamples = 2000

// estimate returns the mean of values and its interval. Equal values and seeds give equal results, and equally many
// values are drawn alike, so that scorers are compared on the same draws.
func estimate(values []float64, seed uint64) Estimate {
	n := len(values)
	if n == 0 {
		return Estimate{}
	}
	random := rand.New(rand.NewPCG(seed, uint64(n)))
	means := make([]float64, resamples)
	for i := range means {
		sum := 0.0
		for range n {
			sum += values[random.IntN(n)]
		}
		means[i] = sum / float64(n)
	}
	slices.Sort(means)
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return Estimate{Mean: sum / float64(n), Low: percentile(means, 0.025), High: percentile(means, 0.975), N: n}
}

// significance is what a comparison's adjusted p must be below for a difference to be called one.
const significance = 0.05

// comparisonDraws is how many times cases or groups are drawn for a test: enough for p to fall below significance after a
// correction over hundreds of comparisons.
const comparisonDraws = 10000

// Test is a paired bootstrap test of whether a mean of differences is 0.
type Test struct {
	// Low and High are the 2.5 and 97.5 percentiles of the mean over what was drawn.
	Low, High float64
	// P is two-sided: twice the share of draws whose mean lies on 0 or beyond it (Efron and Tibshirani 1993, chapter 15).
	// It is never less than an exact test of signs can give for so many units, so that a few of them prove nothing.
	P float64
	// Units counts what is drawn: cases, or groups of them.
	Units int
}

// pairedTest draws units anew, each with all its differences: the cases by themselves where groups is nil, else the groups
// that it names, one for each difference (cluster bootstrap: Davison and Hinkley 1997, section 3.8).
func pairedTest(differences []float64, groups []string, seed uint64) Test {
	type unit struct {
		sum float64
		n   int
	}
	var units []unit
	place := map[string]int{}
	for i, d := range differences {
		at := len(units)
		if groups != nil {
			if known, ok := place[groups[i]]; ok {
				at = known
			}
			place[groups[i]] = at
		}
		if at == len(units) {
			units = append(units, unit{})
		}
		units[at].sum += d
		units[at].n++
	}
	n := len(units)
	if n == 0 {
		return Test{P: 1}
	}
	random := rand.New(rand.NewPCG(seed, uint64(n)))
	means := make([]float64, comparisonDraws)
	below, above := 1, 1 // the data itself is one draw
	for i := range means {
		var drawn unit
		for range n {
			u := units[random.IntN(n)]
			drawn.sum += u.sum
			drawn.n += u.n
		}
		means[i] = drawn.sum / float64(drawn.n)
		if means[i] <= roundingError {
			below++
		}
		if means[i] >= -roundingError {
			above++
		}
	}
	slices.Sort(means)
	p := 2 * float64(min(below, above)) / float64(comparisonDraws+1)
	return Test{
		Low: percentile(means, 0.025), High: percentile(means, 0.975), Units: n,
		P: min(1, max(p, math.Pow(2, float64(1-n)))),
	}
}

// roundingError is what a mean of differences may lie off 0 when it is 0.
const roundingError = 1e-12

// holm returns the p-values of a family of tests corrected so that the chance of any false finding among them stays below
// what the corrected value says (Holm 1979).
func holm(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	adjusted := make([]float64, len(p))
	least := 0.0
	for rank, i := range order {
		least = max(least, min(1, float64(len(p)-rank)*p[i]))
		adjusted[i] = least
	}
	return adjusted
}

// percentile returns the value below which a share p of sorted lies, between neighbours linearly.
func percentile(sorted []float64, p float64) float64 {
	at := p * float64(len(sorted)-1)
	low := int(math.Floor(at))
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// hashOf mixes seed and strings into a number that is the same on every machine.
func hashOf(seed uint64, parts ...string) uint64 {
	h := fnv.New64a()
	var word [8]byte
	write := func(n uint64) {
		binary.LittleEndian.PutUint64(word[:], n)
		h.Write(word[:])
	}
	write(seed)
	for _, p := range parts {
		write(uint64(len(p)))
		h.Write([]byte(p))
	}
	return h.Sum64()
}
