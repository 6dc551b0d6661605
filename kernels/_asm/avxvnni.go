package main

// vpdpbusd adds to each sum of acc the 4 products of the unsigned bytes there and those of weights. AVX-VNNI encodes it
// by VEX, which Go's assembler does not know; the emulation is the same instruction of AVX-512.
func (w *writer) vpdpbusd(acc, bytes, weights int) {
	if w.emulate {
		w.ins("VPDPBUSD Y%d, Y%d, Y%d", weights, bytes, acc)
		return
	}
	code := vex(np, acc, 0, weights, bytes)
	code[2] |= 1<<2 | 1 // 256 bits, mandatory prefix 66
	w.bytes(append(code, 0x50, byte(0xc0|acc&7<<3|weights&7)), "VPDPBUSD ymm%d, ymm%d, ymm%d", acc, bytes, weights)
}

func avxVNNI(w *writer) {
	gemmVNNI256(w)
	if !w.emulate {
		w.line("")
		peakVNNI256(w)
	}
}

// gemmVNNI256 writes the product of row blocks of 6 with one panel of 16 outputs. Y0-Y11 hold the sums, Y12 and Y13 the
// weights of 4 inputs, Y14 and Y15 a row's activations in turns.
func gemmVNNI256(w *writer) {
	name := "gemmAVXVNNI"
	if w.emulate {
		name += "Emulated"
	}
	w.line("// func %s(dst *float32, ld int, a, b *int8, k16 int, sa, sw, bias *float32, sum *int32, blocks, add int)", name)
	w.line("// a: [blocks*6][k] unsigned bytes, the value + 128; b: [k/4][16][4]; sum: 128 times the sum of each output's weights,")
	w.line("// which the offset adds to the products.")
	w.line("TEXT ·%s(SB), NOSPLIT, $0-88", name)
	for _, arg := range []string{
		"dst+0(FP), DX", "ld+8(FP), R8", "a+16(FP), SI", "k16+32(FP), R13", "sa+40(FP), R9", "sw+48(FP), R10",
		"bias+56(FP), R11", "sum+64(FP), R15", "blocks+72(FP), DI",
	} {
		w.ins("MOVQ %s", arg)
	}
	w.ins("SHLQ $2, R8")
	w.ins("SHLQ $4, R13")
	w.ins("LEAQ (R13)(R13*2), R12")
	w.line("block:")
	w.ins("MOVQ b+24(FP), BX")
	w.ins("MOVQ k16+32(FP), CX")
	w.ins("LEAQ (SI)(R12*1), AX // the last three rows")
	w.ins("VPXOR Y12, Y12, Y12")
	for half := range 2 {
		w.ins("VPSUBD %d(R15), Y12, Y%d", 32*half, half)
	}
	for acc := 2; acc < 12; acc++ {
		w.ins("VMOVDQA Y%d, Y%d", acc%2, acc)
	}
	w.ins("PCALIGN $32")
	w.line("loop:")
	for step := range 4 {
		w.ins("VMOVDQU %d(BX), Y12", 64*step)
		w.ins("VMOVDQU %d(BX), Y13", 64*step+32)
		for row := range 6 {
			bytes := 14 + row%2
			base := []string{"SI", "AX"}[row/3]
			w.ins("VPBROADCASTD %d(%s)%s, Y%d", 4*step, base, []string{"", "(R13*1)", "(R13*2)"}[row%3], bytes)
			w.vpdpbusd(2*row, bytes, 12)
			w.vpdpbusd(2*row+1, bytes, 13)
		}
	}
	w.ins("ADDQ $16, SI")
	w.ins("ADDQ $16, AX")
	w.ins("ADDQ $256, BX")
	w.ins("DECQ CX")
	w.ins("JNZ loop")
	w.ins("LEAQ (AX)(R13*2), SI")
	w.ins("MOVQ add+80(FP), CX")
	for row := range 6 {
		w.ins("VBROADCASTSS %d(R9), Y12 // row %d: float32(sum)*row scale*output scale + bias", 4*row, row)
		for half := range 2 {
			acc, off := 2*row+half, 32*half
			w.ins("VMULPS %d(R10), Y12, Y13", off)
			w.ins("VCVTDQ2PS Y%d, Y%d", acc, acc)
			w.ins("VFMADD213PS %d(R11), Y13, Y%d", off, acc)
		}
		w.ins("TESTQ CX, CX")
		w.ins("JZ store%d", row)
		for half := range 2 {
			w.ins("VADDPS %d(DX), Y%d, Y%d", 32*half, 2*row+half, 2*row+half)
		}
		w.line("store%d:", row)
		for half := range 2 {
			w.ins("VMOVUPS Y%d, %d(DX)", 2*row+half, 32*half)
		}
		w.ins("ADDQ R8, DX")
	}
	w.ins("ADDQ $24, R9")
	w.ins("DECQ DI")
	w.ins("JNZ block")
	w.ins("VZEROUPPER")
	w.ins("RET")
}

func peakVNNI256(w *writer) {
	w.line("// func peakAVXVNNI(n int)")
	w.line("// n x 12 VPDPBUSD of 64 operations.")
	w.line("TEXT ·peakAVXVNNI(SB), NOSPLIT, $0-8")
	w.ins("MOVQ n+0(FP), CX")
	w.ins("VPXOR Y12, Y12, Y12")
	w.ins("VPXOR Y13, Y13, Y13")
	w.ins("PCALIGN $32")
	w.line("loop:")
	for acc := range 12 {
		w.vpdpbusd(acc, 12, 13)
	}
	w.ins("DECQ CX")
	w.ins("JNZ loop")
	w.ins("VZEROUPPER")
	w.ins("RET")
}
