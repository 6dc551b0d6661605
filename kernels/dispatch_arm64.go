//go:build !purego

package kernels

import "golang.org/x/sys/cpu"

func slowHere(Tier) bool { return false }

func supported(t Tier) bool {
	switch t {
	case NEONDot:
		return cpu.ARM64.HasASIMDDP
	case NEONI8MM:
		return cpu.ARM64.HasASIMDDP && cpu.ARM64.HasI8MM
	default:
		return false
	}
}

// The assembly, written by kernels/_asm.

//go:noescape
func gemmSDOT(dst *float32, ld int, a, b *int8, k8 int, sa, sw, bias *float32, blocks, add int)

//go:noescape
func gemmSMMLA(dst *float32, ld int, a, b *int8, k8 int, sa, sw, bias *float32, blocks, add int)

func peakSDOT(n int)

func peakSMMLA(n int)

func peakFMLA(n int)

// neonCallOps bounds the multiply-adds of one call into assembly, which the scheduler cannot interrupt: about 20 us on a
// core that does 100 of them a nanosecond.
const neonCallOps = 2 << 20

// together is how many inputs of a row lie side by side.
func (t Tier) together() int {
	if t == NEONI8MM {
		return 8
	}
	return 4
}

// pack orders the weights [panel][input/g][output in the panel][input%g], with g inputs together.
func (w *Matrix) pack(q []int8) {
	if w.tier == Generic {
		w.packGeneric(q)
		return
	}
	width, g := w.shape.panel, w.tier.together()
	for r := range w.n {
		out := w.q[r/width*width*w.kp+r%width*g:]
		row := q[r*w.k : (r+1)*w.k]
		for i := 0; i < w.k; i += g {
			copy(out[i*width:], row[i:min(i+g, w.k)])
		}
	}
}

// store writes row r among the rows of its block, [input/g][row in the block][input%g].
func (x *Rows) store(r int, row []float32, inv float32) {
	if x.tier == Generic {
		x.storeGeneric(r, row, inv)
		return
	}
	block, g := x.shape.rows, x.tier.together()
	out := x.q[r/block*block*x.kp+r%block*g:]
	for i := 0; i < len(row); i += g {
		for j, v := range row[i:min(i+g, len(row))] {
			out[i*block+j] = roundInt8(v * inv)
		}
	}
}

func (w *Matrix) blocks(dst []float32, ld int, x *Rows, r0, blocks, p int, add bool) {
	if w.tier == Generic {
		w.blocksGeneric(dst, ld, x, r0, blocks, p, add)
		return
	}
	flag := 0
	if add {
		flag = 1
	}
	rows, c := w.shape.rows, p*w.shape.panel
	b, sw, bias := &w.q[c*w.kp], &w.scale[c], &w.bias[c]
	per := max(1, neonCallOps/(rows*w.shape.panel*w.kp))
	for i := 0; i < blocks; i += per {
		n := min(per, blocks-i)
		r := r0 + i*rows
		d, a, sa := &dst[i*rows*ld], &x.q[r*x.kp], &x.scale[r]
		if w.tier == NEONDot {
			gemmSDOT(d, ld, a, b, w.kp/8, sa, sw, bias, n, flag)
		} else {
			gemmSMMLA(d, ld, a, b, w.kp/8, sa, sw, bias, n, flag)
		}
	}
}

func peakLoop(t Tier, float bool) float64 {
	const n = 1000
	switch {
	case t == Generic:
		return 0
	case float:
		peakFMLA(n)
		return n * 24 * 8
	case t == NEONDot:
		peakSDOT(n)
		return n * 24 * 32
	default:
		peakSMMLA(n)
		return n * 24 * 64
	}
}
