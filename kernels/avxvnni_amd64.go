//go:build !purego

package kernels

import "golang.org/x/sys/cpu"

//go:generate go run -C _asm . -what avxvnni -out ../gemm_avxvnni_amd64.s
//go:generate go run -C _asm . -what avxvnni -emulate -out ../gemm_avxvnni_emulated_amd64.s
//go:generate go run -C _asm . -what neon -out ../gemm_neon_arm64.s

var hasAVXVNNI = hasAVX2 && cpu.X86.HasAVXVNNI

// vnni256Product is gemmAVXVNNI; tests put gemmAVXVNNIEmulated here on machines that only know its instructions by the
// encoding of AVX-512.
var vnni256Product = gemmAVXVNNI

//go:noescape
func gemmAVXVNNI(dst *float32, ld int, a, b *int8, k16 int, sa, sw, bias *float32, sum *int32, blocks, add int)

//go:noescape
func gemmAVXVNNIEmulated(dst *float32, ld int, a, b *int8, k16 int, sa, sw, bias *float32, sum *int32, blocks, add int)

//go:noescape
func quantAVXVNNI(x *float32, inv float32, out *int8, n int)

func peakAVXVNNI(n int)

// storeUnsigned writes row r as value + 128. What does not fill a vector goes through a padded buffer; the bytes past the
// row are padding too.
func (x *Rows) storeUnsigned(r int, row []float32, inv float32) {
	out := x.q[r*x.kp : (r+1)*x.kp]
	whole := len(row) &^ 31
	if whole > 0 {
		quantAVXVNNI(&row[0], inv, &out[0], whole)
	}
	if whole < len(row) {
		var in [32]float32
		var q [32]int8
		copy(in[:], row[whole:])
		quantAVXVNNI(&in[0], inv, &q[0], 32)
		copy(out[whole:], q[:])
	}
}
