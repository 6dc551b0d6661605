//go:build !amd64 || purego

package kernels

func dot(_ Tier, a, b []float32) float32 { return dotGeneric(a, b) }

func matMul(_ Tier, y, x, w []float32, m, n, k int) { matMulGeneric(y, x, w, m, n, k) }

func swiGLU(_ Tier, dst []float32, ldd int, gate, up []float32, lds, cols, rows int) {
	swiGLUGeneric(dst, ldd, gate, up, lds, cols, rows)
}

func gelu(_ Tier, x []float32, ld, cols, rows int) { geluGeneric(x, ld, cols, rows) }

func walshHadamard(_ Tier, x []float32) { walshHadamardGeneric(x, 1) }

func hadamardSumSquaresMax(t Tier, x []float32, block int) (ss, amax float32) {
	return hadamardThenSumSquaresMax(t, x, block)
}

func scale(_ Tier, x []float32, f float32) { scaleGeneric(x, f) }

func rotate(_ Tier, x, c, s []float32) { rotateGeneric(x, c, s) }

func toBF16(_ Tier, dst []BF16, src []float32) { toBF16Generic(dst, src) }

func mix(_ Tier, dst, src, f []float32, parts int) { mixGeneric(dst, src, f, parts) }

func sumSquaresMax(_ Tier, x []float32) (ss, amax float32) { return sumSquaresMaxGeneric(x) }

func layerNorm(_ Tier, x, weight, bias []float32, eps float32) {
	layerNormGeneric(x, weight, bias, eps)
}

func expSums(_ Tier, sums, logits []float32, width int, ref []float32, rows int) int {
	return expSumsGeneric(sums, logits, width, ref, rows)
}

func widen[T float32 | BF16](_ Tier, dst []float32, ldd int, src []T, lds, rows int) {
	widenGeneric(dst, ldd, src, lds, rows)
}

// tileLanes is how many queries attention takes at a time.
func tileLanes(Tier) int { return 8 }

func gather(_ Tier, t *attentionTile, q []float32) { gatherGeneric(t, q) }

func scatter(_ Tier, t *attentionTile, out []float32) { scatterGeneric(t, out) }

func attendTile(_ Tier, t *attentionTile, key0, keys, all int) { attendTileGeneric(t, key0, keys, all) }

func (a *Attention) newHalves() {}

func (a *Attention) loadHalves(int, int, []KV[BF16]) bool { return false }

func (a *Attention) gatherHalves([]float32) {}

func (a *Attention) attendHalves(int, int, int) {}
