package scoring_test

import (
	"bufio"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring"
	"github.com/pith-llm/pith/scoring/gguf"
	"github.com/pith-llm/pith/scoring/models"
)

// golden reads the lines of a file that a plain implementation in numpy wrote: f32, on the dequantised weights of the same
// GGUF files.
func golden[T any](t testing.TB, name string) []T {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "golden", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
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

// theLM and theEncoder are the embedded models, each loaded once for all tests.
var (
	lmF32, lmInt8 = sync.OnceValues(loadLM(options(scoring.F32))), sync.OnceValues(loadLM(options(scoring.Int8)))
	encoders      = map[scoring.Precision]func() (*scoring.Encoder, error){
		scoring.F32:  sync.OnceValues(loadEncoder(scoring.EncoderOptions{Precision: scoring.F32, Tier: kernels.Best()})),
		scoring.Int8: sync.OnceValues(loadEncoder(scoring.EncoderOptions{Tier: kernels.Best()})),
	}
)

func options(p scoring.Precision) scoring.LMOptions {
	return scoring.LMOptions{Precision: p, Tier: kernels.Best()}
}

func loadLM(o scoring.LMOptions) func() (*scoring.LM, error) {
	return func() (*scoring.LM, error) {
		f, err := gguf.Parse(models.Decoder)
		if err != nil {
			return nil, err
		}
		return scoring.LoadLM(f, o)
	}
}

func loadEncoder(o scoring.EncoderOptions) func() (*scoring.Encoder, error) {
	return func() (*scoring.Encoder, error) {
		f, err := gguf.Parse(models.Encoder)
		if err != nil {
			return nil, err
		}
		return scoring.LoadEncoder(f, o)
	}
}

func must[T any](t testing.TB, load func() (T, error)) T {
	t.Helper()
	v, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

type goldenLogProbs struct {
	IDs      []int32   `json:"ids"`
	LogProbs []float32 `json:"logprobs"`
}

type goldenConditional struct {
	SegmentIDs []int32   `json:"segment_ids"`
	QueryIDs   []int32   `json:"query_ids"`
	LogProbs   []float32 `json:"logprobs"`
	Without    []float32 `json:"logprobs_without_segment"`
}

type goldenGreedy struct {
	Prompt string  `json:"prompt"`
	IDs    []int32 `json:"ids"`
	Greedy []int32 `json:"greedy"`
	Text   string  `json:"text"`
}

type goldenEmbedding struct {
	Text      string    `json:"text"`
	IDs       []int32   `json:"ids"`
	Embedding []float32 `json:"embedding"`
}

// worst is the largest absolute difference; infinite if lengths differ or something is NaN.
func worst(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	var d float64
	for i := range a {
		x := math.Abs(float64(a[i]) - float64(b[i]))
		if math.IsNaN(x) {
			return math.Inf(1)
		}
		d = max(d, x)
	}
	return d
}

// plain reports that only plain Go is there. It takes minutes for what assembly does in seconds, so that tests of the
// embedded models do less.
func plain() bool { return kernels.Best() == kernels.Generic }

// affordable returns the lines, every fourth of them for plain Go.
func affordable[T any](lines []T) []T {
	if !plain() {
		return lines
	}
	var fourth []T
	for i := 0; i < len(lines); i += 4 {
		fourth = append(fourth, lines[i])
	}
	return fourth
}

// goldenSequences are the golden log-probabilities and the sequences to score for them; plain Go gets their beginnings.
func goldenSequences(t *testing.T) ([]goldenLogProbs, []scoring.Sequence) {
	lines := affordable(golden[goldenLogProbs](t, "smollm2-logprobs.jsonl"))
	var sequences []scoring.Sequence
	for i := range lines {
		l := &lines[i]
		if n := len(l.IDs); plain() && n > 25 {
			l.IDs, l.LogProbs = l.IDs[:25], l.LogProbs[:24]
		}
		sequences = append(sequences, scoring.Sequence{Tokens: l.IDs, From: 1})
	}
	return lines, sequences
}

func TestGoldenLogProbs(t *testing.T) {
	lines, sequences := goldenSequences(t)
	for i, r := range logProbs(t, must(t, lmF32), sequences...) {
		if d := worst(r.LogProbs, lines[i].LogProbs); !(d <= 1e-3) {
			t.Errorf("line %d is off by %g", i, d)
		}
	}
}

func TestGoldenConditional(t *testing.T) {
	lm := must(t, lmF32)
	for i, l := range golden[goldenConditional](t, "smollm2-conditional.jsonl") {
		kv := logProbs(t, lm, scoring.Sequence{Tokens: l.SegmentIDs, From: len(l.SegmentIDs), KeepKV: true})[0].KV
		r := logProbs(t, lm, scoring.Sequence{Prefix: kv, Tokens: l.QueryIDs, From: 1}, scoring.Sequence{Tokens: l.QueryIDs, From: 1})
		if d := worst(r[0].LogProbs, l.LogProbs); !(d <= 1e-3) {
			t.Errorf("line %d after the segment is off by %g", i, d)
		}
		if d := worst(r[1].LogProbs, l.Without); !(d <= 1e-3) {
			t.Errorf("line %d without the segment is off by %g", i, d)
		}
	}
}

// TestInt8NearF32: the largest rounding that KERNELS.md allows the production pass is 0.08 nats on average over prose,
// code and logs; the golden lines hold more foreign scripts and odd white space than that, and these cost more.
func TestInt8NearF32(t *testing.T) {
	lines, sequences := goldenSequences(t)
	var sum, abs, n float64
	for i, r := range logProbs(t, must(t, lmInt8), sequences...) {
		for j, v := range r.LogProbs {
			d := float64(v) - float64(lines[i].LogProbs[j])
			sum += d
			abs += math.Abs(d)
			n++
		}
	}
	t.Logf("%.0f tokens: mean |d| %.4f nats, difference of the mean negative log-probability %+.4f", n, abs/n, -sum/n)
	if !(abs/n <= 0.13 && math.Abs(sum/n) <= 0.02) {
		t.Errorf("mean |d| %g nats, mean d %g", abs/n, sum/n)
	}
}

// TestGolden64Tokens takes the beginning of one golden line through the production pass: what can be asked of a machine on
// which all lines take too long, such as an emulated one.
func TestGolden64Tokens(t *testing.T) {
	const tokens = 64
	lines := golden[goldenLogProbs](t, "smollm2-logprobs.jsonl")
	line := lines[slices.IndexFunc(lines, func(l goldenLogProbs) bool { return len(l.IDs) >= tokens })]
	got := logProbs(t, must(t, lmInt8), scoring.Sequence{Tokens: line.IDs[:tokens], From: 1})[0].LogProbs
	var abs float64
	for i, v := range got {
		abs += math.Abs(float64(v)-float64(line.LogProbs[i])) / float64(len(got))
	}
	t.Logf("%v: mean |d| %.4f nats", kernels.Best(), abs)
	if !(abs <= 0.13) {
		t.Errorf("mean |d| %g nats", abs)
	}
}

// TestTiersOfVectorsAgree: whatever the width of a machine's vectors, int8 scores are the same to the bit.
func TestTiersOfVectorsAgree(t *testing.T) {
	_, sequences := goldenSequences(t)
	var want []scoring.Result
	for _, tier := range []kernels.Tier{kernels.AVX2, kernels.AVXVNNI, kernels.AVX512VNNI} {
		if !tier.Supported() {
			t.Logf("%v is not on this machine", tier)
			continue
		}
		got := logProbs(t, must(t, loadLM(scoring.LMOptions{Tier: tier})), sequences...)
		for i := range want {
			if !slices.Equal(got[i].LogProbs, want[i].LogProbs) {
				t.Errorf("%v: line %d is off by %g from that of a narrower tier", tier, i, worst(got[i].LogProbs, want[i].LogProbs))
			}
		}
		want = got
	}
}

func TestGoldenGreedy(t *testing.T) {
	lm := must(t, lmF32)
	for _, l := range golden[goldenGreedy](t, "smollm2-greedy.jsonl") {
		if ids := lm.Tokenizer().EncodeSpecial(nil, l.Prompt); !slices.Equal(ids, l.IDs) {
			t.Errorf("%q is %v, want %v", l.Prompt, ids, l.IDs)
		}
		// The reference goes on after the end of the answer; generation does not.
		want, tokens := l.Text, len(l.Greedy)
		if i := strings.Index(want, "<|im_end|>"); i >= 0 {
			want, tokens = want[:i], slices.Index(l.Greedy, 2)+1
		}
		got, err := lm.Generate(t.Context(), scoring.GenerateOptions{Prompt: l.IDs, MaxTokens: len(l.Greedy)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got.Text != want || got.Tokens != tokens {
			t.Errorf("%q goes on with %q (%d tokens), want %q (%d)", l.Prompt, got.Text, got.Tokens, want, tokens)
		}
	}
}

func TestGoldenEmbeddings(t *testing.T) {
	lines := affordable(golden[goldenEmbedding](t, "encoder.jsonl"))
	var texts []string
	for _, l := range lines {
		texts = append(texts, l.Text)
	}
	for p, load := range encoders {
		e := must(t, load)
		vectors, err := e.Embed(t.Context(), texts)
		if err != nil {
			t.Fatal(err)
		}
		lowest := 1.0
		for i, l := range lines {
			if ids := e.Tokens(l.Text); !slices.Equal(ids, l.IDs) {
				t.Errorf("%q is %v, want %v", l.Text, ids, l.IDs)
			}
			if d := worst(vectors[i], l.Embedding); p == scoring.F32 && !(d <= 1e-4) {
				t.Errorf("%q is off by %g", l.Text, d)
			}
			lowest = min(lowest, cosine(vectors[i], l.Embedding))
		}
		t.Logf("%v: lowest cosine %.5f", p, lowest)
		if !(lowest > 0.99) {
			t.Errorf("%v: cosine %g to the golden vectors", p, lowest)
		}
	}
}

func cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		ab += float64(a[i]) * float64(b[i])
		aa += float64(a[i]) * float64(a[i])
		bb += float64(b[i]) * float64(b[i])
	}
	return ab / math.Sqrt(aa*bb)
}
