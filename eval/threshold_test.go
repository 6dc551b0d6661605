package eval

import (
	"context"
	"testing"

	"github.com/pith-llm/pith/compressors"
)

// percents is byNumber with its numbers as probabilities, and counts its calls.
type percents struct{ calls int }

func (p *percents) Score(ctx context.Context, query string, candidates []compressors.Candidate) (compressors.Scores, error) {
	p.calls++
	scores, err := byNumber(ctx, query, candidates)
	scores.Probabilities = true
	for i := range scores.Scores {
		scores.Scores[i].Value /= 100
	}
	return scores, err
}

func TestThresholdsShareOneScoring(t *testing.T) {
	lines := quoteLines("90 gold", "40 other", "1 other", "40 gold", "1 other", "1 other", "1 other", "1 other", "1 other", "1 other")
	o := options(writeData(t, `{"id":"a","task":"t","query":"q","context":[{"name":"n","text":`+lines+`}],"gold_segments":[0],"meta":{"gold_lines":[[0,1,1],[0,4,4]]}}`))
	scorer := &percents{}
	o.Scorer = func(string, int) (compressors.Scorer, error) { return scorer, nil }
	o.Rates, o.Thresholds = []float64{0, 0.9}, []float64{0.5, 0.3}
	report, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if scorer.calls != 1 || len(report.Results) != 3 {
		t.Fatalf("scored %d times for %d rows, want once for three", scorer.calls, len(report.Results))
	}
	for i, want := range []struct{ rate, threshold, parts float64 }{{0, 0.5, 0.5}, {0, 0.3, 1}, {0.9, 0, 1}} {
		row := report.Results[i]
		if row.Rate != want.rate || row.Threshold != want.threshold || row.Metrics[GoldParts].Mean != want.parts {
			t.Errorf("row %d: rate %v, threshold %v, parts %v; want %+v", i, row.Rate, row.Threshold, row.Metrics[GoldParts].Mean, want)
		}
	}
	// Seven segments at 1 %, two at 40 % of which one is needed, one at 90 %: for prose and for all families.
	want := []ReliabilityBin{{From: 0.01, N: 7}, {From: 0.4, N: 2, Needed: 1}, {From: 0.9, N: 1, Needed: 1}}
	if len(report.Reliability) != 2*len(want) {
		t.Fatalf("bins %+v", report.Reliability)
	}
	for i, b := range report.Reliability {
		w := want[i%len(want)]
		family := []string{"prose", "all"}[i/len(want)]
		if b.Scorer != "number" || b.Family != family || b.From != w.From || b.N != w.N || b.Needed != w.Needed || b.Tokens != 6*w.N || b.Predicted < b.From || b.Predicted > b.From+0.001 {
			t.Errorf("bin %d is %+v, want %+v of %s", i, b, w, family)
		}
	}
}
