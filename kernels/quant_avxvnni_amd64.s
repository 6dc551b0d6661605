//go:build !purego

#include "textflag.h"

DATA offset<>+0(SB)/4, $0x80808080
GLOBL offset<>(SB), RODATA|NOPTR, $4
DATA place<>+0(SB)/8, $0x0000000400000000
DATA place<>+8(SB)/8, $0x0000000500000001
DATA place<>+16(SB)/8, $0x0000000600000002
DATA place<>+24(SB)/8, $0x0000000700000003
GLOBL place<>(SB), RODATA|NOPTR, $32

// func quantAVXVNNI(x *float32, inv float32, out *int8, n int)
// Unsigned bytes in order, the value + 128; n is a multiple of 32.
TEXT ·quantAVXVNNI(SB), NOSPLIT, $0-32
	MOVQ x+0(FP), SI
	VBROADCASTSS inv+8(FP), Y8
	MOVQ out+16(FP), DI
	MOVQ n+24(FP), CX
	VPBROADCASTD offset<>(SB), Y9
	VMOVDQU place<>(SB), Y10
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
	VPERMD Y0, Y10, Y0 // the packing was within halves
	VPXOR Y9, Y0, Y0
	VMOVDQU Y0, (DI)
	ADDQ $128, SI
	ADDQ $32, DI
	SUBQ $32, CX
	JNZ  loop
	VZEROUPPER
	RET
