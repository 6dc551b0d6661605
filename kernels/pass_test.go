package kernels

import (
	"slices"
	"testing"
)

// layer is everything a decoder layer and the head do, on small shapes with odd sizes.
type layer struct {
	tier                     Tier
	qkv, out, gate, up, down *Matrix
	head                     *Matrix
	x, mid                   *Rows
	rope                     *Rope
	att                      *Attention
	y, mixed, logProb        []float32
	k, v                     []BF16
	targets                  []int32
}

const (
	testD, testHeads, testKV, testDim, testF, testV = 48, 3, 1, 16, 64, 203
	testWidth                                       = (testHeads + 2*testKV) * testDim
)

func newLayer(tier Tier, rows int) *layer {
	r := newRand(40)
	matrix := func(n, k int) *Matrix {
		q, s := QuantizeRows(normals(r, n*k), n, k)
		return Pack(tier, q, s, n, k)
	}
	l := &layer{
		tier: tier,
		qkv:  matrix(testWidth, testD), out: matrix(testD, testHeads*testDim),
		gate: matrix(testF, testD), up: matrix(testF, testD), down: matrix(testD, testF), head: matrix(testV, testD),
		x: NewRows(tier, rows, testD), mid: NewRows(tier, rows, testF),
		rope: NewRope(testDim, 1e4, rows),
		att:  NewAttention(AttentionOptions{Tier: tier, Heads: testHeads, KVHeads: testKV, Dim: testDim, Causal: true}),
		y:    make([]float32, rows*testWidth), mixed: make([]float32, rows*testD), logProb: make([]float32, rows),
		k: make([]BF16, rows*testKV*testDim), v: make([]BF16, rows*testKV*testDim),
		targets: make([]int32, rows),
	}
	for i := range l.targets {
		l.targets[i] = int32(i * 7 % testV)
	}
	return l
}

// pass runs sequences of the given lengths, packed one after the other in hidden.
func (l *layer) pass(hidden []float32, lens ...int) []float32 {
	m := len(hidden) / testD
	l.x.RMSNorm(hidden, m, 1e-5)
	l.qkv.MulTo(l.y, testWidth, l.x, m)
	at := 0
	for _, n := range lens {
		y := l.y[at*testWidth:]
		l.rope.Apply(l.tier, y, testWidth, n, testHeads+testKV, 0)
		const kd = testKV * testDim
		for i := range n {
			row := y[i*testWidth : (i+1)*testWidth]
			ToBF16(l.tier, l.k[i*kd:(i+1)*kd], row[testHeads*testDim:][:kd])
			ToBF16(l.tier, l.v[i*kd:(i+1)*kd], row[(testHeads+testKV)*testDim:][:kd])
		}
		Attend(l.att, l.mixed[at*testD:], testD, y, testWidth, n, KV[BF16]{n, l.k, l.v})
		at += n
	}
	l.x.Quantize(l.mixed, m)
	l.out.MulAdd(hidden, testD, l.x, m)
	l.x.RMSNorm(hidden, m, 1e-5)
	l.mid.SwiGLU(l.gate, l.up, l.x, m, 64)
	l.down.MulAdd(hidden, testD, l.mid, m)
	l.x.RMSNorm(hidden, m, 1e-5)
	l.head.LogProbs(l.logProb, l.x, l.targets, m)
	return l.logProb[:m]
}

// The promise that batches rest on: a sequence's results are the same bits alone and anywhere in a pack.
func TestPassDoesNotDependOnThePack(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		lens := []int{1, 37, 100, 6, 130, 5}
		total := 0
		for _, n := range lens {
			total += n
		}
		l := newLayer(tier, total)
		hidden := normals(newRand(41), total*testD)
		packed := slices.Clone(hidden)
		// Targets belong to rows: the same row must have the same target in both runs.
		for i := range l.targets {
			l.targets[i] = 5
		}
		all := slices.Clone(l.pass(packed, lens...))
		at := 0
		for _, n := range lens {
			own := slices.Clone(hidden[at*testD : (at+n)*testD])
			lp := l.pass(own, n)
			if !slices.Equal(lp, all[at:at+n]) {
				t.Fatalf("sequence of %d at row %d: other log-probabilities alone than in the pack", n, at)
			}
			if !slices.Equal(own, packed[at*testD:(at+n)*testD]) {
				t.Fatalf("sequence of %d at row %d: another hidden state alone than in the pack", n, at)
			}
			at += n
		}
	})
}

func TestPassDoesNotAllocate(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		l := newLayer(tier, 150)
		hidden := normals(newRand(42), 150*testD)
		enc := NewRows(tier, 150, testD)
		ones := make([]float32, testD)
		l.pass(hidden, 100, 50)
		if n := testing.AllocsPerRun(5, func() {
			l.pass(hidden, 100, 50)
			l.x.LayerNorm(hidden, 150, ones, ones, 1e-5)
			enc.GELU(l.out, l.x, 150)
			SwiGLU(tier, hidden[:21], hidden[:21], hidden[:21])
			Hadamard(tier, hidden[:128], 128)
			Dot(tier, hidden[:13], hidden[:13])
			MatMul(tier, l.y, hidden[:77], hidden[77:154], 7, 7, 11)
		}); n != 0 {
			t.Errorf("a pass allocates %v times", n)
		}
	})
}

func TestEncoderRowsAreIndependent(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		const m, d, f = 103, 40, 72
		r := newRand(43)
		wq, ws := QuantizeRows(normals(r, f*d), f, d)
		w := Pack(tier, wq, ws, f, d)
		w.SetBias(normals(r, f))
		weight, bias, x := normals(r, d), normals(r, d), normals(r, m*d)
		in, out := NewRows(tier, m, d), NewRows(tier, m, f)
		run := func(x []float32, n int) []float32 {
			in.LayerNorm(x, n, weight, bias, 1e-12)
			out.GELU(w, in, n)
			return readRows(tier, out, n)
		}
		all := run(slices.Clone(x), m)
		for i := range m {
			if one := run(slices.Clone(x[i*d:(i+1)*d]), 1); !slices.Equal(one, all[i*f:(i+1)*f]) {
				t.Fatalf("row %d: another result alone than among others", i)
			}
		}
	})
}

// Shapes that do not fit are bugs of the caller and must not pass silently.
func TestMisusePanics(t *testing.T) {
	x := NewRows(Generic, 4, 8)
	w := Pack(Generic, make([]int8, 24), make([]float32, 3), 3, 8)
	other := Pack(Generic, make([]int8, 27), make([]float32, 3), 3, 9)
	for name, f := range map[string]func(){
		"more rows than room":      func() { x.Quantize(make([]float32, 40), 5) },
		"inputs of another length": func() { other.MulTo(make([]float32, 12), 3, x, 4) },
		"rows that overlap":        func() { w.MulTo(make([]float32, 12), 2, x, 4) },
		"short output":             func() { w.MulTo(make([]float32, 11), 3, x, 4) },
		"target out of range":      func() { w.LogProbs(make([]float32, 1), x, []int32{3}, 1) },
		"Hadamard of 12":           func() { Hadamard(Generic, make([]float32, 12), 12) },
		"dot of unequal lengths":   func() { Dot(Generic, make([]float32, 3), make([]float32, 4)) },
		"position past the table":  func() { NewRope(16, 1e4, 3).Apply(Generic, make([]float32, 32), 16, 2, 1, 2) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}
