package main

// vdpbf16ps adds to each sum of acc the two products of the pairs of bfloat16 there in a and b, that of the upper halves
// first. AVX512_BF16 rounds after each (Intel SDM volume 2, VDPBF16PS; so does AMD's Zen 4), so that the emulation, two
// fused multiply-adds on the halves, gives the same bits but for numbers below 2^-126, which the instruction takes for 0.
// The emulation has the mask of upper halves in vector 26 and clobbers 24 and 25.
func (w *writer) vdpbf16ps(acc, a, b int) {
	if w.emulate {
		w.ins("VPANDD Z26, Z%d, Z24", a)
		w.ins("VPANDD Z26, Z%d, Z25", b)
		w.ins("VFMADD231PS Z24, Z25, Z%d", acc)
		w.ins("VPSLLD $16, Z%d, Z24", a)
		w.ins("VPSLLD $16, Z%d, Z25", b)
		w.ins("VFMADD231PS Z24, Z25, Z%d", acc)
		return
	}
	w.bytes([]byte{
		0x62, // EVEX, 512 bits, map 0F38, prefix F3
		byte((acc>>3&1^1)<<7 | (b>>4&1^1)<<6 | (b>>3&1^1)<<5 | (acc>>4&1^1)<<4 | 2),
		byte((^a&15)<<3 | 1<<2 | int(f3)),
		byte(2<<5 | (a>>4&1^1)<<3),
		0x52, byte(0xc0 | acc&7<<3 | b&7),
	}, "VDPBF16PS zmm%d, zmm%d, zmm%d", acc, a, b)
}

// upperHalves puts the mask into the vector where the emulation wants it.
func (w *writer) upperHalves() {
	if w.emulate {
		w.ins("MOVL $0xffff0000, CX")
		w.ins("VPBROADCASTD CX, Z26")
	}
}

// attentionBF16 writes attention on pairs of bfloat16: as attendAVX512 with half the steps.
func attentionBF16(w *writer) {
	w.signature("attendBF16", "t *attentionTile, key0, keys, all int")
	w.line("// As attendTileGeneric for 32 lanes, with queries, keys, values and exponentials in bfloat16; keys is a multiple of 8, dim")
	w.line("// of 8. Z0-Z15 hold the sums of 8 keys, then of 8 dimensions, x 32 lanes.")
	name := "attendBF16"
	if w.emulate {
		name += "Emulated"
	}
	w.line("TEXT ·%s(SB), NOSPLIT, $0-32", name)
	w.ins("MOVQ t+0(FP), AX")
	w.ins("MOVQ attentionTile_k16(AX), BX")
	w.ins("MOVQ attentionTile_p(AX), DX")
	w.ins("MOVQ attentionTile_dim(AX), R9")
	w.ins("MOVQ keys+16(FP), R13")
	w.ins("MOVQ all+24(FP), R14")
	w.ins("MOVQ key0+8(FP), R8")
	w.ins("SHLQ $1, R9 // the distance of keys")
	w.ins("LIMITS")
	w.line("keys:")
	w.upperHalves()
	w.ins("MOVQ attentionTile_q16(AX), SI")
	w.ins("MOVQ R9, CX")
	w.ins("LEAQ (R9)(R9*2), R12")
	w.ins("LEAQ (BX)(R12*1), R11")
	w.ins("ADDQ R11, R12")
	for acc := range 16 {
		w.ins("VPXORD Z%d, Z%d, Z%d", acc, acc, acc)
	}
	w.ins("PCALIGN $32")
	w.line("dims:")
	for step := range 4 {
		w.ins("VMOVDQU32 %d(SI), Z16", step*128)
		w.ins("VMOVDQU32 %d(SI), Z17", step*128+64)
		for key, at := range []string{"BX)", "BX)(R9*1)", "BX)(R9*2)", "R11)", "R11)(R9*1)", "R11)(R9*2)", "R12)", "R12)(R9*1)"} {
			w.ins("VPBROADCASTD %d(%s, Z%d", step*4, at, 18+key%4)
			w.vdpbf16ps(2*key, 16, 18+key%4)
			w.vdpbf16ps(2*key+1, 17, 18+key%4)
		}
	}
	w.ins("ADDQ $16, BX")
	w.ins("ADDQ $16, R11")
	w.ins("ADDQ $16, R12")
	w.ins("ADDQ $512, SI")
	w.ins("SUBQ $16, CX")
	w.ins("JNZ dims")
	w.ins("LEAQ (R12)(R9*1), BX")
	w.ins("SUBQ $8, R14")
	w.ins("JGE seen")
	w.ins("MASK")
	w.line("seen:")
	w.ins("LARGEST8")
	w.ins("KEEP8")
	w.ins("ADDQ $1024, DX")
	w.ins("ADDQ $8, R8")
	w.ins("SUBQ $8, R13")
	w.ins("JNZ keys")
	w.line("")
	w.ins("FACTORS")
	w.exponentials("keys+16(FP)", func() { w.ins("TWOKEYS") })
	w.line("")
	w.upperHalves()
	w.ins("VMOVAPS Z29, Z20")
	w.ins("VMOVAPS Z30, Z21")
	w.ins("MOVQ attentionTile_o(AX), DI")
	w.ins("MOVQ attentionTile_v16(AX), BX")
	w.ins("MOVQ attentionTile_dim(AX), R8")
	w.ins("LEAQ (R8*4), R9 // the distance of pairs of keys")
	w.line("values:")
	w.ins("MOVQ BX, SI")
	w.ins("MOVQ attentionTile_p16(AX), DX")
	w.ins("MOVQ keys+16(FP), CX")
	for acc := range 16 {
		w.ins("VMULPS %d(DI), Z%d, Z%d", acc*64, 20+acc%2, acc)
	}
	w.ins("PCALIGN $32")
	w.line("sums:")
	for pair := range 4 {
		w.ins("VMOVDQU32 %d(DX), Z16", pair*128)
		w.ins("VMOVDQU32 %d(DX), Z17", pair*128+64)
		for dim := range 8 {
			w.ins("VPBROADCASTD %d(SI), Z%d", dim*4, 18+dim%2)
			w.vdpbf16ps(2*dim, 16, 18+dim%2)
			w.vdpbf16ps(2*dim+1, 17, 18+dim%2)
		}
		w.ins("ADDQ R9, SI")
	}
	w.ins("ADDQ $512, DX")
	w.ins("SUBQ $8, CX")
	w.ins("JNZ sums")
	for acc := range 16 {
		w.ins("VMOVUPS Z%d, %d(DI)", acc, acc*64)
	}
	w.ins("ADDQ $1024, DI")
	w.ins("ADDQ $32, BX")
	w.ins("SUBQ $8, R8")
	w.ins("JNZ values")
	w.ins("VZEROUPPER")
	w.ins("RET")
}

// exponentials writes the step between scores and values: exponentials of pairs of keys, rounded to bfloat16, and their sums
// before they are rounded. twoKeys turns the scores of two keys, at DX, into their exponentials in vectors 0 to 3 and adds them
// to 14 and 15.
func (w *writer) exponentials(keys string, twoKeys func()) {
	w.ins("MOVL $0xaaaaaaaa, R8")
	w.ins("KMOVD R8, K5 // the upper halves")
	w.ins("MOVL $0x8000, R8")
	w.ins("VPBROADCASTD R8, Z18")
	w.ins("MOVQ attentionTile_p(AX), DX")
	w.ins("MOVQ attentionTile_p16(AX), DI")
	w.ins("MOVQ %s, R13", keys)
	w.line("exps:")
	twoKeys()
	for r := range 4 {
		w.ins("VPADDD Z18, Z%d, Z%d", r, r)
	}
	for r := range 2 {
		w.ins("VPSRLD $16, Z%d, Z%d", r, r)
		w.ins("VMOVDQU16 Z%d, K5, Z%d", r+2, r)
		w.ins("VMOVDQU32 Z%d, %d(DI)", r, r*64)
	}
	w.ins("ADDQ $256, DX")
	w.ins("ADDQ $128, DI")
	w.ins("SUBQ $2, R13")
	w.ins("JNZ exps")
	w.ins("ADDSUMS")
}

// peakBF16 writes the limit of attentionBF16: its products without its loads.
func peakBF16(w *writer) {
	w.line("// func peakBF16(n int)")
	w.line("// n x 16 VDPBF16PS of 64 operations.")
	w.line("TEXT ·peakBF16(SB), NOSPLIT, $0-8")
	w.ins("MOVQ n+0(FP), CX")
	w.ins("VPXORD Z16, Z16, Z16")
	w.ins("VPXORD Z18, Z18, Z18")
	w.ins("PCALIGN $64")
	w.line("loop:")
	for acc := range 16 {
		w.vdpbf16ps(acc, 16, 18)
	}
	w.ins("DECQ CX")
	w.ins("JNZ loop")
	w.ins("VZEROUPPER")
	w.ins("RET")
}
