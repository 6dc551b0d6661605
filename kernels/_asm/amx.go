package main

import "strings"

// The tile instructions. Tiles are 16 rows of 64 bytes; a register holds the distance of their rows in memory. The
// emulation keeps tile t at t*1024(SP). It clobbers ax.

// borrow writes body, which may use n vectors from 16 on.
func (w *writer) borrow(n int, body func()) {
	for i := range n {
		w.ins("VMOVUPS Z%d, %d(SP)", 16+i, 8192+i*64)
	}
	body()
	for i := range n {
		w.ins("VMOVUPS %d(SP), Z%d", 8192+i*64, 16+i)
	}
}

func (w *writer) ldtilecfg(base reg) {
	if !w.emulate {
		w.bytes(append(vex(np, 0, 0, int(base), 0), 0x49, byte(int(base)&7)), "LDTILECFG [%s]", base)
	}
}

func (w *writer) tilerelease() {
	if !w.emulate {
		w.bytes(append(vex(np, 0, 0, 0, 0), 0x49, 0xc0), "TILERELEASE")
	}
}

func (w *writer) tilezero(t int) {
	if !w.emulate {
		w.bytes(append(vex(f2, t, 0, 0, 0), 0x49, byte(0xc0|t<<3)), "TILEZERO tmm%d", t)
		return
	}
	w.borrow(1, func() {
		w.ins("VPXORD Z16, Z16, Z16")
		for r := range 16 {
			w.ins("VMOVDQU64 Z16, %d(SP)", t*1024+r*64)
		}
	})
}

func (w *writer) tileloadd(t int, base, stride reg, disp int) {
	if !w.emulate {
		code := append(vex(f2, t, int(stride), int(base), 0), 0x4b)
		w.bytes(append(code, memory(t, base, stride, disp)...), "TILELOADD tmm%d, [%s+%s+%d]", t, base, stride, disp)
		return
	}
	w.ins("LEAQ %d(%s), AX", disp, base.plan9())
	w.borrow(1, func() {
		for r := range 16 {
			w.ins("VMOVDQU64 (AX), Z16")
			w.ins("VMOVDQU64 Z16, %d(SP)", t*1024+r*64)
			w.ins("ADDQ %s, AX", stride.plan9())
		}
	})
}

// tileloaddt1 is tileloadd for what will not be used again soon.
func (w *writer) tileloaddt1(t int, base, stride reg, disp int) {
	if !w.emulate {
		code := append(vex(p66, t, int(stride), int(base), 0), 0x4b)
		w.bytes(append(code, memory(t, base, stride, disp)...), "TILELOADDT1 tmm%d, [%s+%s+%d]", t, base, stride, disp)
		return
	}
	w.tileloadd(t, base, stride, disp)
}

func (w *writer) tilestored(t int, base, stride reg, disp int) {
	if !w.emulate {
		code := append(vex(f3, t, int(stride), int(base), 0), 0x4b)
		w.bytes(append(code, memory(t, base, stride, disp)...), "TILESTORED [%s+%s+%d], tmm%d", base, stride, disp, t)
		return
	}
	w.ins("LEAQ %d(%s), AX", disp, base.plan9())
	w.borrow(1, func() {
		for r := range 16 {
			w.ins("VMOVDQU64 %d(SP), Z16", t*1024+r*64)
			w.ins("VMOVDQU64 Z16, (AX)")
			w.ins("ADDQ %s, AX", stride.plan9())
		}
	})
}

// tdpbssd adds to tile c the products of the signed bytes of tile a, by rows, and tile b, by groups of four rows. The
// emulation multiplies a+128, which is unsigned, and takes 128 times the sums of b off.
func (w *writer) tdpbssd(c, a, b int) {
	if !w.emulate {
		w.bytes(append(vex(f2, c, 0, a, b), 0x5e, byte(0xc0|c<<3|a)), "TDPBSSD tmm%d, tmm%d, tmm%d", c, a, b)
		return
	}
	w.eachRow(4, "$0x80808080", func() {
		w.ins("VMOVDQU32 %d(SP)(AX*1), Z16", c*1024)
		w.ins("VPXORD Z17, Z17, Z17")
		for k := range 16 {
			w.ins("VPBROADCASTD %d(SP)(AX*1), Z18", a*1024+k*4)
			w.ins("VPXORD Z19, Z18, Z18")
			w.ins("VPDPBUSD %d(SP), Z18, Z16", b*1024+k*64)
			w.ins("VPDPBUSD %d(SP), Z19, Z17", b*1024+k*64)
		}
		w.ins("VPSUBD Z17, Z16, Z16")
		w.ins("VMOVDQU32 Z16, %d(SP)(AX*1)", c*1024)
	})
}

// tdpbf16ps adds to tile c, of float32, the products of the bfloat16 pairs of tile a, by rows, and tile b, by pairs of rows.
func (w *writer) tdpbf16ps(c, a, b int) {
	if !w.emulate {
		w.bytes(append(vex(f3, c, 0, a, b), 0x5c, byte(0xc0|c<<3|a)), "TDPBF16PS tmm%d, tmm%d, tmm%d", c, a, b)
		return
	}
	w.eachRow(6, "$0xffff0000", func() {
		w.ins("VMOVUPS %d(SP)(AX*1), Z16", c*1024)
		for k := range 16 {
			w.ins("VPBROADCASTD %d(SP)(AX*1), Z17", a*1024+k*4)
			w.ins("VMOVDQU32 %d(SP), Z18", b*1024+k*64)
			w.ins("VPSLLD $16, Z17, Z20")
			w.ins("VPSLLD $16, Z18, Z21")
			w.ins("VFMADD231PS Z20, Z21, Z16")
			w.ins("VPANDD Z19, Z17, Z17")
			w.ins("VPANDD Z19, Z18, Z18")
			w.ins("VFMADD231PS Z17, Z18, Z16")
		}
		w.ins("VMOVUPS Z16, %d(SP)(AX*1)", c*1024)
	})
}

// eachRow repeats what body writes with ax as the offset of each row of a tile, n borrowed vectors, and mask in all of vector 19.
func (w *writer) eachRow(n int, mask string, body func()) {
	w.labels++
	w.borrow(n, func() {
		w.ins("MOVL %s, AX", mask)
		w.ins("VPBROADCASTD AX, Z19")
		w.ins("XORQ AX, AX")
		w.line("row%d:", w.labels)
		body()
		w.ins("ADDQ $64, AX")
		w.ins("CMPQ AX, $1024")
		w.ins("JLT row%d", w.labels)
	})
}

// text begins a function that uses tiles.
func (w *writer) text(name string, variables, args int) {
	if w.emulate {
		w.line("TEXT ·%sEmulated(SB), 0, $%d-%d", name, 8576+variables, args)
		return
	}
	w.line("TEXT ·%s(SB), NOSPLIT, $%d-%d", name, variables, args)
}

// signature writes the comment with the function's declaration.
func (w *writer) signature(name, args string) {
	if w.emulate {
		name += "Emulated"
	}
	w.line("// func %s(%s)", name, args)
}

// An epilogue is what a product on tiles makes of its sums: a function of the kernels with a name of its own.
type epilogue struct {
	name, about string
	constants   func(w *writer)        // loads what stays
	scales      func(w *writer)        // nil, or what to make of the scales of new outputs, in Z8 and Z9
	rows        func(w *writer, i int) // instructions for row i of four, whose sums are at R9
	together    int                    // how many rows the processor should have under way at once
	step        string                 // what moves on by four rows beyond the sums
	refs        bool                   // R14 goes through the rows' references
	last        func(w *writer)        // nil, or what remains to be done
}

// Variables on the stack: the weights of the panel, what to fetch of the next, the panel's dst, the offset of its scales, the
// panels left, the parts of the inputs left, the rows' values in this part, the block's sums over the parts before, and 1 if
// there are fewer than eight blocks.
const (
	panelB0, panelB1 = "b0-8(SP)", "b1-16(SP)"
	ahead0, ahead1   = "ahead0-24(SP)", "ahead1-32(SP)"
	panelDst         = "dst-40(SP)"
	outputs          = "outputs-48(SP)"
	panels           = "panels-56(SP)"
	parts            = "parts-64(SP)"
	partA            = "a-72(SP)"
	sums             = "sums-80(SP)"
	few              = "few-88(SP)"
	variables        = 88
)

// gemm writes the product of row blocks of 32 with panels of 32 outputs, whose weights are two tiles for each 64 inputs.
// Tiles 0-3 hold the sums, 4 and 5 the rows, 6 and 7 the weights; a load is placed between the products that do not need it.
// The rows are loaded past the first-level cache, which the weights fill. While the tiles multiply one block, the vector units
// turn the sums of the block before into results, four rows for each step of 64 inputs, and the next panel's weights are
// fetched into the second-level cache. Where the weights of all inputs would not stay in the first-level cache the inputs
// come in parts: all blocks go through one part after the other.
func gemm(w *writer, e epilogue) {
	w.line("#define %s \\", strings.ToUpper(e.name))
	for i := 0; i < 4; i += e.together {
		var rows [][]string
		for r := range e.together {
			rows = append(rows, w.apart(func() { e.rows(w, i+r) }))
		}
		for k := range rows[0] {
			for _, row := range rows {
				w.line("%s; \\", row[k])
			}
		}
	}
	w.line("\t%s; ADDQ $16, R12; ADDQ $256, R9; \\", e.step)
	w.line("\tDECQ R13; XORL AX, AX; CMPQ R13, $4; SETEQ AX; SHLQ $10, AX; ADDQ AX, R9; TESTQ R13, R13 // the lower tiles follow")
	w.line("")
	w.signature(e.name, "j *tileJob")
	w.line("// %s Tile state lives from the first to the last instruction here: the scheduler never sees it.", e.about)
	w.text(e.name, variables, 8)
	w.ins("MOVQ j+0(FP), R8")
	w.ins("MOVQ tileJob_config(R8), AX")
	w.ldtilecfg(ax)
	for _, load := range [][2]string{{"ld", "R11"}, {"strip", "DX"}} {
		w.ins("MOVQ tileJob_%s(R8), %s", load[0], load[1])
	}
	for _, copied := range [][2]string{{"b", panelB0}, {"b+8", panelB1}, {"dst", panelDst}, {"panels", panels}} {
		w.ins("MOVQ (tileJob_%s)(R8), AX", copied[0])
		w.ins("MOVQ AX, %s", copied[1])
	}
	w.ins("MOVQ $0, %s", outputs)
	w.ins("XORL AX, AX")
	w.ins("CMPQ tileJob_blocks(R8), $8")
	w.ins("SETLT AX")
	w.ins("MOVQ AX, %s", few)
	e.constants(w)
	w.ins("MOVQ $64, CX")
	w.ins("XORL R13, R13 // times four rows of the block before are left")
	w.line("panel:")
	for _, b := range [][2]string{{panelB0, ahead0}, {panelB1, ahead1}} {
		w.ins("MOVQ %s, AX", b[0])
		w.ins("ADDQ tileJob_weights(R8), AX")
		w.ins("MOVQ AX, %s", b[1])
	}
	w.ins("MOVQ tileJob_parts(R8), AX")
	w.ins("MOVQ AX, %s", parts)
	w.ins("MOVQ tileJob_a(R8), AX")
	w.ins("MOVQ AX, %s", partA)
	w.line("part:")
	w.ins("MOVQ %s, SI", partA)
	w.ins("MOVQ tileJob_blocks(R8), DI")
	w.ins("MOVQ tileJob_sums(R8), AX")
	w.ins("MOVQ AX, %s", sums)
	w.line("block:")
	w.ins("MOVQ j+0(FP), R8")
	w.ins("MOVQ %s, BX", panelB0)
	w.ins("MOVQ %s, R15", panelB1)
	w.ins("MOVQ tileJob_parts(R8), AX")
	w.ins("MOVQ tileJob_k64(R8), R8")
	w.ins("CMPQ AX, %s", parts)
	w.ins("JNE continued")
	for t := range 4 {
		w.tilezero(t)
	}
	w.ins("JMP loop")
	w.line("continued:")
	w.ins("MOVQ %s, BX", sums)
	for t := range 4 {
		w.tileloadd(t, bx, cx, t*1024)
	}
	w.ins("MOVQ %s, BX", panelB0)
	w.line("loop:")
	w.tileloadd(6, bx, cx, 0)
	w.tileloaddt1(4, si, cx, 0)
	w.tileloadd(7, r15, cx, 0)
	w.tdpbssd(0, 4, 6)
	w.tdpbssd(1, 4, 7)
	w.tileloaddt1(5, si, cx, 1024)
	w.tdpbssd(2, 5, 6)
	w.tdpbssd(3, 5, 7)
	for i, ahead := range []string{ahead0, ahead1} {
		// All of the next panel's, where there are eight blocks, or four.
		w.ins("MOVQ %s, AX", ahead)
		w.ins("PREFETCHT1 (AX)")
		w.ins("PREFETCHT1 64(AX)")
		w.ins("ADDQ $128, %s", ahead)
		w.ins("CMPQ %s, $0", few)
		w.ins("JEQ fetched%d", i)
		w.ins("PREFETCHT1 128(AX)")
		w.ins("PREFETCHT1 192(AX)")
		w.ins("ADDQ $128, %s", ahead)
		w.line("fetched%d:", i)
	}
	w.ins("TESTQ R13, R13")
	w.ins("JZ done")
	w.ins("%s", strings.ToUpper(e.name))
	w.line("done:")
	w.ins("ADDQ $2048, SI")
	w.ins("ADDQ $1024, BX")
	w.ins("ADDQ $1024, R15")
	w.ins("DECQ R8")
	w.ins("JNZ loop")
	w.ins("TESTQ R13, R13")
	w.ins("JZ store")
	w.line("rest:")
	w.ins("%s", strings.ToUpper(e.name))
	w.ins("JNZ rest")
	w.line("store:")
	w.ins("MOVQ j+0(FP), R8")
	w.ins("CMPQ %s, $1", parts)
	w.ins("JEQ complete")
	w.ins("MOVQ %s, BX", sums)
	for t := range 4 {
		w.tilestored(t, bx, cx, t*1024)
	}
	w.ins("JMP follows")
	w.line("complete:")
	for t := range 4 {
		w.tilestored(t, dx, cx, t*1024)
	}
	w.ins("MOVQ DX, R9")
	w.ins("MOVQ tileJob_strip(R8), AX")
	w.ins("LEAQ 4096(AX), DX")
	w.ins("CMPQ DX, R9")
	w.ins("CMOVQEQ AX, DX")
	w.ins("MOVQ $8, R13")
	w.ins("CMPQ DI, tileJob_blocks(R8)")
	w.ins("JNE follows")
	w.ins("MOVQ %s, R10", panelDst)
	w.ins("MOVQ tileJob_sa(R8), R12")
	if e.refs {
		w.ins("MOVQ tileJob_ref(R8), R14")
	}
	w.ins("MOVQ %s, BX", outputs)
	for half := range 2 {
		for i, name := range []string{"sw", "bias"} {
			w.ins("MOVQ (tileJob_%s+%d)(R8), AX", name, half*8)
			w.ins("VMOVUPS (AX)(BX*1), Z%d", 8+2*i+half)
		}
	}
	if e.scales != nil {
		e.scales(w)
	}
	w.line("follows:")
	w.ins("ADDQ $4096, %s", sums)
	w.ins("ADDQ tileJob_skip(R8), SI")
	w.ins("DECQ DI")
	w.ins("JNZ block")
	w.ins("MOVQ tileJob_k64(R8), AX")
	w.ins("SHLQ $10, AX")
	w.ins("ADDQ AX, %s", panelB0)
	w.ins("ADDQ AX, %s", panelB1)
	w.ins("SHLQ $1, AX")
	w.ins("ADDQ AX, %s", partA)
	w.ins("DECQ %s", parts)
	w.ins("JNZ part")
	for _, next := range [][]string{{"between", panelB0, panelB1}, {"columns", panelDst}, {"outputs", outputs}} {
		w.ins("MOVQ tileJob_%s(R8), AX", next[0])
		for _, variable := range next[1:] {
			w.ins("ADDQ AX, %s", variable)
		}
	}
	w.ins("DECQ %s", panels)
	w.ins("JNZ panel")
	w.line("last:")
	w.ins("%s", strings.ToUpper(e.name))
	w.ins("JNZ last")
	if e.last != nil {
		e.last(w)
	}
	w.tilerelease()
	w.ins("VZEROUPPER")
	w.ins("RET")
	w.line("")
}

// apart returns the lines that body writes, without writing them.
func (w *writer) apart(body func()) []string {
	all := w.Builder
	w.Builder = strings.Builder{}
	body()
	lines := strings.Split(strings.TrimSuffix(w.String(), "\n"), "\n")
	w.Builder = all
	return lines
}

// fourRows are four rows from base on, with the distance of rows in R11 and three times it in R14.
func fourRows(base string) [4]string {
	return [4]string{"(" + base + ")", "(" + base + ")(R11*1)", "(" + base + ")(R11*2)", "(" + base + ")(R14*1)"}
}

// scaled: float32(sum)*row scale*output scale + bias, stored or added.
func scaled(add bool) epilogue {
	e := epilogue{
		name: "gemmAMX", about: "dst [row, ld] gets the 32 outputs.", together: 2,
		constants: func(w *writer) {
			w.ins("SHLQ $2, R11")
			w.ins("LEAQ (R11)(R11*2), R14")
		},
		step: "LEAQ (R10)(R11*4), R10",
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
		w.ins("SHLQ $2, R11")
		w.ins("LEAQ (R11)(R11*2), R14")
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
	step: "LEAQ (R10)(R11*4), R10",
}

// expSums: the exponentials of all outputs, less each row's reference.
var expSums = epilogue{
	name: "expSumsAMX", about: "dst [row, 16] gets exp(output - reference of the row) of both 16 outputs added, without bias, and far the\n" +
		"// largest difference from a reference in each lane, in powers of two and NaN aside.", together: 4, refs: true,
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
		for k := range halves[0] {
			w.line("%s", halves[0][k])
			w.line("%s", halves[1][k])
		}
		f, g := free[i*6+2], free[i*6+5]
		w.ins("VADDPS %d(R10), Z%d, Z%d", i*64, f, f)
		w.ins("VADDPS Z%d, Z%d, Z%d", g, f, f)
		w.ins("VMOVUPS Z%d, %d(R10)", f, i*64)
	},
	step: "ADDQ $256, R10; ADDQ $16, R14",
	last: func(w *writer) {
		w.ins("MOVQ j+0(FP), R8")
		w.ins("VMOVUPS Z16, (tileJob_far)(R8)")
	},
}

// peak writes the limit of gemm: its products without its loads.
func peak(w *writer) {
	w.line("// func peakAMX(cfg *[64]byte, n int)")
	w.line("// n x 4 TDPBSSD of 32,768 operations.")
	w.text("peakAMX", 0, 16)
	w.ins("MOVQ cfg+0(FP), AX")
	w.ldtilecfg(ax)
	w.ins("MOVQ n+8(FP), CX")
	for t := range 8 {
		w.tilezero(t)
	}
	w.line("loop:")
	for t := range 4 {
		w.tdpbssd(t, 4+t/2, 6+t%2)
	}
	w.ins("DECQ CX")
	w.ins("JNZ loop")
	w.tilerelease()
	w.ins("RET")
}
