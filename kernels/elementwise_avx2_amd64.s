//go:build !purego

#include "textflag.h"
#include "exp_amd64.h"

// func sumSquaresMaxAVX2(x *float32, n int) (ss, amax float32)
// n is a multiple of 8.
TEXT ·sumSquaresMaxAVX2(SB), NOSPLIT, $0-24
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), CX
	VMOVUPS absm<>(SB), Y15
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	VXORPS Y4, Y4, Y4
	VXORPS Y5, Y5, Y5
	SUBQ $32, CX
	JLT  tail
loop:
	VMOVUPS (SI), Y8
	VMOVUPS 32(SI), Y9
	VMOVUPS 64(SI), Y10
	VMOVUPS 96(SI), Y11
	VFMADD231PS Y8, Y8, Y0
	VFMADD231PS Y9, Y9, Y1
	VFMADD231PS Y10, Y10, Y2
	VFMADD231PS Y11, Y11, Y3
	VANDPS Y15, Y8, Y8
	VANDPS Y15, Y9, Y9
	VANDPS Y15, Y10, Y10
	VANDPS Y15, Y11, Y11
	VMAXPS Y9, Y8, Y8
	VMAXPS Y11, Y10, Y10
	VMAXPS Y8, Y4, Y4
	VMAXPS Y10, Y5, Y5
	ADDQ $128, SI
	SUBQ $32, CX
	JGE  loop
tail:
	ADDQ $32, CX
	JZ   done
tailloop:
	VMOVUPS (SI), Y8
	VFMADD231PS Y8, Y8, Y0
	VANDPS Y15, Y8, Y8
	VMAXPS Y8, Y4, Y4
	ADDQ $32, SI
	SUBQ $8, CX
	JNZ  tailloop
done:
	VADDPS Y1, Y0, Y0
	VADDPS Y3, Y2, Y2
	VADDPS Y2, Y0, Y0
	VMAXPS Y5, Y4, Y4
	HSUM(Y0, X0, Y1, X1)
	HMAX(Y4, X4, Y1, X1)
	VZEROUPPER
	MOVSS X0, ss+16(FP)
	MOVSS X4, amax+20(FP)
	RET

// func swiGLUAVX2(dst *float32, ldd int, gate, up *float32, lds, cols, rows int)
// cols is a multiple of 8.
TEXT ·swiGLUAVX2(SB), NOSPLIT, $0-56
	MOVQ dst+0(FP), DI
	MOVQ ldd+8(FP), R8
	MOVQ gate+16(FP), SI
	MOVQ up+24(FP), BX
	MOVQ lds+32(FP), R9
	MOVQ rows+48(FP), R10
	SHLQ $2, R8
	SHLQ $2, R9
	VXORPS Y15, Y15, Y15
	VMOVUPS lo<>(SB), Y14
	VMOVUPS hi<>(SB), Y13
	VMOVUPS one<>(SB), Y12
row:
	MOVQ cols+40(FP), CX
	SHLQ $2, CX
	XORQ AX, AX
loop:
	VMOVUPS (SI)(AX*1), Y0
	VSUBPS Y0, Y15, Y1
	VMINPS Y1, Y13, Y1
	VMAXPS Y1, Y14, Y1
	EXP(Y1, Y2, Y3)
	VADDPS Y12, Y1, Y1
	VDIVPS Y1, Y0, Y0
	VMULPS (BX)(AX*1), Y0, Y0
	VMOVUPS Y0, (DI)(AX*1)
	ADDQ $32, AX
	CMPQ AX, CX
	JLT  loop
	ADDQ R8, DI
	ADDQ R9, SI
	ADDQ R9, BX
	DECQ R10
	JNZ  row
	VZEROUPPER
	RET

// func geluAVX2(x *float32, ld, cols, rows int)
// cols is a multiple of 8.
TEXT ·geluAVX2(SB), NOSPLIT, $0-32
	MOVQ x+0(FP), SI
	MOVQ ld+8(FP), R8
	MOVQ rows+24(FP), R10
	SHLQ $2, R8
	VMOVUPS lo<>(SB), Y14
	VMOVUPS one<>(SB), Y12
	VMOVUPS sign<>(SB), Y11
row:
	MOVQ cols+16(FP), CX
	SHLQ $2, CX
	XORQ AX, AX
loop:
	VMOVUPS (SI)(AX*1), Y0
	VANDPS absm<>(SB), Y0, Y1
	VMULPS rsqrt2<>(SB), Y1, Y1  // z
	VMULPS Y1, Y1, Y2
	VXORPS Y11, Y2, Y2
	VMAXPS Y2, Y14, Y2
	EXP(Y2, Y3, Y4)              // exp(-z²)
	VMOVUPS erfp<>(SB), Y3
	VFMADD213PS Y12, Y1, Y3
	VDIVPS Y3, Y12, Y3           // t
	VMOVUPS a5<>(SB), Y4
	VFMADD213PS a4<>(SB), Y3, Y4
	VFMADD213PS a3<>(SB), Y3, Y4
	VFMADD213PS a2<>(SB), Y3, Y4
	VFMADD213PS a1<>(SB), Y3, Y4
	VMULPS Y3, Y4, Y4
	VMULPS Y2, Y4, Y4            // 1 - erf(z)
	VSUBPS Y4, Y12, Y5           // erf(z)
	VANDPS Y11, Y0, Y6
	VORPS Y6, Y5, Y5             // erf(x/sqrt 2)
	VADDPS Y12, Y5, Y5
	VMULPS half<>(SB), Y0, Y0
	VMULPS Y5, Y0, Y0
	VMOVUPS Y0, (SI)(AX*1)
	ADDQ $32, AX
	CMPQ AX, CX
	JLT  loop
	ADDQ R8, SI
	DECQ R10
	JNZ  row
	VZEROUPPER
	RET

// func expSumsAVX2(sums, logits *float32, width int, ref *float32, far float32, rows int) int
// Adds exp(logit-ref) of each row's logits [width, a multiple of 16] to its 16 sums, up to the first row with a logit
// above ref+far; returns how many rows it did.
TEXT ·expSumsAVX2(SB), NOSPLIT, $0-56
	MOVQ sums+0(FP), DI
	MOVQ logits+8(FP), SI
	MOVQ width+16(FP), R8
	MOVQ ref+24(FP), R9
	VBROADCASTSS far+32(FP), Y13
	MOVQ rows+40(FP), R10
	SHLQ $2, R8
	VMOVUPS lo<>(SB), Y14
row:
	VBROADCASTSS (R9), Y15
	VMOVUPS (DI), Y10
	VMOVUPS 32(DI), Y11
	VXORPS Y12, Y12, Y12
	XORQ AX, AX
loop:
	VMOVUPS (SI)(AX*1), Y0
	VMOVUPS 32(SI)(AX*1), Y1
	VSUBPS Y15, Y0, Y0
	VSUBPS Y15, Y1, Y1
	VMAXPS Y1, Y0, Y8
	VCMPPS $0x1e, Y13, Y8, Y8
	VORPS Y8, Y12, Y12
	VCMPPS $5, Y14, Y0, Y6
	VCMPPS $5, Y14, Y1, Y7
	VMAXPS Y0, Y14, Y0
	VMAXPS Y1, Y14, Y1
	EXP(Y0, Y2, Y3)
	EXP(Y1, Y4, Y5)
	VANDPS Y6, Y0, Y0
	VANDPS Y7, Y1, Y1
	VADDPS Y0, Y10, Y10
	VADDPS Y1, Y11, Y11
	ADDQ $64, AX
	CMPQ AX, R8
	JLT  loop
	// a logit above ref+far ends the call with this row's sums untouched
	VMOVMSKPS Y12, AX
	TESTQ AX, AX
	JNZ  done
	VMOVUPS Y10, (DI)
	VMOVUPS Y11, 32(DI)
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

// Butterflies inside a register: the partner's value plus the own one times 1 or, in the upper half, -1 (exact).
CONST(odd1, $0xbf8000003f800000)
DATA odd2<>+0(SB)/8, $0x3f8000003f800000
DATA odd2<>+8(SB)/8, $0xbf800000bf800000
DATA odd2<>+16(SB)/8, $0x3f8000003f800000
DATA odd2<>+24(SB)/8, $0xbf800000bf800000
GLOBL odd2<>(SB), RODATA|NOPTR, $32
DATA odd4<>+0(SB)/8, $0x3f8000003f800000
DATA odd4<>+8(SB)/8, $0x3f8000003f800000
DATA odd4<>+16(SB)/8, $0xbf800000bf800000
DATA odd4<>+24(SB)/8, $0xbf800000bf800000
GLOBL odd4<>(SB), RODATA|NOPTR, $32

#define INSIDE(r) \
	VPERMILPS $0xb1, r, Y8; VFMADD213PS Y8, Y13, r; \
	VPERMILPS $0x4e, r, Y8; VFMADD213PS Y8, Y14, r; \
	VPERM2F128 $1, r, r, Y8; VFMADD213PS Y8, Y15, r

#define FLY(a, b) VSUBPS b, a, Y8; VADDPS b, a, a; VMOVAPS Y8, b

#define ACROSS \
	FLY(Y0, Y1); FLY(Y2, Y3); FLY(Y4, Y5); FLY(Y6, Y7); \
	FLY(Y0, Y2); FLY(Y1, Y3); FLY(Y4, Y6); FLY(Y5, Y7); \
	FLY(Y0, Y4); FLY(Y1, Y5); FLY(Y2, Y6); FLY(Y3, Y7)

#define LOAD8(s) \
	VMOVUPS (SI), Y0; VMOVUPS (1*s)(SI), Y1; VMOVUPS (2*s)(SI), Y2; VMOVUPS (3*s)(SI), Y3; \
	VMOVUPS (4*s)(SI), Y4; VMOVUPS (5*s)(SI), Y5; VMOVUPS (6*s)(SI), Y6; VMOVUPS (7*s)(SI), Y7

#define STORE8(s) \
	VMOVUPS Y0, (SI); VMOVUPS Y1, (1*s)(SI); VMOVUPS Y2, (2*s)(SI); VMOVUPS Y3, (3*s)(SI); \
	VMOVUPS Y4, (4*s)(SI); VMOVUPS Y5, (5*s)(SI); VMOVUPS Y6, (6*s)(SI); VMOVUPS Y7, (7*s)(SI)

// func hadamard64AVX2(x *float32, n int)
// The first six stages, distances 1 to 32, of each 64 values.
TEXT ·hadamard64AVX2(SB), NOSPLIT, $0-16
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), CX
	VMOVUPS odd1<>(SB), Y13
	VMOVUPS odd2<>(SB), Y14
	VMOVUPS odd4<>(SB), Y15
loop:
	LOAD8(32)
	INSIDE(Y0)
	INSIDE(Y1)
	INSIDE(Y2)
	INSIDE(Y3)
	INSIDE(Y4)
	INSIDE(Y5)
	INSIDE(Y6)
	INSIDE(Y7)
	ACROSS
	STORE8(32)
	ADDQ $256, SI
	SUBQ $64, CX
	JNZ  loop
	VZEROUPPER
	RET

// func hadamard512AVX2(x *float32, n int)
// The last three stages, distances 64 to 256, of each 512 values.
TEXT ·hadamard512AVX2(SB), NOSPLIT, $0-16
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), DI
part:
	MOVQ $8, CX
loop:
	LOAD8(256)
	ACROSS
	STORE8(256)
	ADDQ $32, SI
	DECQ CX
	JNZ  loop
	ADDQ $1792, SI
	SUBQ $512, DI
	JNZ  part
	VZEROUPPER
	RET

// func hadamardStageAVX2(x *float32, n, h int)
// One stage of distance h, a multiple of 8, over n values.
TEXT ·hadamardStageAVX2(SB), NOSPLIT, $0-24
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), DI
	MOVQ h+16(FP), R8
	SHLQ $2, DI
	SHLQ $2, R8
	ADDQ SI, DI
pair:
	MOVQ R8, CX
loop:
	VMOVUPS (SI), Y0
	VMOVUPS (SI)(R8*1), Y1
	FLY(Y0, Y1)
	VMOVUPS Y0, (SI)
	VMOVUPS Y1, (SI)(R8*1)
	ADDQ $32, SI
	SUBQ $32, CX
	JNZ  loop
	ADDQ R8, SI
	CMPQ SI, DI
	JLT  pair
	VZEROUPPER
	RET

// func scaleAVX2(x *float32, n int, f float32)
// x *= f; n is a multiple of 8.
TEXT ·scaleAVX2(SB), NOSPLIT, $0-20
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), CX
	VBROADCASTSS f+16(FP), Y1
loop:
	VMULPS (SI), Y1, Y0
	VMOVUPS Y0, (SI)
	ADDQ $32, SI
	SUBQ $8, CX
	JNZ  loop
	VZEROUPPER
	RET

// func rotateAVX2(x, cos, sin *float32, dim, heads int)
// dim is a multiple of 8.
TEXT ·rotateAVX2(SB), NOSPLIT, $0-40
	MOVQ x+0(FP), SI
	MOVQ cos+8(FP), BX
	MOVQ sin+16(FP), DX
	MOVQ dim+24(FP), CX
	MOVQ heads+32(FP), DI
	SHLQ $2, CX
head:
	XORQ AX, AX
loop:
	VMOVUPS (SI)(AX*1), Y0
	VPERMILPS $0xb1, Y0, Y1
	VMULPS (DX)(AX*1), Y1, Y1
	VFMADD132PS (BX)(AX*1), Y1, Y0
	VMOVUPS Y0, (SI)(AX*1)
	ADDQ $32, AX
	CMPQ AX, CX
	JLT  loop
	ADDQ CX, SI
	DECQ DI
	JNZ  head
	VZEROUPPER
	RET

CONST(bias7fff, $0x00007fff00007fff)
CONST(lowbit, $0x0000000100000001)
CONST(quiet, $0x0000004000000040)

// func toBF16AVX2(dst *BF16, src *float32, n int)
// n is a multiple of 8. Rounds to nearest even by adding 0x7fff and the lowest kept bit; NaN gets its quiet bit instead.
TEXT ·toBF16AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	VMOVDQU bias7fff<>(SB), Y13
	VMOVDQU lowbit<>(SB), Y14
	VMOVDQU quiet<>(SB), Y15
loop:
	VMOVDQU (SI), Y0
	VPSRLD $16, Y0, Y1
	VPAND Y14, Y1, Y2
	VPADDD Y13, Y2, Y2
	VPADDD Y0, Y2, Y2
	VPSRLD $16, Y2, Y2
	VPOR Y15, Y1, Y1
	VCMPPS $3, Y0, Y0, Y3
	VBLENDVPS Y3, Y1, Y2, Y2
	VEXTRACTI128 $1, Y2, X1
	VPACKUSDW X1, X2, X2
	VMOVDQU X2, (DI)
	ADDQ $32, SI
	ADDQ $16, DI
	SUBQ $8, CX
	JNZ  loop
	VZEROUPPER
	RET

// func layerNormAVX2(x, weight, bias *float32, n int, eps float32)
// n is a multiple of 8.
TEXT ·layerNormAVX2(SB), NOSPLIT, $0-36
	MOVQ x+0(FP), SI
	MOVQ weight+8(FP), BX
	MOVQ bias+16(FP), DX
	MOVQ n+24(FP), CX
	VXORPS X7, X7, X7
	VCVTSI2SSQ CX, X7, X7
	SHLQ $2, CX
	VXORPS Y0, Y0, Y0
	XORQ AX, AX
sum:
	VADDPS (SI)(AX*1), Y0, Y0
	ADDQ $32, AX
	CMPQ AX, CX
	JLT  sum
	HSUM(Y0, X0, Y1, X1)
	VDIVSS X7, X0, X0
	VBROADCASTSS X0, Y8
	VXORPS Y0, Y0, Y0
	XORQ AX, AX
square:
	VMOVUPS (SI)(AX*1), Y1
	VSUBPS Y8, Y1, Y1
	VFMADD231PS Y1, Y1, Y0
	ADDQ $32, AX
	CMPQ AX, CX
	JLT  square
	HSUM(Y0, X0, Y1, X1)
	VDIVSS X7, X0, X0
	VADDSS eps+32(FP), X0, X0
	VSQRTSS X0, X0, X0
	VMOVSS one<>(SB), X1
	VDIVSS X0, X1, X0
	VBROADCASTSS X0, Y9
	XORQ AX, AX
scale:
	VMOVUPS (SI)(AX*1), Y1
	VSUBPS Y8, Y1, Y1
	VMULPS Y9, Y1, Y1
	VMOVUPS (BX)(AX*1), Y2
	VFMADD213PS (DX)(AX*1), Y1, Y2
	VMOVUPS Y2, (SI)(AX*1)
	ADDQ $32, AX
	CMPQ AX, CX
	JLT  scale
	VZEROUPPER
	RET

// func mixAVX2(dst, src, f *float32, parts, width int)
// Part i of dst, of width values, is the sum over j of f[i, j] times part j of src; width is a multiple of 32.
TEXT ·mixAVX2(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ f+16(FP), BX
	MOVQ parts+24(FP), R8
	MOVQ width+32(FP), R9
	SHLQ $2, R9
	MOVQ R8, R10
part:
	XORQ AX, AX
column:
	MOVQ src+8(FP), SI
	ADDQ AX, SI
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	XORQ CX, CX
sum:
	VBROADCASTSS (BX)(CX*4), Y4
	VFMADD231PS (SI), Y4, Y0
	VFMADD231PS 32(SI), Y4, Y1
	VFMADD231PS 64(SI), Y4, Y2
	VFMADD231PS 96(SI), Y4, Y3
	ADDQ R9, SI
	INCQ CX
	CMPQ CX, R8
	JLT  sum
	VMOVUPS Y0, (DI)(AX*1)
	VMOVUPS Y1, 32(DI)(AX*1)
	VMOVUPS Y2, 64(DI)(AX*1)
	VMOVUPS Y3, 96(DI)(AX*1)
	ADDQ $128, AX
	CMPQ AX, R9
	JLT  column
	ADDQ R9, DI
	LEAQ (BX)(R8*4), BX
	DECQ R10
	JNZ  part
	VZEROUPPER
	RET
