package scoring_test

import (
	"bufio"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring"
	"github.com/pith-llm/pith/scoring/gguf"
	"github.com/pith-llm/pith/scoring/models"
)

// golden reads the lines of a file that shared/models/reference.py wrote: numpy, f32, on the same GGUF files.
func golden[T any](t testing.TB, name string) []T {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "golden", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []T
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var line T
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if s.Err() != nil || len(lines) == 0 {
		t.Fatalf("%s: %d lines, %v", name, len(lines), s.Err())
	}
	return lines
}

func loadLM(t testing.TB, o scoring.LMOptions) *scoring.LM {
	t.Helper()
	f, err := gguf.Parse(models.Decoder)
	if err != nil {
		t.Fatal(err)
	}
	lm, err := scoring.LoadLM(f, o)
	if err != nil {
		t.Fatal(err)
	}
	return lm
}

type goldenLogProbs struct {
	IDs      []int32   `json:"ids"`
	LogProbs []float32 `json:"logprobs"`
}

type goldenConditional struct {
	Segment, Query string
	SegmentIDs     []int32   `json:"segment_ids"`
	QueryIDs       []int32   `json:"query_ids"`
	LogProbs       []float32 `json:"logprobs"`
	Without        []float32 `json:"logprobs_without_segment"`
}

func worst(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	var d float64
	for i := range a {
		if x := math.Abs(float64(a[i]) - float64(b[i])); !(x <= d) {
			d = x
		}
	}
	return d
}

func TestGoldenF32(t *testing.T) {
	lm := loadLM(t, scoring.LMOptions{Precision: scoring.F32, Tier: kernels.Best()})
	lines := golden[goldenLogProbs](t, "smollm2-logprobs.jsonl")
	var sequences []scoring.Sequence
	for _, l := range lines {
		sequences = append(sequences, scoring.Sequence{Tokens: l.IDs, From: 1})
	}
	results, err := lm.LogProbs(t.Context(), sequences)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range lines {
		if d := worst(results[i].LogProbs, l.LogProbs); !(d <= 1e-3) {
			t.Errorf("line %d is off by %g", i, d)
		} else {
			t.Logf("line %d: %g", i, d)
		}
	}
}
