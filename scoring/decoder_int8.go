package scoring

import (
	"context"
	"sync"

	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring/gguf"
)

// weightsInt8 holds a decoder for the fast pass: norms folded into the matrices that follow them, the residual stream
// rotated, values and the feed-forward network's inner rows turned by Hadamard matrices, everything rounded to int8 per
// output row. With all of it the pass stays within about 0.07 nats of f32 on average; without, 0.19 (KERNELS.md, section 3).
type weightsInt8 struct {
	decoderShape
	words    gguf.Tensor // embedding rows are decoded and rotated when they are used
	rotation rotation
	layers   []layerInt8
	head     *kernels.Matrix
	rope     *kernels.Rope
	inner    int // size of the Hadamard blocks before ffn_down
}

type layerInt8 struct {
	qkv, o, gate, up, down *kernels.Matrix // qkv is [queries, keys, values; d]
}

// maxInnerBlock is the largest Hadamard block before ffn_down: larger ones were no better (KERNELS.md, section 3).
const maxInnerBlock = 512

func loadInt8(f *gguf.File, s decoderShape, o LMOptions) (*weightsInt8, WeightSource, error) {
	w := &weightsInt8{
		decoderShape: s, rotation: newRotation(o.Tier, s.d), layers: make([]layerInt8, s.depth),
		inner: min(maxInnerBlock, powerOfTwo(s.ffn)),
	}
	var err error
	if w.words, err = f.Matrix("token_embd.weight", s.vocab, s.d); err != nil {
		return nil, WeightSource{}, err
	}
	var positions sync.WaitGroup
	positions.Go(func() { w.rope = kernels.NewRope(s.headDim, s.ropeBase, s.context) })
	defer positions.Wait()
	file := openWeightFile(o.CacheDir, f.Data(), o.Tier, o.Workers)
	if !read(file, w, o.Tier, w.slots()) {
		if err := w.build(f, o); err != nil {
			return nil, WeightSource{}, err
		}
		write(file, w, o.Tier, w.slots(), o.Workers)
	}
	return w, file.source, nil
}

// slots are the places of all matrices in the order of the pass.
func (w *weightsInt8) slots() []slot {
	var slots []slot
	for i := range w.layers {
		l := &w.layers[i]
		slots = append(slots, slot{&l.qkv, w.d + 2*w.kvWidth(), w.d}, slot{&l.o, w.d, w.d},
			slot{&l.gate, w.ffn, w.d}, slot{&l.up, w.ffn, w.d}, slot{&l.down, w.d, w.ffn})
	}
	return append(slots, slot{&w.head, w.vocab, w.d})
}

// build prepares all matrices from those of the file.
func (w *weightsInt8) build(f *gguf.File, o LMOptions) error {
	s := w.decoderShape
	head, err := f.Matrix(s.headName(), s.vocab, s.d)
	if err != nil {
		return err
	}
	norm, err := f.Matrix("output_norm.weight", s.d)
	if err != nil {
		return err
	}
	fold := norm.F32()
	// The head is as much work as eight layers: it is quantised in as many parts as there are, each beside a layer.
	q, scale := make([]int8, s.vocab*s.d), make([]float32, s.vocab)
	err = inParallel(s.depth, o.Workers, func(i int) error {
		t, err := s.tensors(f, i)
		if err != nil {
			return err
		}
		w.layers[i] = w.prepare(t, o.Tier)
		from, to := i*s.vocab/s.depth, (i+1)*s.vocab/s.depth
		rows := make([]float32, (to-from)*s.d)
		head.Rows(rows, from)
		foldNorm(rows, fold)
		w.rotation.rows(rows, make([]float32, s.d))
		qr, sr := kernels.QuantizeRows(rows, to-from, s.d)
		copy(q[from*s.d:], qr)
		copy(scale[from:], sr)
		return nil
	})
	if err != nil {
		return err
	}
	w.head = kernels.Pack(o.Tier, q, scale, s.vocab, s.d)
	return nil
}

// prepare folds, rotates, rounds and packs one layer.
func (w *weightsInt8) prepare(t layerTensors, tier kernels.Tier) layerInt8 {
	head := powerOfTwo(w.headDim)
	reader := func(x, norm []float32) []float32 {
		foldNorm(x, norm)
		w.rotation.rows(x, make([]float32, w.d))
		return x
	}
	pack := func(x []float32, n, k int) *kernels.Matrix {
		q, scale := kernels.QuantizeRows(x, n, k)
		return kernels.Pack(tier, q, scale, n, k)
	}
	weights, bias := w.qkv(t)
	reader(weights, t.attnNorm.F32())
	values := w.d + w.kvWidth()
	hadamardColumns(weights[values*w.d:], head, w.d)
	qkv := pack(weights, w.d+2*w.kvWidth(), w.d)
	if bias != nil {
		hadamardColumns(bias[values:], head, 1)
		qkv.SetBias(bias)
	}
	o := t.o.F32()
	kernels.Hadamard(tier, o, head)
	w.rotation.columns(o, w.d)
	norm := t.ffnNorm.F32()
	gate, up := reader(t.gate.F32(), norm), reader(t.up.F32(), norm)
	down := t.down.F32()
	kernels.Hadamard(tier, down, w.inner)
	w.rotation.columns(down, w.ffn)
	return layerInt8{
		qkv: qkv, o: pack(o, w.d, w.d),
		gate: pack(gate, w.ffn, w.d), up: pack(up, w.ffn, w.d), down: pack(down, w.d, w.ffn),
	}
}

// foldNorm multiplies column i of x [n, len(norm)] by norm[i].
func foldNorm(x, norm []float32) {
	for ; len(x) > 0; x = x[len(norm):] {
		for i, f := range norm {
			x[i] *= f
		}
	}
}

// decoderInt8 is the production pass. Every row's result depends on that row and the keys it attends to alone, so packs
// may be put together in any way.
type decoderInt8 struct {
	w         *weightsInt8
	tier      kernels.Tier
	attention *kernels.Attention
	x         []float32      // the residual stream [rows, d]
	qkv       []float32      // [rowsTogether, d + 2 kvWidth]
	att       []float32      // what the heads return, [rowsTogether, d]
	k, v      []kernels.BF16 // keys and values of the pack's own rows, [rows, kvWidth]
	few       *kernels.Rows  // rowsTogether rows of d values
	narrow    *kernels.Rows  // of d values
	wide      *kernels.Rows  // of ffn values
	held      []float32      // logits, [logitRows, vocab]
}

// rowsTogether is how many rows go through attention, from its norm to its output, one after the other: what lies between
// stays in the second-level cache, as the weights of these products do for the next rows.
const rowsTogether = 256

func (w *weightsInt8) newPass(tier kernels.Tier, rows int) pass {
	few := min(rows, rowsTogether)
	return &decoderInt8{
		w: w, tier: tier, attention: newAttention(w.decoderShape, tier),
		x: make([]float32, rows*w.d), qkv: make([]float32, few*(w.d+2*w.kvWidth())), att: make([]float32, few*w.d),
		k: make([]kernels.BF16, rows*w.kvWidth()), v: make([]kernels.BF16, rows*w.kvWidth()),
		few:    kernels.NewRows(tier, few, w.d),
		narrow: kernels.NewRows(tier, rows, w.d), wide: kernels.NewRows(tier, rows, w.ffn),
	}
}

func (p *decoderInt8) stream() []float32 { return p.x }

func (p *decoderInt8) layers(ctx context.Context, parts []part) error {
	w, m := p.w, 0
	for i := range parts {
		for _, id := range parts[i].tokens {
			w.words.Rows(p.x[m*w.d:(m+1)*w.d], int(id))
			m++
		}
	}
	w.rotation.rows(p.x[:m*w.d], p.att[:w.d])
	for i := range w.layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		l := &w.layers[i]
		for r := 0; r < m; r += rowsTogether {
			n := min(rowsTogether, m-r)
			x := p.x[r*w.d:]
			p.few.RMSNorm(x, n, w.eps)
			l.qkv.MulTo(p.qkv, w.d+2*w.kvWidth(), p.few, n)
			for j := range parts {
				p.store(i, &parts[j], r, r+n)
			}
			for j := range parts {
				if err := p.attend(i, &parts[j], r, r+n); err != nil {
					return err
				}
			}
			p.few.Quantize(p.att, n)
			l.o.MulAdd(x, w.d, p.few, n)
		}
		p.narrow.RMSNorm(p.x, m, w.eps)
		p.wide.SwiGLU(l.gate, l.up, p.narrow, m, w.inner)
		l.down.MulAdd(p.x, w.d, p.wide, m)
	}
	return nil
}

// within returns which of the part's tokens are the pack's rows from to to.
func (p *part) within(from, to int) (first, end int) {
	return max(0, from-p.row), min(len(p.tokens), to-p.row)
}

// store rotates queries and keys of the part's tokens in rows from to to, which qkv holds, by their positions and rounds keys
// and values to what a KV keeps, so that a prefix and a full pass see the same.
func (p *decoderInt8) store(layer int, t *part, from, to int) {
	first, end := t.within(from, to)
	if first >= end {
		return
	}
	w := p.w
	width, stride := w.kvWidth(), w.d+2*w.kvWidth()
	rows := p.qkv[(t.row+first-from)*stride:]
	w.rope.Apply(p.tier, rows, stride, end-first, w.heads+w.kvHeads, t.pos()+first)
	_, own := keys(t, layer, width, (*KV).bf16s, p.k[t.row*width:], p.v[t.row*width:])
	for i := range end - first {
		row, to := rows[i*stride+w.d:(i+1)*stride], (t.at+first+i)*width
		kernels.ToBF16(p.tier, own.K[to:to+width], row[:width])
		kernels.ToBF16(p.tier, own.V[to:to+width], row[width:])
	}
}

// attend lets the part's tokens in rows from to to attend to those before them and to each other.
func (p *decoderInt8) attend(layer int, t *part, from, to int) error {
	first, end := t.within(from, to)
	if first >= end {
		return nil
	}
	if !t.before.await(layer + 1) {
		return errBefore
	}
	if end == len(t.tokens) {
		t.stored.reach(layer + 1)
	}
	w := p.w
	width, stride := w.kvWidth(), w.d+2*w.kvWidth()
	prefix, own := keys(t, layer, width, (*KV).bf16s, p.k[t.row*width:], p.v[t.row*width:])
	own.Len = t.at + end
	at := t.row + first - from
	kernels.Attend(p.attention, p.att[at*w.d:], w.d, p.qkv[at*stride:], stride, end-first, prefix, own)
	return nil
}

func (p *decoderInt8) logProbs(dst, x []float32, targets []int32) {
	m := len(targets)
	p.narrow.RMSNorm(x, m, p.w.eps)
	p.w.head.LogProbs(dst, p.narrow, targets, m)
}

func (p *decoderInt8) logits(x []float32, m int, use func(row int, logits []float32)) {
	w := p.w
	if size := min(m, logitRows) * w.vocab; len(p.held) < size {
		p.held = make([]float32, size)
	}
	for r := 0; r < m; r += logitRows {
		n := min(logitRows, m-r)
		p.narrow.RMSNorm(x[r*w.d:], n, w.eps)
		w.head.MulTo(p.held, w.vocab, p.narrow, n)
		for i := range n {
			use(r+i, p.held[i*w.vocab:(i+1)*w.vocab])
		}
	}
}
