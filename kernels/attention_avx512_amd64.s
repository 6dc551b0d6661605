//go:build !purego

#include "go_asm.h"
#include "textflag.h"
#include "exp_amd64.h"
#include "attention_avx512_amd64.h"

// 8 keys against 32 queries, one dimension: 16 fused multiply-adds for 2 loads and 8 broadcasts.
#define KEYPAIR(k0, k1, a0, a1, b0, b1) \
	VBROADCASTSS k0, Z18; VBROADCASTSS k1, Z19; \
	VFMADD231PS Z16, Z18, a0; VFMADD231PS Z17, Z18, a1; VFMADD231PS Z16, Z19, b0; VFMADD231PS Z17, Z19, b1

#define SCORE(i) \
	VMOVUPS (i*128)(SI), Z16; VMOVUPS (i*128+64)(SI), Z17; \
	KEYPAIR((i*4)(BX), (i*4)(BX)(R9*1), Z0, Z1, Z2, Z3); \
	KEYPAIR((i*4)(BX)(R9*2), (i*4)(R11), Z4, Z5, Z6, Z7); \
	KEYPAIR((i*4)(R11)(R9*1), (i*4)(R11)(R9*2), Z8, Z9, Z10, Z11); \
	KEYPAIR((i*4)(R12), (i*4)(R12)(R9*1), Z12, Z13, Z14, Z15)

#define VALUE(j, a0, a1) VBROADCASTSS (j*4)(SI), Z18; VFMADD231PS Z16, Z18, a0; VFMADD231PS Z17, Z18, a1
#define VALUES(k) \
	VMOVUPS (k*128)(DX), Z16; VMOVUPS (k*128+64)(DX), Z17; \
	VALUE(0, Z0, Z1); VALUE(1, Z2, Z3); VALUE(2, Z4, Z5); VALUE(3, Z6, Z7); \
	VALUE(4, Z8, Z9); VALUE(5, Z10, Z11); VALUE(6, Z12, Z13); VALUE(7, Z14, Z15); ADDQ R9, SI

#define LOADSUM(j, a0, a1) VMULPS (j*128)(DI), Z20, a0; VMULPS (j*128+64)(DI), Z21, a1
#define STORESUM(j, a0, a1) VMOVUPS a0, (j*128)(DI); VMOVUPS a1, (j*128+64)(DI)

// func attendAVX512(t *attentionTile, key0, keys, all int)
// As attendTileGeneric for 32 lanes; keys is a multiple of 8, dim of 16.
TEXT ·attendAVX512(SB), NOSPLIT, $0-32
	MOVQ t+0(FP), AX
	MOVQ attentionTile_k(AX), BX
	MOVQ attentionTile_p(AX), DX
	MOVQ attentionTile_dim(AX), R9
	MOVQ keys+16(FP), R13
	MOVQ all+24(FP), R14
	MOVQ key0+8(FP), R8
	SHLQ $2, R9
	LIMITS
keys:
	MOVQ attentionTile_q(AX), SI
	MOVQ R9, CX
	LEAQ (R9)(R9*2), R12
	LEAQ (BX)(R12*1), R11
	ADDQ R11, R12
	VPXORD Z0, Z0, Z0
	VPXORD Z1, Z1, Z1
	VPXORD Z2, Z2, Z2
	VPXORD Z3, Z3, Z3
	VPXORD Z4, Z4, Z4
	VPXORD Z5, Z5, Z5
	VPXORD Z6, Z6, Z6
	VPXORD Z7, Z7, Z7
	VPXORD Z8, Z8, Z8
	VPXORD Z9, Z9, Z9
	VPXORD Z10, Z10, Z10
	VPXORD Z11, Z11, Z11
	VPXORD Z12, Z12, Z12
	VPXORD Z13, Z13, Z13
	VPXORD Z14, Z14, Z14
	VPXORD Z15, Z15, Z15
	PCALIGN $32
dims:
	SCORE(0)
	SCORE(1)
	SCORE(2)
	SCORE(3)
	ADDQ $16, BX
	ADDQ $16, R11
	ADDQ $16, R12
	ADDQ $512, SI
	SUBQ $16, CX
	JNZ  dims
	LEAQ (R12)(R9*1), BX
	SUBQ $8, R14
	JGE  seen
	MASK
seen:
	LARGEST8
	KEEP8
	ADDQ $1024, DX
	ADDQ $8, R8
	SUBQ $8, R13
	JNZ  keys

	FACTORS

	MOVQ attentionTile_p(AX), DX
	MOVQ keys+16(FP), R13
	PCALIGN $32
exps:
	TWOKEYS
	VMOVUPS Z0, (DX)
	VMOVUPS Z1, 64(DX)
	VMOVUPS Z2, 128(DX)
	VMOVUPS Z3, 192(DX)
	ADDQ $256, DX
	SUBQ $2, R13
	JNZ  exps
	ADDSUMS

	VMOVAPS Z29, Z20
	VMOVAPS Z30, Z21
	MOVQ attentionTile_o(AX), DI
	MOVQ attentionTile_v(AX), BX
	MOVQ attentionTile_dim(AX), R8
values:
	MOVQ BX, SI
	MOVQ attentionTile_p(AX), DX
	MOVQ keys+16(FP), CX
	LOADSUM(0, Z0, Z1)
	LOADSUM(1, Z2, Z3)
	LOADSUM(2, Z4, Z5)
	LOADSUM(3, Z6, Z7)
	LOADSUM(4, Z8, Z9)
	LOADSUM(5, Z10, Z11)
	LOADSUM(6, Z12, Z13)
	LOADSUM(7, Z14, Z15)
	PCALIGN $32
sums:
	VALUES(0)
	VALUES(1)
	VALUES(2)
	VALUES(3)
	ADDQ $512, DX
	SUBQ $4, CX
	JNZ  sums
	STORESUM(0, Z0, Z1)
	STORESUM(1, Z2, Z3)
	STORESUM(2, Z4, Z5)
	STORESUM(3, Z6, Z7)
	STORESUM(4, Z8, Z9)
	STORESUM(5, Z10, Z11)
	STORESUM(6, Z12, Z13)
	STORESUM(7, Z14, Z15)
	ADDQ $1024, DI
	ADDQ $32, BX
	SUBQ $8, R8
	JNZ  values
	VZEROUPPER
	RET
