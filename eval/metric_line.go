package eval

import "strings"

// editSimilarity is 1 less the Levenshtein distance of the two lines, stripped, over the length of the longer one, in
// characters; two empty lines are equal. (Published as 100 times that.)
func editSimilarity(output, want string) float64 {
	a, b := []rune(strings.TrimSpace(output)), []rune(strings.TrimSpace(want))
	longer := max(len(a), len(b))
	if longer == 0 {
		return 1
	}
	return 1 - float64(levenshtein(a, b))/float64(longer)
}

// levenshtein is the least number of insertions, deletions and substitutions of characters that turn a into b.
func levenshtein(a, b []rune) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i, r := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j, s := range b {
			change := diagonal
			if r != s {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// firstLine is the first line of s that is not blank.
func firstLine(s string) string {
	for line := range strings.Lines(s) {
		if strings.TrimSpace(line) != "" {
			return strings.TrimRight(line, "\r\n")
		}
	}
	return ""
}
