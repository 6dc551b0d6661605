package scoring_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/pith-llm/pith/scoring"
)

func TestTreesAreReadAsTheyAreWritten(t *testing.T) {
	for _, text := range []string{"0.5", "0.1 bm25<0.25 ? -0.5 : 0.75 cosine<0.5 ? 0.25 : 1", "-1 gain<-0.5 ? 0 late<1 ? 1 : 2 : 3"} {
		tree, err := scoring.ParseTree(text)
		if err != nil {
			t.Fatal(err)
		}
		if tree.String() != text {
			t.Errorf("%q is written as %q", text, tree)
		}
	}
	for _, text := range []string{
		"", "x", "1 2", "1 nothing<2 ? 1 : 2", "1 bm25 ? 1 : 2", "1 bm25<x ? 1 : 2", "1 bm25<1 : 1 ? 2", "1 bm25<1 ? 1", "1 bm25<1 ? 1 : 2 : 3",
		strings.Repeat("1 bm25<1 ? 1 : ", 100) + "1",
	} {
		if tree, err := scoring.ParseTree(text); err == nil {
			t.Errorf("%.40q is read as %s", text, tree)
		}
	}
}

// TestContributionsAddUp: what the features contribute to the log-odds and the constants are all that a probability is made of.
func TestContributionsAddUp(t *testing.T) {
	model := `{"cheap":{"bias":-1,"scale":2,"trees":["0.5 bm25<0.5 ? 0 : 1","0 coverage<0.5 ? -1 : 1"]},
		"full":{"bias":0.25,"scale":1,"trees":["0 gain<0 ? -1 : 1","0.25 bm25<0.5 ? -1 : 1"]},"piece":{"scale":1,"trees":["0"]}}`
	c, err := scoring.ParseCombination([]byte(`{"models":{"prose":` + model + `,"code":` + model + `,"records":` + model + `,"completion":` + model + `}}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, price := range map[string]int{"read": 4000, "not read": 0} {
		scores := score(t, newScorer(t, "default", scoring.Options{Combination: c, ModelTokens: price}), curie, passages)
		for i, p := range scores.Values {
			sum := -1 + 2*0.5 // bias, and the roots' values
			if price > 0 {
				sum = 0.25 + 0.25
			}
			for _, term := range scores.Terms {
				if !math.IsNaN(term.Values[i]) {
					sum += term.Values[i]
				}
			}
			if want := 1 / (1 + math.Exp(-sum)); math.Abs(p-want) > 1e-3 {
				t.Errorf("%s: segment %d has probability %v, its terms make %v", name, i, p, want)
			}
		}
	}
}

// TestModelOf: a question about code and code that goes on are asked of two models, other texts of their family's whatever asks.
func TestModelOf(t *testing.T) {
	always := func(bias string) string {
		return `{"cheap":{"bias":` + bias + `,"scale":1,"trees":["0"]},"full":{"scale":1},"piece":{"scale":1,"trees":["0"]}}`
	}
	c, err := scoring.ParseCombination([]byte(`{"models":{"prose":` + always("-2") + `,"code":` + always("-1") + `,"records":` + always("1") + `,"completion":` + always("2") + `}}`))
	if err != nil {
		t.Fatal(err)
	}
	scorer := newScorer(t, "default", scoring.Options{Combination: c})
	const question, lines = "Where is the harbour's depth computed?", "func depth() int {\n\ttide := now()\n\treturn tide"
	for _, test := range []struct {
		query  string
		family scoring.Family
		bias   float64
	}{
		{question, scoring.Prose, -2},
		{question, scoring.Code, -1},
		{question, scoring.Records, 1},
		{lines, scoring.Prose, -2},
		{lines, scoring.Code, 2},
		{lines, scoring.Records, 1},
	} {
		segments := []scoring.Segment{{Text: "func now() int { return 3 }\n", TextName: "tide.go", Family: test.family}}
		if got, want := score(t, scorer, test.query, segments).Values[0], 1/(1+math.Exp(-test.bias)); math.Abs(got-want) > 1e-3 {
			t.Errorf("%s for %.20q: probability %v, want that of the bias %v, %v", test.family, test.query, got, test.bias, want)
		}
	}
}

func TestCombinationInTheRepository(t *testing.T) {
	c, err := scoring.DefaultCombination()
	if err != nil {
		t.Fatal(err)
	}
	file, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if len(file) > 1<<20 {
		t.Errorf("it holds %d bytes", len(file))
	}
	again, err := scoring.ParseCombination(file)
	if err != nil || len(again.Models) != len(c.Models) {
		t.Errorf("it cannot be read back: %v", err)
	}
	if _, err := scoring.ParseCombination([]byte(`{"models":{}}`)); err == nil {
		t.Error("a combination without models is read")
	}
}
