// Constants and the exponential shared by the assembly files.

#define CONST(name, v) \
	DATA name<>+0(SB)/8, v; DATA name<>+8(SB)/8, v; DATA name<>+16(SB)/8, v; DATA name<>+24(SB)/8, v; \
	DATA name<>+32(SB)/8, v; DATA name<>+40(SB)/8, v; DATA name<>+48(SB)/8, v; DATA name<>+56(SB)/8, v; \
	GLOBL name<>(SB), RODATA|NOPTR, $64

CONST(log2e, $0x3fb8aa3b3fb8aa3b)
CONST(lo, $0xc2ae0000c2ae0000)  // -87: exp of less is 0
CONST(hi, $0x42aa000042aa0000)  // 85: the reciprocal of its exponential is still a normal number
CONST(one, $0x3f8000003f800000)
// 2^f = 1 + e1 f + ... + e5 f^5 for |f| <= 1/2, fitted for the least relative error: 9.1e-8
CONST(e1, $0x3f3172153f317215)
CONST(e2, $0x3e75fcde3e75fcde)
CONST(e3, $0x3d635ba93d635ba9)
CONST(e4, $0x3c1e75443c1e7544)
CONST(e5, $0x3aaddd0a3aaddd0a)
CONST(nlog2e, $0xbfb8aa3bbfb8aa3b)
CONST(most, $0x42fc000042fc0000) // 126
// 2^t = p0 + p1 t + ... + p4 t^4 for 0 <= t < 1, fitted for the least relative error: 2.7e-6
CONST(p0, $0x3f8000163f800016)
CONST(p1, $0x3f3168b33f3168b3)
CONST(p2, $0x3e773cc53e773cc5)
CONST(p3, $0x3d5509f83d5509f8)
CONST(p4, $0x3c5dbe6a3c5dbe6a)
CONST(absm, $0x7fffffff7fffffff)

// x = exp(x) for lo <= x <= hi, NaN kept; p and f are scratch. x*log2e - n is one fused step, so f is rounded once.
#define EXP(x, f, p) \
	VMULPS log2e<>(SB), x, p; VROUNDPS $8, p, p; VFMSUB132PS log2e<>(SB), p, x; VCVTPS2DQ p, p; VPSLLD $23, p, p; \
	VMOVUPS e5<>(SB), f; VFMADD213PS e4<>(SB), x, f; VFMADD213PS e3<>(SB), x, f; VFMADD213PS e2<>(SB), x, f; \
	VFMADD213PS e1<>(SB), x, f; VFMADD213PS one<>(SB), x, f; VPADDD p, f, x

// the same with 512 bits; the constants are in Z20-Z26: log2e, e5, e4, e3, e2, e1, 1
#define EXP512(x, f, p) \
	VMULPS Z20, x, p; VRNDSCALEPS $8, p, p; VFMSUB132PS Z20, p, x; \
	VMOVAPS Z21, f; VFMADD213PS Z22, x, f; VFMADD213PS Z23, x, f; VFMADD213PS Z24, x, f; \
	VFMADD213PS Z25, x, f; VFMADD213PS Z26, x, f; VSCALEFPS p, f, x

#define EXP512CONSTS \
	VMOVUPS log2e<>(SB), Z20; VMOVUPS e5<>(SB), Z21; VMOVUPS e4<>(SB), Z22; VMOVUPS e3<>(SB), Z23; \
	VMOVUPS e2<>(SB), Z24; VMOVUPS e1<>(SB), Z25; VMOVUPS one<>(SB), Z26

#define HSUM(y, x, t, tx) \
	VEXTRACTF128 $1, y, tx; VADDPS tx, x, x; VMOVHLPS x, x, tx; VADDPS tx, x, x; VMOVSHDUP x, tx; VADDSS tx, x, x

#define HMAX(y, x, t, tx) \
	VEXTRACTF128 $1, y, tx; VMAXPS tx, x, x; VMOVHLPS x, x, tx; VMAXPS tx, x, x; VMOVSHDUP x, tx; VMAXSS tx, x, x

// Φ by the complementary error function (Abramowitz and Stegun 1964, 7.1.26; error below 1.5e-7):
// erf(z) = 1 - (a1 t + ... + a5 t^5) exp(-z²), t = 1/(1 + p z), z >= 0.
CONST(erfp, $0x3ea7ba053ea7ba05)
CONST(a1, $0x3e8279063e827906)
CONST(a2, $0xbe91a98ebe91a98e)
CONST(a3, $0x3fb5f0e33fb5f0e3)
CONST(a4, $0xbfba00e3bfba00e3)
CONST(a5, $0x3f87dc223f87dc22)
CONST(rsqrt2, $0x3f3504f33f3504f3)
CONST(half, $0x3f0000003f000000)
CONST(sign, $0x8000000080000000)
