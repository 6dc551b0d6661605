package scoring

import (
	"context"

	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring/gguf"
)

// encoderInt8Weights holds an encoder for the fast pass: matrices rounded to int8 per output row.
type encoderInt8Weights struct {
	encoderShape
	embeddings embeddings
	layers     []encoderLayer[*kernels.Matrix]
}

func loadEncoderInt8(f *gguf.File, s encoderShape, o EncoderOptions) (encoderWeights, error) {
	w := &encoderInt8Weights{encoderShape: s}
	var err error
	w.embeddings, w.layers, err = loadEncoderLayers(f, s, o.Workers, func(weight gguf.Tensor, bias []float32) *kernels.Matrix {
		n, k := weight.Shape[0], weight.Shape[1]
		q, scale := kernels.QuantizeRows(weight.F32(), n, k)
		m := kernels.Pack(o.Tier, q, scale, n, k)
		m.SetBias(bias)
		return m
	})
	return w, err
}

// encoderInt8 is the production pass.
type encoderInt8 struct {
	w            *encoderInt8Weights
	tier         kernels.Tier
	attention    *kernels.Attention
	x            []float32     // the residual stream [rows, d]
	q, k, v, att []float32     // [rows, d]
	narrow       *kernels.Rows // of d values
	wide         *kernels.Rows // of ffn values
}

func (w *encoderInt8Weights) newPass(tier kernels.Tier, rows int) encoderPass {
	buffer := func() []float32 { return make([]float32, rows*w.d) }
	return &encoderInt8{
		w: w, tier: tier, attention: w.newAttention(tier),
		x: buffer(), q: buffer(), k: buffer(), v: buffer(), att: buffer(),
		narrow: kernels.NewRows(tier, rows, w.d), wide: kernels.NewRows(tier, rows, w.ffn),
	}
}

func (p *encoderInt8) layers(ctx context.Context, ids []int32, ends []int) ([]float32, error) {
	w, m := p.w, len(ids)
	x := p.x[:m*w.d]
	w.embeddings.embed(x, ids, ends, w.d)
	p.narrow.LayerNorm(x, m, w.embeddings.norm.weight, w.embeddings.norm.bias, w.eps)
	for i := range w.layers {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l := &w.layers[i]
		l.q.MulTo(p.q, w.d, p.narrow, m)
		l.k.MulTo(p.k, w.d, p.narrow, m)
		l.v.MulTo(p.v, w.d, p.narrow, m)
		attendTexts(p.attention, p.att, p.q, p.k, p.v, ends, w.d)
		p.narrow.Quantize(p.att, m)
		l.o.MulAdd(x, w.d, p.narrow, m)
		p.narrow.LayerNorm(x, m, l.attnNorm.weight, l.attnNorm.bias, w.eps)
		p.wide.GELU(l.up, p.narrow, m)
		l.down.MulAdd(x, w.d, p.wide, m)
		p.narrow.LayerNorm(x, m, l.outNorm.weight, l.outNorm.bias, w.eps)
	}
	return x, nil
}
