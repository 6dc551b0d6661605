package scorebench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"time"
	"unsafe"

	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring/gguf"
)

// Peak is what one core's arithmetic units do at most, measured by loops that stay in registers.
type Peak struct {
	Integer *Figure `json:"integer_gops,omitempty"` // nil where the tier has no such loop
	Float   *Figure `json:"float_gops,omitempty"`
}

// Product is the speed of one of the decoder's matrix products on one core, its weights in cache.
type Product struct {
	Name    string  `json:"name"`
	Rows    int     `json:"rows"`
	Outputs int     `json:"outputs"`
	Inputs  int     `json:"inputs"`
	Gops    Figure  `json:"gops"`                    // 10⁹ multiplications and additions a second
	OfPeak  *Figure `json:"share_of_peak,omitempty"` // of the integer peak measured in the same round
}

// sizes are those of the decoder.
type sizes struct {
	depth, d, ffn, vocab, heads, kvHeads int
}

func sizesOf(f *gguf.File) (sizes, error) {
	var s sizes
	for key, dst := range map[string]*int{
		"block_count": &s.depth, "embedding_length": &s.d, "feed_forward_length": &s.ffn,
		"attention.head_count": &s.heads, "attention.head_count_kv": &s.kvHeads,
	} {
		n, err := f.Uint("llama." + key)
		if err != nil {
			return s, fmt.Errorf("decoder: %w", err)
		}
		*dst = int(n)
	}
	words, err := f.Tensor("token_embd.weight")
	if err != nil {
		return s, fmt.Errorf("decoder: %w", err)
	}
	s.vocab = words.Shape[0]
	return s, nil
}

func (s sizes) headDim() int { return s.d / s.heads }
func (s sizes) kvWidth() int { return s.kvHeads * s.headDim() }

// layerOps and headOps are the multiplications and additions in the products of one token.
func (s sizes) layerOps() float64 {
	return 2 * float64(s.depth) * float64(s.d*(s.d+2*s.kvWidth())+s.d*s.d+3*s.d*s.ffn)
}
func (s sizes) headOps() float64 { return 2 * float64(s.d) * float64(s.vocab) }

// inner is the size of the Hadamard blocks that package scoring puts before ffn_down.
func (s sizes) inner() int { return min(512, s.ffn&-s.ffn) }

// material makes weights and activations for measurements: the time of a product does not depend on its values.
type material struct {
	tier kernels.Tier
	r    *rand.Rand
	q    []int8
}

func newMaterial(tier kernels.Tier, most int) *material {
	m := &material{tier: tier, r: rand.New(rand.NewPCG(1, 2)), q: make([]int8, most)}
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(m.q))), len(m.q))) // never fails
	for i, v := range m.q {
		m.q[i] = max(v, -127)
	}
	return m
}

// matrix packs n x k weights that keep the size of what they multiply.
func (m *material) matrix(n, k int) *kernels.Matrix {
	scale := make([]float32, n)
	for i := range scale {
		scale[i] = float32(1 / (73 * math.Sqrt(float64(k)))) // 73: the deviation of uniform int8 values
	}
	return kernels.Pack(m.tier, m.q[:n*k], scale, n, k)
}

func (m *material) normals(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(m.r.NormFloat64())
	}
	return x
}

// Each product is timed for so long a round, and the peaks for a quarter of it, in turns, because the clock of shared
// machines wanders.
const productTime = 40 * time.Millisecond

// measureProducts times the decoder's products on rows of a pack, by processor time, and the peaks of the units.
func measureProducts(tier kernels.Tier, s sizes, rows, rounds int) (Peak, []Product) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	m := newMaterial(tier, s.vocab*s.d)
	narrow, wide := kernels.NewRows(tier, rows, s.d), kernels.NewRows(tier, rows, s.ffn)
	narrow.Quantize(m.normals(rows*s.d), rows)
	qkv, o := m.matrix(s.d+2*s.kvWidth(), s.d), m.matrix(s.d, s.d)
	gate, up, down := m.matrix(s.ffn, s.d), m.matrix(s.ffn, s.d), m.matrix(s.d, s.ffn)
	head := m.matrix(s.vocab, s.d)
	y := make([]float32, rows*max(qkv.Outputs(), s.d))
	out, targets := make([]float32, rows), make([]int32, rows)
	products := []Product{
		{Name: "queries, keys, values", Rows: rows, Outputs: qkv.Outputs(), Inputs: s.d},
		{Name: "attention output", Rows: rows, Outputs: s.d, Inputs: s.d},
		{Name: "gate and up, SiLU, Hadamard", Rows: rows, Outputs: 2 * s.ffn, Inputs: s.d},
		{Name: "down", Rows: rows, Outputs: s.d, Inputs: s.ffn},
		{Name: "head and logsumexp", Rows: rows, Outputs: s.vocab, Inputs: s.d},
	}
	run := []func(){
		func() { qkv.MulTo(y, qkv.Outputs(), narrow, rows) },
		func() { o.MulTo(y, s.d, narrow, rows) },
		func() { wide.SwiGLU(gate, up, narrow, rows, s.inner()) }, // before down, whose rows it fills
		func() { down.MulTo(y, s.d, wide, rows) },
		func() { head.LogProbs(out, narrow, targets, rows) },
	}
	for _, f := range run {
		f()
	}
	var integer, float []float64
	gops, share := make([][]float64, len(run)), make([][]float64, len(run))
	for range rounds {
		for i, f := range run {
			p := products[i]
			rate := gopsOf(productTime, func() float64 { f(); return 2 * float64(p.Rows) * float64(p.Outputs) * float64(p.Inputs) })
			gops[i] = append(gops[i], rate)
			if peak := peakGops(tier, false); peak > 0 {
				integer, share[i] = append(integer, peak), append(share[i], rate/peak)
			}
			if peak := peakGops(tier, true); peak > 0 {
				float = append(float, peak)
			}
		}
	}
	for i := range products {
		products[i].Gops, products[i].OfPeak = figureOf(gops[i]), figureIfAny(share[i])
	}
	return Peak{Integer: figureIfAny(integer), Float: figureIfAny(float)}, products
}

func figureIfAny(samples []float64) *Figure {
	if len(samples) == 0 {
		return nil
	}
	f := figureOf(samples)
	return &f
}

// gopsOf repeats f, which returns how much it did, for at least that much processor time and returns 10⁹ of it a second.
func gopsOf(least time.Duration, f func() float64) float64 {
	start, done := threadTime(), 0.0
	for {
		done += f()
		if took := threadTime() - start; took >= least {
			return done / took.Seconds() / 1e9
		}
	}
}

func peakGops(tier kernels.Tier, float bool) float64 {
	if kernels.PeakLoop(tier, float) == 0 {
		return 0
	}
	return gopsOf(productTime/4, func() float64 {
		done := 0.0
		for range 20 { // asking for the time takes a microsecond
			done += kernels.PeakLoop(tier, float)
		}
		return done
	})
}
