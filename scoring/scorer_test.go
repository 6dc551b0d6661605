package scoring_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pith-llm/pith/scoring"
)

var passages = []scoring.Segment{
	{TextName: "Harbour", Text: "The harbour was dredged twice in the spring, at the expense of the county."},
	{TextName: "Marie Curie", Text: "Marie Curie was a physicist and chemist who conducted pioneering research on radioactivity. She was the first woman to win a Nobel Prize."},
	{TextName: "Rivers", Text: "The river rises in the hills and reaches the sea near the old town."},
	{TextName: "store.go", Text: "func (s *Store) Write(key string) error { return s.retry(3, key) }"},
	{TextName: "Bread", Text: "Knead the dough for ten minutes and let it rest."},
}

const curie = "who was the first woman to win a Nobel Prize?"

func newScorer(t *testing.T, name string, o scoring.Options) *scoring.Scorer {
	t.Helper()
	if o.LM == nil {
		o.LM = lmInt8
	}
	if o.Encoder == nil {
		o.Encoder = encoders[scoring.Int8]
	}
	s, err := scoring.NewScorer(name, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func score(t *testing.T, s *scoring.Scorer, query string, segments []scoring.Segment) scoring.Scores {
	t.Helper()
	scores, err := s.Score(t.Context(), query, segments)
	if err != nil {
		t.Fatal(err)
	}
	if len(scores.Values) != len(segments) {
		t.Fatalf("%d values for %d segments", len(scores.Values), len(segments))
	}
	return scores
}

func TestEveryScorerFindsTheAnswer(t *testing.T) {
	for _, name := range []string{"bm25", "encoder", "lm", "bm25+lm", "encoder+lm", "lm+encoder+bm25", "default"} {
		scores := score(t, newScorer(t, name, scoring.Options{}), curie, passages)
		if best := slices.Index(scores.Values, slices.Max(scores.Values)); best != 1 {
			t.Errorf("%s: got %v", name, scores.Values)
		}
		if name != "default" && len(scores.Stages) != len(scores.Terms) || (name == "bm25") != (scores.ModelTokens == 0) {
			t.Errorf("%s: %d terms, %d stages, %d model tokens", name, len(scores.Terms), len(scores.Stages), scores.ModelTokens)
		}
	}
}

// The golden file holds the log-probabilities of all tokens but the first of this query, after this segment and alone; the
// first four tokens of the query are "\n\nQuestion:", and the last fourteen a sentence that we do not add.
func TestDecoderGainIsThatOfTheReference(t *testing.T) {
	g := golden[goldenConditional](t, "smollm2-conditional.jsonl")[0]
	mean := func(values []float32) (m float64) {
		for _, v := range values {
			m += float64(v) / float64(len(values))
		}
		return m
	}
	want := mean(g.LogProbs[3:14]) - mean(g.Without[3:14])
	s := newScorer(t, "lm", scoring.Options{LM: lmF32})
	scores := score(t, s, curie, passages[1:2])
	if math.Abs(scores.Values[0]-want) > 1e-3 {
		t.Errorf("got %v, want %v", scores.Values[0], want)
	}
	answer := len(must(t, lmF32).Tokenizer().Encode(nil, "\nAnswer:"))
	if tokens := len(g.SegmentIDs) + 2*(len(g.QueryIDs)-14+answer); scores.ModelTokens != tokens {
		t.Errorf("%d model tokens, want %d", scores.ModelTokens, tokens)
	}
}

func TestSumsAddZScores(t *testing.T) {
	want := make([]float64, len(passages))
	for _, name := range []string{"bm25", "encoder"} {
		values := score(t, newScorer(t, name, scoring.Options{}), curie, passages).Values
		mean, square := 0.0, 0.0
		for _, v := range values {
			mean += v / float64(len(values))
		}
		for _, v := range values {
			square += (v - mean) * (v - mean) / float64(len(values))
		}
		for i, v := range values {
			want[i] += (v - mean) / math.Sqrt(square)
		}
	}
	got := score(t, newScorer(t, "bm25+encoder", scoring.Options{}), curie, passages).Values
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-3 {
			t.Errorf("segment %d: got %v, want %v", i, got[i], want[i])
		}
	}
	// What is the same everywhere decides nothing.
	same := score(t, newScorer(t, "bm25+encoder", scoring.Options{}), curie, []scoring.Segment{passages[1], passages[1]}).Values
	if same[0] != 0 || same[1] != 0 {
		t.Errorf("two equal segments score %v", same)
	}
}

func TestCascadeReadsWhatItsPriceAllows(t *testing.T) {
	cheap := score(t, newScorer(t, "encoder", scoring.Options{}), curie, passages)
	spent := func(price int) int {
		scores := score(t, newScorer(t, "default", scoring.Options{ModelTokens: price}), curie, passages)
		if !scores.Probabilities {
			t.Error("the default scorer's values are no probabilities")
		}
		for i, v := range scores.Values {
			if !(v >= 0 && v <= 1) {
				t.Errorf("segment %d has probability %v", i, v)
			}
		}
		return scores.ModelTokens - cheap.ModelTokens
	}
	if n := spent(0); n != 0 {
		t.Errorf("%d decoder tokens for a price of 0", n)
	}
	before := 0
	for _, price := range []int{60, 100, 200, 1000} {
		n := spent(price)
		if n > price || n < before {
			t.Errorf("%d decoder tokens for a price of %d, %d for the one before", n, price, before)
		}
		before = n
	}
	if before == 0 {
		t.Error("the decoder never read anything")
	}
}

// A segment's own terms are the same alone, in company, in another order, next to a copy, from a cache, and with caches so
// small that nothing stays; and so is the price.
func TestScoresDoNotDependOnCompanyOrCache(t *testing.T) {
	for _, name := range []string{"encoder", "lm"} {
		s := newScorer(t, name, scoring.Options{})
		cold := score(t, s, curie, passages)
		s.CacheStats() // waits until the values are stored
		warm := score(t, s, curie, passages)
		if !slices.Equal(cold.Values, warm.Values) || cold.ModelTokens != warm.ModelTokens {
			t.Errorf("%s: cold %v for %d tokens, warm %v for %d", name, cold.Values, cold.ModelTokens, warm.Values, warm.ModelTokens)
		}
		for kind, stats := range s.CacheStats() {
			if stats.Entries == 0 || kind != "kv" && stats.Hits < int64(len(passages)) {
				t.Errorf("%s: cache %s: %+v", name, kind, stats)
			}
		}
		// Another question over known text finds the segments' keys and values.
		score(t, s, "how long does the dough rest?", passages)
		if stats, ok := s.CacheStats()["kv"]; ok && stats.Hits != int64(len(passages)) {
			t.Errorf("%s: %+v", name, stats)
		}
		for _, o := range []scoring.Options{{}, {KVBytes: 1, ScoreBytes: 1}} {
			other := newScorer(t, name, o)
			turned := append(slices.Clone(passages), passages[0])
			slices.Reverse(turned)
			values := score(t, other, curie, turned).Values
			if values[0] != values[len(passages)] {
				t.Errorf("%s: a copy scores %v, not %v", name, values[0], values[len(passages)])
			}
			slices.Reverse(values)
			if !slices.Equal(values[:len(passages)], cold.Values) {
				t.Errorf("%s: in another order %v, not %v", name, values, cold.Values)
			}
			for i := range passages[:2] {
				if alone := score(t, other, curie, passages[i:i+1]).Values[0]; alone != cold.Values[i] {
					t.Errorf("%s: segment %d alone scores %v, not %v", name, i, alone, cold.Values[i])
				}
			}
		}
	}
}

func TestLongQueriesAreCut(t *testing.T) {
	s := newScorer(t, "lm", scoring.Options{})
	segments := passages[3:4]
	question := curie + strings.Repeat(" Tell me at length, please, about her life and work.", 20)
	same := func(a, b string) bool {
		return score(t, s, a, segments).Values[0] == score(t, s, b, segments).Values[0]
	}
	if !same(question, question+" One more thing.") {
		t.Error("the end of a long question counts")
	}
	if same(question, "Or not: "+question) {
		t.Error("the beginning of a question does not count")
	}
	code := strings.Repeat("\tif err := s.Write(key); err != nil {\n\t\treturn err\n\t}\n", 30)
	if !same(code, "package main\n"+code) {
		t.Error("the beginning of long code counts")
	}
	if same(code, code+"\tx++\n") {
		t.Error("the end of code does not count")
	}
}

func TestNamesAreRead(t *testing.T) {
	plain := scoring.Segment{Text: "She was the first to win it twice."}
	named, symbol, said := plain, plain, plain
	named.TextName, symbol.Name, said.Name = "Marie Curie", "Marie Curie", "first"
	s := newScorer(t, "encoder", scoring.Options{})
	v := score(t, s, "Marie Curie", []scoring.Segment{plain, named, symbol, said}).Values
	if v[1] <= v[0] || v[2] != v[1] || v[3] != v[0] {
		t.Errorf("plain, with the text's name, with its own, with one that it says: %v", v)
	}
}

func TestScorersThatCannotBe(t *testing.T) {
	models := scoring.Options{LM: lmInt8, Encoder: encoders[scoring.Int8]}
	for name, o := range map[string]scoring.Options{
		"": models, "random": models, "bm25+": models, "bm25+bm25": models, "default+lm": models, "BM25": models,
		"lm": {Encoder: models.Encoder}, "encoder": {LM: models.LM}, "default": {LM: models.LM, Encoder: models.Encoder, ModelTokens: -1},
		"bm25+lm": {LM: models.LM, KVBytes: -1},
	} {
		if s, err := scoring.NewScorer(name, o); err == nil {
			t.Errorf("%q is made: %v", name, s)
		}
	}
	s := newScorer(t, "bm25", scoring.Options{})
	if _, err := s.Score(t.Context(), " \n", passages); !errors.Is(err, scoring.ErrNoQuery) {
		t.Errorf("a blank query: %v", err)
	}
	if scores := score(t, s, curie, nil); len(scores.Values) != 0 {
		t.Errorf("no segments: %+v", scores)
	}
	broken := errors.New("broken file")
	s = newScorer(t, "default", scoring.Options{Encoder: func() (*scoring.Encoder, error) { return nil, broken }})
	if _, err := s.Score(t.Context(), curie, passages); !errors.Is(err, broken) {
		t.Errorf("a broken model: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, name := range []string{"lm", "encoder"} {
		if _, err := newScorer(t, name, scoring.Options{}).Score(gone, curie, passages); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: a cancelled call: %v", name, err)
		}
	}
}

func TestScoresAtTheSameTime(t *testing.T) {
	s := newScorer(t, "default", scoring.Options{ModelTokens: 150})
	want := score(t, newScorer(t, "default", scoring.Options{ModelTokens: 150}), curie, passages)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			got, err := s.Score(t.Context(), curie, passages)
			if err != nil || !slices.Equal(got.Values, want.Values) || got.ModelTokens != want.ModelTokens {
				t.Errorf("got %v for %d tokens, %v; want %v for %d", got.Values, got.ModelTokens, err, want.Values, want.ModelTokens)
			}
		})
	}
	wg.Wait()
}
