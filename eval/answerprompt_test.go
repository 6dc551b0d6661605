package eval

import (
	"testing"

	"github.com/pith-llm/pith/compressors"
)

func TestPromptOf(t *testing.T) {
	c := Case{Instruction: "Do it.", Query: "why?", Texts: []compressors.Text{
		{Name: "T", Language: "en", Content: "x"}, {Name: "b.go", Language: "go", Content: "y\n"}, {Name: "U", Language: "en", Content: "z"},
	}}
	for want, texts := range map[string][]string{
		"Do it.\n\nDocument [1](Title: T) x\nb.go\ny\nDocument [3](Title: U) z\n\nwhy?": {"x", "y\n", "z"},
		"Do it.\n\nDocument [3](Title: U) …1 line…\n\nwhy?":                             {"", "", "…1 line…"},
		"Do it.\n\n\nwhy?": {"", "", ""},
	} {
		if got := promptOf(c, texts); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	c.Metric = "edit_similarity / exact_match" // nothing stands between the last text and the query
	if got, want := promptOf(c, []string{"", "y", ""}), "Do it.\n\nb.go\ny\nwhy?\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestMetricOfTheData(t *testing.T) {
	for _, c := range []struct {
		metric, output string
		want           float64
	}{
		{"best_subspan_em", "It is Paris.\nNot Rome.", 1},
		{"best_subspan_em", "It is Rome.\nOr Paris.", 0},
		{"f1/em/subspan_em", "in paris", 2.0 / 3},
		{"edit_similarity / exact_match", "  pariz\nx", 0.8},
		{"rouge_l; gold_turn_recall", "to paris", 2.0 / 3},
	} {
		metric, _ := metricOf(Case{Metric: c.metric})
		approx(t, c.metric+" of "+c.output, metric(c.output, []string{"paris"}), c.want)
	}
	metric, _ := metricOf(Case{Metric: "repoqa_bleu>=0.8 | function name match"})
	approx(t, "a needle in a fence", metric("Here:\n```go\nfunc f() int { return 1 }\n```\nDone.", []string{"func f() int { return 1 }"}), 1)
	approx(t, "another function", metric("func g() int { return 2 }", []string{"func f() int { return 1 }"}), 0)
	if metric, _ := metricOf(Case{Metric: "judge"}); metric != nil {
		t.Error("an unknown metric has a score")
	}
}
