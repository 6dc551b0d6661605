package eval

import (
	"math"
	"strings"
	"testing"
)

func TestModelTokensOf(t *testing.T) {
	for name, want := range map[string]struct {
		scorer string
		tokens int
		ok     bool
	}{
		"default@1000": {"default", 1000, true}, "default@0": {"default", 0, true}, "default@all": {"default", math.MaxInt32, true},
		"default": {"default", 0, false}, "default@many": {"default@many", 0, false}, "default@-1": {"default@-1", 0, false},
	} {
		scorer, tokens, ok := ModelTokensOf(name)
		if scorer != want.scorer || tokens != want.tokens || ok != want.ok {
			t.Errorf("%s is %q, %d, %v; want %+v", name, scorer, tokens, ok, want)
		}
	}
}

func TestCurve(t *testing.T) {
	row := func(task, scorer string, n int, gold, tokens float64) Row {
		r := Row{Task: task, Scorer: scorer, Rate: 0.25, ModelTokens: tokens}
		r.Metrics[GoldShare] = Estimate{Mean: gold, N: n}
		return r
	}
	report := Report{Results: []Row{
		row("a", "default@1000", 10, 0.8, 900), row("a", "default@0", 10, 0.5, 100), row("a", "bm25", 10, 0.1, 0),
		row("b", "default@1000", 30, 0.4, 1000), row("b", "default@0", 30, 0.3, 200), row("c", "default@0", 0, 0, 300),
	}}
	points := report.curve()
	if len(points) != 6 {
		t.Fatalf("%d points, want two each of a, b and all: %+v", len(points), points)
	}
	// Budgets rise within a task, and all is weighed by cases: (10 * 0.8 + 30 * 0.4) / 40.
	for i, want := range []curvePoint{
		{"a", 0.25, "default@0", 0, 10, 100, 0.5},
		{"a", 0.25, "default@1000", 1000, 10, 900, 0.8},
		{"b", 0.25, "default@0", 0, 30, 200, 0.3},
		{"b", 0.25, "default@1000", 1000, 30, 1000, 0.4},
		{"all", 0.25, "default@0", 0, 40, 175, 0.35},
		{"all", 0.25, "default@1000", 1000, 40, 975, 0.5},
	} {
		got := points[i]
		if !near(got.gold, want.gold) || !near(got.spent, want.spent) {
			t.Errorf("point %d is %+v, want %+v", i, got, want)
		}
		got.gold, got.spent = want.gold, want.spent
		if got != want {
			t.Errorf("point %d is %+v, want %+v", i, got, want)
		}
	}
	if got := points[1].decoder(points); !near(got, 800) {
		t.Errorf("the decoder read %v tokens, want 900 less the encoder's 100", got)
	}
	var text strings.Builder
	if err := report.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), "Gold kept against") {
		t.Errorf("no curve in the report:\n%s", text.String())
	}
}
