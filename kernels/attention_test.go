package kernels

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

type attCase struct {
	n, prefix, heads, kv, dim int
	causal                    bool
}

// slowAttention is the definition, in float64.
func slowAttention(c attCase, q []float32, ldq int, k, v []float32) []float64 {
	total := c.prefix + c.n
	out := make([]float64, c.n*c.heads*c.dim)
	for i := range c.n {
		for h := range c.heads {
			kh := h / (c.heads / c.kv)
			see := total
			if c.causal {
				see = c.prefix + i + 1
			}
			s := make([]float64, see)
			top, sum := math.Inf(-1), 0.0
			for j := range s {
				for d := range c.dim {
					s[j] += float64(q[i*ldq+h*c.dim+d]) * float64(k[(j*c.kv+kh)*c.dim+d])
				}
				s[j] /= math.Sqrt(float64(c.dim))
				top = max(top, s[j])
			}
			for j := range s {
				s[j] = math.Exp(s[j] - top)
				sum += s[j]
			}
			for j := range s {
				for d := range c.dim {
					out[(i*c.heads+h)*c.dim+d] += s[j] / sum * float64(v[(j*c.kv+kh)*c.dim+d])
				}
			}
		}
	}
	return out
}

func TestAttendMatchesFloat64(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		r := newRand(30)
		for _, c := range []attCase{
			{1, 0, 1, 1, 16, true},
			{7, 0, 2, 1, 32, true},
			{13, 5, 3, 1, 64, true},
			{20, 0, 4, 4, 32, false},
			{33, 30, 6, 2, 64, true},
			{300, 0, 3, 1, 64, true},
			{32, 250, 9, 3, 64, true},
			{1, 600, 2, 2, 48, true},
			{270, 0, 2, 2, 32, false},
			{60, 500, 2, 1, 16, true},
		} {
			a := NewAttention(AttentionOptions{Tier: tier, Heads: c.heads, KVHeads: c.kv, Dim: c.dim, Causal: c.causal})
			total, width := c.prefix+c.n, c.kv*c.dim
			ldq, ldo := c.heads*c.dim+5, c.heads*c.dim+3
			q, k, v := normals(r, c.n*ldq), normals(r, total*width), normals(r, total*width)
			for i := range q {
				q[i] *= 3
			}
			want := slowAttention(c, q, ldq, k, v)
			out := make([]float32, c.n*ldo)
			Attend(a, out, ldo, q, ldq, c.n,
				KV[float32]{c.prefix, k[:c.prefix*width], v[:c.prefix*width]}, KV[float32]{c.n, k[c.prefix*width:], v[c.prefix*width:]})
			for i := range c.n {
				for j := range c.heads * c.dim {
					near(t, fmt.Sprintf("%+v [%d,%d]", c, i, j), float64(out[i*ldo+j]), want[i*c.heads*c.dim+j], 2e-5)
				}
				for j := c.heads * c.dim; j < ldo; j++ {
					if out[i*ldo+j] != 0 {
						t.Fatalf("%+v: wrote between rows", c)
					}
				}
			}
		}
	})
}

// A query over a cached prefix must give the bits that the whole sequence gives, wherever the prefix ends.
func TestAttendDoesNotDependOnTheSplit(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		r := newRand(31)
		const total, heads, kv, dim = 310, 6, 2, 64
		const width = kv * dim
		a := NewAttention(AttentionOptions{Tier: tier, Heads: heads, KVHeads: kv, Dim: dim, Causal: true})
		q := normals(r, total*heads*dim)
		k, v := make([]BF16, total*width), make([]BF16, total*width)
		ToBF16(tier, k, normals(r, len(k)))
		ToBF16(tier, v, normals(r, len(v)))
		full := make([]float32, len(q))
		Attend(a, full, heads*dim, q, heads*dim, total, KV[BF16]{total, k, v})
		for _, prefix := range []int{1, 15, 16, 100, 255, 256, 257, 300, 309} {
			n := total - prefix
			out := make([]float32, n*heads*dim)
			Attend(a, out, heads*dim, q[prefix*heads*dim:], heads*dim, n,
				KV[BF16]{prefix, k[:prefix*width], v[:prefix*width]}, KV[BF16]{n, k[prefix*width:], v[prefix*width:]})
			if !slices.Equal(out, full[prefix*heads*dim:]) {
				t.Fatalf("prefix %d: different bits", prefix)
			}
		}
	})
}

func TestAttendExtremeScores(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		const n, dim = 20, 16
		a := NewAttention(AttentionOptions{Tier: tier, Heads: 1, KVHeads: 1, Dim: dim, Causal: true})
		q, k, v := make([]float32, n*dim), make([]float32, n*dim), make([]float32, n*dim)
		for i := range n {
			q[i*dim], k[i*dim] = 1000, float32(i*10) // each key far above the ones before
			for d := range dim {
				v[i*dim+d] = float32(i)
			}
		}
		out := make([]float32, n*dim)
		Attend(a, out, dim, q, dim, n, KV[float32]{n, k, v})
		for i := range n {
			near(t, "largest wins", float64(out[i*dim+3]), float64(i), 1e-6*float64(i))
		}
		q[5*dim] = nan
		Attend(a, out, dim, q, dim, n, KV[float32]{n, k, v})
		if v := out[5*dim]; v == v {
			t.Errorf("NaN became %v", v)
		}
		near(t, "the row after NaN", float64(out[6*dim]), 6, 1e-5)
	})
}

// Keys and values as they are cached. Some tiers round queries and exponentials to bfloat16 too, 2^-9 each at most, which
// moves a result by a small part of the values' spread; others have no rounding but their own.
func TestAttendOnHalvesMatchesFloat64(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		r := newRand(32)
		for _, c := range []attCase{
			{1, 0, 3, 1, 64, true},
			{5, 0, 2, 1, 32, true},
			{20, 13, 3, 1, 64, true},
			{40, 0, 4, 4, 32, false},
			{32, 250, 9, 3, 64, true},
			{130, 1, 2, 2, 96, true},
			{33, 300, 6, 2, 48, true},
		} {
			a := NewAttention(AttentionOptions{Tier: tier, Heads: c.heads, KVHeads: c.kv, Dim: c.dim, Causal: c.causal})
			total, width, d := c.prefix+c.n, c.kv*c.dim, c.heads*c.dim
			q := normals(r, c.n*d)
			k16, v16 := make([]BF16, total*width), make([]BF16, total*width)
			ToBF16(tier, k16, normals(r, len(k16)))
			ToBF16(tier, v16, normals(r, len(v16)))
			k, v := make([]float32, len(k16)), make([]float32, len(v16))
			for i := range k {
				k[i], v[i] = k16[i].Float32(), v16[i].Float32()
			}
			out := make([]float32, len(q))
			bound := 2e-5
			if tier == AMX && c.dim%32 == 0 || tier == AVX512BF16 {
				bound = 2e-2
			}
			first, second := KV[BF16]{c.prefix, k16, v16}, KV[BF16]{c.n, k16[c.prefix*width:], v16[c.prefix*width:]}
			Attend(a, out, d, q, d, c.n, first, second)
			if n := testing.AllocsPerRun(3, func() { Attend(a, out, d, q, d, c.n, first, second) }); n != 0 {
				t.Fatalf("%+v: allocates %v times once its memory is there", c, n)
			}
			for i, want := range slowAttention(c, q, d, k, v) {
				near(t, fmt.Sprintf("%+v [%d,%d]", c, i/d, i%d), float64(out[i]), want, bound)
			}
		}
	})
}
