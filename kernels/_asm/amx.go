package main

// The tile instructions. Tiles are 16 rows of 64 bytes; a register holds the distance of their rows in memory. The
// emulation keeps tile t at t*1024(SP). It clobbers ax and vectors 16 to 23.

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
	w.ins("VPXORD Z16, Z16, Z16")
	for r := range 16 {
		w.ins("VMOVDQU64 Z16, %d(SP)", t*1024+r*64)
	}
}

func (w *writer) tileloadd(t int, base, stride reg, disp int) {
	if !w.emulate {
		code := append(vex(f2, t, int(stride), int(base), 0), 0x4b)
		w.bytes(append(code, memory(t, base, stride, disp)...), "TILELOADD tmm%d, [%s+%s+%d]", t, base, stride, disp)
		return
	}
	w.ins("LEAQ %d(%s), AX", disp, base.plan9())
	for r := range 16 {
		w.ins("VMOVDQU64 (AX), Z16")
		w.ins("VMOVDQU64 Z16, %d(SP)", t*1024+r*64)
		w.ins("ADDQ %s, AX", stride.plan9())
	}
}

func (w *writer) tilestored(t int, base, stride reg, disp int) {
	if !w.emulate {
		code := append(vex(f3, t, int(stride), int(base), 0), 0x4b)
		w.bytes(append(code, memory(t, base, stride, disp)...), "TILESTORED [%s+%s+%d], tmm%d", base, stride, disp, t)
		return
	}
	w.ins("LEAQ %d(%s), AX", disp, base.plan9())
	for r := range 16 {
		w.ins("VMOVDQU64 %d(SP), Z16", t*1024+r*64)
		w.ins("VMOVDQU64 Z16, (AX)")
		w.ins("ADDQ %s, AX", stride.plan9())
	}
}

// tdpbssd adds to tile c the products of the signed bytes of tile a, by rows, and tile b, by groups of four rows. The
// emulation multiplies a+128, which is unsigned, and takes 128 times the sums of b off.
func (w *writer) tdpbssd(c, a, b int) {
	if !w.emulate {
		w.bytes(append(vex(f2, c, 0, a, b), 0x5e, byte(0xc0|c<<3|a)), "TDPBSSD tmm%d, tmm%d, tmm%d", c, a, b)
		return
	}
	w.ins("MOVL $0x80808080, AX")
	w.ins("VPBROADCASTD AX, Z19")
	w.eachRow(func() {
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
	w.ins("MOVL $0xffff0000, AX")
	w.ins("VPBROADCASTD AX, Z19")
	w.eachRow(func() {
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

// eachRow repeats what body writes with ax as the offset of each row of a tile.
func (w *writer) eachRow(body func()) {
	w.labels++
	w.ins("XORQ AX, AX")
	w.line("row%d:", w.labels)
	body()
	w.ins("ADDQ $64, AX")
	w.ins("CMPQ AX, $1024")
	w.ins("JLT row%d", w.labels)
}

// text begins a function that uses tiles.
func (w *writer) text(name string, args int) {
	if w.emulate {
		w.line("TEXT ·%sEmulated(SB), 0, $8192-%d", name, args)
		return
	}
	w.line("TEXT ·%s(SB), NOSPLIT, $0-%d", name, args)
}

// signature writes the comment with the function's declaration.
func (w *writer) signature(name, args string) {
	if w.emulate {
		name += "Emulated"
	}
	w.line("// func %s(%s)", name, args)
}

// gemm writes the product of row blocks of 32 with one panel of 32 outputs. Tiles 0-3 hold the sums, 4 and 5 the rows,
// 6 and 7 the weights; a load is placed between the products that do not need it. While the tiles multiply one block, the
// vector units turn the sums of the block before into results, four rows for each step of 64 inputs.
func gemm(w *writer) {
	w.line("// float32(sum)*row scale*output scale + bias, and what is in dst if K1 is set, for a row of 32 outputs")
	w.line("#define SCALED(i, dst0, dst1) \\")
	w.line("\tVBROADCASTSS (i*4)(R12), Z0; VMULPS Z8, Z0, Z1; VMULPS Z9, Z0, Z2; \\")
	w.line("\tVCVTDQ2PS (i*64)(R9), Z3; VCVTDQ2PS (i*64+1024)(R9), Z4; VFMADD213PS Z10, Z1, Z3; VFMADD213PS Z11, Z2, Z4; \\")
	w.line("\tVADDPS dst0, Z3, K1, Z3; VADDPS dst1, Z4, K1, Z4; VMOVUPS Z3, dst0; VMOVUPS Z4, dst1")
	w.line("")
	w.line("// four rows; after four times four the lower tiles follow")
	w.line("#define FOURROWS \\")
	w.line("\tSCALED(0, (R10), 64(R10)); SCALED(1, (R10)(R11*1), 64(R10)(R11*1)); SCALED(2, (R10)(R11*2), 64(R10)(R11*2)); \\")
	w.line("\tSCALED(3, (R10)(R14*1), 64(R10)(R14*1)); \\")
	w.line("\tLEAQ (R10)(R11*4), R10; ADDQ $16, R12; ADDQ $256, R9; \\")
	w.line("\tDECQ R13; XORL AX, AX; CMPQ R13, $4; SETEQ AX; SHLQ $10, AX; ADDQ AX, R9; TESTQ R13, R13")
	w.line("")
	w.signature("gemmAMX", "cfg *[64]byte, dst *float32, ld int, a, b *int8, k64 int, strip *int32, sa, sw, bias *float32, blocks, add int")
	w.line("// a: [blocks][k/64][2][16 rows][64]; b: [k/64][2][16][16 outputs][4]; strip: room for the sums of two blocks, each")
	w.line("// [2 row halves][2 output halves][16][16]. Tile state lives from the first to the last instruction here: the scheduler")
	w.line("// never sees it.")
	w.text("gemmAMX", 96)
	w.ins("MOVQ cfg+0(FP), AX")
	w.ldtilecfg(ax)
	w.ins("MOVQ dst+8(FP), R10")
	w.ins("MOVQ ld+16(FP), R11")
	w.ins("MOVQ a+24(FP), SI")
	w.ins("MOVQ strip+48(FP), DX")
	w.ins("MOVQ sa+56(FP), R12")
	w.ins("MOVQ sw+64(FP), AX")
	w.ins("VMOVUPS (AX), Z8")
	w.ins("VMOVUPS 64(AX), Z9")
	w.ins("MOVQ bias+72(FP), AX")
	w.ins("VMOVUPS (AX), Z10")
	w.ins("VMOVUPS 64(AX), Z11")
	w.ins("MOVQ add+88(FP), AX")
	w.ins("NEGQ AX")
	w.ins("KMOVW AX, K1")
	w.ins("MOVQ blocks+80(FP), DI")
	w.ins("SHLQ $2, R11")
	w.ins("LEAQ (R11)(R11*2), R14")
	w.ins("MOVQ $64, CX")
	w.ins("XORL R13, R13 // times four rows of the block before are left")
	w.line("block:")
	w.ins("MOVQ b+32(FP), BX")
	w.ins("MOVQ k64+40(FP), R8")
	for t := range 4 {
		w.tilezero(t)
	}
	w.line("loop:")
	w.tileloadd(6, bx, cx, 0)
	w.tileloadd(4, si, cx, 0)
	w.tileloadd(7, bx, cx, 1024)
	w.tdpbssd(0, 4, 6)
	w.tdpbssd(1, 4, 7)
	w.tileloadd(5, si, cx, 1024)
	w.tdpbssd(2, 5, 6)
	w.tdpbssd(3, 5, 7)
	w.ins("TESTQ R13, R13")
	w.ins("JZ scaled")
	w.ins("FOURROWS")
	w.line("scaled:")
	w.ins("ADDQ $2048, SI")
	w.ins("ADDQ $2048, BX")
	w.ins("DECQ R8")
	w.ins("JNZ loop")
	w.ins("TESTQ R13, R13")
	w.ins("JZ store")
	w.line("rest:")
	w.ins("FOURROWS")
	w.ins("JNZ rest")
	w.line("store:")
	for t := range 4 {
		w.tilestored(t, dx, cx, t*1024)
	}
	w.ins("MOVQ DX, R9")
	w.ins("MOVQ strip+48(FP), AX")
	w.ins("LEAQ 4096(AX), DX")
	w.ins("CMPQ DX, R9")
	w.ins("CMOVQEQ AX, DX")
	w.ins("MOVQ $8, R13")
	w.ins("DECQ DI")
	w.ins("JNZ block")
	w.line("last:")
	w.ins("FOURROWS")
	w.ins("JNZ last")
	w.tilerelease()
	w.ins("VZEROUPPER")
	w.ins("RET")
	w.line("")
}

// peak writes the limit of gemm: its products without its loads.
func peak(w *writer) {
	w.line("// func peakAMX(cfg *[64]byte, n int)")
	w.line("// n x 4 TDPBSSD of 32,768 operations.")
	w.text("peakAMX", 16)
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
