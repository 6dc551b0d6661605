package eval

import (
	"slices"

	"github.com/pith-llm/pith/compressors"
)

// unparsed is the number of syntax errors of a text that no grammar reads.
const unparsed = -1

// syntaxErrors returns for each text how many places do not follow its grammar.
func syntaxErrors(texts []compressors.Text) []int {
	counts := make([]int, len(texts))
	for i, t := range texts {
		n, parsed := compressors.SyntaxErrors(t)
		if counts[i] = n; !parsed {
			counts[i] = unparsed
		}
	}
	return counts
}

// checkCode sets the metrics of code for a case with code that was shortened.
func (o *observation) checkCode(m measured, result compressors.Result) {
	shortened, broken, added := 0, 0, 0
	for i, t := range result.Texts {
		if t.Skip != compressors.NotSkipped || m.errors[i] == unparsed || !keepsCode(t) {
			continue
		}
		after, parsed := compressors.SyntaxErrors(compressors.Text{Name: m.Texts[i].Name, Language: m.Texts[i].Language, Content: t.Output})
		if !parsed {
			continue
		}
		shortened++
		if n := after - m.errors[i]; n > 0 {
			broken++
			added += n
		}
	}
	if shortened == 0 {
		return
	}
	o.set(NewErrors, float64(added))
	o.set(BrokenTexts, float64(broken)/float64(shortened))
	o.set(Undefined, float64(len(compressors.Undefined(result.Texts))))
}

// keepsCode reports whether something of a text is kept: a marker alone cannot be wrong.
func keepsCode(t compressors.TextResult) bool {
	return slices.ContainsFunc(t.Segments, func(s compressors.SegmentResult) bool { return s.Kept })
}
