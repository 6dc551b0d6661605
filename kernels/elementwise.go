package kernels

import "math"

// Softmax replaces x by exp(x-max)/sum; it is empty for no values. -Inf gives 0; NaN or +Inf gives NaN everywhere.
func Softmax(x []float32) {
	m := float32(math.Inf(-1))
	for _, v := range x {
		m = max(m, v)
	}
	var sum float32
	for i, v := range x {
		e := expf(v - m)
		x[i] = e
		sum += e
	}
	for i := range x {
		x[i] /= sum
	}
}

// LogSumExp returns log(sum(exp(x))) in nats, -Inf for no values.
func LogSumExp(x []float32) float32 {
	m := float32(math.Inf(-1))
	for _, v := range x {
		m = max(m, v)
	}
	if math.IsInf(float64(m), -1) {
		return m
	}
	var sum float64
	for _, v := range x {
		sum += float64(expf(v - m))
	}
	return m + float32(math.Log(sum))
}

// Entropy returns the entropy in nats of the distribution whose logits are x (Shannon 1948), 0 for no values and NaN where one
// is NaN or +Inf. -Inf is an outcome that never happens.
func Entropy(x []float32) float32 {
	m := float32(math.Inf(-1))
	for _, v := range x {
		m = max(m, v)
	}
	if math.IsInf(float64(m), -1) {
		return 0
	}
	var sum, moment float64 // of exp(v-m), and of that times v-m
	for _, v := range x {
		if d := v - m; d > -farBelow {
			e := float64(expf(d))
			sum += e
			moment += e * float64(d)
		} else if math.IsNaN(float64(d)) {
			return d
		}
	}
	return float32(math.Log(sum) - moment/sum)
}

// farBelow is how far a logit lies below the largest where it adds nothing to an entropy: exp(-80) of a whole vocabulary.
const farBelow = 80

// RMSNorm writes dst = x/sqrt(mean(x²)+eps)*weight for each of the m rows of x [m, len(weight)] (Zhang and Sennrich
// 2019). dst may be x.
func RMSNorm(dst, x, weight []float32, m int, eps float32) {
	d := len(weight)
	for r := range m {
		in, out := x[r*d:(r+1)*d], dst[r*d:(r+1)*d]
		var s float64
		for _, v := range in {
			s += float64(v) * float64(v)
		}
		inv := float32(1 / math.Sqrt(s/float64(d)+float64(eps)))
		for i, v := range in {
			out[i] = float32(v*inv) * weight[i]
		}
	}
}

// LayerNorm writes dst = (x-mean)/sqrt(variance+eps)*weight+bias for each of the m rows of x [m, len(weight)] (Ba et al.
// 2016). dst may be x.
func LayerNorm(dst, x, weight, bias []float32, m int, eps float32) {
	d := len(weight)
	for r := range m {
		in, out := x[r*d:(r+1)*d], dst[r*d:(r+1)*d]
		var s, ss float64
		for _, v := range in {
			s += float64(v)
		}
		mean := s / float64(d)
		for _, v := range in {
			ss += (float64(v) - mean) * (float64(v) - mean)
		}
		inv := float32(1 / math.Sqrt(ss/float64(d)+float64(eps)))
		mu := float32(mean)
		for i, v := range in {
			out[i] = float32(float32((v-mu)*inv)*weight[i]) + bias[i]
		}
	}
}

// SwiGLU writes dst = silu(gate)*up, element by element, where silu(g) = g/(1+exp(-g)) (Shazeer 2020). dst may be gate
// or up.
func SwiGLU(t Tier, dst, gate, up []float32) {
	check(len(gate) == len(dst) && len(up) == len(dst), "SwiGLU: lengths %d, %d, %d", len(dst), len(gate), len(up))
	swiGLU(t, dst, len(dst), gate, up, len(dst), len(dst), 1)
}

// swiGLUGeneric does rows of cols values: those of dst lie ldd apart, those of gate and up lds.
func swiGLUGeneric(dst []float32, ldd int, gate, up []float32, lds, cols, rows int) {
	for r := range rows {
		out, u := dst[r*ldd:r*ldd+cols], up[r*lds:r*lds+cols]
		for i, g := range gate[r*lds : r*lds+cols] {
			out[i] = g / (1 + expf(-g)) * u[i]
		}
	}
}

// GELU replaces x by x*Φ(x) with the exact normal distribution Φ (Hendrycks and Gimpel 2016), not the tanh form.
func GELU(t Tier, x []float32) { gelu(t, x, len(x), len(x), 1) }

func geluGeneric(x []float32, ld, cols, rows int) {
	for r := range rows {
		row := x[r*ld : r*ld+cols]
		for i, v := range row {
			row[i] = float32(0.5 * float64(v) * (1 + math.Erf(float64(v)/math.Sqrt2)))
		}
	}
}

// Hadamard multiplies each consecutive part of block values of x by the orthonormal Walsh-Hadamard matrix in natural
// (Sylvester) order, H[i][j] = (-1)^popcount(i&j)/sqrt(block). It is its own inverse. block is a power of two that
// divides len(x).
func Hadamard(t Tier, x []float32, block int) {
	check(block > 0 && block&(block-1) == 0 && len(x)%block == 0, "Hadamard: %d values in parts of %d", len(x), block)
	norm := float32(1 / math.Sqrt(float64(block)))
	for i := 0; i < len(x); i += block {
		part := x[i : i+block]
		walshHadamard(t, part)
		scale(t, part, norm)
	}
}

// Mix sets part i of dst to the sum over j of f[i*parts+j] times part j of src; both slices consist of that many equal parts.
// dst must not overlap src.
func Mix(t Tier, dst, src, f []float32, parts int) {
	check(parts > 0 && len(f) == parts*parts && len(dst) == len(src) && len(src)%parts == 0, "Mix: %d factors for %d parts, %d and %d values",
		len(f), parts, len(dst), len(src))
	mix(t, dst, src, f, parts)
}

func mixGeneric(dst, src, f []float32, parts int) {
	width := len(src) / parts
	for i := range parts {
		out, f := dst[i*width:(i+1)*width], f[i*parts:(i+1)*parts]
		clear(out)
		for j := 0; j < parts; j += 3 {
			// Three parts at a time: one load and store of the sum for three products.
			s0, f0 := src[j*width:(j+1)*width], f[j]
			s1, s2, f1, f2 := s0, s0, float32(0), float32(0)
			if j+1 < parts {
				s1, f1 = src[(j+1)*width:(j+2)*width], f[j+1]
			}
			if j+2 < parts {
				s2, f2 = src[(j+2)*width:(j+3)*width], f[j+2]
			}
			s0, s1, s2 = s0[:len(out)], s1[:len(out)], s2[:len(out)]
			for c := range out {
				out[c] += float32(f0*s0[c]) + float32(f1*s1[c]) + float32(f2*s2[c])
			}
		}
	}
}

// hadamardThenSumSquaresMax is Hadamard without the factor that makes it orthonormal, or nothing if block is 0, and what
// sumSquaresMax returns of the result.
func hadamardThenSumSquaresMax(t Tier, x []float32, block int) (ss, amax float32) {
	for i := 0; block > 0 && i < len(x); i += block {
		walshHadamard(t, x[i:i+block])
	}
	return sumSquaresMax(t, x)
}

func scaleGeneric(x []float32, f float32) {
	for i := range x {
		x[i] *= f
	}
}

// walshHadamardGeneric does the stages of the transform from distance h on, without its factor. The order of additions
// is the same on every tier, so that all agree to the bit.
func walshHadamardGeneric(x []float32, h int) {
	for ; h < len(x); h *= 2 {
		for i := 0; i < len(x); i += 2 * h {
			for j := i; j < i+h; j++ {
				a, b := x[j], x[j+h]
				x[j], x[j+h] = a+b, a-b
			}
		}
	}
}

// expf is e to the x with a relative error of about 1e-7; below -87 it is 0.
func expf(x float32) float32 {
	if x < -87 {
		return 0
	}
	return float32(math.Exp(float64(x)))
}
