//go:build !purego

#include "textflag.h"

// func scaleTiles(dst *float32, ld int, c *int32, sa, sw, bias *float32, blocks, add int)
// Turns the sums of gemmAMX, [blocks][2 row halves][2 output halves][16][16], into 32 rows of 32 outputs a block:
// float32(sum)*row scale*output scale + bias, added to dst if add is not 0.
TEXT ·scaleTiles(SB), NOSPLIT, $0-64
	MOVQ dst+0(FP), DI
	MOVQ ld+8(FP), R8
	MOVQ c+16(FP), SI
	MOVQ sa+24(FP), R9
	MOVQ sw+32(FP), R10
	MOVQ bias+40(FP), R11
	MOVQ blocks+48(FP), R12
	MOVQ add+56(FP), R13
	SHLQ $2, R8
	SHLQ $1, R12
	VMOVUPS (R10), Z8
	VMOVUPS 64(R10), Z9
	VMOVUPS (R11), Z10
	VMOVUPS 64(R11), Z11
half:
	MOVQ $16, CX
row:
	VBROADCASTSS (R9), Z7
	VMULPS Z8, Z7, Z2
	VMULPS Z9, Z7, Z3
	VCVTDQ2PS (SI), Z0
	VCVTDQ2PS 1024(SI), Z1
	VFMADD213PS Z10, Z2, Z0
	VFMADD213PS Z11, Z3, Z1
	TESTQ R13, R13
	JZ   store
	VADDPS (DI), Z0, Z0
	VADDPS 64(DI), Z1, Z1
store:
	VMOVUPS Z0, (DI)
	VMOVUPS Z1, 64(DI)
	ADDQ $64, SI
	ADDQ $4, R9
	ADDQ R8, DI
	DECQ CX
	JNZ  row
	ADDQ $1024, SI
	DECQ R12
	JNZ  half
	VZEROUPPER
	RET

// func quantAMX(x *float32, inv float32, out *int8, n int)
// Signed bytes, 64 to a tile row, tile rows of the next 64 values 2048 bytes apart; n is a multiple of 64.
TEXT ·quantAMX(SB), NOSPLIT, $0-32
	MOVQ x+0(FP), SI
	VBROADCASTSS inv+8(FP), Z8
	MOVQ out+16(FP), DI
	MOVQ n+24(FP), CX
loop:
	VMULPS (SI), Z8, Z0
	VMULPS 64(SI), Z8, Z1
	VMULPS 128(SI), Z8, Z2
	VMULPS 192(SI), Z8, Z3
	VCVTPS2DQ Z0, Z0
	VCVTPS2DQ Z1, Z1
	VCVTPS2DQ Z2, Z2
	VCVTPS2DQ Z3, Z3
	VPMOVSDB Z0, X0
	VPMOVSDB Z1, X1
	VPMOVSDB Z2, X2
	VPMOVSDB Z3, X3
	VMOVDQU X0, (DI)
	VMOVDQU X1, 16(DI)
	VMOVDQU X2, 32(DI)
	VMOVDQU X3, 48(DI)
	ADDQ $256, SI
	ADDQ $2048, DI
	SUBQ $64, CX
	JNZ  loop
	VZEROUPPER
	RET

// func xcr0() uint32
// The state components that the operating system saves (XGETBV with ECX = 0), lower half.
TEXT ·xcr0(SB), NOSPLIT, $0-4
	XORL CX, CX
	XGETBV
	MOVL AX, ret+0(FP)
	RET
