//go:build !purego

#include "textflag.h"

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

// func halvesAVX512(dst *BF16, ld int, src *float32, rows int)
// The lower halves of the 32 numbers of row r of src become row 2r of dst, the upper halves row 2r+1; rows of dst are ld
// apart.
TEXT ·halvesAVX512(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ ld+8(FP), R8
	MOVQ src+16(FP), SI
	MOVQ rows+24(FP), CX
	SHLQ $1, R8
loop:
	VMOVDQU32 (SI), Z0
	VMOVDQU32 64(SI), Z1
	VPMOVDW Z0, (DI)
	VPMOVDW Z1, 32(DI)
	VPSRLD $16, Z0, Z0
	VPSRLD $16, Z1, Z1
	VPMOVDW Z0, (DI)(R8*1)
	VPMOVDW Z1, 32(DI)(R8*1)
	ADDQ $128, SI
	LEAQ (DI)(R8*2), DI
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET
