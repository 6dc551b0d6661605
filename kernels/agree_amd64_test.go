//go:build !purego

package kernels

import (
	"slices"
	"testing"
)

// What the constants of the tiers promise: those with vectors of float32, be they of 256 or 512 bits, take the same steps in
// the same order, so that replicas on different machines score alike. Two of them round otherwise in attention on keys in
// bfloat16, and so in what follows it.
func TestTiersOfVectorsAgreeToTheBit(t *testing.T) {
	results := func(tier Tier) map[string][]float32 {
		r := newRand(90)
		lens := []int{1, 37, 150, 6, 200, 5}
		total := 0
		for _, n := range lens {
			total += n
		}
		l := newLayer(tier, total)
		hidden := normals(r, total*testD)
		logProbs := slices.Clone(l.pass(hidden, lens...))
		out := map[string][]float32{"log-probabilities": logProbs, "stream": hidden}

		const m, k, n = 100, 90, 512 + 64 + 7
		matrix := func() *Matrix {
			q, s := QuantizeRows(normals(r, n*k), n, k)
			w := Pack(tier, q, s, n, k)
			w.SetBias(normals(r, n))
			return w
		}
		in, wide := NewRows(tier, m, k), NewRows(tier, m, n)
		x := normals(r, m*k)
		in.LayerNorm(x, m, normals(r, k), normals(r, k), 1e-5)
		out["layer norm"] = x
		gate, up := matrix(), matrix()
		down := func() []float32 { // what a product makes of the rows
			q, s := QuantizeRows(normals(newRand(91), n), 1, n)
			y := make([]float32, m)
			Pack(tier, q, s, 1, n).MulTo(y, 1, wide, m)
			return y
		}
		wide.SwiGLU(gate, up, in, m, 0)
		out["SwiGLU"] = down()
		wide.GELU(gate, in, m)
		out["GELU"] = down()
		for _, block := range []int{64, 512, 1024} {
			h := normals(r, 2*block)
			Hadamard(tier, h, block)
			out["Hadamard"] = append(out["Hadamard"], h...)
		}
		f32 := make([]float32, m*n)
		MatMul(tier, f32, x, normals(r, n*k), m, n, k)
		out["float32 product"] = f32

		// All see all, as in an encoder, and values from -20 to 20 spread the exponentials.
		const heads, dim, tokens = 2, 32, 300
		a := NewAttention(AttentionOptions{Tier: tier, Heads: heads, KVHeads: heads, Dim: dim})
		q, kv, mixed := normals(r, tokens*heads*dim), normals(r, 2*tokens*heads*dim), make([]float32, tokens*heads*dim)
		for i := range q {
			q[i] *= 5
		}
		Attend(a, mixed, heads*dim, q, heads*dim, tokens, KV[float32]{tokens, kv, kv[tokens*heads*dim:]})
		out["attention"] = mixed
		return out
	}
	if !AVX2.Supported() {
		t.Logf("%v is not on this machine", AVX2)
		return
	}
	want := results(AVX2)
	for _, tier := range []Tier{AVXVNNI, AVX512VNNI, AVX512BF16, AMX} {
		if !tier.Supported() {
			t.Logf("%v is not on this machine", tier)
			continue
		}
		for name, got := range results(tier) {
			if tier >= AVX512BF16 && (name == "log-probabilities" || name == "stream") {
				continue
			}
			if !slices.Equal(got, want[name]) {
				t.Errorf("%v: %s differs from that of %v", tier, name, AVX2)
			}
		}
	}
}
