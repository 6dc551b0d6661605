//go:build !purego

#include "go_asm.h"
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

// Y0-Y3 = four values of eight rows -> eight values in the order of the rows, for each of the four
#define TRANSPOSE(r0, r1, r2, r3, r4, r5, r6, r7) \
	VMOVUPS r0, X0; VINSERTF128 $1, r4, Y0, Y0; VMOVUPS r1, X1; VINSERTF128 $1, r5, Y1, Y1; \
	VMOVUPS r2, X2; VINSERTF128 $1, r6, Y2, Y2; VMOVUPS r3, X3; VINSERTF128 $1, r7, Y3, Y3; \
	VUNPCKLPS Y1, Y0, Y4; VUNPCKHPS Y1, Y0, Y5; VUNPCKLPS Y3, Y2, Y6; VUNPCKHPS Y3, Y2, Y7; \
	VUNPCKLPD Y6, Y4, Y0; VUNPCKHPD Y6, Y4, Y1; VUNPCKLPD Y7, Y5, Y2; VUNPCKHPD Y7, Y5, Y3

#define PLACE(l, base, r) MOVQ (l*8)(AX), r; LEAQ (base)(r*4), r

// func gatherAVX2(t *attentionTile, q *float32)
// As gatherGeneric, eight lanes and four dimensions at a time.
TEXT ·gatherAVX2(SB), NOSPLIT, $24-16
	MOVQ t+0(FP), DI
	MOVQ attentionTile_from(DI), AX
	MOVQ attentionTile_q(DI), DX
	MOVQ attentionTile_lanes(DI), SI
	MOVQ SI, left-8(SP)
	SHLQ $2, SI
	LEAQ (SI)(SI*2), BX
lanes:
	MOVQ q+8(FP), CX
	PLACE(0, CX, R8)
	PLACE(1, CX, R9)
	PLACE(2, CX, R10)
	PLACE(3, CX, R11)
	PLACE(4, CX, R12)
	PLACE(5, CX, R13)
	PLACE(6, CX, R14)
	PLACE(7, CX, R15)
	ADDQ $64, AX
	MOVQ AX, from-16(SP)
	MOVQ DX, to-24(SP)
	MOVQ attentionTile_dim(DI), CX
	SHLQ $2, CX
	XORQ AX, AX
	PCALIGN $32
dims:
	TRANSPOSE((R8)(AX*1), (R9)(AX*1), (R10)(AX*1), (R11)(AX*1), (R12)(AX*1), (R13)(AX*1), (R14)(AX*1), (R15)(AX*1))
	VMOVUPS Y0, (DX)
	VMOVUPS Y1, (DX)(SI*1)
	VMOVUPS Y2, (DX)(SI*2)
	VMOVUPS Y3, (DX)(BX*1)
	LEAQ (DX)(SI*4), DX
	ADDQ $16, AX
	CMPQ AX, CX
	JLT  dims
	MOVQ from-16(SP), AX
	MOVQ to-24(SP), DX
	ADDQ $32, DX
	SUBQ $8, left-8(SP)
	JNZ  lanes
	VZEROUPPER
	RET

// func scatterAVX2(t *attentionTile, out *float32)
// As scatterGeneric, four lanes and eight dimensions at a time.
TEXT ·scatterAVX2(SB), NOSPLIT, $0-16
	MOVQ t+0(FP), DI
	MOVQ attentionTile_to(DI), AX
	MOVQ attentionTile_o(DI), DX
	MOVQ attentionTile_sum(DI), BX
	MOVQ attentionTile_lanes(DI), R15
	MOVQ R15, SI
	SHLQ $2, SI
	LEAQ (SI)(SI*2), R10
lanes:
	VMOVUPS one<>(SB), X0
	VDIVPS (BX), X0, X0
	VBROADCASTSS X0, Y8
	VPERMILPS $0x55, X0, X1
	VBROADCASTSS X1, Y9
	VPERMILPS $0xaa, X0, X1
	VBROADCASTSS X1, Y10
	VPERMILPS $0xff, X0, X1
	VBROADCASTSS X1, Y11
	MOVQ out+8(FP), CX
	PLACE(0, CX, R11)
	PLACE(1, CX, R12)
	PLACE(2, CX, R13)
	PLACE(3, CX, R14)
	MOVQ DX, R8
	LEAQ (DX)(SI*4), R9
	MOVQ attentionTile_dim(DI), CX
	PCALIGN $32
dims:
	TRANSPOSE((R8), (R8)(SI*1), (R8)(SI*2), (R8)(R10*1), (R9), (R9)(SI*1), (R9)(SI*2), (R9)(R10*1))
	VMULPS Y8, Y0, Y0
	VMULPS Y9, Y1, Y1
	VMULPS Y10, Y2, Y2
	VMULPS Y11, Y3, Y3
	VMOVUPS Y0, (R11)
	VMOVUPS Y1, (R12)
	VMOVUPS Y2, (R13)
	VMOVUPS Y3, (R14)
	ADDQ $32, R11
	ADDQ $32, R12
	ADDQ $32, R13
	ADDQ $32, R14
	LEAQ (R8)(SI*8), R8
	LEAQ (R9)(SI*8), R9
	SUBQ $8, CX
	JNZ  dims
	ADDQ $32, AX
	ADDQ $16, BX
	ADDQ $16, DX
	SUBQ $4, R15
	JNZ  lanes
	VZEROUPPER
	RET

// 4 keys against 24 queries, one dimension: 12 fused multiply-adds for 3 loads and 4 broadcasts. The same for 4 dimensions
// of the values.
#define FMA3(k, a0, a1, a2) VBROADCASTSS k, Y15; VFMADD231PS Y12, Y15, a0; VFMADD231PS Y13, Y15, a1; VFMADD231PS Y14, Y15, a2
#define LOAD3(at, r) VMOVUPS (at)(r), Y12; VMOVUPS (at+32)(r), Y13; VMOVUPS (at+64)(r), Y14

#define SCORE(i) \
	LOAD3(i*96, SI); \
	FMA3((i*4)(BX), Y0, Y1, Y2); FMA3((i*4)(BX)(R9*1), Y3, Y4, Y5); \
	FMA3((i*4)(BX)(R9*2), Y6, Y7, Y8); FMA3((i*4)(R11), Y9, Y10, Y11)

#define VALUES(k) \
	LOAD3(k*96, DX); \
	FMA3((SI), Y0, Y1, Y2); FMA3(4(SI), Y3, Y4, Y5); FMA3(8(SI), Y6, Y7, Y8); FMA3(12(SI), Y9, Y10, Y11); ADDQ R9, SI

// -Inf where the lane sees no more than the keys before key Y12
#define UNSEEN1(at, a) VMOVDQU at(R10), Y13; VPCMPGTD Y12, Y13, Y13; VBLENDVPS Y13, a, Y15, a
#define UNSEEN(a0, a1, a2) UNSEEN1(0, a0); UNSEEN1(32, a1); UNSEEN1(64, a2); VPADDD Y14, Y12, Y12

#define LARGEST(a0, a1, a2) VMAXPS a0, Y12, Y12; VMAXPS a1, Y13, Y13; VMAXPS a2, Y14, Y14
#define STORE3(at, r, a0, a1, a2) VMOVUPS a0, (at)(r); VMOVUPS a1, (at+32)(r); VMOVUPS a2, (at+64)(r)

// x = 2^x, f and p are scratch; below 2^-125 it is 0
#define EXP2(x, f, p, k) \
	VCMPPS $5, Y15, x, k; VROUNDPS $8, x, p; VSUBPS p, x, x; VCVTPS2DQ p, p; VPSLLD $23, p, p; \
	VMOVUPS e5<>(SB), f; VFMADD213PS e4<>(SB), x, f; VFMADD213PS e3<>(SB), x, f; VFMADD213PS e2<>(SB), x, f; \
	VFMADD213PS e1<>(SB), x, f; VFMADD213PS one<>(SB), x, f; VPADDD p, f, x; VANDPS k, x, x

#define LOADSUM(j, a0, a1, a2) VMULPS (j*96)(DI), Y12, a0; VMULPS (j*96+32)(DI), Y13, a1; VMULPS (j*96+64)(DI), Y14, a2

// func attendAVX2(t *attentionTile, key0, keys, all int)
// As attendTileGeneric for 24 lanes; keys is a multiple of 4, dim too.
TEXT ·attendAVX2(SB), NOSPLIT, $0-32
	MOVQ t+0(FP), AX
	MOVQ attentionTile_k(AX), BX
	MOVQ attentionTile_p(AX), DX
	MOVQ attentionTile_dim(AX), R9
	MOVQ attentionTile_limit(AX), R10
	MOVQ attentionTile_max(AX), R15
	MOVQ attentionTile_fix(AX), R12
	MOVQ keys+16(FP), R13
	MOVQ all+24(FP), R14
	MOVQ key0+8(FP), R8
	SHLQ $2, R9
	LOAD3(0, R15)
	STORE3(0, R12, Y12, Y13, Y14)
keys:
	MOVQ attentionTile_q(AX), SI
	MOVQ R9, CX
	LEAQ (R9)(R9*2), R11
	ADDQ BX, R11
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
dims:
	SCORE(0)
	SCORE(1)
	SCORE(2)
	SCORE(3)
	ADDQ $16, BX
	ADDQ $16, R11
	ADDQ $384, SI
	SUBQ $16, CX
	JNZ  dims
	MOVQ R11, BX
	SUBQ $4, R14
	JGE  seen
	VMOVD R8, X12
	VPBROADCASTD X12, Y12
	VPBROADCASTD step<>(SB), Y14
	VBROADCASTSS inf<>(SB), Y15
	UNSEEN(Y0, Y1, Y2)
	UNSEEN(Y3, Y4, Y5)
	UNSEEN(Y6, Y7, Y8)
	UNSEEN(Y9, Y10, Y11)
seen:
	LOAD3(0, R15)
	LARGEST(Y0, Y1, Y2)
	LARGEST(Y3, Y4, Y5)
	LARGEST(Y6, Y7, Y8)
	LARGEST(Y9, Y10, Y11)
	STORE3(0, R15, Y12, Y13, Y14)
	STORE3(0, DX, Y0, Y1, Y2)
	STORE3(96, DX, Y3, Y4, Y5)
	STORE3(192, DX, Y6, Y7, Y8)
	STORE3(288, DX, Y9, Y10, Y11)
	ADDQ $384, DX
	ADDQ $4, R8
	SUBQ $4, R13
	JNZ  keys

	VBROADCASTSS attentionTile_log2(AX), Y14
	VBROADCASTSS least<>(SB), Y15
	MOVQ attentionTile_p(AX), SI
	MOVQ attentionTile_sum(AX), R14
	MOVQ $3, R13
vector:
	// the factor of what came before: both maxima are scaled and rounded alike, so that equal ones give exactly 1
	VMULPS (R15), Y14, Y13
	VMULPS (R12), Y14, Y0
	VSUBPS Y13, Y0, Y0
	EXP2(Y0, Y3, Y6, Y9)
	VMOVUPS Y0, (R12)
	VMOVAPS Y0, Y12
	VXORPS Y11, Y11, Y11
	MOVQ SI, DX
	MOVQ keys+16(FP), CX
	PCALIGN $32
exps:
	VMOVUPS (DX), Y0
	VMOVUPS 96(DX), Y1
	VFMSUB132PS Y14, Y13, Y0
	VFMSUB132PS Y14, Y13, Y1
	EXP2(Y0, Y3, Y6, Y9)
	EXP2(Y1, Y4, Y7, Y10)
	VADDPS Y0, Y11, Y11
	VADDPS Y1, Y11, Y11
	VMOVUPS Y0, (DX)
	VMOVUPS Y1, 96(DX)
	ADDQ $192, DX
	SUBQ $2, CX
	JNZ  exps
	VFMADD231PS (R14), Y12, Y11
	VMOVUPS Y11, (R14)
	ADDQ $32, SI
	ADDQ $32, R12
	ADDQ $32, R14
	ADDQ $32, R15
	DECQ R13
	JNZ  vector

	MOVQ attentionTile_o(AX), DI
	MOVQ attentionTile_v(AX), BX
	MOVQ attentionTile_fix(AX), R12
	MOVQ attentionTile_dim(AX), R8
values:
	MOVQ BX, SI
	MOVQ attentionTile_p(AX), DX
	MOVQ keys+16(FP), CX
	LOAD3(0, R12)
	LOADSUM(0, Y0, Y1, Y2)
	LOADSUM(1, Y3, Y4, Y5)
	LOADSUM(2, Y6, Y7, Y8)
	LOADSUM(3, Y9, Y10, Y11)
	PCALIGN $32
sums:
	VALUES(0)
	VALUES(1)
	VALUES(2)
	VALUES(3)
	ADDQ $384, DX
	SUBQ $4, CX
	JNZ  sums
	STORE3(0, DI, Y0, Y1, Y2)
	STORE3(96, DI, Y3, Y4, Y5)
	STORE3(192, DI, Y6, Y7, Y8)
	STORE3(288, DI, Y9, Y10, Y11)
	ADDQ $384, DI
	ADDQ $16, BX
	SUBQ $4, R8
	JNZ  values
	VZEROUPPER
	RET

DATA inf<>+0(SB)/4, $0xff800000
GLOBL inf<>(SB), RODATA|NOPTR, $4
DATA step<>+0(SB)/4, $1
GLOBL step<>(SB), RODATA|NOPTR, $4
DATA least<>+0(SB)/4, $0xc2fa0000 // -125
GLOBL least<>(SB), RODATA|NOPTR, $4
