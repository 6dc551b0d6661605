package eval

import "strings"

// normalised is an answer as SQuAD's evaluation compares it (Rajpurkar et al. 2016): lower case, without ASCII punctuation
// and the articles a, an and the, its words one space apart.
func normalised(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x80 && strings.ContainsRune(asciiPunctuation, r) {
			return -1
		}
		return r
	}, strings.ToLower(s))
	words := strings.Fields(s)
	kept := words[:0]
	for _, w := range words {
		if w != "a" && w != "an" && w != "the" {
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, " ")
}

const asciiPunctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

// subspanMatch is 1 if one of the answers, normalised, is part of the normalised output, else 0 (best_subspan_em of Liu et
// al. 2023, "Lost in the Middle").
func subspanMatch(output string, answers []string) float64 {
	output = normalised(output)
	for _, a := range answers {
		if a = normalised(a); a != "" && strings.Contains(output, a) {
			return 1
		}
	}
	return 0
}

// tokenF1 is the harmonic mean of precision and recall of the output's words, normalised, the best over the answers
// (Rajpurkar et al. 2016).
func tokenF1(output string, answers []string) float64 {
	words := strings.Fields(normalised(output))
	best := 0.0
	for _, a := range answers {
		want := strings.Fields(normalised(a))
		left := map[string]int{}
		for _, w := range want {
			left[w]++
		}
		same := 0
		for _, w := range words {
			if left[w] > 0 {
				left[w]--
				same++
			}
		}
		best = max(best, harmonic(same, len(words), len(want)))
	}
	return best
}

// harmonic is the harmonic mean of same/a and same/b; 0 if same is.
func harmonic(same, a, b int) float64 {
	if same == 0 {
		return 0
	}
	return 2 * float64(same) / float64(a+b)
}
