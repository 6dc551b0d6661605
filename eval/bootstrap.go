package eval

import (
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
