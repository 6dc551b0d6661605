package main

import "strings"

// An epilogue is what a product on tiles makes of its sums: a function of the kernels with a name of its own.
type epilogue struct {
	name, about string
	constants   func(w *writer)        // loads what stays
	scales      func(w *writer)        // nil, or what to make of the scales of new outputs, in Z8 and Z9
	rows        func(w *writer, i int) // instructions for row i of four, whose sums are at R9
	together    int                    // how many rows the processor should have under way at once
	sums        bool                   // dst holds 64 bytes a row, and R14 goes through the rows' references
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
	w.macro(e)
	w.begin(e)
	w.line("panel:")
	w.panelBegins()
	w.line("block:")
	w.blockBegins()
	w.line("loop:")
	w.multiply(e)
	w.line("store:")
	w.store(e)
	w.line("follows:")
	w.goOn()
	w.line("last:")
	w.end(e)
}

// macro writes e's steps for four rows.
func (w *writer) macro(e epilogue) {
	w.line("#define %s \\", strings.ToUpper(e.name))
	for i := 0; i < 4; i += e.together {
		var rows [][]string
		for r := range e.together {
			rows = append(rows, w.apart(func() { e.rows(w, i+r) }))
		}
		for _, line := range w.apart(func() { w.interleave(rows...) }) {
			w.line("%s; \\", line)
		}
	}
	step := "LEAQ (R10)(R11*4), R10"
	if e.sums {
		step = "ADDQ $256, R10; ADDQ $16, R14"
	}
	w.line("\t%s; ADDQ $16, R12; ADDQ $256, R9; \\", step)
	w.line("\tDECQ R13; XORL AX, AX; CMPQ R13, $4; SETEQ AX; SHLQ $10, AX; ADDQ AX, R9; TESTQ R13, R13 // the lower tiles follow")
	w.line("")
}

// begin writes what comes before the first panel.
func (w *writer) begin(e epilogue) {
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
	if !e.sums {
		w.ins("SHLQ $2, R11")
		w.ins("LEAQ (R11)(R11*2), R14")
	}
	e.constants(w)
	w.ins("MOVQ $64, CX")
	w.ins("XORL R13, R13 // times four rows of the block before are left")
}

// panelBegins says what to fetch of the panel after this one and begins with the first part of its inputs.
func (w *writer) panelBegins() {
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
}

// blockBegins clears the tiles' sums, or continues those of the parts before.
func (w *writer) blockBegins() {
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
}

// multiply goes through the block's inputs, with the results of the block before on the side.
func (w *writer) multiply(e epilogue) {
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
}

// store keeps the tiles' sums: for the block's next part, or to become results beside the next block.
func (w *writer) store(e epilogue) {
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
	if e.sums {
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
}

// goOn continues with the next block, part of the inputs or panel.
func (w *writer) goOn() {
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
}

// end finishes the results of the last block.
func (w *writer) end(e epilogue) {
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
