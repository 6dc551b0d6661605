// The softmax of 32 lanes on 512 bits, for scores from vectors and from tiles. AX is the tile, DX walks its scores.

// -Inf where the lane sees no more than the keys before key Z18
#define UNSEEN(a0, a1) \
	VPCMPD $2, Z18, Z29, K1; VPCMPD $2, Z18, Z30, K2; VMOVAPS Z31, K1, a0; VMOVAPS Z31, K2, a1; VPADDD Z19, Z18, Z18

#define LARGEST(a0, a1) VMAXPS a0, Z27, Z27; VMAXPS a1, Z28, Z28
#define KEEP(j, a0, a1) VMOVUPS a0, (j*128)(DX); VMOVUPS a1, (j*128+64)(DX)

// x = 2^(x*Z26 - m), f and p are scratch; below 2^-125 it is 0
#define EXP2(x, m, f, p, k) \
	VFMSUB132PS Z26, m, x; VCMPPS $5, Z19, x, k; EXPONENT(x, f, p); VSCALEFPS.Z p, f, k, x
#define EXPONENT(x, f, p) \
	VRNDSCALEPS $8, x, p; VSUBPS p, x, x; \
	VMOVAPS Z21, f; VFMADD213PS Z22, x, f; VFMADD213PS Z23, x, f; VFMADD213PS Z24, x, f; VFMADD213PS Z25, x, f; VFMADD213PS Z20, x, f

#define MASK \
	VPBROADCASTD R8, Z18; VPBROADCASTD step<>(SB), Z19; \
	UNSEEN(Z0, Z1); UNSEEN(Z2, Z3); UNSEEN(Z4, Z5); UNSEEN(Z6, Z7); \
	UNSEEN(Z8, Z9); UNSEEN(Z10, Z11); UNSEEN(Z12, Z13); UNSEEN(Z14, Z15)
#define LOADKEY(j, a0, a1) VMOVUPS (j*128)(DX), a0; VMOVUPS (j*128+64)(DX), a1
#define LOAD8 \
	LOADKEY(0, Z0, Z1); LOADKEY(1, Z2, Z3); LOADKEY(2, Z4, Z5); LOADKEY(3, Z6, Z7); \
	LOADKEY(4, Z8, Z9); LOADKEY(5, Z10, Z11); LOADKEY(6, Z12, Z13); LOADKEY(7, Z14, Z15)
#define LARGEST8 \
	LARGEST(Z0, Z1); LARGEST(Z2, Z3); LARGEST(Z4, Z5); LARGEST(Z6, Z7); \
	LARGEST(Z8, Z9); LARGEST(Z10, Z11); LARGEST(Z12, Z13); LARGEST(Z14, Z15)
#define KEEP8 \
	KEEP(0, Z0, Z1); KEEP(1, Z2, Z3); KEEP(2, Z4, Z5); KEEP(3, Z6, Z7); \
	KEEP(4, Z8, Z9); KEEP(5, Z10, Z11); KEEP(6, Z12, Z13); KEEP(7, Z14, Z15)

// limits in Z29 and Z30, maxima in Z27 and Z28
#define LIMITS \
	MOVQ attentionTile_limit(AX), R15; VMOVUPS (R15), Z29; VMOVUPS 64(R15), Z30; VBROADCASTSS inf<>(SB), Z31; \
	MOVQ attentionTile_max(AX), R15; VMOVUPS (R15), Z27; VMOVUPS 64(R15), Z28

// Factors of what came before in Z29 and Z30, constants for EXP2, and sums of 0. Both maxima are scaled and rounded alike,
// so that equal ones give exactly 1.
#define FACTORS \
	VBROADCASTSS attentionTile_log2(AX), Z26; \
	VMOVUPS e5<>(SB), Z21; \
	VMOVUPS e4<>(SB), Z22; \
	VMOVUPS e3<>(SB), Z23; \
	VMOVUPS e2<>(SB), Z24; \
	VMOVUPS e1<>(SB), Z25; \
	VMOVUPS one<>(SB), Z20; \
	VBROADCASTSS least<>(SB), Z19; \
	VMULPS (R15), Z26, Z0; \
	VMULPS 64(R15), Z26, Z1; \
	VMOVUPS Z27, (R15); \
	VMOVUPS Z28, 64(R15); \
	VMULPS Z26, Z27, Z27; \
	VMULPS Z26, Z28, Z28; \
	VSUBPS Z27, Z0, Z0; \
	VSUBPS Z28, Z1, Z1; \
	VCMPPS $5, Z19, Z0, K1; \
	VCMPPS $5, Z19, Z1, K2; \
	EXPONENT(Z0, Z2, Z3); \
	EXPONENT(Z1, Z4, Z5); \
	VSCALEFPS.Z Z3, Z2, K1, Z29; \
	VSCALEFPS.Z Z5, Z4, K2, Z30; \
	VPXORD Z14, Z14, Z14; VPXORD Z15, Z15, Z15

// two keys' scores become exponentials in Z0 to Z3, and are added to the sums
#define TWOKEYS \
	VMOVUPS (DX), Z0; \
	VMOVUPS 64(DX), Z1; \
	VMOVUPS 128(DX), Z2; \
	VMOVUPS 192(DX), Z3; \
	EXP2(Z0, Z27, Z4, Z8, K1); \
	EXP2(Z1, Z28, Z5, Z9, K2); \
	EXP2(Z2, Z27, Z6, Z10, K3); \
	EXP2(Z3, Z28, Z7, Z11, K4); \
	VADDPS Z0, Z14, Z14; \
	VADDPS Z1, Z15, Z15; \
	VADDPS Z2, Z14, Z14; \
	VADDPS Z3, Z15, Z15

#define ADDSUMS \
	MOVQ attentionTile_sum(AX), R15; \
	VFMADD231PS (R15), Z29, Z14; \
	VFMADD231PS 64(R15), Z30, Z15; \
	VMOVUPS Z14, (R15); \
	VMOVUPS Z15, 64(R15)

DATA inf<>+0(SB)/4, $0xff800000
GLOBL inf<>(SB), RODATA|NOPTR, $4
DATA step<>+0(SB)/4, $1
GLOBL step<>(SB), RODATA|NOPTR, $4
DATA least<>+0(SB)/4, $0xc2fa0000 // -125
GLOBL least<>(SB), RODATA|NOPTR, $4
