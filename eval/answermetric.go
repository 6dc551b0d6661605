package eval

import (
	"slices"
	"strings"
)

// answerMetric scores a generated answer from 0 to 1.
type answerMetric func(output string, answers []string) float64

// metricOf returns the data's own metric for the answers of a case, and the most tokens that it looks at; nil for a case
// whose answers are not scored.
func metricOf(c Case) (metric answerMetric, tokens int) {
	switch m := c.Metric; {
	case isCompletion(c):
		return func(output string, answers []string) float64 { return editSimilarity(firstLine(output), answers[0]) }, 64
	case strings.HasPrefix(m, "repoqa_bleu"):
		return func(output string, answers []string) float64 { return number(bleu(codeOf(output), answers[0]) >= 0.8) }, 384
	case m == "best_subspan_em", strings.HasPrefix(m, "substring"):
		return func(output string, answers []string) float64 { return subspanMatch(firstLine(output), answers) }, 40
	case strings.HasPrefix(m, "f1"):
		return func(output string, answers []string) float64 { return tokenF1(firstLine(output), answers) }, 40
	case strings.HasPrefix(m, "rouge_l"):
		return rougeL, 160
	default:
		return nil, 0
	}
}

// exactMatch is 1 if the output equals an accepted answer of the case, else 0: its first line in a completion, its code where
// code is asked for, both stripped; else its first line as SQuAD compares it.
func exactMatch(c Case, output string) float64 {
	form := func(s string) string { return normalised(firstLine(s)) }
	switch {
	case isCompletion(c):
		form = func(s string) string { return strings.TrimSpace(firstLine(s)) }
	case strings.HasPrefix(c.Metric, "repoqa_bleu"):
		form = func(s string) string { return strings.TrimSpace(codeOf(s)) }
	}
	output = form(output)
	return number(slices.ContainsFunc(c.Answers, func(answer string) bool { return form(answer) == output }))
}

// isCompletion reports whether the query is the code before the cursor, which the answer continues.
func isCompletion(c Case) bool { return strings.HasPrefix(c.Metric, "edit_similarity") }

// codeOf is the content of the first fence of an answer, or all of it without one.
func codeOf(output string) string {
	_, rest, ok := strings.Cut(output, "```")
	if !ok {
		return output
	}
	_, rest, _ = strings.Cut(rest, "\n") // the language's name
	code, _, _ := strings.Cut(rest, "```")
	return code
}
