package scoring_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring"
	"github.com/pith-llm/pith/scoring/gguf"
	"github.com/pith-llm/pith/scoring/gguf/gguftest"
)

// newTinyQwen2 is a decoder of the other architecture: biases on queries, keys and values, rotary embedding over the halves
// of a head, and matrices of random blocks in the types that Q4_K_M files mix. The blocks' values are taken from package
// gguf, whose own tests compare them with ggml's.
func newTinyQwen2(t testing.TB) *tiny {
	n := &tiny{
		layers: 3, d: 96, ffn: 256, heads: 6, kvHeads: 2, context: 1200, base: 10000, eps: 1e-6, splitPairs: true,
		tensors: map[string][]float32{},
	}
	r := rand.New(rand.NewPCG(27, 18))
	var b gguftest.Builder
	n.describe(&b, "qwen2", "qwen2", "", nil)
	plain := func(name string, scale, offset float64, size int) {
		x := make([]float32, size)
		for i := range x {
			x[i] = float32(offset + scale*r.NormFloat64())
		}
		b.F32(name, x, size)
	}
	blocks := func(name string, typ gguf.TensorType, scale float64, rows, columns int) {
		b.Tensor(name, uint32(typ), randomBlocks(r, typ, scale, rows*columns), rows, columns)
	}
	kv, d := n.d/n.heads*n.kvHeads, math.Sqrt(float64(n.d))
	blocks("token_embd.weight", gguf.Q5_0, 1, len(n.tokens), n.d)
	plain("output_norm.weight", 0.2, 1, n.d)
	blocks("output.weight", gguf.BF16, 1/d, len(n.tokens), n.d)
	for i, down := range []gguf.TensorType{gguf.Q4_K, gguf.Q5_K, gguf.Q6_K} {
		p := fmt.Sprintf("blk.%d.", i)
		plain(p+"attn_norm.weight", 0.2, 1, n.d)
		blocks(p+"attn_q.weight", gguf.Q5_0, 1.5/d, n.d, n.d)
		plain(p+"attn_q.bias", 1, 0, n.d)
		blocks(p+"attn_k.weight", gguf.Q5_1, 1.5/d, kv, n.d)
		plain(p+"attn_k.bias", 2, 0, kv)
		blocks(p+"attn_v.weight", gguf.BF16, 1/d, kv, n.d)
		plain(p+"attn_v.bias", 0.5, 0, kv)
		blocks(p+"attn_output.weight", gguf.Q5_0, 1/d, n.d, n.d)
		plain(p+"ffn_norm.weight", 0.2, 1, n.d)
		blocks(p+"ffn_gate.weight", gguf.Q5_0, 1/d, n.ffn, n.d)
		blocks(p+"ffn_up.weight", gguf.Q5_1, 1/d, n.ffn, n.d)
		blocks(p+"ffn_down.weight", down, 1/math.Sqrt(float64(n.ffn)), n.d, n.ffn)
	}
	n.file = b.Data()
	f, err := gguf.Parse(n.file)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range f.Tensors {
		n.tensors[x.Name] = x.F32()
	}
	return n
}

// randomBlocks returns count values in the blocks of a type: random quants, and scales for a deviation of about scale around
// a mean of about 0.
func randomBlocks(r *rand.Rand, typ gguf.TensorType, scale float64, count int) []byte {
	if typ == gguf.BF16 {
		var data []byte
		for range count {
			data = binary.LittleEndian.AppendUint16(data, uint16(math.Float32bits(float32(scale*r.NormFloat64()))>>16))
		}
		return data
	}
	kind := map[gguf.TensorType]struct {
		values, bytes int
		at            int     // of the f16 scale in the block
		deviation     float64 // of the values if the scale is 1
		minimum       uint16  // the f16 after the scale, if the scale is 1; 0 if there is none
	}{
		gguf.Q5_0: {32, 22, 0, 9.2, 0},
		gguf.Q5_1: {32, 24, 0, 9.2, 0xcbc0},   // -15.5
		gguf.Q4_K: {256, 144, 0, 258, 0x4780}, // 7.5
		gguf.Q5_K: {256, 176, 0, 527, 0x4bc0}, // 15.5
		gguf.Q6_K: {256, 210, 208, 1365, 0},
	}[typ]
	exponent := math.Round(math.Log2(scale / kind.deviation))
	var data []byte
	for range count / kind.values {
		block := make([]byte, kind.bytes)
		for i := range block {
			block[i] = byte(r.Uint32())
		}
		one := uint16(0x3c00 + int(exponent)<<10)
		if exponent < -14 { // subnormal
			one = 1 << int(exponent+24)
		}
		binary.LittleEndian.PutUint16(block[kind.at:], one)
		if kind.minimum != 0 {
			binary.LittleEndian.PutUint16(block[kind.at+2:], uint16(int(kind.minimum)+int(exponent)<<10))
		}
		data = append(data, block...)
	}
	return data
}

func TestTinyQwen2AgainstFloat64(t *testing.T) { againstFloat64(t, newTinyQwen2(t)) }

// A prefix, a pack and a mapped file of weights give the same results as one run, with biases too.
func TestTinyQwen2FromPrefixAndWeightFile(t *testing.T) {
	n, dir := newTinyQwen2(t), t.TempDir()
	ids := n.random(rand.New(rand.NewPCG(1, 1)), 50)
	var whole []float32
	for range 2 { // the second time from the file
		lm := n.load(t, scoring.LMOptions{Tier: kernels.Best(), Workers: 2, CacheDir: dir})
		results, err := lm.LogProbs(t.Context(), []scoring.Sequence{{Tokens: ids, From: 1}, {Tokens: ids[:20], From: 20, KeepKV: true}})
		if err != nil {
			t.Fatal(err)
		}
		if whole == nil {
			whole = results[0].LogProbs
		}
		rest, err := lm.LogProbs(t.Context(), []scoring.Sequence{{Prefix: results[1].KV, Tokens: ids[20:]}})
		if err != nil {
			t.Fatal(err)
		}
		if d := worst(results[0].LogProbs, whole); d != 0 {
			t.Errorf("%+v: off by %g", lm.WeightSource(), d)
		}
		if d := worst(rest[0].LogProbs, whole[19:]); d != 0 {
			t.Errorf("after a prefix: off by %g", d)
		}
	}
}

// Without its bias or with the pairs of llama, the network gives other numbers: so the comparisons above would fail.
func TestTinyQwen2DependsOnBiasAndOrder(t *testing.T) {
	n := newTinyQwen2(t)
	ids := n.random(rand.New(rand.NewPCG(1, 2)), 60)
	want := n.logProbs(ids)
	n.splitPairs = false
	if d := worst(n.logProbs(ids), want); d < 0.5 {
		t.Errorf("the order of pairs changes at most %g", d)
	}
	n.splitPairs = true
	for _, bias := range []string{"attn_q.bias", "attn_k.bias", "attn_v.bias"} {
		name := "blk.1." + bias
		kept := n.tensors[name]
		n.tensors[name] = nil
		if d := worst(n.logProbs(ids), want); d < 0.35 {
			t.Errorf("%s changes at most %g", bias, d)
		}
		n.tensors[name] = kept
	}
}
