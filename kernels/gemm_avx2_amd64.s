//go:build !purego

#include "textflag.h"

DATA ones<>+0(SB)/8, $0x0001000100010001
DATA ones<>+8(SB)/8, $0x0001000100010001
DATA ones<>+16(SB)/8, $0x0001000100010001
DATA ones<>+24(SB)/8, $0x0001000100010001
GLOBL ones<>(SB), RODATA|NOPTR, $32

// One row of activations in Y12 against 16 outputs, 4 inputs each. VPMADDUBSW multiplies the weights + 127, unsigned in
// Y10 and Y11, by the activations: each pair of these is such that its products' sum fits 16 bits.
#define PRODUCTS(acc0, acc1) \
	VPMADDUBSW Y12, Y10, Y13; VPMADDUBSW Y12, Y11, Y14; \
	VPMADDWD Y15, Y13, Y13; VPMADDWD Y15, Y14, Y14; \
	VPADDD Y13, acc0, acc0; VPADDD Y14, acc1, acc1

#define ROW(a, acc0, acc1) VPBROADCASTD a, Y12; PRODUCTS(acc0, acc1)

#define STEP(i) \
	VMOVDQU (i*64)(BX), Y10; VMOVDQU (i*64+32)(BX), Y11; \
	ROW((i*4)(SI), Y0, Y1); ROW((i*4)(SI)(R13*1), Y2, Y3); ROW((i*4)(SI)(R13*2), Y4, Y5); ROW((i*4)(R12), Y6, Y7)

// What was split off row r's activations, against the weights of its group
#define REST(r, acc0, acc1) \
	MOVL (r*4)(R14), AX; VMOVDQU (BX)(AX*1), Y10; VMOVDQU 32(BX)(AX*1), Y11; ROW((r*4+16)(R14), acc0, acc1)

// float32(sum)*row scale*output scale + bias
#define SCALE(off, acc0, acc1) \
	VBROADCASTSS off(R9), Y12; VMULPS (R10), Y12, Y13; VMULPS 32(R10), Y12, Y14; \
	VCVTDQ2PS acc0, acc0; VCVTDQ2PS acc1, acc1; \
	VFMADD213PS (R11), Y13, acc0; VFMADD213PS 32(R11), Y14, acc1

#define STORE(acc0, acc1) VMOVUPS acc0, (DX); VMOVUPS acc1, 32(DX); ADDQ R8, DX
#define ADDSTORE(acc0, acc1) VADDPS (DX), acc0, acc0; VADDPS 32(DX), acc1, acc1; STORE(acc0, acc1)

// func gemmAVX2(dst *float32, ld int, a, b *int8, k16 int, rest *int32, sa, sw, bias *float32, blocks, add int)
// a: [blocks*4][k]; b: [k/4][16][4]; rest: see Rows.rest; Y0-Y7 hold 4 rows x 16 outputs.
TEXT ·gemmAVX2(SB), NOSPLIT, $0-88
	MOVQ dst+0(FP), DX
	MOVQ ld+8(FP), R8
	MOVQ a+16(FP), SI
	MOVQ k16+32(FP), R13
	MOVQ rest+40(FP), DI
	MOVQ sa+48(FP), R9
	MOVQ sw+56(FP), R10
	MOVQ bias+64(FP), R11
	SHLQ $2, R8
	SHLQ $4, R13
	VMOVDQU ones<>(SB), Y15
	MOVQ R13, R15
	SHLQ $4, R15
	ADDQ b+24(FP), R15
block:
	// the next panel, 6 lines for each 4 rows: all of it while 96 rows use this one (576 inputs)
	PREFETCHT1 (R15)
	PREFETCHT1 64(R15)
	PREFETCHT1 128(R15)
	PREFETCHT1 192(R15)
	PREFETCHT1 256(R15)
	PREFETCHT1 320(R15)
	ADDQ $384, R15
	// where this block's results go, which the last panel left in the third-level cache
	LEAQ (R8)(R8*2), AX
	PREFETCHT0 (DX)
	PREFETCHT0 (DX)(R8*1)
	PREFETCHT0 (DX)(R8*2)
	PREFETCHT0 (DX)(AX*1)
	MOVQ b+24(FP), BX
	MOVQ k16+32(FP), CX
	LEAQ (R13)(R13*2), R12
	ADDQ SI, R12
	VPBROADCASTD 16(DI), Y0
	VPBROADCASTD 20(DI), Y2
	VPBROADCASTD 24(DI), Y4
	VPBROADCASTD 28(DI), Y6
	VMOVDQA Y0, Y1
	VMOVDQA Y2, Y3
	VMOVDQA Y4, Y5
	VMOVDQA Y6, Y7
	LEAQ (SI)(R13*4), R14 // the next block's rows, a line a step
	PCALIGN $32
loop:
	PREFETCHT0 (R14)
	ADDQ $64, R14
	STEP(0)
	STEP(1)
	STEP(2)
	STEP(3)
	ADDQ $16, SI
	ADDQ $16, R12
	ADDQ $256, BX
	DECQ CX
	JNZ  loop
	MOVQ R12, SI
	MOVQ DI, R14
	MOVL (R14), CX
	CMPL CX, 4(R14)
	CMOVLLT 4(R14), CX
	CMPL CX, 8(R14)
	CMOVLLT 8(R14), CX
	CMPL CX, 12(R14)
	CMOVLLT 12(R14), CX
	TESTL CX, CX
	JZ   scale
	MOVQ b+24(FP), BX
rest:
	ADDQ $32, R14
	REST(0, Y0, Y1)
	REST(1, Y2, Y3)
	REST(2, Y4, Y5)
	REST(3, Y6, Y7)
	DECL CX
	JNZ  rest
scale:
	SCALE(0, Y0, Y1)
	SCALE(4, Y2, Y3)
	SCALE(8, Y4, Y5)
	SCALE(12, Y6, Y7)
	MOVQ add+80(FP), AX
	TESTQ AX, AX
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
	LEAQ 32(DI)(R13*8), DI
	DECQ blocks+72(FP)
	JNZ  block
	VZEROUPPER
	RET

DATA bytes<>+0(SB)/4, $0x01010101
GLOBL bytes<>(SB), RODATA|NOPTR, $4
DATA limit<>+0(SB)/4, $0x00810081
GLOBL limit<>(SB), RODATA|NOPTR, $4
DATA order<>+0(SB)/8, $0x0000000400000000
DATA order<>+8(SB)/8, $0x0000000500000001
DATA order<>+16(SB)/8, $0x0000000600000002
DATA order<>+24(SB)/8, $0x0000000700000003
GLOBL order<>(SB), RODATA|NOPTR, $32

// func quantAVX2(x *float32, inv float32, out *int8, wide *uint32, n int) int32
// Signed bytes in order and their sum; n is a multiple of 32. Bits 2i and 2i+1 of wide[n/32] are set where the pair i of
// bytes has a sum beyond 129 or -129.
TEXT ·quantAVX2(SB), NOSPLIT, $0-44
	MOVQ x+0(FP), SI
	VBROADCASTSS inv+8(FP), Y8
	MOVQ out+16(FP), DI
	MOVQ wide+24(FP), DX
	MOVQ n+32(FP), CX
	VMOVDQU ones<>(SB), Y15
	VPBROADCASTD bytes<>(SB), Y14
	VPBROADCASTD limit<>(SB), Y13
	VMOVDQU order<>(SB), Y12
	VPXOR Y11, Y11, Y11
loop:
	VMULPS (SI), Y8, Y0
	VMULPS 32(SI), Y8, Y1
	VMULPS 64(SI), Y8, Y2
	VMULPS 96(SI), Y8, Y3
	VCVTPS2DQ Y0, Y0
	VCVTPS2DQ Y1, Y1
	VCVTPS2DQ Y2, Y2
	VCVTPS2DQ Y3, Y3
	VPACKSSDW Y1, Y0, Y0
	VPACKSSDW Y3, Y2, Y2
	VPACKSSWB Y2, Y0, Y0
	VPERMD Y0, Y12, Y0
	VMOVDQU Y0, (DI)
	VPMADDUBSW Y0, Y14, Y1
	VPABSW Y1, Y2
	VPCMPGTW Y13, Y2, Y2
	VPMOVMSKB Y2, AX
	MOVL AX, (DX)
	VPMADDWD Y15, Y1, Y1
	VPADDD Y1, Y11, Y11
	ADDQ $128, SI
	ADDQ $32, DI
	ADDQ $4, DX
	SUBQ $32, CX
	JNZ  loop
	VEXTRACTI128 $1, Y11, X0
	VPADDD X0, X11, X0
	VPSHUFD $0x4e, X0, X1
	VPADDD X1, X0, X0
	VPSHUFD $0xb1, X0, X1
	VPADDD X1, X0, X0
	VMOVD X0, AX
	MOVL AX, ret+40(FP)
	VZEROUPPER
	RET
