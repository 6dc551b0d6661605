package eval

import (
	"math"
	"strings"
)

// bleu is the sentence BLEU of an output's words between spaces (Papineni et al. 2002; up to 4-grams, equal weights) with
// smoothing 4 of Chen and Cherry 2014, as RepoQA computes it (Liu et al. 2024) with NLTK's sentence_bleu.
func bleu(output, want string) float64 {
	const (
		orders    = 4
		smoothing = 5 // K of the paper
	)
	a, b := strings.Fields(output), strings.Fields(want)
	if len(a) == 0 {
		return 0
	}
	sum, misses := 0.0, 0
	for n := 1; n <= orders; n++ {
		matched, total := matchingGrams(a, b, n)
		p := float64(matched) / float64(total)
		switch {
		case matched > 0:
		case n == 1:
			return 0
		case len(a) > 1:
			misses++
			p = math.Log(float64(len(a))) / (math.Pow(2, float64(misses)) * smoothing) / float64(total)
		default: // one word has no longer runs: NLTK leaves them out
			continue
		}
		sum += math.Log(p) / orders
	}
	if len(a) <= len(b) {
		sum += 1 - float64(len(b))/float64(len(a))
	}
	return math.Exp(sum)
}

// matchingGrams counts the runs of n words of a that b has too, each as often as b has it, and all runs of a, at least 1.
func matchingGrams(a, b []string, n int) (matched, total int) {
	left := map[string]int{}
	for i := 0; i+n <= len(b); i++ {
		left[strings.Join(b[i:i+n], " ")]++
	}
	for i := 0; i+n <= len(a); i++ {
		if gram := strings.Join(a[i:i+n], " "); left[gram] > 0 {
			left[gram]--
			matched++
		}
	}
	return matched, max(1, len(a)-n+1)
}
