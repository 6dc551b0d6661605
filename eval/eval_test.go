package eval

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pith-llm/pith/compressors"
)

// lineSegmenter makes every line a segment, so that tests decide what is kept line by line.
type lineSegmenter struct{}

func (lineSegmenter) Segments(text compressors.Text) ([]compressors.Segment, error) {
	var segments []compressors.Segment
	at := 0
	for line := range strings.Lines(text.Content) {
		segments = append(segments, compressors.Segment{Start: at, End: at + len(line), Kind: compressors.KindLines, Parent: -1})
		at += len(line)
	}
	return segments, nil
}

func countWords(s string) int { return len(strings.Fields(s)) }

// byNumber scores a line by the number that opens it: the tests write their own ranking into the texts.
func byNumber(ctx context.Context, _ string, candidates []compressors.Candidate) (compressors.Scores, error) {
	if err := ctx.Err(); err != nil {
		return compressors.Scores{}, err
	}
	scores := compressors.Scores{ModelTokens: 7, Stages: []compressors.Stage{{Name: "count", Duration: time.Millisecond}}}
	for _, c := range candidates {
		first, _, _ := strings.Cut(c.Text, " ")
		value, err := strconv.Atoi(first)
		if err != nil {
			return compressors.Scores{}, err
		}
		scores.Scores = append(scores.Scores, compressors.Score{Value: float64(value)})
	}
	return scores, nil
}

func options(data string) RunOptions {
	return RunOptions{
		Data: []string{data}, Scorers: []string{"number"}, Rates: []float64{0.5}, CountTokens: countWords,
		Scorer: func(name string, _ int) (compressors.Scorer, error) {
			if name != "number" {
				return nil, errors.New("no such scorer")
			}
			return compressors.ScorerFunc(byNumber), nil
		},
		Compressor: func(s compressors.Scorer) (*compressors.Compressor, error) {
			return compressors.New(compressors.Options{
				Scorer: s, CountTokens: countWords, Segmenter: lineSegmenter{}, MinTokens: 1, MinSaving: 1,
			})
		},
	}
}

// quoteLines makes the JSON string of lines of six words each; a line's own words come first.
func quoteLines(lines ...string) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(line)
		for range 6 - countWords(line) {
			b.WriteString(" w")
		}
		b.WriteString("\n")
	}
	quoted, err := json.Marshal(b.String())
	if err != nil {
		panic(err)
	}
	return string(quoted)
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func TestMetricsAgreeWithTheHand(t *testing.T) {
	// 20 lines of 6 words are 120 tokens. At rate 0.17 the budget is 20: the lines that open with 90 and 80 and the
	// three markers of two words around them are 18. The line that opens with 3 ranks third and is lost.
	other := func(n int) []string {
		lines := make([]string, n)
		for i := range lines {
			lines[i] = "1 other"
		}
		return lines
	}
	first := quoteLines(append([]string{"90 best", "3 lost 5 lines"}, other(8)...)...)
	second := quoteLines(append(other(8), "80 answer lines", "2 late")...)
	tests := []struct {
		name, labels                string
		share, any, all, parts, mrr float64
	}{
		{"all kept", `"gold_segments":[0],"meta":{"gold_lines":[[0,1,1]]}`, 1, 1, 1, 1, 1},
		{"one of two texts", `"gold_segments":[0,1],"meta":{"gold_lines":[[0,2,2],[1,9,9]]}`, 0.5, 1, 0, 0.5, 0.5},
		{"one of two lines of a text", `"gold_segments":[0],"meta":{"gold_lines":[[0,1,2]]}`, 0, 0, 0, 0.5, 1},
		{"lost", `"gold_segments":[0],"meta":{"gold_lines":[[0,2,2]]}`, 0, 0, 0, 0, 1.0 / 3},
		// A marker reads "…9 lines…", and a line that is kept in the other text holds the word; neither is the gold line.
		{"markers and other places do not count", `"gold_segments":[0],"meta":{"gold_text":["lines"]}`, 0, 0, 0, 0, 1.0 / 3},
		{"answer", `"gold_segments":[1],"answers":["answer"]`, 1, 1, 1, 1, 0.5},
		{"one of two answers", `"gold_segments":[1],"answers":["answer","late"]`, 0, 0, 0, 0.5, 0.5},
		// Of ten lines less than half are kept; its best line ranks second.
		{"no label: half its tokens", `"gold_segments":[1]`, 0, 0, 0, 0, 0.5},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := options(writeData(t, `{"id":"a","task":"t","query":"q","context":[{"name":"n","text":`+first+
				`},{"name":"m","text":`+second+`}],`+test.labels+`}`))
			o.Rates = []float64{0.17}
			report, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			row := report.Results[0]
			for m, want := range map[Metric]float64{GoldShare: test.share, GoldAny: test.any, GoldAll: test.all, GoldParts: test.parts, MRR: test.mrr} {
				got := row.Metrics[m]
				if got.N != 1 || !near(got.Mean, want) || !near(got.Low, want) || !near(got.High, want) {
					t.Errorf("%s is %+v, want %v", m, got, want)
				}
			}
			if reached := row.Metrics[RateReached]; !near(reached.Mean, 18.0/120) {
				t.Errorf("rate reached is %v, want 18 of 120 tokens", reached.Mean)
			}
			if row.TokensIn != 120 || row.ModelTokens != 7 || row.N != 1 || row.WithoutGold != 0 || row.Skipped != 0 {
				t.Errorf("row %+v", row)
			}
			if len(row.Stages) < 4 || row.Stages[0].Name != "segment" || row.Stages[2] != (StageTime{"score/count", time.Millisecond}) {
				t.Errorf("stages %+v", row.Stages)
			}
		})
	}
}

func TestHalfOfAnUnlabelledTextIsEnough(t *testing.T) {
	// The gold text is 4 of 24 lines; the best 3 of them are kept at this rate.
	gold := quoteLines("90 a", "90 b", "90 c", "2 d")
	rest := quoteLines(strings.Split(strings.Repeat("1 x\n", 19)+"1 x", "\n")...)
	o := options(writeData(t, `{"id":"a","task":"t","query":"q","context":[{"name":"n","text":`+rest+`},{"name":"m","text":`+gold+`}],"gold_segments":[1]}`))
	o.Rates = []float64{0.16, 0.1}
	report, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if got := report.Results[0].Metrics[GoldAll].Mean; got != 1 {
		t.Errorf("three of four lines kept: gold_all %v, want 1", got)
	}
	if got := report.Results[1].Metrics[GoldAll].Mean; got != 0 {
		t.Errorf("one of four lines kept: gold_all %v, want 0", got)
	}
}

func TestUnlabelledAndSkippedCasesAreCounted(t *testing.T) {
	long := quoteLines("9 a", "8 b", "7 c", "6 d", "5 e")
	o := options(writeData(t,
		`{"id":"a","task":"t","query":"q","context":[{"name":"n","text":`+long+`}],"gold_segments":[0],"meta":{"gold_lines":[[0,1,1]]}}`,
		`{"id":"b","task":"t","query":"q","context":[{"name":"n","text":`+long+`}]}`,
		`{"id":"c","task":"t","query":"Summarise this document.","context":[{"name":"n","text":`+long+`}],"gold_segments":[0],"meta":{"gold_lines":[[0,5,5]]}}`,
		`{"id":"d","task":"u","query":"q","context":[{"name":"n","text":`+long+`}]}`,
	))
	report, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Results) != 2 {
		t.Fatalf("%d rows, want one a task: %+v", len(report.Results), report.Results)
	}
	row := report.Results[0]
	if row.N != 3 || row.WithoutGold != 1 || row.Skipped != 1 {
		t.Errorf("n %d, without gold %d, skipped %d; want 3, 1, 1", row.N, row.WithoutGold, row.Skipped)
	}
	// What is left alone loses nothing, and is not ranked.
	if e := row.Metrics[GoldShare]; e.N != 2 || e.Mean != 1 {
		t.Errorf("gold share %+v, want 1 of 2 cases", e)
	}
	if e := row.Metrics[MRR]; e.N != 1 {
		t.Errorf("mrr %+v, want 1 case", e)
	}
	if e := row.Metrics[RateReached]; e.N != 3 {
		t.Errorf("rate reached %+v, want 3 cases", e)
	}
	// A task without any label has no gold metrics: null in JSON, a dash in the table.
	encoded, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var decoded struct {
		Results []map[string]any `json:"results"`
	}
	if err := json.Unmarshal(encoded, &decoded); err != nil {
		t.Fatal(err)
	}
	if got := decoded.Results[1]; got["gold_share"] != nil || got["gold_share_ci"] != nil || got["n_without_gold"] != 1.0 || got["task"] != "u" {
		t.Errorf("row without labels in JSON: %v", got)
	}
	for _, key := range []string{"task", "scorer", "rate", "n", "rate_reached", "gold_share", "gold_any", "gold_all", "mrr", "model_tokens", "ms_per_case", "stage_ms"} {
		if decoded.Results[0][key] == nil {
			t.Errorf("JSON lacks %s: %v", key, decoded.Results[0])
		}
	}
	var table strings.Builder
	if err := report.WriteText(&table); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.String(), "no gold") || !strings.Contains(table.String(), "  -  ") {
		t.Errorf("table:\n%s", table.String())
	}
}

func TestDifferencesArePaired(t *testing.T) {
	// "head" keeps what stands first, "tail" what stands last; the gold line is last in three cases of four. Each case
	// alone decides by how much they differ: 1, 1, 1, -1.
	var lines []string
	for i := range 4 {
		gold := 10
		if i == 3 {
			gold = 1
		}
		text := quoteLines(strings.Split(strings.Repeat("1 x\n", 9)+"1 x", "\n")...)
		lines = append(lines, `{"id":"`+strconv.Itoa(i)+`","task":"t","query":"q","context":[{"name":"n","text":`+text+
			`}],"gold_segments":[0],"meta":{"gold_lines":[[0,`+strconv.Itoa(gold)+`,`+strconv.Itoa(gold)+`]]}}`)
	}
	o := options(writeData(t, lines...))
	o.Scorers = []string{"head", "tail"}
	report, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Comparisons) != 2 {
		t.Fatalf("comparisons %+v, want one of gold share and one of mrr", report.Comparisons)
	}
	share, mrr := report.Comparisons[0], report.Comparisons[1]
	if share.Scorer != "tail" || share.Against != "head" || share.N != 4 || share.Groups.Units != 1 ||
		!near(share.Mean, 0.5) || !near(share.Cases.Low, -0.5) || !near(share.Cases.High, 1) {
		t.Errorf("comparison %+v, want a mean of 0.5 in [-0.5, 1] and one group", share)
	}
	if want := 0.5 * (1 - 0.1); !near(mrr.Mean, want) {
		t.Errorf("difference of mrr %v, want %v", mrr.Mean, want)
	}
	var table strings.Builder
	if err := report.WriteText(&table); err != nil {
		t.Fatal(err)
	}
	// All cases ask the same: they are one group, of which nothing follows for others.
	if !regexp.MustCompile(`gold_share +0\.5 +4 +1 +\+0\.500 +\[-0\.50 \+1\.00\] +\[\+0\.50 \+0\.50\] .* 1\.0000 +no difference\n`).MatchString(table.String()) {
		t.Errorf("table:\n%s", table.String())
	}
	encoded, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"verdict":"no difference"`, `"p_holm":1`, `"ci_groups":[0.5,0.5]`, `"metric":"mrr"`} {
		if !strings.Contains(string(encoded), want) {
			t.Errorf("JSON lacks %s: %s", want, encoded)
		}
	}
}

func TestBaselinesRankAsTheyAreNamed(t *testing.T) {
	const first, shortest, last = `[[0,1,1]]`, `[[0,3,3]]`, `[[0,4,4]]`
	const text = `"1 aaaa bbbb cccc dddd eeee\n1 aaaa bbbb cccc dddd eee\n1 a b c d e\n1 aaaa bbbb cccc dddd eeeee\n"`
	mrr := func(scorer, gold string, seed uint64) float64 {
		o := options(writeData(t, `{"id":"a","task":"t","query":"q","context":[{"name":"n","text":`+text+
			`}],"gold_segments":[0],"meta":{"gold_lines":`+gold+`}}`))
		o.Scorers, o.Seed = []string{scorer}, seed
		report, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return report.Results[0].Metrics[MRR].Mean
	}
	for scorer, want := range map[string][3]float64{
		"head": {1, 1.0 / 3, 0.25}, "tail": {0.25, 0.5, 1}, "shortest": {1.0 / 3, 1, 0.25},
	} {
		for i, gold := range []string{first, shortest, last} {
			if got := mrr(scorer, gold, 0); !near(got, want[i]) {
				t.Errorf("%s, gold %s: mrr %v, want %v", scorer, gold, got, want[i])
			}
		}
	}
	// Random alone, not the mean of its runs: over 20 seeds each of four places comes first.
	places := map[int]bool{}
	candidates := make([]compressors.Candidate, 4)
	for seed := range uint64(20) {
		best := func() int {
			scorer, _ := baseline("random", seed)
			scores, err := scorer.Score(t.Context(), "q", candidates)
			if err != nil {
				t.Fatal(err)
			}
			at := 0
			for i, s := range scores.Scores {
				if s.Value > scores.Scores[at].Value {
					at = i
				}
			}
			return at
		}
		at := best()
		if again := best(); again != at {
			t.Fatal("random differs with the same seed")
		}
		places[at] = true
	}
	if len(places) != 4 {
		t.Errorf("over 20 seeds random puts only %v first, want all 4 places", places)
	}
}

func TestRunEndsAtTheFirstFailure(t *testing.T) {
	data := writeData(t,
		`{"id":"fine","task":"t","query":"q","context":[{"name":"n","text":"1 a b c d e f\n2 a b c d e f\n"}]}`,
		`{"id":"broken","task":"t","query":"q","context":[{"name":"n","text":"1 a b c d e f\nx a b c d e f\n"}]}`)
	var progress strings.Builder
	o := options(data)
	o.Progress = &progress
	_, err := Run(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "case broken") || !errors.Is(err, strconv.ErrSyntax) {
		t.Errorf("error %v, want the scorer's for case broken", err)
	}
	if want := data + " 1/2 fine number\n" + data + " 2/2 broken number\n"; progress.String() != want {
		t.Errorf("progress %q, want %q", progress.String(), want)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(canceled, options(data)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
	o = options(data)
	o.Scorers = []string{"unknown"}
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), `"unknown"`) {
		t.Errorf("error %v, want one that names the scorer", err)
	}
}

func TestRunOptionsAreChecked(t *testing.T) {
	for name, change := range map[string]func(*RunOptions){
		"data":           func(o *RunOptions) { o.Data = nil },
		"no scorer":      func(o *RunOptions) { o.Scorers = nil },
		"no rate":        func(o *RunOptions) { o.Rates = nil },
		"limit":          func(o *RunOptions) { o.Limit = -1 },
		"CountTokens":    func(o *RunOptions) { o.CountTokens = nil },
		"rate is -0.5":   func(o *RunOptions) { o.Rates = []float64{-0.5} },
		"rate is 1.5":    func(o *RunOptions) { o.Rates = []float64{1.5} },
		"rate is NaN":    func(o *RunOptions) { o.Rates = []float64{math.NaN()} },
		"rate 0.5":       func(o *RunOptions) { o.Rates = []float64{0.5, 0.5} },
		"threshold is 2": func(o *RunOptions) { o.Rates, o.Thresholds = []float64{0}, []float64{2} },
		"threshold 0.5":  func(o *RunOptions) { o.Rates, o.Thresholds = []float64{0}, []float64{0.5, 0.5} },
		"at rate 0":      func(o *RunOptions) { o.Thresholds = []float64{0.5} },
		"scorer \"a\"":   func(o *RunOptions) { o.Scorers = []string{"a", "a"} },
	} {
		o := options("unused")
		change(&o)
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestEstimate(t *testing.T) {
	if e := estimate(nil, 1); e != (Estimate{}) {
		t.Errorf("of nothing: %+v", e)
	}
	if e := estimate([]float64{0.3, 0.3, 0.3}, 1); !near(e.Mean, 0.3) || !near(e.Low, 0.3) || !near(e.High, 0.3) {
		t.Errorf("of equal values: %+v", e)
	}
	// Of two draws from {0, 1}, a quarter are both 0 and a quarter both 1.
	if e := estimate([]float64{0, 1}, 1); e != (Estimate{Mean: 0.5, Low: 0, High: 1, N: 2}) {
		t.Errorf("of 0 and 1: %+v", e)
	}
	// For many values the interval is that of the normal distribution: 0.5 ± 1.96 * 0.5 / sqrt(400).
	values := make([]float64, 400)
	for i := range values {
		values[i] = float64(i % 2)
	}
	e := estimate(values, 1)
	if math.Abs(e.Low-0.451) > 0.006 || math.Abs(e.High-0.549) > 0.006 {
		t.Errorf("of 400 values: %+v, want about [0.451, 0.549]", e)
	}
	if again := estimate(values, 1); again != e {
		t.Errorf("again: %+v, want %+v", again, e)
	}
	if other := estimate(values, 2); other == e {
		t.Errorf("another seed draws alike: %+v", other)
	}
}

// TestRateZeroIsThePolicy: without a rate the compressor's own decides, which by default is a half.
func TestRateZeroIsThePolicy(t *testing.T) {
	o := options("testdata/sample.jsonl.gz")
	o.Rates, o.Limit, o.Scorers = []float64{0, 0.5}, 3, []string{"head"}
	report, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(report.Results); i += 2 {
		policy, half := report.Results[i], report.Results[i+1]
		if policy.Metrics != half.Metrics || policy.Metrics[RateReached].Mean == 0 {
			t.Errorf("%s: %v by policy, %v at a half", policy.Task, policy.Metrics, half.Metrics)
		}
	}
}
