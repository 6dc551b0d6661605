//go:build !purego

#include "textflag.h"
#include "exp_amd64.h"

// func widenAVX2(dst *float32, src *BF16, lds, d, rows int)
// dst [rows, d], src rows lds apart; d is a multiple of 16.
TEXT ·widenAVX2(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ lds+16(FP), R8
	MOVQ d+24(FP), CX
	MOVQ rows+32(FP), R10
	SHLQ $1, R8
	SHLQ $1, CX
row:
	XORQ AX, AX
loop:
	VPMOVZXWD (SI)(AX*1), Y0
	VPMOVZXWD 16(SI)(AX*1), Y1
	VPSLLD $16, Y0, Y0
	VPSLLD $16, Y1, Y1
	VMOVDQU Y0, (DI)
	VMOVDQU Y1, 32(DI)
	ADDQ $64, DI
	ADDQ $32, AX
	CMPQ AX, CX
	JLT  loop
	ADDQ R8, SI
	DECQ R10
	JNZ  row
	VZEROUPPER
	RET

// four values of eight keys -> eight keys of four values
#define TRANSPOSE(o) \
	VMOVUPS o(SI), X0; VINSERTF128 $1, o(R9), Y0, Y0; \
	VMOVUPS o(SI)(R8*1), X1; VINSERTF128 $1, o(R9)(R8*1), Y1, Y1; \
	VMOVUPS o(SI)(R8*2), X2; VINSERTF128 $1, o(R9)(R8*2), Y2, Y2; \
	VMOVUPS o(R10), X3; VINSERTF128 $1, o(R11), Y3, Y3; \
	VUNPCKLPS Y1, Y0, Y4; VUNPCKHPS Y1, Y0, Y5; VUNPCKLPS Y3, Y2, Y6; VUNPCKHPS Y3, Y2, Y7; \
	VUNPCKLPD Y6, Y4, Y0; VUNPCKHPD Y6, Y4, Y1; VUNPCKLPD Y7, Y5, Y2; VUNPCKHPD Y7, Y5, Y3; \
	VMOVUPS Y0, (o*16)(DX); VMOVUPS Y1, (o*16+64)(DX); VMOVUPS Y2, (o*16+128)(DX); VMOVUPS Y3, (o*16+192)(DX)

// func panelsAVX2(dst, src *float32, keys, d int)
// src [keys, d] -> dst [keys/16, d, 16]; keys is a multiple of 16, d of 8.
TEXT ·panelsAVX2(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), BX
	MOVQ keys+16(FP), R12
	MOVQ d+24(FP), R13
	MOVQ R13, R8
	SHLQ $2, R8
panel:
	MOVQ $2, R15
	MOVQ DI, AX
half:
	MOVQ BX, SI
	LEAQ (SI)(R8*4), R9
	LEAQ (SI)(R8*2), R10
	ADDQ R8, R10
	LEAQ (R9)(R8*2), R11
	ADDQ R8, R11
	MOVQ AX, DX
	MOVQ R13, CX
loop:
	TRANSPOSE(0)
	TRANSPOSE(16)
	ADDQ $32, SI
	ADDQ $32, R9
	ADDQ $32, R10
	ADDQ $32, R11
	ADDQ $512, DX
	SUBQ $8, CX
	JNZ  loop
	LEAQ (BX)(R8*8), BX
	ADDQ $32, AX
	DECQ R15
	JNZ  half
	MOVQ R8, AX
	SHLQ $4, AX
	ADDQ AX, DI
	SUBQ $16, R12
	JNZ  panel
	VZEROUPPER
	RET

#define DOTROW(q, a0, a1) VBROADCASTSS q, Y14; VFMADD231PS Y12, Y14, a0; VFMADD231PS Y13, Y14, a1

#define DOTSTEP(i) \
	VMOVUPS (i*64)(BX), Y12; VMOVUPS (i*64+32)(BX), Y13; \
	DOTROW((i*4)(SI), Y0, Y1); DOTROW((i*4)(SI)(R8*1), Y2, Y3); DOTROW((i*4)(SI)(R8*2), Y4, Y5); \
	DOTROW((i*4)(R10), Y6, Y7); DOTROW((i*4)(R10)(R8*1), Y8, Y9); DOTROW((i*4)(R10)(R8*2), Y10, Y11)

// func scoresAVX2(s, q *float32, ldq int, keys *float32, n, d int)
// s [6, 1024 bytes apart] = q [6, d] times n keys in panels of 16; d is a multiple of 4.
TEXT ·scoresAVX2(SB), NOSPLIT, $0-48
	MOVQ s+0(FP), DX
	MOVQ ldq+16(FP), R8
	MOVQ keys+24(FP), BX
	MOVQ n+32(FP), DI
	MOVQ d+40(FP), R13
	SHLQ $2, R8
panel:
	MOVQ q+8(FP), SI
	LEAQ (R8)(R8*2), R10
	ADDQ SI, R10
	MOVQ R13, CX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	VXORPS Y4, Y4, Y4
	VXORPS Y5, Y5, Y5
	VXORPS Y6, Y6, Y6
	VXORPS Y7, Y7, Y7
	VXORPS Y8, Y8, Y8
	VXORPS Y9, Y9, Y9
	VXORPS Y10, Y10, Y10
	VXORPS Y11, Y11, Y11
	PCALIGN $32
loop:
	DOTSTEP(0)
	DOTSTEP(1)
	DOTSTEP(2)
	DOTSTEP(3)
	ADDQ $16, SI
	ADDQ $16, R10
	ADDQ $256, BX
	SUBQ $4, CX
	JNZ  loop
	VMOVUPS Y0, (DX)
	VMOVUPS Y1, 32(DX)
	VMOVUPS Y2, 1024(DX)
	VMOVUPS Y3, 1056(DX)
	VMOVUPS Y4, 2048(DX)
	VMOVUPS Y5, 2080(DX)
	VMOVUPS Y6, 3072(DX)
	VMOVUPS Y7, 3104(DX)
	VMOVUPS Y8, 4096(DX)
	VMOVUPS Y9, 4128(DX)
	VMOVUPS Y10, 5120(DX)
	VMOVUPS Y11, 5152(DX)
	ADDQ $64, DX
	SUBQ $16, DI
	JNZ  panel
	VZEROUPPER
	RET

// func expRowAVX2(row *float32, n int, scale, old float32) (m, sum float32)
// row becomes exp(row*scale - m), m = max(old, the largest row*scale); n is a multiple of 16.
TEXT ·expRowAVX2(SB), NOSPLIT, $0-32
	MOVQ row+0(FP), SI
	MOVQ n+8(FP), CX
	VBROADCASTSS scale+16(FP), Y13
	VBROADCASTSS old+20(FP), Y11
	VMOVUPS lo<>(SB), Y14
	SHLQ $2, CX
	VMOVAPS Y11, Y10
	VXORPS Y8, Y8, Y8
	VXORPS Y9, Y9, Y9
	XORQ AX, AX
max:
	VMULPS (SI)(AX*1), Y13, Y0
	VMULPS 32(SI)(AX*1), Y13, Y1
	VMAXPS Y0, Y10, Y10
	VMAXPS Y1, Y11, Y11
	ADDQ $64, AX
	CMPQ AX, CX
	JLT  max
	VMAXPS Y11, Y10, Y10
	HMAX(Y10, X10, Y0, X0)
	VBROADCASTSS X10, Y15
	XORQ AX, AX
loop:
	VMULPS (SI)(AX*1), Y13, Y0
	VMULPS 32(SI)(AX*1), Y13, Y1
	VSUBPS Y15, Y0, Y0
	VSUBPS Y15, Y1, Y1
	VCMPPS $5, Y14, Y0, Y6
	VCMPPS $5, Y14, Y1, Y7
	VMAXPS Y0, Y14, Y0
	VMAXPS Y1, Y14, Y1
	EXP(Y0, Y2, Y3)
	EXP(Y1, Y4, Y5)
	VANDPS Y6, Y0, Y0
	VANDPS Y7, Y1, Y1
	VADDPS Y0, Y8, Y8
	VADDPS Y1, Y9, Y9
	VMOVUPS Y0, (SI)(AX*1)
	VMOVUPS Y1, 32(SI)(AX*1)
	ADDQ $64, AX
	CMPQ AX, CX
	JLT  loop
	VADDPS Y9, Y8, Y8
	HSUM(Y8, X8, Y0, X0)
	VZEROUPPER
	MOVSS X15, m+24(FP)
	MOVSS X8, sum+28(FP)
	RET

#define MIXROW(r, a0, a1) VBROADCASTSS (r)(SI), Y14; VFMADD231PS Y12, Y14, a0; VFMADD231PS Y13, Y14, a1

#define MIXSTEP(k) \
	VMOVUPS (BX), Y12; VMOVUPS 32(BX), Y13; ADDQ R8, BX; \
	MIXROW((k*4), Y0, Y1); MIXROW((k*4+1024), Y2, Y3); MIXROW((k*4+2048), Y4, Y5); \
	MIXROW((k*4+3072), Y6, Y7); MIXROW((k*4+4096), Y8, Y9); MIXROW((k*4+5120), Y10, Y11)

#define MIXLOAD(r, a0, a1) \
	VBROADCASTSS (r*4)(R11), Y14; VMULPS (DI), Y14, a0; VMULPS 32(DI), Y14, a1; ADDQ R9, DI

#define MIXSTORE(a0, a1) VMOVUPS a0, (DI); VMOVUPS a1, 32(DI); ADDQ R9, DI

// func mixAVX2(out *float32, ldo int, s, vals, fix *float32, n, d int)
// out [6, d] = out*fix + s [6, 1024 bytes apart] times vals [n, d]; n is a multiple of 16, d of 16.
TEXT ·mixAVX2(SB), NOSPLIT, $0-56
	MOVQ out+0(FP), DX
	MOVQ ldo+8(FP), R9
	MOVQ vals+24(FP), R12
	MOVQ fix+32(FP), R11
	MOVQ d+48(FP), R13
	SHLQ $2, R9
	MOVQ R13, R8
	SHLQ $2, R8
tile:
	MOVQ s+16(FP), SI
	MOVQ R12, BX
	MOVQ n+40(FP), CX
	MOVQ DX, DI
	MIXLOAD(0, Y0, Y1)
	MIXLOAD(1, Y2, Y3)
	MIXLOAD(2, Y4, Y5)
	MIXLOAD(3, Y6, Y7)
	MIXLOAD(4, Y8, Y9)
	MIXLOAD(5, Y10, Y11)
	PCALIGN $32
loop:
	MIXSTEP(0)
	MIXSTEP(1)
	MIXSTEP(2)
	MIXSTEP(3)
	ADDQ $16, SI
	SUBQ $4, CX
	JNZ  loop
	MOVQ DX, DI
	MIXSTORE(Y0, Y1)
	MIXSTORE(Y2, Y3)
	MIXSTORE(Y4, Y5)
	MIXSTORE(Y6, Y7)
	MIXSTORE(Y8, Y9)
	MIXSTORE(Y10, Y11)
	ADDQ $64, DX
	ADDQ $64, R12
	SUBQ $16, R13
	JNZ  tile
	VZEROUPPER
	RET
