//go:build !purego

#include "textflag.h"

DATA ones<>+0(SB)/8, $0x0001000100010001
DATA ones<>+8(SB)/8, $0x0001000100010001
DATA ones<>+16(SB)/8, $0x0001000100010001
DATA ones<>+24(SB)/8, $0x0001000100010001
GLOBL ones<>(SB), RODATA|NOPTR, $32

// One row of activations against 16 outputs, 4 inputs each: VPMADDUBSW multiplies |a|, unsigned, by the weight with the
// sign of a. A pair of products is at most 2*127*127 = 32,258, so nothing saturates for values in -127..127.
#define ROW(off, acc0, acc1) \
	VPBROADCASTD off(SI), Y12; VPBROADCASTD (off+4)(SI), Y13; \
	VPSIGNB Y12, Y10, Y14; VPSIGNB Y12, Y11, Y12; \
	VPMADDUBSW Y14, Y13, Y14; VPMADDUBSW Y12, Y13, Y12; \
	VPMADDWD Y15, Y14, Y14; VPMADDWD Y15, Y12, Y12; \
	VPADDD Y14, acc0, acc0; VPADDD Y12, acc1, acc1

#define STEP(i) \
	VMOVDQU (i*64)(BX), Y10; VMOVDQU (i*64+32)(BX), Y11; \
	ROW((i*32+0), Y0, Y1); ROW((i*32+8), Y2, Y3); ROW((i*32+16), Y4, Y5); ROW((i*32+24), Y6, Y7)

// float32(sum)*row scale*output scale + bias
#define SCALE(off, acc0, acc1) \
	VBROADCASTSS off(R9), Y12; VMULPS (R10), Y12, Y13; VMULPS 32(R10), Y12, Y14; \
	VCVTDQ2PS acc0, acc0; VCVTDQ2PS acc1, acc1; \
	VFMADD213PS (R11), Y13, acc0; VFMADD213PS 32(R11), Y14, acc1

#define STORE(acc0, acc1) VMOVUPS acc0, (DX); VMOVUPS acc1, 32(DX); ADDQ R8, DX
#define ADDSTORE(acc0, acc1) VADDPS (DX), acc0, acc0; VADDPS 32(DX), acc1, acc1; STORE(acc0, acc1)

// func gemmAVX2(dst *float32, ld int, a, b *int8, k16 int, sa, sw, bias *float32, blocks, add int)
// a: [blocks][k/4][4][8]: four signed bytes, then their magnitudes; b: [k/4][16][4]; Y0-Y7 hold 4 rows x 16 outputs.
TEXT ·gemmAVX2(SB), NOSPLIT, $0-80
	MOVQ dst+0(FP), DX
	MOVQ ld+8(FP), R8
	MOVQ a+16(FP), SI
	MOVQ sa+40(FP), R9
	MOVQ sw+48(FP), R10
	MOVQ bias+56(FP), R11
	MOVQ blocks+64(FP), DI
	MOVQ add+72(FP), R12
	SHLQ $2, R8
	VMOVDQU ones<>(SB), Y15
	MOVQ k16+32(FP), R13
	SHLQ $8, R13
	ADDQ b+24(FP), R13
block:
	// the next panel, 6 lines for each 4 rows: all of it while 96 rows use this one (576 inputs)
	PREFETCHT1 (R13)
	PREFETCHT1 64(R13)
	PREFETCHT1 128(R13)
	PREFETCHT1 192(R13)
	PREFETCHT1 256(R13)
	PREFETCHT1 320(R13)
	ADDQ $384, R13
	MOVQ b+24(FP), BX
	MOVQ k16+32(FP), CX
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
	VPXOR Y4, Y4, Y4
	VPXOR Y5, Y5, Y5
	VPXOR Y6, Y6, Y6
	VPXOR Y7, Y7, Y7
	PCALIGN $32
loop:
	STEP(0)
	STEP(1)
	STEP(2)
	STEP(3)
	ADDQ $128, SI
	ADDQ $256, BX
	DECQ CX
	JNZ  loop
	SCALE(0, Y0, Y1)
	SCALE(4, Y2, Y3)
	SCALE(8, Y4, Y5)
	SCALE(12, Y6, Y7)
	TESTQ R12, R12
	JNZ  add
	STORE(Y0, Y1)
	STORE(Y2, Y3)
	STORE(Y4, Y5)
	STORE(Y6, Y7)
	JMP  next
add:
	ADDSTORE(Y0, Y1)
	ADDSTORE(Y2, Y3)
	ADDSTORE(Y4, Y5)
	ADDSTORE(Y6, Y7)
next:
	ADDQ $16, R9
	DECQ DI
	JNZ  block
	VZEROUPPER
	RET
