package scoring_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/pith-llm/pith/scoring"
)

func TestVectorsDoNotDependOnCompany(t *testing.T) {
	var texts []string
	for i, l := range affordable(golden[goldenEmbedding](t, "minilm.jsonl")) {
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
