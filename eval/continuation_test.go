package eval

import (
	"slices"
	"testing"

	"github.com/pith-llm/pith/compressors"
)

// A place that uses a name the way it comes next makes the next line likelier than what has nothing to do with it.
func TestContinuationGains(t *testing.T) {
	lm, err := embeddedLM()
	if err != nil {
		t.Fatal(err)
	}
	c := Case{
		Metric: "edit_similarity / exact_match", Texts: []compressors.Text{{}}, Answers: []string{"    harbour_log.note_arrival(ship)"},
		Query: "def arrive(ship):\n    ship.drop_anchor()",
	}
	candidates := []compressors.Candidate{
		{Text: "class Buoy:\n    colour = 'red'\n\n    def light(self):\n        return self.colour\n"},
		{Text: "def depart(ship):\n    ship.weigh_anchor()\n    harbour_log.note_departure(ship)\n"},
		{Text: "import math\nimport os\n"},
	}
	gains, err := continuationGains(t.Context(), lm, c, candidates)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(gains)
	if slices.Index(gains, slices.Max(gains)) != 1 || gains[1] < 5 {
		t.Errorf("gains %v: the second, with the name's use, should be largest, and above 5 nats", gains)
	}
	if !isLoneCompletion(c) {
		t.Error("a completion of its only text is none")
	}
	c.Texts = append(c.Texts, compressors.Text{})
	if isLoneCompletion(c) {
		t.Error("a case of two texts is a completion of its only text")
	}
}

func TestLastLines(t *testing.T) {
	for _, c := range []struct {
		text string
		n    int
		want string
	}{
		{"a\nb\nc\n", 2, "b\nc\n"},
		{"a\nb\nc", 2, "b\nc"},
		{"a\n\nc\n", 2, "\nc\n"},
		{"a\nb\n", 2, "a\nb\n"},
		{"a\nb\n", 3, "a\nb\n"},
		{"", 1, ""},
	} {
		if got := lastLines(c.text, c.n); got != c.want {
			t.Errorf("the last %d lines of %q are %q, want %q", c.n, c.text, got, c.want)
		}
	}
}
