//go:build !purego

#include "textflag.h"
#include "exp_amd64.h"

// func quantVNNI(x *float32, inv float32, out *int8, n int)
// Unsigned bytes, the rounded value + 128, in order; n is a multiple of 16.
TEXT ·quantVNNI(SB), NOSPLIT, $0-32
	MOVQ x+0(FP), SI
	VBROADCASTSS inv+8(FP), Z8
	MOVQ out+16(FP), DI
	MOVQ n+24(FP), CX
	VPBROADCASTB offset<>(SB), X7
loop:
	VMULPS (SI), Z8, Z0
	VCVTPS2DQ Z0, Z0
	VPMOVSDB Z0, X0
	VPXOR X7, X0, X0
	VMOVDQU X0, (DI)
	ADDQ $64, SI
	ADDQ $16, DI
	SUBQ $16, CX
	JNZ  loop
	VZEROUPPER
	RET

DATA offset<>+0(SB)/1, $0x80
GLOBL offset<>(SB), RODATA|NOPTR, $1

// func swiGLUAVX512(dst *float32, ldd int, gate, up *float32, lds, cols, rows int)
// cols is a multiple of 16.
TEXT ·swiGLUAVX512(SB), NOSPLIT, $0-56
	MOVQ dst+0(FP), DI
	MOVQ ldd+8(FP), R8
	MOVQ gate+16(FP), SI
	MOVQ up+24(FP), BX
	MOVQ lds+32(FP), R9
	MOVQ rows+48(FP), R10
	SHLQ $2, R8
	SHLQ $2, R9
	EXP512CONSTS
	VPXORD Z15, Z15, Z15
	VMOVUPS lo<>(SB), Z14
	VMOVUPS hi<>(SB), Z13
row:
	MOVQ cols+40(FP), CX
	SHLQ $2, CX
	XORQ AX, AX
loop:
	VMOVUPS (SI)(AX*1), Z0
	VSUBPS Z0, Z15, Z1
	VMINPS Z1, Z13, Z1
	VMAXPS Z1, Z14, Z1
	EXP512(Z1, Z2, Z3)
	VADDPS Z26, Z1, Z1
	VDIVPS Z1, Z0, Z0
	VMULPS (BX)(AX*1), Z0, Z0
	VMOVUPS Z0, (DI)(AX*1)
	ADDQ $64, AX
	CMPQ AX, CX
	JLT  loop
	ADDQ R8, DI
	ADDQ R9, SI
	ADDQ R9, BX
	DECQ R10
	JNZ  row
	VZEROUPPER
	RET

// func geluAVX512(x *float32, ld, cols, rows int)
// As geluAVX2; cols is a multiple of 16.
TEXT ·geluAVX512(SB), NOSPLIT, $0-32
	MOVQ x+0(FP), SI
	MOVQ ld+8(FP), R8
	MOVQ rows+24(FP), R10
	SHLQ $2, R8
	EXP512CONSTS
	VMOVUPS lo<>(SB), Z14
	VMOVUPS sign<>(SB), Z11
	VMOVUPS absm<>(SB), Z10
	VMOVUPS rsqrt2<>(SB), Z9
	VMOVUPS erfp<>(SB), Z7
	VMOVUPS a5<>(SB), Z15
	VMOVUPS a4<>(SB), Z16
	VMOVUPS a3<>(SB), Z17
	VMOVUPS a2<>(SB), Z18
	VMOVUPS a1<>(SB), Z19
	VMOVUPS half<>(SB), Z27
row:
	MOVQ cols+16(FP), CX
	SHLQ $2, CX
	XORQ AX, AX
loop:
	VMOVUPS (SI)(AX*1), Z0
	VANDPS Z10, Z0, Z1
	VMULPS Z9, Z1, Z1            // z
	VMULPS Z1, Z1, Z2
	VXORPS Z11, Z2, Z2
	VMAXPS Z2, Z14, Z2
	EXP512(Z2, Z3, Z4)           // exp(-z²)
	VMOVAPS Z7, Z3
	VFMADD213PS Z26, Z1, Z3
	VDIVPS Z3, Z26, Z4           // t
	VMOVAPS Z15, Z5
	VFMADD213PS Z16, Z4, Z5
	VFMADD213PS Z17, Z4, Z5
	VFMADD213PS Z18, Z4, Z5
	VFMADD213PS Z19, Z4, Z5
	VMULPS Z4, Z5, Z5
	VMULPS Z2, Z5, Z5            // 1 - erf(z)
	VSUBPS Z5, Z26, Z5
	VANDPS Z11, Z0, Z6
	VORPS Z6, Z5, Z5             // erf(x/sqrt 2)
	VADDPS Z26, Z5, Z5
	VMULPS Z27, Z0, Z0
	VMULPS Z5, Z0, Z0
	VMOVUPS Z0, (SI)(AX*1)
	ADDQ $64, AX
	CMPQ AX, CX
	JLT  loop
	ADDQ R8, SI
	DECQ R10
	JNZ  row
	VZEROUPPER
	RET

// Butterflies inside a register, as in hadamard64AVX2, over all of 16 lanes.
CONST(odd1, $0xbf8000003f800000)
DATA odd8<>+0(SB)/8, $0x3f8000003f800000
DATA odd8<>+8(SB)/8, $0x3f8000003f800000
DATA odd8<>+16(SB)/8, $0x3f8000003f800000
DATA odd8<>+24(SB)/8, $0x3f8000003f800000
DATA odd8<>+32(SB)/8, $0xbf800000bf800000
DATA odd8<>+40(SB)/8, $0xbf800000bf800000
DATA odd8<>+48(SB)/8, $0xbf800000bf800000
DATA odd8<>+56(SB)/8, $0xbf800000bf800000
GLOBL odd8<>(SB), RODATA|NOPTR, $64
DATA odd4<>+0(SB)/8, $0x3f8000003f800000
DATA odd4<>+8(SB)/8, $0x3f8000003f800000
DATA odd4<>+16(SB)/8, $0xbf800000bf800000
DATA odd4<>+24(SB)/8, $0xbf800000bf800000
GLOBL odd4<>(SB), RODATA|NOPTR, $32
DATA odd2<>+0(SB)/8, $0x3f8000003f800000
DATA odd2<>+8(SB)/8, $0xbf800000bf800000
GLOBL odd2<>(SB), RODATA|NOPTR, $16

#define INSIDE(r, t) \
	VPERMILPS $0xb1, r, t; VFMADD213PS t, Z28, r; \
	VPERMILPS $0x4e, r, t; VFMADD213PS t, Z29, r; \
	VSHUFF32X4 $0xb1, r, r, t; VFMADD213PS t, Z30, r; \
	VSHUFF32X4 $0x4e, r, r, t; VFMADD213PS t, Z31, r

#define FLY(a, b, t) VSUBPS b, a, t; VADDPS b, a, a; VMOVAPS t, b

// func hadamard512AVX512(x *float32, n int) (ss, amax float32)
// All nine stages of each 512 values: four parts of 128 in registers, then the last two stages across the parts. The results'
// sum of squares and largest magnitude are those of sumSquaresMaxAVX2, but for the order of the additions.
TEXT ·hadamard512AVX512(SB), NOSPLIT, $0-24
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), DI
	VMOVUPS odd1<>(SB), Z28
	VBROADCASTF32X4 odd2<>(SB), Z29
	VBROADCASTF64X4 odd4<>(SB), Z30
	VMOVUPS odd8<>(SB), Z31
	VMOVUPS absm<>(SB), Z27
	VPXORD Z16, Z16, Z16
	VPXORD Z17, Z17, Z17
	VPXORD Z18, Z18, Z18
	VPXORD Z19, Z19, Z19
	VPXORD Z20, Z20, Z20
	VPXORD Z21, Z21, Z21
part:
	MOVQ $4, CX
quarter:
	VMOVUPS (SI), Z0
	VMOVUPS 64(SI), Z1
	VMOVUPS 128(SI), Z2
	VMOVUPS 192(SI), Z3
	VMOVUPS 256(SI), Z4
	VMOVUPS 320(SI), Z5
	VMOVUPS 384(SI), Z6
	VMOVUPS 448(SI), Z7
	INSIDE(Z0, Z8)
	INSIDE(Z1, Z9)
	INSIDE(Z2, Z10)
	INSIDE(Z3, Z11)
	INSIDE(Z4, Z12)
	INSIDE(Z5, Z13)
	INSIDE(Z6, Z14)
	INSIDE(Z7, Z15)
	FLY(Z0, Z1, Z8)
	FLY(Z2, Z3, Z9)
	FLY(Z4, Z5, Z10)
	FLY(Z6, Z7, Z11)
	FLY(Z0, Z2, Z8)
	FLY(Z1, Z3, Z9)
	FLY(Z4, Z6, Z10)
	FLY(Z5, Z7, Z11)
	FLY(Z0, Z4, Z8)
	FLY(Z1, Z5, Z9)
	FLY(Z2, Z6, Z10)
	FLY(Z3, Z7, Z11)
	VMOVUPS Z0, (SI)
	VMOVUPS Z1, 64(SI)
	VMOVUPS Z2, 128(SI)
	VMOVUPS Z3, 192(SI)
	VMOVUPS Z4, 256(SI)
	VMOVUPS Z5, 320(SI)
	VMOVUPS Z6, 384(SI)
	VMOVUPS Z7, 448(SI)
	ADDQ $512, SI
	DECQ CX
	JNZ  quarter
	SUBQ $2048, SI
	MOVQ $8, CX
column:
	VMOVUPS (SI), Z0
	VMOVUPS 512(SI), Z1
	VMOVUPS 1024(SI), Z2
	VMOVUPS 1536(SI), Z3
	FLY(Z0, Z1, Z8)
	FLY(Z2, Z3, Z9)
	FLY(Z0, Z2, Z8)
	FLY(Z1, Z3, Z9)
	VFMADD231PS Z0, Z0, Z16
	VFMADD231PS Z1, Z1, Z17
	VFMADD231PS Z2, Z2, Z18
	VFMADD231PS Z3, Z3, Z19
	VANDPS Z27, Z0, Z8
	VANDPS Z27, Z1, Z9
	VANDPS Z27, Z2, Z10
	VANDPS Z27, Z3, Z11
	VMAXPS Z9, Z8, Z8
	VMAXPS Z11, Z10, Z10
	VMAXPS Z8, Z20, Z20
	VMAXPS Z10, Z21, Z21
	VMOVUPS Z0, (SI)
	VMOVUPS Z1, 512(SI)
	VMOVUPS Z2, 1024(SI)
	VMOVUPS Z3, 1536(SI)
	ADDQ $64, SI
	DECQ CX
	JNZ  column
	ADDQ $1536, SI
	SUBQ $512, DI
	JNZ  part
	VADDPS Z17, Z16, Z16
	VADDPS Z19, Z18, Z18
	VADDPS Z18, Z16, Z0
	VMAXPS Z21, Z20, Z1
	VEXTRACTF64X4 $1, Z0, Y2
	VEXTRACTF64X4 $1, Z1, Y3
	VADDPS Y2, Y0, Y0
	VMAXPS Y3, Y1, Y1
	HSUM(Y0, X0, Y2, X2)
	HMAX(Y1, X1, Y3, X3)
	VMOVSS X0, ss+16(FP)
	VMOVSS X1, amax+20(FP)
	VZEROUPPER
	RET

// func expSumsAVX512(sums, logits *float32, width int, ref *float32, far float32, rows int) int
// As expSumsAVX2.
TEXT ·expSumsAVX512(SB), NOSPLIT, $0-56
	MOVQ sums+0(FP), DI
	MOVQ logits+8(FP), SI
	MOVQ width+16(FP), R8
	MOVQ ref+24(FP), R9
	VBROADCASTSS far+32(FP), Z13
	MOVQ rows+40(FP), R10
	SHLQ $2, R8
	EXP512CONSTS
	VMOVUPS lo<>(SB), Z14
row:
	VBROADCASTSS (R9), Z15
	VADDPS Z15, Z13, Z12
	XORQ AX, AX
	KXORW K1, K1, K1
check:
	VMOVUPS (SI)(AX*1), Z0
	VCMPPS $0x1e, Z12, Z0, K2
	KORW K2, K1, K1
	ADDQ $64, AX
	CMPQ AX, R8
	JLT  check
	KORTESTW K1, K1
	JNZ  done
	VMOVUPS (DI), Z10
	XORQ AX, AX
loop:
	VMOVUPS (SI)(AX*1), Z0
	VSUBPS Z15, Z0, Z0
	VCMPPS $5, Z14, Z0, K1
	EXP512(Z0, Z2, Z3)
	VADDPS Z0, Z10, K1, Z10
	ADDQ $64, AX
	CMPQ AX, R8
	JLT  loop
	VMOVUPS Z10, (DI)
	ADDQ $64, DI
	ADDQ R8, SI
	ADDQ $4, R9
	DECQ R10
	JNZ  row
done:
	MOVQ rows+40(FP), AX
	SUBQ R10, AX
	MOVQ AX, ret+48(FP)
	VZEROUPPER
	RET

// func sumSquaresMaxAVX512(x *float32, n int) (ss, amax float32)
// As sumSquaresMaxAVX2, with the same order of additions; n is a multiple of 32.
TEXT ·sumSquaresMaxAVX512(SB), NOSPLIT, $0-24
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), CX
	VMOVUPS absm<>(SB), Z15
	VPXORD Z0, Z0, Z0
	VPXORD Z1, Z1, Z1
	VPXORD Z4, Z4, Z4
	VPXORD Z5, Z5, Z5
loop:
	VMOVUPS (SI), Z8
	VMOVUPS 64(SI), Z9
	VFMADD231PS Z8, Z8, Z0
	VFMADD231PS Z9, Z9, Z1
	VANDPS Z15, Z8, Z8
	VANDPS Z15, Z9, Z9
	VMAXPS Z8, Z4, Z4
	VMAXPS Z9, Z5, Z5
	ADDQ $128, SI
	SUBQ $32, CX
	JNZ  loop
	VMAXPS Z5, Z4, Z4
	VEXTRACTF64X4 $1, Z0, Y2
	VEXTRACTF64X4 $1, Z1, Y3
	VEXTRACTF64X4 $1, Z4, Y5
	VADDPS Y2, Y0, Y0
	VADDPS Y3, Y1, Y1
	VADDPS Y1, Y0, Y0
	VMAXPS Y5, Y4, Y4
	HSUM(Y0, X0, Y1, X1)
	HMAX(Y4, X4, Y1, X1)
	VMOVSS X0, ss+16(FP)
	VMOVSS X4, amax+20(FP)
	VZEROUPPER
	RET

CONST(bias7fff, $0x00007fff00007fff)
CONST(lowbit, $0x0000000100000001)
CONST(quiet, $0x0000004000000040)

// The rounding of toBF16AVX2; constants are in Z13 to Z15, t and u are scratch.
#define HALF512(r, t, u) \
	VPSRLD $16, r, t; VPANDD Z14, t, u; VPADDD Z13, u, u; VPADDD r, u, u; VPSRLD $16, u, u; \
	VCMPPS $3, r, r, K1; VPORD Z15, t, K1, u

// func toBF16AVX512(dst *BF16, src *float32, n int)
// As toBF16AVX2; n is a multiple of 16.
TEXT ·toBF16AVX512(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	VMOVDQU32 bias7fff<>(SB), Z13
	VMOVDQU32 lowbit<>(SB), Z14
	VMOVDQU32 quiet<>(SB), Z15
loop:
	VMOVDQU32 (SI), Z0
	HALF512(Z0, Z1, Z2)
	VPMOVDW Z2, (DI)
	ADDQ $64, SI
	ADDQ $32, DI
	SUBQ $16, CX
	JNZ  loop
	VZEROUPPER
	RET

// func halfRowsAVX512(dst *BF16, src *float32, from *int, d, rows int)
// toBF16AVX512 of d numbers from each place of src in from on, one row after the other; d is a multiple of 16.
TEXT ·halfRowsAVX512(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ from+16(FP), BX
	MOVQ rows+32(FP), R8
	VMOVDQU32 bias7fff<>(SB), Z13
	VMOVDQU32 lowbit<>(SB), Z14
	VMOVDQU32 quiet<>(SB), Z15
row:
	MOVQ (BX), AX
	MOVQ src+8(FP), SI
	LEAQ (SI)(AX*4), SI
	MOVQ d+24(FP), CX
loop:
	VMOVDQU32 (SI), Z0
	HALF512(Z0, Z1, Z2)
	VPMOVDW Z2, (DI)
	ADDQ $64, SI
	ADDQ $32, DI
	SUBQ $16, CX
	JNZ  loop
	ADDQ $8, BX
	DECQ R8
	JNZ  row
	VZEROUPPER
	RET
