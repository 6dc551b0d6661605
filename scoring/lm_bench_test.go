package scoring_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring"
)

func vocabulary(r *rand.Rand, n int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = r.Int32N(49152)
	}
	return ids
}

// BenchmarkLogProbs scores every token of sequences of the embedded decoder.
func BenchmarkLogProbs(b *testing.B) {
	lm := must(b, lmInt8)
	r := rand.New(rand.NewPCG(1, 1))
	for _, c := range []struct{ sequences, tokens int }{{1, 32}, {8, 256}, {1, 2048}} {
		b.Run(fmt.Sprintf("n=%dx%d", c.sequences, c.tokens), func(b *testing.B) {
			var s []scoring.Sequence
			for range c.sequences {
				s = append(s, scoring.Sequence{Tokens: vocabulary(r, c.tokens), From: 1})
			}
			for b.Loop() {
				logProbs(b, lm, s...)
			}
			b.ReportMetric(float64(b.N*c.sequences*c.tokens)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

// BenchmarkLoneSequence scores one sequence: two workers share it.
func BenchmarkLoneSequence(b *testing.B) {
	lms := map[int]*scoring.LM{}
	for _, workers := range []int{1, 2} {
		lms[workers] = must(b, loadLM(scoring.LMOptions{Tier: kernels.Best(), Workers: workers}))
	}
	r := rand.New(rand.NewPCG(1, 1))
	for _, tokens := range []int{16, 32, 64, 256} {
		s := scoring.Sequence{Tokens: vocabulary(r, tokens), From: 1}
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("n=%d/workers=%d", tokens, workers), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					logProbs(b, lms[workers], s)
				}
			})
		}
	}
}

// BenchmarkQuery scores a question of 32 tokens after each of 64 known segments of 256.
func BenchmarkQuery(b *testing.B) {
	lm := must(b, lmInt8)
	r := rand.New(rand.NewPCG(1, 1))
	query := vocabulary(r, 32)
	var s []scoring.Sequence
	for range 64 {
		s = append(s, scoring.Sequence{Tokens: vocabulary(r, 256), From: 256, KeepKV: true})
	}
	for i, result := range logProbs(b, lm, s...) {
		s[i] = scoring.Sequence{Prefix: result.KV, Tokens: query}
	}
	for b.Loop() {
		logProbs(b, lm, s...)
	}
	b.ReportMetric(float64(b.N*len(s)*len(query))/b.Elapsed().Seconds(), "tokens/s")
}

// BenchmarkGenerate answers with 32 tokens after a prompt of 200.
func BenchmarkGenerate(b *testing.B) {
	lm := must(b, lmInt8)
	prompt := vocabulary(rand.New(rand.NewPCG(1, 1)), 200)
	tokens := 0
	for b.Loop() {
		r, err := lm.Generate(b.Context(), scoring.GenerateOptions{Prompt: prompt, MaxTokens: 32}, nil)
		if err != nil {
			b.Fatal(err)
		}
		tokens += r.Tokens
	}
	b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
}

// BenchmarkFirstScore loads an embedded model and takes 32 tokens through it: without a cache directory, with an empty one,
// and with one that holds the prepared weights.
func BenchmarkFirstScore(b *testing.B) {
	s := scoring.Sequence{Tokens: vocabulary(rand.New(rand.NewPCG(1, 1)), 32), From: 1}
	models := map[string]func(dir string) error{
		"decoder": func(dir string) error {
			lm, err := loadLM(scoring.LMOptions{Tier: kernels.Best(), CacheDir: dir})()
			if err != nil {
				return err
			}
			_, err = lm.LogProbs(b.Context(), []scoring.Sequence{s})
			return err
		},
		"encoder": func(dir string) error {
			e, err := loadEncoder(scoring.EncoderOptions{Tier: kernels.Best(), CacheDir: dir})()
			if err != nil {
				return err
			}
			_, err = e.Embed(b.Context(), []string{strings.Repeat("word ", 30)})
			return err
		},
	}
	for name, score := range models {
		for _, state := range []string{"none", "empty", "filled"} {
			b.Run("model="+name+"/cache="+state, func(b *testing.B) {
				dir := ""
				if state == "filled" {
					dir = b.TempDir()
					if err := score(dir); err != nil {
						b.Fatal(err)
					}
				}
				for b.Loop() {
					if state == "empty" {
						dir = b.TempDir()
					}
					if err := score(dir); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
