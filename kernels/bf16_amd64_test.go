//go:build !purego

package kernels

import (
	"slices"
	"testing"
)

// On machines with AVX-512 but not its bfloat16 every test also runs on that tier with multiply-adds of float32 in place of
// VDPBF16PS: all but the bytes of that instruction is the real code.
func init() {
	if !hasVNNI || AVX512BF16.Supported() {
		return
	}
	hasBF16 = true
	emulated[AVX512BF16] = true
	attendPairs = attendBF16Emulated
}

// What the emulation stands for: the instruction rounds after each of its two products.
func TestEmulatedBF16EqualsTheInstruction(t *testing.T) {
	if !AVX512BF16.Supported() || emulated[AVX512BF16] {
		t.Logf("%v is not on this machine", AVX512BF16)
		return
	}
	const n, heads, kv, dim = 150, 6, 2, 48
	r := newRand(33)
	a := NewAttention(AttentionOptions{Tier: AVX512BF16, Heads: heads, KVHeads: kv, Dim: dim, Causal: true})
	q, k, v := normals(r, n*heads*dim), make([]BF16, n*kv*dim), make([]BF16, n*kv*dim)
	ToBF16(AVX512BF16, k, normals(r, len(k)))
	ToBF16(AVX512BF16, v, normals(r, len(v)))
	want, got := make([]float32, len(q)), make([]float32, len(q))
	Attend(a, want, heads*dim, q, heads*dim, n, KV[BF16]{n, k, v})
	attendPairs = attendBF16Emulated
	defer func() { attendPairs = attendBF16 }()
	Attend(a, got, heads*dim, q, heads*dim, n, KV[BF16]{n, k, v})
	if !slices.Equal(got, want) {
		t.Error("the emulation gives other bits than VDPBF16PS")
	}
}
