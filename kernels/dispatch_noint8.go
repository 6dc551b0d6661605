//go:build (!amd64 && !arm64) || purego

package kernels

func slowHere(Tier) bool { return false }

func supported(Tier) bool { return false }

func (w *Matrix) pack(q []int8) { w.packGeneric(q) }

func (w *Matrix) blocks(dst []float32, ld int, x *Rows, r0, blocks, p int, add bool) {
	w.blocksGeneric(dst, ld, x, r0, blocks, p, add)
}

func (x *Rows) store(r int, row []float32, inv float32) { x.storeGeneric(r, row, inv) }

func peakLoop(Tier, bool) float64 { return 0 }
