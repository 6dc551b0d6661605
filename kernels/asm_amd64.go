//go:build !purego

package kernels

// The assembly. Lengths are what each file says; the dispatch pads what does not fit.

//go:noescape
func gemmAVX2(dst *float32, ld int, a, b *int8, k16 int, rest *int32, sa, sw, bias *float32, blocks, add int)

//go:noescape
func gemmVNNI(dst *float32, ld int, a, b *int8, k4 int, sa, sw, bias *float32, sum *int32, blocks, add int)

//go:noescape
func gemmAMX(j *tileJob)

//go:noescape
func gemmAMXEmulated(j *tileJob)

//go:noescape
func gemmAddAMX(j *tileJob)

//go:noescape
func gemmAddAMXEmulated(j *tileJob)

//go:noescape
func swiGLUAMX(j *tileJob)

//go:noescape
func swiGLUAMXEmulated(j *tileJob)

//go:noescape
func expSumsAMX(j *tileJob)

//go:noescape
func expSumsAMXEmulated(j *tileJob)

//go:noescape
func attendAMX(cfg *[64]byte, t *attentionTile, key0, keys, all int)

//go:noescape
func attendAMXEmulated(cfg *[64]byte, t *attentionTile, key0, keys, all int)

//go:noescape
func halvesAVX512(dst *BF16, ld int, src *float32, rows int)

func peakAMX(cfg *[64]byte, n int)

//go:noescape
func quantAMX(x *float32, inv float32, out *int8, n int)

func cpuid(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)

func xcr0() uint32

//go:noescape
func dotAVX2(a, b *float32, n int) float32

//go:noescape
func matMul3x4AVX2(y *float32, n int, x, w *float32, k int, mask *int32)

//go:noescape
func matMul1x4AVX2(y, x, w *float32, k int, mask *int32)

//go:noescape
func matMul1x1AVX2(x, w *float32, k int, mask *int32) float32

//go:noescape
func sumSquaresMaxAVX2(x *float32, n int) (ss, amax float32)

//go:noescape
func sumSquaresMaxAVX512(x *float32, n int) (ss, amax float32)

//go:noescape
func mixAVX2(dst, src, f *float32, parts, width int)

//go:noescape
func toBF16AVX512(dst *BF16, src *float32, n int)

//go:noescape
func halfRowsAVX512(dst *BF16, src *float32, from *int, d, rows int)

//go:noescape
func quantAVX2(x *float32, inv float32, out *int8, wide *uint32, n int) int32

//go:noescape
func quantVNNI(x *float32, inv float32, out *int8, n int)

//go:noescape
func swiGLUAVX2(dst *float32, ldd int, gate, up *float32, lds, cols, rows int)

//go:noescape
func swiGLUAVX512(dst *float32, ldd int, gate, up *float32, lds, cols, rows int)

//go:noescape
func geluAVX2(x *float32, ld, cols, rows int)

//go:noescape
func geluAVX512(x *float32, ld, cols, rows int)

//go:noescape
func expSumsAVX2(sums, logits *float32, width int, ref *float32, far float32, rows int) int

//go:noescape
func expSumsAVX512(sums, logits *float32, width int, ref *float32, far float32, rows int) int

//go:noescape
func hadamard64AVX2(x *float32, n int)

//go:noescape
func hadamard512AVX2(x *float32, n int)

//go:noescape
func hadamard512AVX512(x *float32, n int) (ss, amax float32)

//go:noescape
func hadamardStageAVX2(x *float32, n, h int)

//go:noescape
func scaleAVX2(x *float32, n int, f float32)

//go:noescape
func rotateAVX2(x, cos, sin *float32, dim, heads int)

//go:noescape
func toBF16AVX2(dst *BF16, src *float32, n int)

//go:noescape
func layerNormAVX2(x, weight, bias *float32, n int, eps float32)

//go:noescape
func widenAVX2(dst *float32, src *BF16, lds, d, rows int)

//go:noescape
func gatherAVX2(t *attentionTile, q *float32)

//go:noescape
func scatterAVX2(t *attentionTile, out *float32)

//go:noescape
func attendAVX2(t *attentionTile, key0, keys, all int)

//go:noescape
func attendAVX512(t *attentionTile, key0, keys, all int)

func peakVNNI(n int)

func peakAVX2(n int)

func peakFMA256(n int)

func peakFMA512(n int)
