package eval

import (
	"strings"
	"unicode"
)

// rougeL is ROUGE-L (Lin 2004) with equal weight of precision and recall: their harmonic mean over the longest common
// subsequence of the words, which are runs of letters and digits in lower case, the best over the answers.
func rougeL(output string, answers []string) float64 {
	words := wordsOf(output)
	best := 0.0
	for _, a := range answers {
		want := wordsOf(a)
		best = max(best, harmonic(commonSubsequence(words, want), len(words), len(want)))
	}
	return best
}

func wordsOf(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// commonSubsequence is the length of the longest common subsequence of a and b.
func commonSubsequence(a, b []string) int {
	row := make([]int, len(b)+1)
	for _, x := range a {
		diagonal := 0
		for j, y := range b {
			above := row[j+1]
			if x == y {
				row[j+1] = diagonal + 1
			} else {
				row[j+1] = max(row[j+1], row[j])
			}
			diagonal = above
		}
	}
	return row[len(b)]
}
