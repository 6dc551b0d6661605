package eval

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/scoring"
	"github.com/pith-llm/pith/scoring/tokenizer"
)

var update = flag.Bool("update", false, "rewrite testdata/golden.txt")

// TestScoresOfTheSample compares what a run over the sample keeps with what it kept before: a change of quality, by
// segmentation, selection or scoring, shows as a changed line of the golden file.
func TestScoresOfTheSample(t *testing.T) {
	counter, err := tokenizer.NewCounter("o200k_base")
	if err != nil {
		t.Fatal(err)
	}
	report, err := Run(t.Context(), RunOptions{
		Data: []string{"testdata/sample.jsonl.gz"}, Scorers: []string{"random", "shortest", "bm25"}, Rates: []float64{0.25, 0.1},
		CountTokens: counter.Count,
		Scorer:      lexical,
		Compressor: func(s compressors.Scorer) (*compressors.Compressor, error) {
			return compressors.New(compressors.Options{Scorer: s, CountTokens: counter.Count, MinTokens: 1, MinSaving: 1})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	labelled, unlabelled := 0, 0
	for _, row := range report.Results {
		fmt.Fprintf(&got, "%-22s %-8s %-4g n=%d", row.Task, row.Scorer, row.Rate, row.N-row.WithoutGold)
		for m := range metricCount {
			if e := row.Metrics[m]; e.N > 0 {
				fmt.Fprintf(&got, " %s=%.3f", m, e.Mean)
			}
		}
		fmt.Fprintln(&got)
		if row.Scorer == "bm25" && row.Rate == 0.25 {
			labelled += row.N - row.WithoutGold
			unlabelled += row.WithoutGold
		}
		if reached := row.Metrics[RateReached]; row.Skipped < row.N && reached.High > row.Rate+1e-9 {
			t.Errorf("%s %s %g: the rate reached is %+v", row.Task, row.Scorer, row.Rate, reached)
		}
	}
	if labelled != 33 || unlabelled != 1 {
		t.Errorf("%d cases with labels and %d without, want 33 and 1", labelled, unlabelled)
	}
	const golden = "testdata/golden.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		gotLines, wantLines := strings.Split(got.String(), "\n"), strings.Split(string(want), "\n")
		for i := range max(len(gotLines), len(wantLines)) {
			g, w := at(gotLines, i), at(wantLines, i)
			if g != w {
				t.Errorf("line %d\n got  %s\n want %s", i+1, g, w)
			}
		}
		t.Log("if the change is meant, run go test ./eval -update and review the difference")
	}
}

// TestWhatSurvivesStandsInTheOutput checks the source ranges by another way: the text of a place that is kept must be in
// the output. The reverse does not hold, because a text can be in the output from elsewhere.
func TestWhatSurvivesStandsInTheOutput(t *testing.T) {
	cases, err := Load("testdata/sample.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	random, _ := baseline("random", 1)
	compressor, err := compressors.New(compressors.Options{Scorer: random, CountTokens: countWords, MinTokens: 1, MinSaving: 1})
	if err != nil {
		t.Fatal(err)
	}
	kept, lost := 0, 0
	for _, c := range cases {
		result, err := compressor.Compress(t.Context(), compressors.Input{Query: c.Query, Texts: c.Texts, Budget: compressors.Budget{Rate: 0.4}})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range c.Gold.Parts {
			for _, at := range p.Places {
				text := result.Texts[at.Text]
				if !holds(keptRanges(text.Parts), at.Start, at.End) {
					lost++
					continue
				}
				kept++
				if want := c.Texts[at.Text].Content[at.Start:at.End]; !strings.Contains(text.Output, want) {
					t.Errorf("case %s: %q counts as kept and is not in the output", c.ID, want)
				}
			}
		}
	}
	if kept < 20 || lost < 20 {
		t.Errorf("%d places kept, %d lost: too few to say anything", kept, lost)
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

// lexical is the scorer that needs no model.
func lexical(name string, _ int) (compressors.Scorer, error) {
	scorer, err := scoring.NewScorer(name, scoring.Options{})
	if err != nil {
		return nil, err
	}
	return compressors.ScorerFunc(func(ctx context.Context, query string, candidates []compressors.Candidate) (compressors.Scores, error) {
		segments := make([]scoring.Segment, len(candidates))
		for i, c := range candidates {
			segments[i] = scoring.Segment{TextName: c.TextName, Name: c.SegmentName, Text: c.Text}
		}
		scores, err := scorer.Score(ctx, query, segments)
		if err != nil {
			return compressors.Scores{}, err
		}
		out := compressors.Scores{ModelTokens: scores.ModelTokens}
		for _, value := range scores.Values {
			out.Scores = append(out.Scores, compressors.Score{Value: value})
		}
		return out, nil
	}), nil
}
