package eval

import (
	"bytes"
	"context"
	"math"
	"strings"
	"testing"

	"github.com/pith-llm/pith/compressors"
)

// scored is an arithmetic with a scorer of its own.
func scored(name string, scorer compressors.ScorerFunc) Arithmetic {
	return Arithmetic{Name: name, Compressor: func() (*compressors.Compressor, error) { return options("").Compressor(scorer) }}
}

// nudged adds something to the score of the lines that hold the word.
func nudged(word string, by float64) compressors.ScorerFunc {
	return func(ctx context.Context, query string, candidates []compressors.Candidate) (compressors.Scores, error) {
		scores, err := byNumber(ctx, query, candidates)
		for i, c := range candidates {
			if strings.Contains(c.Text, word) {
				scores.Scores[i].Value += by
			}
		}
		return scores, err
	}
}

// threeCases are cases of two best lines among others; in the second the third best is near, and holds the word "near".
func threeCases(t *testing.T) string {
	lines := func(third string) string {
		return quoteLines("9 a", "1 b", "2 c", third, "8 d", "3 e", "0 f", "0 g", "0 h", "0 i")
	}
	var data strings.Builder
	for id, third := range map[string]string{"one": "7 x", "two": "7 near", "three": "7 x"} {
		data.WriteString(`{"id":"` + id + `","task":"t","query":"q","context":[{"text":` + lines(third) + `}],"gold_segments":[0],"meta":{"gold_lines":[[0,1,1]]}}` + "\n")
	}
	return writeData(t, data.String())
}

func TestFlipsAreCounted(t *testing.T) {
	o := FlipOptions{
		Data: []string{threeCases(t)}, Rate: 0.35, Reference: scored("plain", byNumber),
		Others: []Arithmetic{scored("same", byNumber), scored("nudged a little", nudged("near", 0.5)), scored("nudged far", nudged("near", 1.5))},
	}
	report, err := CountFlips(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if report.Cases != 3 || report.Segments != 30 {
		t.Errorf("%d cases of %d segments, want 3 of 30", report.Cases, report.Segments)
	}
	for i, want := range []FlipsFrom{{Cases: 0}, {Cases: 0}, {Cases: 1, Segments: 2}} {
		if got := report.Others[i]; got.Cases != want.Cases || got.Segments != want.Segments {
			t.Errorf("%s: %d cases, %d segments, want %d, %d", got.Name, got.Cases, got.Segments, want.Cases, want.Segments)
		}
	}
	var text bytes.Buffer
	if err := report.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"nudged far", "1 (33.33 %)", "2 (6.667 %)", " two"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, &text)
		}
	}
	for name, change := range map[string]func(*FlipOptions){
		"no data": func(o *FlipOptions) { o.Data = nil }, "limit": func(o *FlipOptions) { o.Limit = -1 },
		"rate": func(o *FlipOptions) { o.Rate = 0 }, "nothing to compare": func(o *FlipOptions) { o.Others = nil },
	} {
		bad := o
		change(&bad)
		if _, err := CountFlips(t.Context(), bad); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one with %q", err, name)
		}
	}
}

func TestAccuracyOfRanks(t *testing.T) {
	report, err := MeasureAccuracy(t.Context(), AccuracyOptions{
		Ranked: threeCases(t), Reference: scored("plain", byNumber),
		Others: []Arithmetic{scored("same", byNumber), scored("nudged far", nudged("near", 10))},
	})
	if err != nil {
		t.Fatal(err)
	}
	if report.Cases != 3 || report.MRR != 1 {
		t.Errorf("%d cases with MRR %v, want 3 with 1", report.Cases, report.MRR)
	}
	if same := report.Differences[0]; same.Rank != 1 || same.LeastRank != 1 || same.MRR != 1 {
		t.Errorf("the same scores give %+v", same)
	}
	// In one case of three the gold line falls to the second place.
	if far := report.Differences[1]; !near(far.MRR, (1+1+0.5)/3) || !(far.LeastRank < 1) || !near(far.Rank, (2+far.LeastRank)/3) {
		t.Errorf("one line that is nudged to the top gives %+v", far)
	}
}

func TestRankCorrelation(t *testing.T) {
	for _, c := range []struct {
		a, b []float64
		want float64
	}{
		{[]float64{1, 2, 3, 4}, []float64{10, 20, 30, 99}, 1},
		{[]float64{1, 2, 3, 4}, []float64{4, 3, 2, 1}, -1},
		{[]float64{1, 2, 3, 4}, []float64{1, 3, 2, 4}, 0.8}, // 1 - 6*2/(4*15)
		{[]float64{1, 1, 2}, []float64{1, 2, 3}, 1.5 / math.Sqrt(1.5*2)},
		{[]float64{5, 5}, []float64{5, 5}, 1},
		{[]float64{5, 5}, []float64{5, 6}, 0},
	} {
		if got := rankCorrelation(c.a, c.b); !near(got, c.want) {
			t.Errorf("%v and %v: %v, want %v", c.a, c.b, got, c.want)
		}
	}
}
