package compressors_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pith-llm/pith/compressors"
)

func paragraphs(first, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "Paragraph %d speaks of subject %d.\nIt holds that number %d is a fine one, and goes on about it at some length.\nNothing else of note is said of it here, in %d words.\n\n", first+i, i*7, first+i, first*3+i)
	}
	return b.String()
}

func entries(n int, message string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "2024-01-01 10:%02d:%02d INFO worker-%d: "+message+" %d ms, block 0x%x of the store\n", i/60, i%60, i%4, 10+i*3, i*4099)
	}
	return b.String()
}

func TestWithoutQuery(t *testing.T) {
	failure := "2024-01-01 10:30:00 ERROR worker-1: request 1 failed after 44 ms, block 0xff of the store\n"
	twice := paragraphs(0, 40)
	// Of several texts one may stay whole, because it repeats nothing.
	const restored = compressors.SkipNoSaving
	for name, c := range map[string]struct {
		texts  []compressors.Text
		budget compressors.Budget
		kept   []string // what must be in the outputs
		rate   [2]float64
		skip   compressors.SkipReason // of every text
	}{
		"nothing repeats": {
			texts: []compressors.Text{{Content: paragraphs(0, 60)}, {Name: "a.go", Content: functions(40)}},
			rate:  [2]float64{1, 1}, skip: compressors.SkipNoQuery,
		},
		"a document stands twice": {
			texts: []compressors.Text{{Name: "a", Content: twice + paragraphs(100, 20)}, {Name: "b", Content: paragraphs(200, 20) + twice}},
			kept:  []string{twice + paragraphs(100, 20), paragraphs(200, 20)},
			rate:  [2]float64{0.58, 0.72}, skip: restored,
		},
		"a word is changed in a copy": {
			texts: []compressors.Text{{Name: "a", Content: twice}, {Name: "b", Content: strings.ReplaceAll(twice, "is a fine", "is no fine")}},
			rate:  [2]float64{1, 1}, skip: compressors.SkipNoQuery,
		},
		"all texts are the same": {
			texts: []compressors.Text{{Name: "a.go", Content: functions(40)}, {Name: "b.go", Content: functions(40)}, {Name: "c.go", Content: functions(40)}},
			kept:  []string{functions(40)},
			rate:  [2]float64{0.58, 0.65}, skip: restored,
		},
		"entries of one form, and an error": {
			texts: []compressors.Text{{Name: "x.log", Content: entries(80, "request took") + failure + entries(80, "request took") + failure}},
			kept:  []string{failure, "10:00:00", "10:00:01"},
			rate:  [2]float64{0.58, 0.62},
		},
		"a rate is asked for": {
			texts:  []compressors.Text{{Name: "a.md", Content: "# One\n\n" + twice + "# Two\n\n" + paragraphs(50, 40) + twice}},
			budget: compressors.Budget{Rate: 0.3},
			kept:   []string{"# One", "# Two"},
			rate:   [2]float64{0.27, 0.3},
		},
		"small": {texts: []compressors.Text{{Content: "One. One. One.\n"}}, rate: [2]float64{1, 1}, skip: compressors.SkipSmall},
	} {
		t.Run(name, func(t *testing.T) {
			input := compressors.Input{Texts: c.texts, Budget: c.budget}
			r, err := mustNew(t, compressors.Options{}).Compress(t.Context(), input)
			if err != nil {
				t.Fatal(err)
			}
			input.Budget = compressors.Budget{Tokens: r.TokensIn}
			checkResult(t, input, r)
			var all strings.Builder
			for _, text := range r.Texts {
				if text.Skip != c.skip && (c.skip != restored || text.Skip != compressors.NotSkipped) {
					t.Errorf("skip %q, want %q", text.Skip, c.skip)
				}
				all.WriteString(text.Output)
			}
			if rate := float64(r.TokensOut) / float64(r.TokensIn); rate < c.rate[0] || rate > c.rate[1] {
				t.Errorf("%.3f of the tokens are kept, want %v", rate, c.rate)
			}
			for _, want := range c.kept {
				if !strings.Contains(all.String(), want) {
					t.Errorf("%.80q is missing from\n%s", want, all.String())
				}
			}
			if strings.Count(all.String(), failure) != strings.Count(c.texts[0].Content, failure) {
				t.Error("an error is missing")
			}
		})
	}
}
