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
	c, err := scoring.ParseCombination([]byte(`{"families":{"prose":` + model + `,"code":` + model + `,"records":` + model + `}}`))
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
	if err != nil || len(again.Families) != len(c.Families) {
		t.Errorf("it cannot be read back: %v", err)
	}
	if _, err := scoring.ParseCombination([]byte(`{"families":{}}`)); err == nil {
		t.Error("a combination without families is read")
	}
}
