package scoring

import (
	"context"
	"fmt"

	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring/gguf"
)

// encoderF32Weights holds an encoder's weights as the file states them, each matrix [outputs, inputs].
type encoderF32Weights struct {
	encoderShape
	embeddings embeddings
	layers     []encoderLayer[linearF32]
}

// embeddings are an encoder's tables: words stay as the file stores them, a row is decoded when it is used.
type embeddings struct {
	words              gguf.Tensor
	positions, segment []float32 // [context, d]; [d], of the first segment, the only one there is
	norm               layerNorm
}

type layerNorm struct{ weight, bias []float32 }

type linearF32 struct{ weight, bias []float32 }

// encoderLayer is one layer's weights; M is a matrix with its bias.
type encoderLayer[M any] struct {
	q, k, v, o        M
	attnNorm, outNorm layerNorm
	up, down          M
}

// loadEncoderLayers reads the tables and all layers, making each matrix with build from the
// middle of its name, such as "attn_q".
func loadEncoderLayers[M any](f *gguf.File, s encoderShape, workers int, build func(name string, w, bias gguf.Tensor) M) (embeddings, []encoderLayer[M], error) {
	var e embeddings
	var err error
	vector := func(name string, shape ...int) []float32 {
		t, terr := f.Matrix(name, shape...)
		if terr != nil {
			err = terr
			return nil
		}
		return t.F32()
	}
	if e.words, err = f.Matrix("token_embd.weight", s.vocab, s.d); err != nil {
		return e, nil, err
	}
	e.positions = vector("position_embd.weight", s.context, s.d)
	types, terr := f.Tensor("token_types.weight")
	if terr != nil {
		return e, nil, terr
	}
	if segments := vector("token_types.weight", types.Shape[0], s.d); err == nil {
		e.segment = segments[:s.d]
	}
	e.norm = layerNorm{vector("token_embd_norm.weight", s.d), vector("token_embd_norm.bias", s.d)}
	if err != nil {
		return e, nil, err
	}
	layers := make([]encoderLayer[M], s.depth)
	return e, layers, inParallel(s.depth, workers, func(i int) error {
		l, err := loadEncoderLayer(f, s, i, build)
		layers[i] = l
		return err
	})
}

func loadEncoderLayer[M any](f *gguf.File, s encoderShape, i int, build func(name string, w, bias gguf.Tensor) M) (encoderLayer[M], error) {
	var l encoderLayer[M]
	for _, m := range []struct {
		dst         *M
		name        string
		out, inputs int
	}{
		{&l.q, "attn_q", s.d, s.d},
		{&l.k, "attn_k", s.d, s.d},
		{&l.v, "attn_v", s.d, s.d},
		{&l.o, "attn_output", s.d, s.d},
		{&l.up, "ffn_up", s.ffn, s.d},
		{&l.down, "ffn_down", s.d, s.ffn},
	} {
		weight, err := f.Matrix(fmt.Sprintf("blk.%d.%s.weight", i, m.name), m.out, m.inputs)
		if err != nil {
			return l, err
		}
		bias, err := f.Matrix(fmt.Sprintf("blk.%d.%s.bias", i, m.name), m.out)
		if err != nil {
			return l, err
		}
		*m.dst = build(m.name, weight, bias)
	}
	for _, n := range []struct {
		dst  *layerNorm
		name string
	}{
		{&l.attnNorm, "attn_output_norm"},
		{&l.outNorm, "layer_output_norm"},
	} {
		weight, err := f.Matrix(fmt.Sprintf("blk.%d.%s.weight", i, n.name), s.d)
		if err != nil {
			return l, err
		}
		bias, err := f.Matrix(fmt.Sprintf("blk.%d.%s.bias", i, n.name), s.d)
		if err != nil {
			return l, err
		}
		*n.dst = layerNorm{weight.F32(), bias.F32()}
	}
	return l, nil
}

// embed sets x [m, d] to the sums of word, position and segment embeddings of whole texts that end at the rows ends.
func (e *embeddings) embed(x []float32, ids []int32, ends []int, d int) {
	row := 0
	for _, end := range ends {
		for pos := 0; row < end; pos++ {
			at := x[row*d : (row+1)*d]
			e.words.Rows(at, int(ids[row]))
			kernels.Add(at, e.positions[pos*d:(pos+1)*d])
			kernels.Add(at, e.segment)
			row++
		}
	}
}

func loadEncoderF32(f *gguf.File, s encoderShape, workers int) (encoderWeights, error) {
	w := &encoderF32Weights{encoderShape: s}
	var err error
	w.embeddings, w.layers, err = loadEncoderLayers(f, s, workers, func(_ string, weight, bias gguf.Tensor) linearF32 {
		return linearF32{weight.F32(), bias.F32()}
	})
	return w, err
}

// encoderF32 is BERT in f32 throughout (Devlin et al. 2019): the oracle.
type encoderF32 struct {
	w         *encoderF32Weights
	tier      kernels.Tier
	attention *kernels.Attention
	// Rows of the pack: residual stream, its projections and attention's output [m, d], and the inner rows [m, ffn].
	x, q, k, v, att, inner []float32
}

func (w *encoderF32Weights) newPass(tier kernels.Tier, rows int) encoderPass {
	buffer := func(n int) []float32 { return make([]float32, rows*n) }
	return &encoderF32{
		w: w, tier: tier, attention: w.newAttention(tier),
		x: buffer(w.d), q: buffer(w.d), k: buffer(w.d), v: buffer(w.d), att: buffer(w.d), inner: buffer(w.ffn),
	}
}

func (p *encoderF32) layers(ctx context.Context, ids []int32, ends []int) ([]float32, error) {
	w, m := p.w, len(ids)
	x := p.x[:m*w.d]
	w.embeddings.embed(x, ids, ends, w.d)
	kernels.LayerNorm(x, x, w.embeddings.norm.weight, w.embeddings.norm.bias, m, w.eps)
	for i := range w.layers {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l := &w.layers[i]
		p.linear(p.q, x, l.q, m)
		p.linear(p.k, x, l.k, m)
		p.linear(p.v, x, l.v, m)
		attendTexts(p.attention, p.att, p.q, p.k, p.v, ends, w.d)
		p.linear(p.q, p.att, l.o, m)
		kernels.Add(x, p.q[:m*w.d])
		kernels.LayerNorm(x, x, l.attnNorm.weight, l.attnNorm.bias, m, w.eps)
		p.linear(p.inner, x, l.up, m)
		kernels.GELU(p.tier, p.inner[:m*w.ffn])
		p.linear(p.q, p.inner, l.down, m)
		kernels.Add(x, p.q[:m*w.d])
		kernels.LayerNorm(x, x, l.outNorm.weight, l.outNorm.bias, m, w.eps)
	}
	return x, nil
}

func (p *encoderF32) linear(y, x []float32, l linearF32, m int) {
	n := len(l.bias)
	kernels.MatMul(p.tier, y, x, l.weight, m, n, len(l.weight)/n)
	kernels.AddBias(y, l.bias, m)
}
