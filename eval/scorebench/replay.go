package scorebench

import (
	"context"
	"runtime"
	"slices"
	"time"

	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring"
)

// Part is the share of one kind of work in a pass.
type Part struct {
	Name         string  `json:"name"`
	Milliseconds Figure  `json:"milliseconds"`
	Share        float64 `json:"share"` // of the whole pass, by medians
}

// The parts of a pass in the order in which a layer runs them.
const (
	partNorm = iota
	partQKV
	partRope
	partAttention
	partQuantize
	partOutput
	partSwiGLU
	partDown
	partHead
	parts
)

var partNames = [parts]string{
	"RMS norm, quantise", "product: queries, keys, values", "rotary embedding, round keys and values", "attention",
	"quantise attention", "product: attention output", "product: gate and up, with SiLU, Hadamard, quantise",
	"product: down", "product: head, with logsumexp",
}

// restName is what a real pass does besides.
const restName = "rest: embedding and rotation, bookkeeping, collection"

// replay is a decoder's pass made of the public kernels alone: the same calls in the same order on the same shapes, with
// weights of its own for every layer, so that they stream through the caches as in the real pass. It is how time by part is
// measured without a clock inside package scoring.
type replay struct {
	sizes
	tier       kernels.Tier
	rows       int
	layers     []replayLayer
	head       *kernels.Matrix
	narrow     *kernels.Rows
	wide       *kernels.Rows
	attention  *kernels.Attention
	rope       *kernels.Rope
	start, x   []float32 // the residual stream before the first layer, and now
	qkv, att   []float32
	k, v       []kernels.BF16
	logProbs   []float32
	targets    []int32
	took       [parts]time.Duration
	lastChange time.Duration
}

type replayLayer struct{ qkv, o, gate, up, down *kernels.Matrix }

func newReplay(tier kernels.Tier, s sizes, rows int) *replay {
	m := newMaterial(tier, s.vocab*s.d)
	p := &replay{
		sizes: s, tier: tier, rows: rows, head: m.matrix(s.vocab, s.d),
		narrow: kernels.NewRows(tier, rows, s.d), wide: kernels.NewRows(tier, rows, s.ffn),
		attention: kernels.NewAttention(kernels.AttentionOptions{
			Tier: tier, Heads: s.heads, KVHeads: s.kvHeads, Dim: s.headDim(), Causal: true,
		}),
		rope:  kernels.NewRope(s.headDim(), 1e5, rows),
		start: m.normals(rows * s.d), x: make([]float32, rows*s.d),
		qkv: make([]float32, rows*(s.d+2*s.kvWidth())), att: make([]float32, rows*s.d),
		k: make([]kernels.BF16, rows*s.kvWidth()), v: make([]kernels.BF16, rows*s.kvWidth()),
		logProbs: make([]float32, rows), targets: make([]int32, rows),
	}
	for range s.depth {
		p.layers = append(p.layers, replayLayer{
			qkv: m.matrix(s.d+2*s.kvWidth(), s.d), o: m.matrix(s.d, s.d),
			gate: m.matrix(s.ffn, s.d), up: m.matrix(s.ffn, s.d), down: m.matrix(s.d, s.ffn),
		})
	}
	return p
}

// lap adds the time since the last lap to a part.
func (p *replay) lap(part int) {
	now := threadTime()
	p.took[part] += now - p.lastChange
	p.lastChange = now
}

// run takes one sequence of p.rows tokens through all layers and the head.
func (p *replay) run() {
	const eps = 1e-5
	m, width, stride := p.rows, p.kvWidth(), p.d+2*p.kvWidth()
	copy(p.x, p.start)
	clear(p.took[:])
	p.lastChange = threadTime()
	for i := range p.layers {
		l := &p.layers[i]
		p.narrow.RMSNorm(p.x, m, eps)
		p.lap(partNorm)
		l.qkv.MulTo(p.qkv, stride, p.narrow, m)
		p.lap(partQKV)
		p.rope.Apply(p.tier, p.qkv, stride, m, p.heads+p.kvHeads, 0)
		for r := range m {
			row := p.qkv[r*stride+p.d : (r+1)*stride]
			kernels.ToBF16(p.tier, p.k[r*width:(r+1)*width], row[:width])
			kernels.ToBF16(p.tier, p.v[r*width:(r+1)*width], row[width:])
		}
		p.lap(partRope)
		kernels.Attend(p.attention, p.att, p.d, p.qkv, stride, m, kernels.KV[kernels.BF16]{Len: m, K: p.k, V: p.v})
		p.lap(partAttention)
		p.narrow.Quantize(p.att, m)
		p.lap(partQuantize)
		l.o.MulAdd(p.x, p.d, p.narrow, m)
		p.lap(partOutput)
		p.narrow.RMSNorm(p.x, m, eps)
		p.lap(partNorm)
		p.wide.SwiGLU(l.gate, l.up, p.narrow, m, p.inner())
		p.lap(partSwiGLU)
		l.down.MulAdd(p.x, p.d, p.wide, m)
		p.lap(partDown)
	}
	p.narrow.RMSNorm(p.x, m, eps)
	p.lap(partNorm)
	p.head.LogProbs(p.logProbs, p.narrow, p.targets, m)
	p.lap(partHead)
}

// measureParts divides the processor time of a pass over one sequence of so many tokens, all log-probabilities wanted. What
// the real pass takes beyond the replay is the rest; where the system does not tell a process's time there is no rest.
func measureParts(ctx context.Context, r *rig, tier kernels.Tier, s sizes, tokens, rounds int) ([]Part, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	whole, err := r.task(ctx, Job{Name: "parts", Sequences: 1, Tokens: tokens})
	if err != nil {
		return nil, err
	}
	p := newReplay(tier, s, tokens)
	p.run()
	samples := make([][]float64, parts+1)
	for range rounds {
		o, err := r.run(ctx, whole)
		if err != nil {
			return nil, err
		}
		p.run()
		rest := o.cpu
		for i, took := range p.took {
			samples[i] = append(samples[i], milliseconds(took))
			rest -= took
		}
		if o.cpu > 0 {
			samples[parts] = append(samples[parts], milliseconds(rest))
		}
	}
	var list []Part
	sum := 0.0
	for i, name := range append(partNames[:], restName) {
		if len(samples[i]) > 0 {
			part := Part{Name: name, Milliseconds: figureOf(samples[i])}
			sum += part.Milliseconds.Median
			list = append(list, part)
		}
	}
	for i := range list {
		list[i].Share = list[i].Milliseconds.Median / sum
	}
	return list, nil
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }

// keptBytes returns the memory of the keys and values of one token.
func keptBytes(ctx context.Context, r *rig) (int64, error) {
	ids := slices.Repeat(r.ids[:1], 16)
	results, err := r.lm.LogProbs(ctx, []scoring.Sequence{{Tokens: ids, From: len(ids), KeepKV: true}})
	if err != nil {
		return 0, err
	}
	return results[0].KV.Bytes() / int64(len(ids)), nil
}
