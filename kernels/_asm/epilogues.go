package main

// fourRows are four rows from base on, with the distance of rows in R11 and three times it in R14.
func fourRows(base string) [4]string {
	return [4]string{"(" + base + ")", "(" + base + ")(R11*1)", "(" + base + ")(R11*2)", "(" + base + ")(R14*1)"}
}

// scaled: float32(sum)*row scale*output scale + bias, stored or added.
func scaled(add bool) epilogue {
	e := epilogue{
		name: "gemmAMX", about: "dst [row, ld] gets the 32 outputs.", together: 2,
		constants: func(*writer) {},
	}
	if add {
		e.name, e.about = "gemmAddAMX", "dst [row, ld] gets the 32 outputs added."
	}
	e.rows = func(w *writer, i int) {
		to := fourRows("R10")[i]
		z := i % 2 * 4
		for half := range 2 {
			w.ins("VMULPS.BCST (%d)(R12), Z%d, Z%d", i*4, 8+half, z+half)
		}
		for half := range 2 {
			w.ins("VCVTDQ2PS %d(R9), Z%d", i*64+half*1024, z+2+half)
		}
		for half := range 2 {
			w.ins("VFMADD213PS Z%d, Z%d, Z%d", 10+half, z+half, z+2+half)
		}
		for half := range 2 {
			if add {
				w.ins("VADDPS %d%s, Z%d, Z%d", half*64, to, z+2+half, z+2+half)
			}
			w.ins("VMOVUPS Z%d, %d%s", z+2+half, half*64, to)
		}
	}
	return e
}

// exp2 writes f = 2^x, off by at most 3e-6 of itself, for x below 128; t becomes scratch. The polynomial for 2^t, 0 <= t < 1,
// has the least relative error; VREDUCEPS takes floor(x) off and VSCALEFPS multiplies by its power. Its constants are in Z20 to Z24.
func (w *writer) exp2(x, t, f int) {
	w.ins("VREDUCEPS $9, Z%d, Z%d", x, t)
	w.ins("VMOVAPS Z20, Z%d", f)
	for c := 21; c <= 24; c++ {
		w.ins("VFMADD213PS Z%d, Z%d, Z%d", c, t, f)
	}
	w.ins("VSCALEFPS Z%d, Z%d, Z%d", x, f, f)
}

func (w *writer) exp2Constants() {
	for i := range 5 {
		w.ins("VMOVUPS p%d<>(SB), Z%d", 4-i, 20+i)
	}
}

// swiGLU: the first 16 outputs are gates, the others what they let through. The reciprocal t of f = 1 + exp(-gate) is made
// exact by a step of Newton's, t + t(1 - tf).
var swiGLU = epilogue{
	name: "swiGLUAMX", about: "dst [row, ld] gets silu(first 16 outputs)*(other 16 outputs).", together: 4,
	constants: func(w *writer) {
		w.exp2Constants()
		w.ins("VMOVUPS nlog2e<>(SB), Z25")
		w.ins("VMOVUPS most<>(SB), Z26")
		w.ins("VMOVUPS one<>(SB), Z27")
	},
	rows: func(w *writer, i int) {
		g, x, t, f := i, 4+i, 12+i, 16+i
		w.ins("VMULPS.BCST (%d)(R12), Z8, Z%d", i*4, t)
		w.ins("VCVTDQ2PS %d(R9), Z%d", i*64, g)
		w.ins("VFMADD213PS Z10, Z%d, Z%d", t, g)
		w.ins("VMULPS Z25, Z%d, Z%d", g, x)
		w.ins("VMINPS Z%d, Z26, Z%d", x, x)
		w.exp2(x, t, f)
		w.ins("VMULPS.BCST (%d)(R12), Z9, Z%d", i*4, t)
		w.ins("VADDPS Z27, Z%d, Z%d", f, f)
		w.ins("VCVTDQ2PS %d(R9), Z%d", i*64+1024, x)
		w.ins("VFMADD213PS Z11, Z%d, Z%d", t, x)
		w.ins("VRCP14PS Z%d, Z%d", f, t)
		w.ins("VMULPS Z%d, Z%d, Z%d", x, g, g)
		w.ins("VFNMADD213PS Z27, Z%d, Z%d", t, f)
		w.ins("VFMADD213PS Z%d, Z%d, Z%d", t, t, f)
		w.ins("VMULPS Z%d, Z%d, Z%d", f, g, g)
		w.ins("VMOVUPS Z%d, %s", g, fourRows("R10")[i])
	},
}

// expSums: the exponentials of all outputs, less each row's reference.
var expSums = epilogue{
	name: "expSumsAMX", about: "dst [row, 16] gets exp(output - reference of the row) of both 16 outputs added, without bias, and far the\n" +
		"// largest difference from a reference in each lane, in powers of two and NaN aside.", together: 4, sums: true,
	constants: func(w *writer) {
		w.exp2Constants()
		w.ins("VMOVUPS (tileJob_far)(R8), Z16")
	},
	scales: func(w *writer) {
		w.ins("VMULPS log2e<>(SB), Z8, Z8")
		w.ins("VMULPS log2e<>(SB), Z9, Z9")
	},
	rows: func(w *writer, i int) {
		var free []int // vectors
		for z := range 32 {
			if z != 8 && z != 9 && z != 16 && (z < 20 || z > 24) {
				free = append(free, z)
			}
		}
		var halves [2][]string
		for half := range 2 {
			z := free[(i*2+half)*3:]
			x, t, f := z[0], z[1], z[2]
			halves[half] = w.apart(func() {
				w.ins("VMULPS.BCST (%d)(R12), Z%d, Z%d", i*4, 8+half, t)
				w.ins("VCVTDQ2PS %d(R9), Z%d", i*64+half*1024, x)
				w.ins("VFMADD213PS.BCST (%d)(R14), Z%d, Z%d", i*4, t, x)
				w.ins("VMAXPS Z16, Z%d, Z16", x)
				w.exp2(x, t, f)
			})
		}
		w.interleave(halves[:]...)
		f, g := free[i*6+2], free[i*6+5]
		w.ins("VADDPS %d(R10), Z%d, Z%d", i*64, f, f)
		w.ins("VADDPS Z%d, Z%d, Z%d", g, f, f)
		w.ins("VMOVUPS Z%d, %d(R10)", f, i*64)
	},
	last: func(w *writer) {
		w.ins("MOVQ j+0(FP), R8")
		w.ins("VMOVUPS Z16, (tileJob_far)(R8)")
	},
}
