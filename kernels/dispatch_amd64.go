//go:build !purego

package kernels

import (
	"sync"

	"golang.org/x/sys/cpu"
)

var (
	hasAVX2 = cpu.X86.HasAVX2 && cpu.X86.HasFMA
	hasVNNI = hasAVX2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512VNNI
)

func supported(t Tier) bool {
	switch t {
	case AVX2:
		return hasAVX2
	case AVXVNNI:
		return hasAVXVNNI
	case AVX512VNNI:
		return hasVNNI
	case AVX512BF16:
		return hasBF16
	case AMX:
		return amxReady()
	default:
		return false
	}
}

// slowHere reports whether t is slower than the tier below. Intel's VDPBF16PS does as much in a cycle as two fused
// multiply-adds do there, so that rounding to bfloat16 is for nothing: 8x256 takes 1.07 times as long on Sapphire Rapids.
func slowHere(t Tier) bool { return t == AVX512BF16 && isIntel() }

var isIntel = sync.OnceValue(func() bool {
	_, b, c, d := cpuid(0, 0)
	return [3]uint32{b, d, c} == [3]uint32{0x756e6547, 0x49656e69, 0x6c65746e} // "GenuineIntel"
})

// lanes is how many float32 values the element-wise assembly of t takes at a time.
func (t Tier) lanes() int {
	switch t {
	case Generic:
		return 1
	case AVX2, AVXVNNI:
		return 8
	default:
		return 16
	}
}

// callOps bounds the multiply-adds of one call into assembly, which the scheduler cannot interrupt: about 20 us.
func (t Tier) callOps() int {
	switch t {
	case AVX2:
		return 1 << 20
	case AVXVNNI:
		return 2 << 20
	case AMX:
		return 32 << 20
	default:
		return 4 << 20
	}
}

func (w *Matrix) pack(q []int8) {
	switch w.tier {
	case AVX2:
		w.packPanels(q)
		for i := range w.q {
			w.q[i] += 127 // as an unsigned byte
		}
	case AVXVNNI, AVX512VNNI, AVX512BF16:
		w.packPanels(q)
	case AMX:
		w.packTiles(q)
	default:
		w.packGeneric(q)
	}
}

func (w *Matrix) blocks(dst []float32, ld int, x *Rows, r0, blocks, p int, add bool) {
	if w.tier == Generic {
		w.blocksGeneric(dst, ld, x, r0, blocks, p, add)
		return
	}
	if w.tier == AMX {
		w.blocksAMX(dst, ld, x, r0, blocks, p, 1, add)
		return
	}
	s := w.shape
	flag := 0
	if add {
		flag = 1
	}
	c := p * s.panel
	b, sw, bias := &w.q[c*w.kp], &w.scale[c], &w.bias[c]
	per := max(1, w.tier.callOps()/(s.rows*s.panel*w.kp))
	for i := 0; i < blocks; i += per {
		n := min(per, blocks-i)
		r := r0 + i*s.rows
		d, a, sa := &dst[i*s.rows*ld], &x.q[r*x.kp], &x.scale[r]
		switch w.tier {
		case AVX2:
			gemmAVX2(d, ld, a, b, w.kp/16, &x.rest[r/4*x.restBlock()], sa, sw, bias, n, flag)
		case AVXVNNI:
			vnni256Product(d, ld, a, b, w.kp/16, sa, sw, bias, &w.sum[c], n, flag)
		default:
			gemmVNNI(d, ld, a, b, w.kp/4, sa, sw, bias, &w.sum[c], n, flag)
		}
	}
}

// store writes row r in the order of the tier's products. What does not fill a vector goes through a padded buffer; the
// bytes past the row are padding too.
func (x *Rows) store(r int, row []float32, inv float32) {
	if x.tier == Generic {
		x.storeGeneric(r, row, inv)
		return
	}
	if x.tier == AVX2 {
		x.storePairs(r, row, inv)
		return
	}
	if x.tier == AVXVNNI {
		x.storeUnsigned(r, row, inv)
		return
	}
	if x.tier == AMX {
		x.storeTiles(r, row, inv)
		return
	}
	out := x.q[r*x.kp : (r+1)*x.kp]
	whole := len(row) &^ 15
	if whole > 0 {
		quantVNNI(&row[0], inv, &out[0], whole)
	}
	for i, v := range row[whole:] {
		out[whole+i] = roundInt8(v*inv) ^ -128
	}
}

func dot(t Tier, a, b []float32) float32 {
	if t == Generic {
		return dotGeneric(a, b)
	}
	var s float32
	n := len(a) &^ 7
	if n > 0 {
		s = dotAVX2(&a[0], &b[0], n)
	}
	if n < len(a) {
		var pa, pb [8]float32
		copy(pa[:], a[n:])
		copy(pb[:], b[n:])
		s += dotAVX2(&pa[0], &pb[0], 8)
	}
	return s
}

// tailMask[8-n:] has n lanes set.
var tailMask = [16]int32{-1, -1, -1, -1, -1, -1, -1, -1}

func matMul(t Tier, y, x, w []float32, m, n, k int) {
	if t == Generic || k == 0 {
		matMulGeneric(y, x, w, m, n, k)
		return
	}
	mask := &tailMask[8-k%8]
	n4 := n &^ 3
	for j := 0; j < n4; j += 4 {
		i := 0
		for ; i+3 <= m; i += 3 {
			matMul3x4AVX2(&y[i*n+j], n, &x[i*k], &w[j*k], k, mask)
		}
		for ; i < m; i++ {
			matMul1x4AVX2(&y[i*n+j], &x[i*k], &w[j*k], k, mask)
		}
	}
	for j := n4; j < n; j++ {
		for i := range m {
			y[i*n+j] = matMul1x1AVX2(&x[i*k], &w[j*k], k, mask)
		}
	}
}

func swiGLU(t Tier, dst []float32, ldd int, gate, up []float32, lds, cols, rows int) {
	if t == Generic {
		swiGLUGeneric(dst, ldd, gate, up, lds, cols, rows)
		return
	}
	whole := cols &^ (t.lanes() - 1)
	switch {
	case whole == 0 || rows == 0:
	case t.lanes() == 8:
		swiGLUAVX2(&dst[0], ldd, &gate[0], &up[0], lds, whole, rows)
	default:
		swiGLUAVX512(&dst[0], ldd, &gate[0], &up[0], lds, whole, rows)
	}
	if whole == cols {
		return
	}
	for r := range rows {
		var g, u [16]float32
		copy(g[:], gate[r*lds+whole:r*lds+cols])
		copy(u[:], up[r*lds+whole:r*lds+cols])
		if t.lanes() == 8 {
			swiGLUAVX2(&g[0], 8, &g[0], &u[0], 8, 8, 1)
		} else {
			swiGLUAVX512(&g[0], 16, &g[0], &u[0], 16, 16, 1)
		}
		copy(dst[r*ldd+whole:r*ldd+cols], g[:])
	}
}

func gelu(t Tier, x []float32, ld, cols, rows int) {
	if t == Generic {
		geluGeneric(x, ld, cols, rows)
		return
	}
	lanes := t.lanes()
	whole := cols &^ (lanes - 1)
	switch {
	case whole == 0 || rows == 0:
	case lanes == 8:
		geluAVX2(&x[0], ld, whole, rows)
	default:
		geluAVX512(&x[0], ld, whole, rows)
	}
	if whole == cols {
		return
	}
	for r := range rows {
		var b [16]float32
		copy(b[:], x[r*ld+whole:r*ld+cols])
		if lanes == 8 {
			geluAVX2(&b[0], 8, 8, 1)
		} else {
			geluAVX512(&b[0], 16, 16, 1)
		}
		copy(x[r*ld+whole:r*ld+cols], b[:])
	}
}

func walshHadamard(t Tier, x []float32) {
	if t == Generic || len(x) < 64 {
		walshHadamardGeneric(x, 1)
		return
	}
	if t.lanes() == 16 && len(x) == 512 {
		hadamard512AVX512(&x[0], len(x))
		return
	}
	hadamard64AVX2(&x[0], len(x))
	if len(x) == 512 {
		hadamard512AVX2(&x[0], len(x))
		return
	}
	for h := 64; h < len(x); h *= 2 {
		hadamardStageAVX2(&x[0], len(x), h)
	}
}

func hadamardSumSquaresMax(t Tier, x []float32, block int) (ss, amax float32) {
	if t.lanes() == 16 && block == 512 {
		return hadamard512AVX512(&x[0], len(x))
	}
	return hadamardThenSumSquaresMax(t, x, block)
}

func scale(t Tier, x []float32, f float32) {
	whole := 0
	if t != Generic {
		whole = len(x) &^ 7
	}
	if whole > 0 {
		scaleAVX2(&x[0], whole, f)
	}
	scaleGeneric(x[whole:], f)
}

func rotate(t Tier, x, c, s []float32) {
	if t == Generic || len(c)%8 != 0 || len(x) == 0 {
		rotateGeneric(x, c, s)
		return
	}
	rotateAVX2(&x[0], &c[0], &s[0], len(c), len(x)/len(c))
}

func toBF16(t Tier, dst []BF16, src []float32) {
	if t == Generic {
		toBF16Generic(dst, src)
		return
	}
	n := len(src) &^ (t.lanes() - 1)
	switch {
	case n == 0:
	case t.lanes() == 16:
		toBF16AVX512(&dst[0], &src[0], n)
	default:
		toBF16AVX2(&dst[0], &src[0], n)
	}
	toBF16Generic(dst[n:], src[n:])
}

func mix(t Tier, dst, src, f []float32, parts int) {
	width := len(src) / parts
	if t == Generic || width%32 != 0 || width == 0 {
		mixGeneric(dst, src, f, parts)
		return
	}
	mixAVX2(&dst[0], &src[0], &f[0], parts, width)
}

func sumSquaresMax(t Tier, x []float32) (ss, amax float32) {
	if t == Generic {
		return sumSquaresMaxGeneric(x)
	}
	if t.lanes() == 16 && len(x) > 0 && len(x)%32 == 0 {
		return sumSquaresMaxAVX512(&x[0], len(x))
	}
	n := len(x) &^ 7
	if n > 0 {
		ss, amax = sumSquaresMaxAVX2(&x[0], n)
	}
	if n < len(x) {
		var b [8]float32
		copy(b[:], x[n:])
		s, m := sumSquaresMaxAVX2(&b[0], 8)
		ss, amax = ss+s, max(amax, m)
	}
	return ss, amax
}

func layerNorm(t Tier, x, weight, bias []float32, eps float32) {
	if t == Generic || len(x)%8 != 0 || len(x) == 0 {
		layerNormGeneric(x, weight, bias, eps)
		return
	}
	layerNormAVX2(&x[0], &weight[0], &bias[0], len(x), eps)
}

func expSums(t Tier, sums, logits []float32, width int, ref []float32, rows int) int {
	switch t.lanes() {
	case 1:
		return expSumsGeneric(sums, logits, width, ref, rows)
	case 8:
		return expSumsAVX2(&sums[0], &logits[0], width, &ref[0], farAbove, rows)
	default:
		return expSumsAVX512(&sums[0], &logits[0], width, &ref[0], farAbove, rows)
	}
}

func widen[T float32 | BF16](t Tier, dst []float32, ldd int, src []T, lds, rows int) {
	if in, ok := any(src).([]BF16); ok && t != Generic {
		widenAVX2(&dst[0], &in[0], lds, ldd, rows)
		return
	}
	widenGeneric(dst, ldd, src, lds, rows)
}

// tileLanes is how many queries attention takes at a time: three vectors, or two long ones.
func tileLanes(t Tier) int {
	switch t.lanes() {
	case 1:
		return 8
	case 8:
		return 24
	default:
		return 32
	}
}

func gather(t Tier, a *attentionTile, q []float32) {
	if t == Generic {
		gatherGeneric(a, q)
		return
	}
	gatherAVX2(a, &q[0])
}

func scatter(t Tier, a *attentionTile, out []float32) {
	if t == Generic {
		scatterGeneric(a, out)
		return
	}
	scatterAVX2(a, &out[0])
}

func attendTile(t Tier, a *attentionTile, key0, keys, all int) {
	switch a.lanes {
	case 24:
		attendAVX2(a, key0, keys, all)
	case 32:
		attendAVX512(a, key0, keys, all)
	default:
		attendTileGeneric(a, key0, keys, all)
	}
}

func peakLoop(t Tier, float bool) float64 {
	const n = 1000
	switch {
	case t.lanes() == 8 && float:
		peakFMA256(n)
		return n * 12 * 16
	case t == AVX2:
		peakAVX2(n)
		return n * 8 * 128
	case t == AVXVNNI:
		peakAVXVNNI(n)
		return n * 12 * 64
	case t == AVX512BF16 && float:
		peakBF16(n)
		return n * 16 * 64
	case t >= AVX512VNNI && float:
		peakFMA512(n)
		return n * 12 * 32
	case t == AVX512VNNI || t == AVX512BF16:
		peakVNNI(n)
		return n * 24 * 128
	case t == AMX:
		peakAMX(tileConfig, n/2)
		return n / 2 * 4 * 32768
	default:
		return 0
	}
}
