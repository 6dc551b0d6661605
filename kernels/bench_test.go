package kernels

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"
)

func realTiers() []Tier {
	return slices.DeleteFunc(Supported(), func(t Tier) bool { return emulated[t] })
}

// timed runs f until the benchmark ends and returns the processor time of one call in seconds.
func timed(b *testing.B, f func()) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	f()
	start := threadTime()
	for b.Loop() {
		f()
	}
	return (threadTime() - start).Seconds() / float64(b.N)
}

// gops reports ops multiplications and additions a call as a rate and as a share of the tier's peak, which is measured
// in turns with f because the clock of shared machines wanders.
func gops(b *testing.B, tier Tier, float bool, ops float64, f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	f()
	var done, peak float64
	var took, peakTook time.Duration
	for b.Loop() {
		start := threadTime()
		f()
		mid := threadTime()
		took += mid - start
		done += ops
		for threadTime()-mid < (mid-start)/4 {
			for range 20 { // asking for the time takes a microsecond
				peak += PeakLoop(tier, float)
			}
		}
		peakTook += threadTime() - mid
	}
	rate := done / took.Seconds()
	b.ReportMetric(rate/1e9, "Gop/s")
	if peak > 0 {
		b.ReportMetric(100*rate/(peak/peakTook.Seconds()), "%peak")
	}
}

func benchMatrix(tier Tier, n, k int) *Matrix {
	scale := make([]float32, n)
	for i := range scale {
		scale[i] = 1e-4
	}
	return Pack(tier, int8s(newRand(1), n*k), scale, n, k)
}

// The shapes of SmolLM2-135M: 256 rows through the products of a layer.
func BenchmarkProduct(b *testing.B) {
	const m = 256
	for _, s := range [][2]int{{960, 576}, {576, 576}, {1536, 576}, {576, 1536}} {
		n, k := s[0], s[1]
		for _, tier := range realTiers()[1:] {
			b.Run(fmt.Sprintf("n=%d/k=%d/impl=%v", n, k, tier), func(b *testing.B) {
				w, x := benchMatrix(tier, n, k), NewRows(tier, m, k)
				x.Quantize(normals(newRand(2), m*k), m)
				y := make([]float32, m*n)
				gops(b, tier, false, 2*m*float64(n)*float64(k), func() { w.MulTo(y, n, x, m) })
			})
		}
	}
}

func BenchmarkSwiGLU(b *testing.B) {
	const m, k, f = 256, 576, 1536
	for _, tier := range realTiers()[1:] {
		b.Run(fmt.Sprintf("n=%d/impl=%v", f, tier), func(b *testing.B) {
			gate, up := benchMatrix(tier, f, k), benchMatrix(tier, f, k)
			in, out := NewRows(tier, m, k), NewRows(tier, m, f)
			in.Quantize(normals(newRand(2), m*k), m)
			gops(b, tier, false, 4*m*k*f, func() { out.SwiGLU(gate, up, in, m, 512) })
		})
	}
}

func BenchmarkLogProbs(b *testing.B) {
	const m, k, v = 256, 576, 49152
	for _, tier := range realTiers()[1:] {
		b.Run(fmt.Sprintf("n=%d/impl=%v", v, tier), func(b *testing.B) {
			w, x := benchMatrix(tier, v, k), NewRows(tier, m, k)
			x.Quantize(normals(newRand(2), m*k), m)
			out, targets := make([]float32, m), make([]int32, m)
			gops(b, tier, false, 2*m*k*v, func() { w.LogProbs(out, x, targets, m) })
		})
	}
}

func BenchmarkAttend(b *testing.B) {
	const heads, kv, dim = 9, 3, 64
	for _, s := range [][2]int{{256, 0}, {512, 0}, {32, 256}} {
		n, prefix := s[0], s[1]
		for _, tier := range realTiers()[1:] {
			b.Run(fmt.Sprintf("n=%d/prefix=%d/impl=%v", n, prefix, tier), func(b *testing.B) {
				a := NewAttention(AttentionOptions{Tier: tier, Heads: heads, KVHeads: kv, Dim: dim, Causal: true})
				total := n + prefix
				q, out := normals(newRand(1), n*heads*dim), make([]float32, n*heads*dim)
				k, v := make([]BF16, total*kv*dim), make([]BF16, total*kv*dim)
				ToBF16(tier, k, normals(newRand(2), len(k)))
				ToBF16(tier, v, normals(newRand(3), len(v)))
				seen := float64(n) * (float64(prefix) + float64(n+1)/2)
				gops(b, tier, true, 4*seen*heads*dim, func() { Attend(a, out, heads*dim, q, heads*dim, n, KV[BF16]{total, k, v}) })
			})
		}
	}
}

func BenchmarkMatMul(b *testing.B) {
	const m, n, k = 96, 1536, 576
	for _, tier := range realTiers()[:min(2, len(Supported()))] {
		b.Run(fmt.Sprintf("n=%d/impl=%v", n, tier), func(b *testing.B) {
			x, w, y := normals(newRand(1), m*k), normals(newRand(2), n*k), make([]float32, m*n)
			gops(b, tier, true, 2*m*n*k, func() { MatMul(tier, y, x, w, m, n, k) })
		})
	}
}

// The element-wise steps of 256 rows, in ns a row.
func BenchmarkRow(b *testing.B) {
	const m = 256
	for _, tier := range realTiers() {
		step := func(name string, n int, f func()) {
			b.Run(fmt.Sprintf("step=%s/n=%d/impl=%v", name, n, tier), func(b *testing.B) {
				b.ReportMetric(timed(b, f)*1e9/m, "ns/row")
			})
		}
		x := normals(newRand(1), m*1536)
		rows, wide := NewRows(tier, m, 576), NewRows(tier, m, 1536)
		rope := NewRope(64, 1e5, m)
		half := make([]BF16, m*192)
		step("rmsnorm", 576, func() { rows.RMSNorm(x, m, 1e-5) })
		step("quantize", 1536, func() { wide.Quantize(x, m) })
		step("rope", 768, func() { rope.Apply(tier, x, 960, m, 12, 0) })
		step("bf16", 192, func() { ToBF16(tier, half, x[:len(half)]) })
		step("hadamard", 1536, func() {
			Hadamard(tier, x, 512)
		})
		step("swiglu", 1536, func() { SwiGLU(tier, x, x, x) })
	}
}
