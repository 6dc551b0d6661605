package scoring_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring"
	"github.com/pith-llm/pith/scoring/gguf"
	"github.com/pith-llm/pith/scoring/models"
)

func TestVectorsDoNotDependOnCompany(t *testing.T) {
	var texts []string
	for i, l := range affordable(golden[goldenEmbedding](t, "encoder.jsonl")) {
		if i%2 == 0 {
			texts = append(texts, l.Text)
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	for p, load := range encoders {
		e := must(t, load)
		alone := make([][]float32, len(texts))
		for i, text := range texts {
			v, err := e.Embed(t.Context(), []string{text})
			if err != nil {
				t.Fatal(err)
			}
			alone[i] = v[0]
		}
		order := r.Perm(len(texts))
		var shuffled []string
		for _, i := range order {
			shuffled = append(shuffled, texts[i])
		}
		got, err := e.Embed(t.Context(), shuffled)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range got {
			if !slices.Equal(v, alone[order[i]]) {
				t.Errorf("%v: %q has another vector in company", p, shuffled[i])
			}
		}
	}
}

func TestEmbedReadsTheFirst256Tokens(t *testing.T) {
	e := must(t, encoders[scoring.Int8])
	long := strings.Repeat("word ", 254)
	v, err := e.Embed(t.Context(), []string{long, long + "and something else", long[5:]})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(e.Tokens(long + "more")); n != 256 {
		t.Errorf("%d tokens are read, want 256", n)
	}
	if !slices.Equal(v[0], v[1]) {
		t.Error("text past the limit changes the vector")
	}
	if slices.Equal(v[0], v[2]) {
		t.Error("a shorter text has the same vector")
	}
	if len(v[0]) != e.Dim() {
		t.Errorf("vector of %d, want %d", len(v[0]), e.Dim())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Embed(ctx, []string{"a"}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if v, err := e.Embed(t.Context(), nil); len(v) != 0 || err != nil {
		t.Errorf("no texts give %v, %v", v, err)
	}
}

// edited is the embedded encoder's file with one place changed.
func edited(t *testing.T, from, to string) *gguf.File {
	t.Helper()
	if len(from) != len(to) || strings.Count(models.Encoder, from) != 1 {
		t.Fatalf("%q cannot be changed to %q", from, to)
	}
	f, err := gguf.Parse(strings.Replace(models.Encoder, from, to, 1))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestPooling(t *testing.T) {
	const key = "bert.pooling_type\x04\x00\x00\x00"
	const text = "She was the first woman to win a Nobel Prize."
	options := scoring.EncoderOptions{Tier: kernels.Best()}
	e, err := scoring.LoadEncoder(edited(t, key+"\x02", key+"\x01"), options)
	if err != nil {
		t.Fatal(err)
	}
	mean, err := e.Encode(t.Context(), []string{text})
	if err != nil {
		t.Fatal(err)
	}
	first, err := must(t, encoders[scoring.Int8]).Encode(t.Context(), []string{text})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(mean[0].Tokens, first[0].Tokens) {
		t.Error("pooling changes the vectors of tokens")
	}
	sum := make([]float32, e.Dim())
	for i, v := range mean[0].Tokens {
		sum[i%e.Dim()] += float32(v)
	}
	if c := cosine(mean[0].Unit, sum); c < 0.97 { // it has [CLS] and [SEP] besides
		t.Errorf("cosine %g of the vector to the mean of the tokens", c)
	}
	if c := cosine(first[0].Unit, sum); c > 0.97 {
		t.Errorf("cosine %g of the first token to the mean of the tokens", c)
	}
	if _, err := scoring.LoadEncoder(edited(t, key+"\x02", key+"\x03"), options); err == nil || !strings.Contains(err.Error(), "pooling type 3") {
		t.Errorf("the pooling of another kind of model: %v", err)
	}
}

func TestQueriesHaveTheEncodersInstruction(t *testing.T) {
	segments := []scoring.Segment{{Text: "Marie Curie was born in Warsaw."}, {Text: "Paris is the capital of France."}}
	cosines := func(f *gguf.File) (plain, asked []float64) {
		t.Helper()
		e, err := scoring.LoadEncoder(f, scoring.EncoderOptions{Tier: kernels.Best()})
		if err != nil {
			t.Fatal(err)
		}
		s, err := scoring.NewScorer(scoring.DefaultScorer, scoring.Options{
			LM: loadLM(options(scoring.Int8)), Encoder: func() (*scoring.Encoder, error) { return e, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		features, err := s.Features(t.Context(), "where was Curie born", segments)
		if err != nil {
			t.Fatal(err)
		}
		names := scoring.FeatureNames()
		for _, row := range features.Rows {
			plain = append(plain, float64(row[slices.Index(names, "cosine")]))
			asked = append(asked, float64(row[slices.Index(names, "instructed")]))
		}
		return plain, asked
	}
	with, err := gguf.Parse(models.Encoder)
	if err != nil {
		t.Fatal(err)
	}
	plain, asked := cosines(with)
	if slices.Equal(plain, asked) || asked[0] <= asked[1] {
		t.Errorf("cosines %v, after the instruction %v", plain, asked)
	}
	if plain, asked := cosines(edited(t, "pith.query_instruction", "pith.query_instructioN")); !slices.Equal(plain, asked) {
		t.Errorf("cosines %v, without an instruction %v", plain, asked)
	}
}
