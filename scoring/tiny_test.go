package scoring_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring"
	"github.com/pith-llm/pith/scoring/gguf"
	"github.com/pith-llm/pith/scoring/gguf/gguftest"
)

// tiny is a seeded decoder small enough for plain float64 code. Its width of 96 gives the rotation three parts and its
// feed-forward width of 160 gives five Hadamard blocks.
type tiny struct {
	layers, d, ffn, heads, kvHeads, context int
	base, eps                               float64
	splitPairs                              bool // rotary embedding turns values that lie half a head apart
	tensors                                 map[string][]float32
	tokens                                  []string
	file                                    string
}

func newTiny() *tiny { return newTinyWith("", nil) }

// newTinyWith makes the file state value for one key, whatever the tensors are.
func newTinyWith(key string, value any) *tiny {
	n := &tiny{layers: 3, d: 96, ffn: 160, heads: 6, kvHeads: 2, context: 1200, base: 10000, eps: 1e-5, tensors: map[string][]float32{}}
	r := rand.New(rand.NewPCG(3, 14))
	var b gguftest.Builder
	n.describe(&b, "llama", "smollm", key, value)
	add := func(name string, scale, offset float64, shape ...int) {
		size := 1
		for _, s := range shape {
			size *= s
		}
		x := make([]float32, size)
		for i := range x {
			x[i] = float32(offset + scale*r.NormFloat64())
		}
		n.tensors[name] = x
		b.F32(name, x, shape...)
	}
	kv, d := n.d/n.heads*n.kvHeads, float64(n.d)
	add("token_embd.weight", 1, 0, len(n.tokens), n.d)
	add("output_norm.weight", 0.2, 1, n.d)
	add("output.weight", 1/math.Sqrt(d), 0, len(n.tokens), n.d)
	for i := range n.layers {
		p := fmt.Sprintf("blk.%d.", i)
		add(p+"attn_norm.weight", 0.2, 1, n.d)
		add(p+"attn_q.weight", 1.5/math.Sqrt(d), 0, n.d, n.d)
		add(p+"attn_k.weight", 1.5/math.Sqrt(d), 0, kv, n.d)
		add(p+"attn_v.weight", 1/math.Sqrt(d), 0, kv, n.d)
		add(p+"attn_output.weight", 1/math.Sqrt(d), 0, n.d, n.d)
		add(p+"ffn_norm.weight", 0.2, 1, n.d)
		add(p+"ffn_gate.weight", 1/math.Sqrt(d), 0, n.ffn, n.d)
		add(p+"ffn_up.weight", 1/math.Sqrt(d), 0, n.ffn, n.d)
		add(p+"ffn_down.weight", 1/math.Sqrt(float64(n.ffn)), 0, n.d, n.ffn)
	}
	n.file = b.Data()
	return n
}

// describe writes the metadata, with another value for one key.
func (n *tiny) describe(b *gguftest.Builder, arch, pre, key string, value any) {
	set := func(k string, v any) {
		if k == key {
			v = value
		}
		b.Set(k, v)
	}
	set("general.architecture", arch)
	for k, v := range map[string]int{
		".block_count": n.layers, ".context_length": n.context, ".embedding_length": n.d,
		".feed_forward_length": n.ffn, ".attention.head_count": n.heads, ".attention.head_count_kv": n.kvHeads,
	} {
		set(arch+k, uint32(v))
	}
	set(arch+".rope.freq_base", float32(n.base))
	set(arch+".attention.layer_norm_rms_epsilon", float32(n.eps))
	n.tokens = byteTokens()
	types := make([]int32, len(n.tokens))
	for i, token := range n.tokens {
		types[i] = 1
		if strings.HasPrefix(token, "<|") {
			types[i] = 3
		}
	}
	set("tokenizer.ggml.tokens", n.tokens)
	set("tokenizer.ggml.token_type", types)
	set("tokenizer.ggml.merges", []string{"a b"})
	set("tokenizer.ggml.pre", pre)
	set("tokenizer.ggml.eos_token_id", uint32(len(n.tokens)-1))
	set("tokenizer.chat_template", "<|im_start|><|im_end|>")
}

// byteTokens is a vocabulary of the 256 bytes as GPT-2 spells them, one merge and the special tokens of ChatML.
func byteTokens() []string {
	var tokens []string
	other := rune(256)
	for b := range rune(256) {
		if b > ' ' && b < 0x7f || b >= 0xa1 && b != 0xad {
			tokens = append(tokens, string(b))
		} else {
			tokens = append(tokens, string(other))
			other++
		}
	}
	return append(tokens, "ab", "<|im_start|>", "<|im_end|>")
}

func (n *tiny) load(t testing.TB, o scoring.LMOptions) *scoring.LM {
	t.Helper()
	f, err := gguf.Parse(n.file)
	if err != nil {
		t.Fatal(err)
	}
	lm, err := scoring.LoadLM(f, o)
	if err != nil {
		t.Fatal(err)
	}
	return lm
}

// random returns token ids of the tiny vocabulary.
func (n *tiny) random(r *rand.Rand, count int) []int32 {
	ids := make([]int32, count)
	for i := range ids {
		ids[i] = int32(r.IntN(len(n.tokens)))
	}
	return ids
}

// logits is the reference: float64, token by token, as the papers state it. It returns those after each token.
func (n *tiny) logits(ids []int32) [][]float64 {
	dim := n.d / n.heads
	matVec := func(name string, x []float64) []float64 {
		w := n.tensors[name+".weight"]
		y := make([]float64, len(w)/len(x))
		for i := range y {
			for j, v := range x {
				y[i] += float64(w[i*len(x)+j]) * v
			}
		}
		for i, v := range n.tensors[name+".bias"] {
			y[i] += float64(v)
		}
		return y
	}
	norm := func(name string, x []float64) []float64 {
		y, square := make([]float64, len(x)), 0.0
		for _, v := range x {
			square += v * v
		}
		for i, v := range x {
			y[i] = v / math.Sqrt(square/float64(len(x))+n.eps) * float64(n.tensors[name+".weight"][i])
		}
		return y
	}
	rope := func(x []float64, pos int) {
		for h := 0; h < len(x); h += dim {
			for i := 0; i < dim; i += 2 {
				angle := float64(pos) * math.Pow(n.base, -float64(i)/float64(dim))
				first, second := h+i, h+i+1
				if n.splitPairs {
					first, second = h+i/2, h+i/2+dim/2
				}
				a, b := x[first], x[second]
				x[first], x[second] = a*math.Cos(angle)-b*math.Sin(angle), a*math.Sin(angle)+b*math.Cos(angle)
			}
		}
	}
	add := func(x, y []float64) {
		for i := range x {
			x[i] += y[i]
		}
	}
	keys, values := make([][][]float64, n.layers), make([][][]float64, n.layers)
	var out [][]float64
	for pos, id := range ids {
		x := make([]float64, n.d)
		for i := range x {
			x[i] = float64(n.tensors["token_embd.weight"][int(id)*n.d+i])
		}
		for l := range n.layers {
			p := fmt.Sprintf("blk.%d.", l)
			h := norm(p+"attn_norm", x)
			q, k := matVec(p+"attn_q", h), matVec(p+"attn_k", h)
			rope(q, pos)
			rope(k, pos)
			keys[l], values[l] = append(keys[l], k), append(values[l], matVec(p+"attn_v", h))
			att := make([]float64, n.d)
			for head := range n.heads {
				at := head / (n.heads / n.kvHeads) * dim
				weights, sum := make([]float64, pos+1), 0.0
				for j := range weights {
					for i := range dim {
						weights[j] += q[head*dim+i] * keys[l][j][at+i]
					}
					weights[j] = math.Exp(weights[j] / math.Sqrt(float64(dim)))
					sum += weights[j]
				}
				for j, w := range weights {
					for i := range dim {
						att[head*dim+i] += w / sum * values[l][j][at+i]
					}
				}
			}
			add(x, matVec(p+"attn_output", att))
			h = norm(p+"ffn_norm", x)
			gate, up := matVec(p+"ffn_gate", h), matVec(p+"ffn_up", h)
			for i, g := range gate {
				gate[i] = g / (1 + math.Exp(-g)) * up[i]
			}
			add(x, matVec(p+"ffn_down", gate))
		}
		out = append(out, matVec("output", norm("output_norm", x)))
	}
	return out
}

// logProbs returns the log-probabilities of ids[1:].
func (n *tiny) logProbs(ids []int32) []float32 {
	logits := n.logits(ids)
	out := make([]float32, len(ids)-1)
	for i := range out {
		sum := 0.0
		for _, l := range logits[i] {
			sum += math.Exp(l)
		}
		out[i] = float32(logits[i][ids[i+1]] - math.Log(sum))
	}
	return out
}

// entropy returns that of the token after ids.
func (n *tiny) entropy(ids []int32) float64 {
	logits := n.logits(ids)[len(ids)-1]
	sum, moment := 0.0, 0.0
	for _, l := range logits {
		sum += math.Exp(l)
		moment += l * math.Exp(l)
	}
	return math.Log(sum) - moment/sum
}

func TestTinyNetworkAgainstFloat64(t *testing.T) { againstFloat64(t, newTiny()) }

// againstFloat64 compares both precisions on all tiers with the reference.
func againstFloat64(t *testing.T, n *tiny) {
	t.Helper()
	ids := n.random(rand.New(rand.NewPCG(1, 2)), 120)
	want, entropy := n.logProbs(ids), n.entropy(ids)
	for _, tier := range kernels.Supported() {
		for _, c := range []struct {
			precision   scoring.Precision
			worst, mean float64
		}{
			{scoring.F32, 2e-5, 5e-6},
			{scoring.Int8, 0.3, 0.05},
		} {
			lm := n.load(t, scoring.LMOptions{Precision: c.precision, Tier: tier, Workers: 1})
			results, err := lm.LogProbs(t.Context(), []scoring.Sequence{{Tokens: ids, From: 1, Entropy: true}})
			if err != nil {
				t.Fatal(err)
			}
			if d := math.Abs(float64(results[0].Entropy) - entropy); !(d <= c.worst) {
				t.Errorf("%v %v: entropy %v, want %v", tier, c.precision, results[0].Entropy, entropy)
			}
			got := results[0].LogProbs
			var mean float64
			for i := range got {
				mean += math.Abs(float64(got[i])-float64(want[i])) / float64(len(got))
			}
			if d := worst(got, want); !(d <= c.worst && mean <= c.mean) {
				t.Errorf("%v %v: off by %g at worst, %g on average", tier, c.precision, d, mean)
			}
		}
	}
}

func TestTinyNetworkGreedy(t *testing.T) {
	n := newTiny()
	lm := n.load(t, scoring.LMOptions{Precision: scoring.F32, Tier: kernels.Best(), Workers: 1})
	prompt := n.random(rand.New(rand.NewPCG(5, 6)), 10)
	ids := append([]int32(nil), prompt...)
	end := int32(len(n.tokens) - 1)
	for range 20 {
		logits := n.logits(ids)
		best := 0
		for i, l := range logits[len(ids)-1] {
			if l > logits[len(ids)-1][best] {
				best = i
			}
		}
		if int32(best) == end {
			break
		}
		ids = append(ids, int32(best))
	}
	want := string([]rune(string(lm.Tokenizer().DecodeBytes(nil, ids[len(prompt):]))))
	var parts []string
	got, err := lm.Generate(t.Context(), scoring.GenerateOptions{Prompt: prompt, MaxTokens: 20}, func(text string) error {
		parts = append(parts, text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Text != want || strings.Join(parts, "") != want {
		t.Errorf("generated %q in parts %q, want %q", got.Text, parts, want)
	}
}
