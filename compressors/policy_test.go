package compressors_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/pith-llm/pith/compressors"
)

// likelihoods is a scorer that reads each candidate's probability from its first word.
type likelihoods struct{ refine bool }

func (l likelihoods) Score(_ context.Context, _ string, candidates []compressors.Candidate) (compressors.Scores, error) {
	s := compressors.Scores{Probabilities: true, Refine: l.needs}
	for _, c := range candidates {
		var p float64
		_, _ = fmt.Sscanf(c.Text, "%g", &p)
		s.Scores = append(s.Scores, compressors.Score{Value: p})
	}
	return s, nil
}

// needs finds a piece needed if it holds the word "needed".
func (l likelihoods) needs(pieces []compressors.Piece) ([]float64, error) {
	needs := make([]float64, len(pieces))
	for i, p := range pieces {
		if needs[i] = 0.01; l.refine && strings.Contains(p.Text, "needed") {
			needs[i] = 0.9
		}
	}
	return needs, nil
}

func words(s string) int { return len(strings.Fields(s)) }

func texts(probabilities ...float64) []compressors.Text {
	var out []compressors.Text
	for i, p := range probabilities {
		out = append(out, compressors.Text{
			Name:    fmt.Sprint(i),
			Content: fmt.Sprintf("%g begins the document of number %d and says so.", p, i) + strings.Repeat(" Some more words stand here to fill the paragraph.", 3) + "\n",
		})
	}
	return out
}

func TestThresholdKeepsWhatIsLikely(t *testing.T) {
	for name, c := range map[string]struct {
		options       compressors.Options
		probabilities []float64
		kept          []int // texts that are kept
		skip          compressors.SkipReason
	}{
		"what is likely":                       {compressors.Options{Threshold: 0.5, DefaultRate: 1}, []float64{0.9, 0.1, 0.6, 0.2}, []int{0, 2}, 0},
		"nothing is":                           {compressors.Options{Threshold: 0.5, DefaultRate: 1}, []float64{0.1, 0.1, 0.2, 0.2}, nil, 0},
		"everything is":                        {compressors.Options{Threshold: 0.5, DefaultRate: 1}, []float64{0.9, 0.9, 0.9, 0.9}, []int{0, 1, 2, 3}, compressors.SkipWithinBudget},
		"nothing is, but there is a floor":     {compressors.Options{Threshold: 0.5, DefaultRate: 1, Floor: 0.4}, []float64{0.1, 0.1, 0.3, 0.2}, []int{2}, 0},
		"everything is, but there is a limit":  {compressors.Options{Threshold: 0.5, DefaultRate: 0.65}, []float64{0.9, 0.7, 0.6, 0.8}, []int{0, 3}, 0},
		"little is, and that is over a budget": {compressors.Options{Threshold: 0.5, DefaultRate: 0.4, Floor: 0.1}, []float64{0.1, 0.8, 0.9, 0.2}, []int{2}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c.options.Scorer, c.options.CountTokens, c.options.MinTokens, c.options.MinSaving = struct{ compressors.Scorer }{likelihoods{}}, words, 1, 1
			compressor, err := compressors.New(c.options)
			if err != nil {
				t.Fatal(err)
			}
			input := compressors.Input{Query: "q", Texts: texts(c.probabilities...)}
			result, err := compressor.Compress(t.Context(), input)
			if err != nil {
				t.Fatal(err)
			}
			var kept []int
			for i, text := range result.Texts {
				if err := compressors.Verify(input.Texts[i].Content, text.Output); err != nil {
					t.Error(err)
				}
				if strings.Contains(text.Output, "document") {
					kept = append(kept, i)
				}
			}
			whole := c.skip != compressors.NotSkipped
			if fmt.Sprint(kept) != fmt.Sprint(c.kept) || whole != (result.TokensOut == result.TokensIn) || whole && result.Texts[0].Skip != c.skip {
				t.Errorf("kept %v, %d of %d tokens, skip %q; want %v, %q", kept, result.TokensOut, result.TokensIn, result.Texts[0].Skip, c.kept, c.skip)
			}
		})
	}
}

func TestPiecesOfWhatIsNeeded(t *testing.T) {
	prose := "0.9 is how likely this is. It goes on about something else for quite a few words more. This is the sentence that is needed by all means. " +
		"And then it ends with some words that nobody asked for, and with more of them."
	compressor, err := compressors.New(compressors.Options{Scorer: likelihoods{refine: true}, CountTokens: words, MinTokens: 1, MinSaving: 1})
	if err != nil {
		t.Fatal(err)
	}
	result, err := compressor.Compress(t.Context(), compressors.Input{Query: "q", Texts: []compressors.Text{{Content: prose}}, Budget: compressors.Budget{Rate: 0.4}})
	if err != nil {
		t.Fatal(err)
	}
	out := result.Texts[0]
	if !strings.Contains(out.Output, "This is the sentence that is needed by all means.") || strings.Contains(out.Output, "nobody") {
		t.Errorf("kept %q", out.Output)
	}
	if s := out.Segments[0]; !s.Kept || s.KeptTokens >= s.Tokens || s.KeptTokens == 0 {
		t.Errorf("the segment is kept: %v, %d of %d tokens", s.Kept, s.KeptTokens, s.Tokens)
	}
	if err := compressors.Verify(prose, out.Output); err != nil {
		t.Error(err)
	}
}

// Of code too, with what it needs of each other: where nothing is likely only the markers are left, and where all is nothing is cut.
func TestThresholdOfCode(t *testing.T) {
	source := func(p string, first int) string {
		var b strings.Builder
		for i := first; i < first+4; i++ {
			fmt.Fprintf(&b, "%s\nfunc F%d(i int) int {\n\tif i > 3 {\n\t\treturn F%d(i - 1)\n\t}\n\treturn i * 2\n}\n\n", p, i, (i+1)%8)
		}
		return b.String()
	}
	chance := compressors.ScorerFunc(func(_ context.Context, _ string, candidates []compressors.Candidate) (compressors.Scores, error) {
		s := compressors.Scores{Probabilities: true}
		for _, c := range candidates {
			p := 0.1
			if strings.Contains(c.Text, "// likely") {
				p = 0.9
			}
			s.Scores = append(s.Scores, compressors.Score{Value: p})
		}
		return s, nil
	})
	compressor := mustNew(t, compressors.Options{Scorer: chance, MinTokens: 1, MinSaving: 1, Threshold: 0.5, DefaultRate: 1, Dependencies: 0.1})
	for _, c := range []struct {
		name, a, b string
		want       [2]string
	}{
		{"nothing is likely", "// other", "// other", [2]string{"// …32 lines…\n", "// …32 lines…\n"}},
		{"all is likely", "// likely", "// likely", [2]string{source("// likely", 0), source("// likely", 4)}},
	} {
		r, err := compressor.Compress(t.Context(), compressors.Input{Query: "q", Texts: []compressors.Text{
			{Name: "a.go", Content: source(c.a, 0)}, {Name: "b.go", Content: source(c.b, 4)},
		}})
		if err != nil {
			t.Fatal(err)
		}
		for i, text := range r.Texts {
			if text.Output != c.want[i] {
				t.Errorf("%s: text %d became\n%s", c.name, i, text.Output)
			}
		}
	}
}
