//go:build !purego

#include "textflag.h"

// func rowsAVX512(dst, src *BF16, lds, d, rows int)
// Copies rows of d numbers, lds apart, to one after the other; d is a multiple of 16.
TEXT ·rowsAVX512(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ lds+16(FP), R8
	MOVQ d+24(FP), R9
	MOVQ rows+32(FP), CX
	SHLQ $1, R8
	SHLQ $1, R9
row:
	XORQ AX, AX
loop:
	VMOVDQU (SI)(AX*1), Y0
	VMOVDQU Y0, (DI)(AX*1)
	ADDQ $32, AX
	CMPQ AX, R9
	JLT  loop
	ADDQ R8, SI
	ADDQ R9, DI
	DECQ CX
	JNZ  row
	VZEROUPPER
	RET

// func pairsAVX512(dst, src *BF16, lds, d, pairs int)
// Of each two rows of d numbers, lds apart, the first numbers, then the second ones, and so on; d is a multiple of 16.
TEXT ·pairsAVX512(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ lds+16(FP), R8
	MOVQ d+24(FP), R9
	MOVQ pairs+32(FP), CX
	SHLQ $1, R8
	SHLQ $1, R9
pair:
	LEAQ (SI)(R8*1), BX
	XORQ AX, AX
loop:
	VPMOVZXWD (SI)(AX*1), Z0
	VPMOVZXWD (BX)(AX*1), Z1
	VPSLLD $16, Z1, Z1
	VPORD Z1, Z0, Z0
	VMOVDQU32 Z0, (DI)(AX*2)
	ADDQ $32, AX
	CMPQ AX, R9
	JLT  loop
	LEAQ (BX)(R8*1), SI
	LEAQ (DI)(R9*2), DI
	DECQ CX
	JNZ  pair
	VZEROUPPER
	RET
