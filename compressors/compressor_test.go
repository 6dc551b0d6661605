package compressors_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/pith-llm/pith/compressors"
)

// functions returns a Go file of n functions of about 40 tokens each.
func functions(n int) string {
	var b strings.Builder
	b.WriteString("package p\n\nimport \"fmt\"\n")
	for i := range n {
		fmt.Fprintf(&b, "\n// Number%d prints %d.\nfunc Number%d(prefix string) error {\n\t_, err := fmt.Println(prefix, %d)\n\treturn err\n}\n", i, i, i, i)
	}
	return b.String()
}

func mustNew(t *testing.T, o compressors.Options) *compressors.Compressor {
	t.Helper()
	if o.CountTokens == nil {
		o.CountTokens = countTokens
	}
	if o.Scorer == nil {
		o.Scorer = byHash
	}
	c, err := compressors.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestBudgetIsReached(t *testing.T) {
	c := mustNew(t, compressors.Options{})
	texts := []compressors.Text{
		{Name: "a.go", Content: functions(60)},
		{Name: "b.go", Content: functions(40)},
		{Name: "notes", Content: strings.Repeat("Some words here. And there are more of them.\n\n", 80)},
	}
	for _, budget := range []compressors.Budget{{Tokens: 100}, {Tokens: 500}, {Tokens: 2000}, {Rate: 0.1}, {Rate: 0.5}, {Rate: 0.9}, {}} {
		input := compressors.Input{Query: "q", Texts: texts, Budget: budget}
		r, err := c.Compress(t.Context(), input)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case budget.Rate > 0:
			input.Budget.Tokens = int(budget.Rate * float64(r.TokensIn))
		case budget.Tokens == 0:
			input.Budget.Tokens = r.TokensIn / 2
		}
		checkResult(t, input, r)
		if short := input.Budget.Tokens - r.TokensOut; short > 60 {
			t.Errorf("budget %+v: %d tokens short of %d, more than the smallest segments", budget, short, input.Budget.Tokens)
		}
	}
}

func TestBudgetBelowMarkers(t *testing.T) {
	c := mustNew(t, compressors.Options{})
	input := compressors.Input{Query: "q", Budget: compressors.Budget{Tokens: 7}}
	for range 4 {
		input.Texts = append(input.Texts, compressors.Text{Name: "a.go", Content: functions(30)})
	}
	r, err := c.Compress(t.Context(), input)
	if err != nil {
		t.Fatal(err)
	}
	checkResult(t, input, r)
	// By the test's counter, the marker is seven tokens.
	if got := r.Texts[0].Output; got != "// …183 lines…\n" {
		t.Errorf("the first text became %q, want a marker", got)
	}
	for i, text := range r.Texts[1:] {
		if text.Output != "" {
			t.Errorf("text %d became %q, want nothing", i+1, text.Output)
		}
	}
}

func TestSkip(t *testing.T) {
	code := functions(30)
	for _, c := range []struct {
		name    string
		options compressors.Options
		input   compressors.Input
		want    compressors.SkipReason
	}{
		{"small", compressors.Options{MinTokens: 5000}, compressors.Input{Query: "q"}, compressors.SkipSmall},
		{"within the budget", compressors.Options{}, compressors.Input{Query: "q", Budget: compressors.Budget{Tokens: 90_000}}, compressors.SkipWithinBudget},
		{"a task for whole texts", compressors.Options{}, compressors.Input{Query: "Summarise this document.", Budget: compressors.Budget{Tokens: 100}}, compressors.SkipWholeText},
		{"a rate of one", compressors.Options{}, compressors.Input{Query: "q", Budget: compressors.Budget{Rate: 1}}, compressors.SkipWithinBudget},
		{"no saving", compressors.Options{MinSaving: 5000}, compressors.Input{Query: "q"}, compressors.SkipNoSaving},
		{"compressed", compressors.Options{}, compressors.Input{Query: "q"}, compressors.NotSkipped},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.input.Texts = []compressors.Text{{Name: "a.go", Content: code}, {Name: "b.go", Content: code}}
			r, err := mustNew(t, c.options).Compress(t.Context(), c.input)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range r.Texts {
				if text.Skip != c.want {
					t.Errorf("skip reason %q, want %q", text.Skip, c.want)
				}
				if (text.Output == code) != (c.want != compressors.NotSkipped) {
					t.Errorf("output has %d of %d bytes", len(text.Output), len(code))
				}
			}
		})
	}
}

func TestNoScorer(t *testing.T) {
	c, err := compressors.New(compressors.Options{CountTokens: countTokens})
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Compress(t.Context(), compressors.Input{Query: "q", Texts: []compressors.Text{{Content: functions(30)}}})
	if err != nil || r.Texts[0].Skip != compressors.SkipNoQuery {
		t.Errorf("skip reason %q, error %v", r.Texts[0].Skip, err)
	}
}

// A text of an Input that would save next to nothing stays whole, and shows why.
func TestTextWithoutSaving(t *testing.T) {
	short := "A short note that every score puts last."
	last := compressors.ScorerFunc(func(_ context.Context, _ string, candidates []compressors.Candidate) (compressors.Scores, error) {
		scores := make([]compressors.Score, len(candidates))
		for i, c := range candidates {
			if c.Text == short {
				scores[i].Value = -1
			}
		}
		return compressors.Scores{Scores: scores}, nil
	})
	input := compressors.Input{
		Query:  "q",
		Texts:  []compressors.Text{{Content: short}, {Name: "a.go", Content: functions(30)}},
		Budget: compressors.Budget{Tokens: 520},
	}
	r, err := mustNew(t, compressors.Options{Scorer: last}).Compress(t.Context(), input)
	if err != nil {
		t.Fatal(err)
	}
	checkResult(t, input, r)
	if r.Texts[0].Output != short || r.Texts[0].Skip != compressors.SkipNoSaving {
		t.Errorf("the note became %q, skip reason %q", r.Texts[0].Output, r.Texts[0].Skip)
	}
	if r.Texts[1].Skip != compressors.NotSkipped {
		t.Errorf("the code has skip reason %q", r.Texts[1].Skip)
	}
}

func TestPlanServesManyBudgets(t *testing.T) {
	calls := 0
	scorer := compressors.ScorerFunc(func(ctx context.Context, query string, candidates []compressors.Candidate) (compressors.Scores, error) {
		calls++
		s, err := byHash(ctx, query, candidates)
		s.ModelTokens = 7
		s.Stages = []compressors.Stage{{Name: "hash"}}
		return s, err
	})
	c := mustNew(t, compressors.Options{Scorer: scorer, Verify: true})
	texts := []compressors.Text{{Name: "a.go", Content: functions(60)}}
	plan, err := c.Prepare(t.Context(), "q", texts)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	results := make([]compressors.Result, 4)
	for i := range results {
		group.Go(func() {
			r, err := plan.Compress(t.Context(), compressors.Budget{Rate: float64(1+i) / 5})
			if err != nil {
				t.Error(err)
			}
			results[i] = r
		})
	}
	group.Wait()
	if calls != 1 {
		t.Errorf("the scorer was called %d times, want once", calls)
	}
	for i, got := range results {
		want, err := c.Compress(t.Context(), compressors.Input{Query: "q", Texts: texts, Budget: compressors.Budget{Rate: float64(1+i) / 5}})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.Texts, want.Texts) || got.ModelTokens != 7 {
			t.Errorf("rate %d/5: the plan's result differs from that of Compress", 1+i)
		}
	}
	var stages []string
	for _, s := range results[0].Stages {
		stages = append(stages, s.Name)
	}
	if got := strings.Join(stages, " "); got != "segment score score/hash select render parse" {
		t.Errorf("stages %q", got)
	}
}

func TestScorerErrors(t *testing.T) {
	failed := errors.New("no model")
	for _, c := range []struct {
		name  string
		score func(n int) ([]compressors.Score, error)
		want  string
	}{
		{"failure", func(int) ([]compressors.Score, error) { return nil, failed }, "no model"},
		{"too few scores", func(n int) ([]compressors.Score, error) { return make([]compressors.Score, n-1), nil }, "scores for"},
		{"not a number", func(n int) ([]compressors.Score, error) {
			s := make([]compressors.Score, n)
			s[1].Value = math.NaN()
			return s, nil
		}, "not a number"},
	} {
		t.Run(c.name, func(t *testing.T) {
			scorer := compressors.ScorerFunc(func(_ context.Context, _ string, candidates []compressors.Candidate) (compressors.Scores, error) {
				s, err := c.score(len(candidates))
				return compressors.Scores{Scores: s}, err
			})
			_, err := mustNew(t, compressors.Options{Scorer: scorer}).Compress(t.Context(), compressors.Input{
				Query: "q", Texts: []compressors.Text{{Name: "a.go", Content: functions(30)}},
			})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := mustNew(t, compressors.Options{}).Compress(ctx, compressors.Input{Query: "q", Texts: []compressors.Text{{Content: functions(30)}}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

func TestCustomSegmenterIsChecked(t *testing.T) {
	const text = "One is here. Two is there.\nThree.\n"
	for _, c := range []struct {
		name     string
		segments []compressors.Segment
		want     string
	}{
		{"hole", []compressors.Segment{{Start: 0, End: 13, Parent: -1}, {Start: 14, End: len(text), Parent: -1}}, "must start at 13"},
		{"empty", []compressors.Segment{{Start: 0, End: 0, Parent: -1}}, "hold something"},
		{"short", []compressors.Segment{{Start: 0, End: 27, Parent: -1}}, "end at 27"},
		{"inside a word", []compressors.Segment{{Start: 0, End: 2, Parent: -1}, {Start: 2, End: len(text), Parent: -1}}, "inside a sentence"},
		{"parent after child", []compressors.Segment{{Start: 0, End: 27, Parent: 1}, {Start: 27, End: len(text), Parent: -1}}, "must precede"},
	} {
		t.Run(c.name, func(t *testing.T) {
			segmenter := segmenterFunc(func(compressors.Text) ([]compressors.Segment, error) { return c.segments, nil })
			_, err := mustNew(t, compressors.Options{Segmenter: segmenter, MinTokens: 1}).Compress(t.Context(), compressors.Input{
				Query: "q", Texts: []compressors.Text{{Content: text}},
			})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestOptionsAreValidated(t *testing.T) {
	segmenter := segmenterFunc(func(compressors.Text) ([]compressors.Segment, error) { return nil, nil })
	for want, o := range map[string]compressors.Options{
		"CountTokens":             {},
		"MinTokens is -1":         {CountTokens: countTokens, MinTokens: -1},
		"MinSaving is -1":         {CountTokens: countTokens, MinSaving: -1},
		"DefaultRate is 1.5":      {CountTokens: countTokens, DefaultRate: 1.5},
		"DefaultRate is NaN":      {CountTokens: countTokens, DefaultRate: math.NaN()},
		"MaxTokens is 8":          {CountTokens: countTokens, MaxSegmentTokens: 8},
		"together with Segmenter": {CountTokens: countTokens, MaxSegmentTokens: 300, Segmenter: segmenter},
	} {
		if _, err := compressors.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	c := mustNew(t, compressors.Options{})
	for _, b := range []compressors.Budget{{Tokens: -1}, {Rate: -0.5}, {Rate: 2}, {Rate: math.NaN()}, {Tokens: 5, Rate: 0.5}} {
		if _, err := c.Compress(t.Context(), compressors.Input{Budget: b}); err == nil {
			t.Errorf("budget %+v was accepted", b)
		}
	}
}

func TestCarriageReturns(t *testing.T) {
	code := strings.ReplaceAll(functions(30), "\n", "\r\n")
	input := compressors.Input{Query: "q", Texts: []compressors.Text{{Name: "a.go", Content: code}}, Budget: compressors.Budget{Tokens: 300}}
	r, err := mustNew(t, compressors.Options{}).Compress(t.Context(), input)
	if err != nil {
		t.Fatal(err)
	}
	checkResult(t, input, r)
	if out := r.Texts[0].Output; !strings.Contains(out, " lines…\r\n") || strings.Count(out, "\n") != strings.Count(out, "\r\n") {
		t.Errorf("line ends are mixed: %q", out)
	}
}

// Scores that tie are decided by the order of texts and then of offsets; what does not fit makes room for what does.
func TestTies(t *testing.T) {
	even := compressors.ScorerFunc(func(_ context.Context, _ string, candidates []compressors.Candidate) (compressors.Scores, error) {
		return compressors.Scores{Scores: make([]compressors.Score, len(candidates))}, nil
	})
	r, err := mustNew(t, compressors.Options{Scorer: even}).Compress(t.Context(), compressors.Input{
		Query:  "q",
		Texts:  []compressors.Text{{Name: "a.go", Content: functions(20)}, {Name: "b.go", Content: functions(20)}},
		Budget: compressors.Budget{Tokens: 300},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(r.Texts[0].Output, "package p\n") || r.Texts[1].Output != "package p\n\nimport \"fmt\"\n\n// …119 lines…\n" {
		t.Errorf("the first text became %q, the second %q", r.Texts[0].Output, r.Texts[1].Output)
	}
}
