package kernels

// Dot returns the sum of a[i]*b[i]. The slices have equal length; the sum of none is 0.
func Dot(t Tier, a, b []float32) float32 {
	check(len(a) == len(b), "Dot: lengths %d and %d", len(a), len(b))
	return dot(t, a, b)
}

// MatMul writes y = x wᵀ: y [m, n], x [m, k], w [n, k], all row-major and not overlapping.
func MatMul(t Tier, y, x, w []float32, m, n, k int) {
	check(len(y) >= m*n && len(x) >= m*k && len(w) >= n*k, "MatMul: lengths %d, %d, %d for m=%d n=%d k=%d", len(y), len(x), len(w), m, n, k)
	if m > 0 && n > 0 {
		matMul(t, y, x, w, m, n, k)
	}
}

// Add adds x to y, element by element.
func Add(y, x []float32) {
	check(len(y) == len(x), "Add: lengths %d and %d", len(y), len(x))
	for i, v := range x {
		y[i] += v
	}
}

// AddBias adds bias [n] to each of the m rows of y [m, n].
func AddBias(y, bias []float32, m int) {
	n := len(bias)
	for r := range m {
		Add(y[r*n:(r+1)*n], bias)
	}
}

// ArgMax returns the index of the largest value, the first of equals; NaN is never the largest. It is 0 for none.
func ArgMax(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] || x[best] != x[best] {
			best = i
		}
	}
	return best
}

// dotGeneric keeps four sums so that the additions do not wait for each other. The conversions stop the compiler from
// fusing multiply and add on arm64, so that plain Go gives the same bits everywhere.
func dotGeneric(a, b []float32) float32 {
	var s0, s1, s2, s3 float32
	b = b[:len(a)]
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += float32(a[i] * b[i])
		s1 += float32(a[i+1] * b[i+1])
		s2 += float32(a[i+2] * b[i+2])
		s3 += float32(a[i+3] * b[i+3])
	}
	for ; i < len(a); i++ {
		s0 += float32(a[i] * b[i])
	}
	return (s0 + s1) + (s2 + s3)
}

func matMulGeneric(y, x, w []float32, m, n, k int) {
	for j := range n {
		wj := w[j*k : (j+1)*k]
		for i := range m {
			y[i*n+j] = dotGeneric(x[i*k:(i+1)*k], wj)
		}
	}
}
