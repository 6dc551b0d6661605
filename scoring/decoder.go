package scoring

import (
	"context"
	"fmt"
	"slices"

	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring/gguf"
)

// decoderShape holds a decoder's sizes, as its GGUF metadata states them.
type decoderShape struct {
	depth, d, ffn, vocab, context int
	heads, kvHeads, headDim       int
	ropeBase                      float64
	eps                           float32
	tiedHead                      bool
	bias                          bool // queries, keys and values have biases
	// splitPairs says that rotary embedding turns values i and i+headDim/2 of a head in the file, not 2i and 2i+1.
	splitPairs bool
}

// kvWidth is the number of key (or value) components of one token in one layer.
func (s decoderShape) kvWidth() int { return s.kvHeads * s.headDim }

// pass takes packs through a decoder on one goroutine, in buffers of its own. It has two implementations: decoderF32,
// which is plain and exact and serves as oracle, and decoderInt8, which is fast.
type pass interface {
	// layers embeds the tokens of parts and takes them through all layers. It leaves their rows in stream, puts keys and
	// values where each part says, and checks ctx between layers. It fails with ctx's error, or with errBefore.
	layers(ctx context.Context, parts []part) error
	// stream is the residual stream [rows of the pack, d] that layers left.
	stream() []float32
	// logProbs sets dst[i] to the log-probability in nats of the token targets[i] after the hidden state x[i], [m, d].
	logProbs(dst, x []float32, targets []int32)
	// logits calls use with the logits [vocab] after each of the m hidden states in x, [m, d], in order. They are use's until
	// it returns.
	logits(x []float32, m int, use func(row int, logits []float32))
}

// decoderShapeOf reads and checks the sizes of a model of the architecture llama (Touvron et al. 2023) or qwen2 (Yang et al.
// 2024), which differ in biases and in the order of a head's values.
func decoderShapeOf(f *gguf.File) (decoderShape, error) {
	var s decoderShape
	arch, err := f.Text("general.architecture")
	if err != nil {
		return s, err
	}
	switch arch {
	case "llama":
	case "qwen2":
		s.bias, s.splitPairs = true, true
	default:
		return s, fmt.Errorf("model architecture %q is not supported, want llama or qwen2", arch)
	}
	for key, dst := range map[string]*int{
		".block_count": &s.depth, ".embedding_length": &s.d, ".feed_forward_length": &s.ffn,
		".attention.head_count": &s.heads, ".attention.head_count_kv": &s.kvHeads,
		".context_length": &s.context,
	} {
		if *dst, err = size(f, arch+key); err != nil {
			return s, err
		}
	}
	if s.depth > len(f.Tensors) {
		return s, fmt.Errorf("%d layers in a file of %d tensors", s.depth, len(f.Tensors))
	}
	s.context = min(s.context, maxContext)
	if s.d%s.heads != 0 || s.heads%s.kvHeads != 0 || s.d/s.heads%headMultiple != 0 {
		return s, fmt.Errorf("%d heads, %d of keys, do not divide a width of %d into multiples of %d", s.heads, s.kvHeads, s.d, headMultiple)
	}
	s.headDim = s.d / s.heads
	if f.Has(arch + ".rope.dimension_count") {
		n, err := size(f, arch+".rope.dimension_count")
		if err != nil {
			return s, err
		}
		if n != s.headDim {
			return s, fmt.Errorf("rotary embedding of %d of a head's %d dimensions is not supported", n, s.headDim)
		}
	}
	if s.ropeBase, err = f.Float(arch + ".rope.freq_base"); err != nil {
		return s, err
	}
	eps, err := f.Float(arch + ".attention.layer_norm_rms_epsilon")
	if err != nil {
		return s, err
	}
	s.eps = float32(eps)
	embedding, err := f.Tensor("token_embd.weight")
	if err != nil {
		return s, err
	}
	s.vocab = embedding.Shape[0]
	_, err = f.Tensor("output.weight")
	s.tiedHead = err != nil
	return s, nil
}

// maxSize bounds every size in a model's metadata, so that products of two stay far inside an int.
const maxSize = 1 << 24

// headMultiple is what kernels.Attend wants a head's size to be a multiple of.
const headMultiple = 16

// maxContext is the longest context that is used, whatever a model allows: tables of positions grow with it.
const maxContext = 1 << 15

func size(f *gguf.File, key string) (int, error) {
	n, err := f.Uint(key)
	if err != nil {
		return 0, err
	}
	if n == 0 || n > maxSize {
		return 0, fmt.Errorf("%s is %d, want 1 to %d", key, n, maxSize)
	}
	return int(n), nil
}

// headName is the tensor that the head multiplies by.
func (s decoderShape) headName() string {
	if s.tiedHead {
		return "token_embd.weight"
	}
	return "output.weight"
}

// layerTensors are the matrices and norms of one layer, checked against the shape.
type layerTensors struct {
	attnNorm, q, k, v, o    gguf.Tensor
	qBias, kBias, vBias     gguf.Tensor // only where decoderShape.bias says so
	ffnNorm, gate, up, down gguf.Tensor
}

func (s decoderShape) tensors(f *gguf.File, layer int) (layerTensors, error) {
	var t layerTensors
	type named struct {
		dst   *gguf.Tensor
		name  string
		shape []int
	}
	wanted := []named{
		{&t.attnNorm, "attn_norm.weight", []int{s.d}},
		{&t.q, "attn_q.weight", []int{s.d, s.d}},
		{&t.k, "attn_k.weight", []int{s.kvWidth(), s.d}},
		{&t.v, "attn_v.weight", []int{s.kvWidth(), s.d}},
		{&t.o, "attn_output.weight", []int{s.d, s.d}},
		{&t.ffnNorm, "ffn_norm.weight", []int{s.d}},
		{&t.gate, "ffn_gate.weight", []int{s.ffn, s.d}},
		{&t.up, "ffn_up.weight", []int{s.ffn, s.d}},
		{&t.down, "ffn_down.weight", []int{s.d, s.ffn}},
	}
	if s.bias {
		wanted = append(wanted,
			named{&t.qBias, "attn_q.bias", []int{s.d}},
			named{&t.kBias, "attn_k.bias", []int{s.kvWidth()}},
			named{&t.vBias, "attn_v.bias", []int{s.kvWidth()}})
	}
	for _, m := range wanted {
		var err error
		if *m.dst, err = f.Matrix(fmt.Sprintf("blk.%d.%s", layer, m.name), m.shape...); err != nil {
			return t, err
		}
	}
	return t, nil
}

// qkv returns the weights of queries, keys and values as one matrix [d + 2 kvWidth, d], and their biases, nil if there are
// none. Rotary embedding turns neighbours of its outputs, whatever the order in the file: attention sees only products of
// queries and keys, so the order within a head is free as long as both have the same.
func (s decoderShape) qkv(t layerTensors) (weights, bias []float32) {
	width := s.kvWidth()
	weights = make([]float32, (s.d+2*width)*s.d)
	t.q.Rows(weights[:s.d*s.d], 0)
	t.k.Rows(weights[s.d*s.d:(s.d+width)*s.d], 0)
	t.v.Rows(weights[(s.d+width)*s.d:], 0)
	if s.bias {
		bias = slices.Concat(t.qBias.F32(), t.kBias.F32(), t.vBias.F32())
	}
	if s.splitPairs {
		pairHalves(weights[:(s.d+width)*s.d], s.headDim, s.d)
		pairHalves(bias[:min(len(bias), s.d+width)], s.headDim, 1)
	}
	return weights, bias
}

// pairHalves reorders each run of headDim rows of w [rows, width]: row i of the first half is followed by row i of the second.
func pairHalves(w []float32, headDim, width int) {
	head, half := make([]float32, headDim*width), headDim/2
	for ; len(w) > 0; w = w[headDim*width:] {
		copy(head, w)
		for i := range half {
			copy(w[2*i*width:], head[i*width:(i+1)*width])
			copy(w[(2*i+1)*width:], head[(half+i)*width:(half+i+1)*width])
		}
	}
}

func newAttention(s decoderShape, tier kernels.Tier) *kernels.Attention {
	return kernels.NewAttention(kernels.AttentionOptions{
		Tier: tier, Heads: s.heads, KVHeads: s.kvHeads, Dim: s.headDim, Causal: true,
	})
}
