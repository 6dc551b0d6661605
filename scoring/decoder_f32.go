package scoring

import (
	"context"

	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring/gguf"
)

// weightsF32 holds a decoder's weights as the file states them, each matrix [outputs, inputs].
type weightsF32 struct {
	decoderShape
	layers                []layerF32
	embedding, head, norm []float32
	rope                  *kernels.Rope
}

type layerF32 struct {
	attnNorm, q, k, v, o    []float32
	qBias, kBias, vBias     []float32 // nil without
	ffnNorm, gate, up, down []float32
}

func loadF32(f *gguf.File, s decoderShape, workers int) (*weightsF32, error) {
	w := &weightsF32{decoderShape: s, layers: make([]layerF32, s.depth)}
	embedding, err := f.Matrix("token_embd.weight", s.vocab, s.d)
	if err != nil {
		return nil, err
	}
	head, err := f.Matrix(s.headName(), s.vocab, s.d)
	if err != nil {
		return nil, err
	}
	norm, err := f.Matrix("output_norm.weight", s.d)
	if err != nil {
		return nil, err
	}
	w.embedding, w.norm = embedding.F32(), norm.F32()
	w.head = w.embedding
	if !s.tiedHead {
		w.head = head.F32()
	}
	w.rope = kernels.NewRope(s.headDim, s.ropeBase, s.context)
	return w, inParallel(s.depth, workers, func(i int) error {
		t, err := s.tensors(f, i)
		if err != nil {
			return err
		}
		qkv, bias := s.qkv(t)
		k, v := s.d, s.d+s.kvWidth()
		l := layerF32{
			attnNorm: t.attnNorm.F32(), q: qkv[:k*s.d], k: qkv[k*s.d : v*s.d], v: qkv[v*s.d:], o: t.o.F32(),
			ffnNorm: t.ffnNorm.F32(), gate: t.gate.F32(), up: t.up.F32(), down: t.down.F32(),
		}
		if bias != nil {
			l.qBias, l.kBias, l.vBias = bias[:k], bias[k:v], bias[v:]
		}
		w.layers[i] = l
		return nil
	})
}

// decoderF32 is the pass as the papers write it: Llama (Touvron et al. 2023) with grouped-query attention (Ainslie et al.
// 2023), in f32 throughout.
type decoderF32 struct {
	w         *weightsF32
	tier      kernels.Tier
	attention *kernels.Attention
	// Rows of the pack: residual stream and normed rows [m, d]; queries and attention's output [m, d]; keys and values
	// [m, kvWidth]; the two halves of the feed-forward network [m, ffn].
	x, h, q, att, k, v, gate, up []float32
	held                         []float32 // logits, [logitRows, vocab]
}

// logitRows is how many rows' logits are held at a time.
const logitRows = 16

func (w *weightsF32) newPass(tier kernels.Tier, rows int) pass {
	rows = max(rows, logitRows)
	return &decoderF32{
		w: w, tier: tier, attention: newAttention(w.decoderShape, tier),
		x: make([]float32, rows*w.d), h: make([]float32, rows*w.d), q: make([]float32, rows*w.d),
		att: make([]float32, rows*w.d), k: make([]float32, rows*w.kvWidth()), v: make([]float32, rows*w.kvWidth()),
		gate: make([]float32, rows*w.ffn), up: make([]float32, rows*w.ffn),
		held: make([]float32, logitRows*w.vocab),
	}
}

func (p *decoderF32) stream() []float32 { return p.x }

func (p *decoderF32) layers(ctx context.Context, parts []part) error {
	w, m := p.w, 0
	for i := range parts {
		for _, id := range parts[i].tokens {
			copy(p.x[m*w.d:(m+1)*w.d], w.embedding[int(id)*w.d:])
			m++
		}
	}
	for i := range w.layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		l := &w.layers[i]
		kernels.RMSNorm(p.h, p.x, l.attnNorm, m, w.eps)
		p.project(p.q, l.q, l.qBias, m, w.d)
		p.project(p.k, l.k, l.kBias, m, w.kvWidth())
		p.project(p.v, l.v, l.vBias, m, w.kvWidth())
		for j := range parts {
			p.store(i, &parts[j])
		}
		for j := range parts {
			if err := p.attend(i, &parts[j]); err != nil {
				return err
			}
		}
		kernels.MatMul(p.tier, p.h, p.att, l.o, m, w.d, w.d)
		kernels.Add(p.x[:m*w.d], p.h[:m*w.d])
		kernels.RMSNorm(p.h, p.x, l.ffnNorm, m, w.eps)
		kernels.MatMul(p.tier, p.gate, p.h, l.gate, m, w.ffn, w.d)
		kernels.MatMul(p.tier, p.up, p.h, l.up, m, w.ffn, w.d)
		kernels.SwiGLU(p.tier, p.gate[:m*w.ffn], p.gate[:m*w.ffn], p.up[:m*w.ffn])
		kernels.MatMul(p.tier, p.h, p.gate, l.down, m, w.d, w.ffn)
		kernels.Add(p.x[:m*w.d], p.h[:m*w.d])
	}
	return nil
}

// project sets y [m, n] to the product of the normed rows and w [n, d], plus a bias if there is one.
func (p *decoderF32) project(y, w, bias []float32, m, n int) {
	kernels.MatMul(p.tier, y, p.h, w, m, n, p.w.d)
	if bias != nil {
		kernels.AddBias(y, bias, m)
	}
}

// store rotates the part's queries and keys by their positions and puts keys and values where they are kept.
func (p *decoderF32) store(layer int, t *part) {
	w, n, width := p.w, len(t.tokens), p.w.kvWidth()
	k, v := p.k[t.row*width:(t.row+n)*width], p.v[t.row*width:(t.row+n)*width]
	w.rope.Apply(p.tier, p.q[t.row*w.d:], w.d, n, w.heads, t.pos())
	w.rope.Apply(p.tier, k, width, n, w.kvHeads, t.pos())
	if t.own != nil {
		_, own := keys(t, layer, width, (*KV).float32s, nil, nil)
		copy(own.K[t.at*width:], k)
		copy(own.V[t.at*width:], v)
	}
}

// attend lets the part's tokens attend to those before them and to each other.
func (p *decoderF32) attend(layer int, t *part) error {
	if !t.before.await(layer + 1) {
		return errBefore
	}
	t.stored.reach(layer + 1)
	w, width := p.w, p.w.kvWidth()
	prefix, own := keys(t, layer, width, (*KV).float32s, p.k[t.row*width:], p.v[t.row*width:])
	kernels.Attend(p.attention, p.att[t.row*w.d:], w.d, p.q[t.row*w.d:], w.d, len(t.tokens), prefix, own)
	return nil
}

func (p *decoderF32) logits(x []float32, m int, use func(row int, logits []float32)) {
	w := p.w
	for r := 0; r < m; r += logitRows {
		n := min(logitRows, m-r)
		kernels.RMSNorm(p.h, x[r*w.d:], w.norm, n, w.eps)
		kernels.MatMul(p.tier, p.held, p.h, w.head, n, w.vocab, w.d)
		for i := range n {
			use(r+i, p.held[i*w.vocab:(i+1)*w.vocab])
		}
	}
}

func (p *decoderF32) logProbs(dst, x []float32, targets []int32) {
	p.logits(x, len(targets), func(row int, logits []float32) {
		dst[row] = logits[targets[row]] - kernels.LogSumExp(logits)
	})
}
