package eval

import (
	"strings"
	"testing"
)

// Of two cases that lose something the one that keeps less comes first; what survives is no loss.
func TestWorstLosses(t *testing.T) {
	text := func(gold string) string {
		return `"context":[{"name":"n","text":` + quoteLines("90 gold", "70 other", "30 gold", "20 other") + `}],"gold_segments":[0],"meta":{"gold_lines":` + gold + `}}`
	}
	o := options(writeData(t,
		`{"id":"half","task":"t","query":"q",`+text(`[[0,1,1],[0,3,3]]`),
		`{"id":"kept","task":"t","query":"q",`+text(`[[0,1,1]]`),
		`{"id":"lost","task":"t","query":"why",`+text(`[[0,3,3]]`)))
	o.Rates, o.Losses = []float64{0.6, 0.99}, 5
	report, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Losses) != 2 || report.Losses[0].ID != "lost" || report.Losses[1].ID != "half" {
		t.Fatalf("losses %+v: want those of lost and half", report.Losses)
	}
	l := report.Losses[0]
	if l.Query != "why" || l.Rate != 0.6 || l.GoldParts != 0 || len(l.Segments) != 1 {
		t.Errorf("%+v", l)
	}
	if s := l.Segments[0]; s.FirstLine != "30 gold w w w w" || s.Rank != 3 || s.Of != 4 || s.Score != 30 || s.Text != "n" {
		t.Errorf("%+v", s)
	}
	var b strings.Builder
	if err := report.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "The worst losses of number at rate 0.6") || !strings.Contains(b.String(), `"30 gold w w w w"`) {
		t.Error("the text does not list them")
	}
	o.Losses = 1
	if report, err = Run(t.Context(), o); err != nil || len(report.Losses) != 1 {
		t.Errorf("%d losses, error %v; want one", len(report.Losses), err)
	}
}
