package main

import "fmt"

// The arm64 products compute 6 rows x 16 outputs a time: 24 vectors of sums (V0-V23), 4 of weights (V24-V27) and 3 of
// activations (V28-V30) for 8 inputs.

// word writes an instruction of arm64 (Arm Architecture Reference Manual, section C7.2).
func (w *writer) word(code int, name string, args ...any) {
	w.ins("WORD $0x%08x // %s", code, fmt.Sprintf(name, args...))
}

// sdot adds to each of the 4 sums of d the 4 products of n's bytes there and the bytes of element index of m.
func (w *writer) sdot(d, n, m, index int) {
	w.word(0x4f80e000|index&1<<21|index>>1<<11|m<<16|n<<5|d, "SDOT V%d.4S, V%d.16B, V%d.4B[%d]", d, n, m, index)
}

// smmla adds to the 2x2 sums of d the products of the two rows of 8 bytes of n and those of m.
func (w *writer) smmla(d, n, m int) {
	w.word(0x4e80a400|m<<16|n<<5|d, "SMMLA V%d.4S, V%d.16B, V%d.16B", d, n, m)
}

func (w *writer) scvtf(d, n int) { w.word(0x4e21d800|n<<5|d, "SCVTF V%d.4S, V%d.4S", d, n) }

func (w *writer) fmul(d, n, m int) {
	w.word(0x6e20dc00|m<<16|n<<5|d, "FMUL V%d.4S, V%d.4S, V%d.4S", d, n, m)
}

func (w *writer) fadd(d, n, m int) {
	w.word(0x4e20d400|m<<16|n<<5|d, "FADD V%d.4S, V%d.4S, V%d.4S", d, n, m)
}

// list is a vector list of n registers from first on.
func list(first, n int, as string) string {
	s := ""
	for i := range n {
		s += fmt.Sprintf(", V%d.%s", first+i, as)
	}
	return "[" + s[2:] + "]"
}

// neonGEMM writes one product: step adds 8 inputs to the sums, rows leaves each row in four registers and calls scale.
func (w *writer) neonGEMM(name, layout string, step, rows func()) {
	w.line("// func %s(dst *float32, ld int, a, b *int8, k8 int, sa, sw, bias *float32, blocks, add int)", name)
	w.line("// %s", layout)
	w.line("TEXT ·%s(SB), NOSPLIT, $0-80", name)
	for i, arg := range []string{"dst", "ld", "a", "b", "k8", "sa", "sw", "bias", "blocks", "add"} {
		w.ins("MOVD %s+%d(FP), R%d", arg, 8*i, i)
	}
	w.ins("LSL $2, R1")
	w.line("block:")
	w.ins("MOVD R3, R10")
	w.ins("MOVD R4, R11")
	for i := range 24 {
		w.ins("VEOR V%d.B16, V%d.B16, V%d.B16", i, i, i)
	}
	w.line("loop:")
	w.ins("VLD1.P 48(R2), %s", list(28, 3, "B16"))
	w.ins("VLD1.P 64(R10), %s", list(24, 4, "B16"))
	step()
	w.ins("SUBS $1, R11")
	w.ins("BNE loop")
	rows()
	w.ins("SUBS $1, R8")
	w.ins("BNE block")
	w.ins("RET")
}

// scale writes one row from the sums acc to acc+3: float32(sum)*(row scale*output scale) + bias, and what dst holds if add
// is not 0. Multiplications and additions stay apart, so that all steps round as those of plain Go do. The registers tmp
// to tmp+3 and V31 are overwritten.
func (w *writer) scale(row, acc, tmp int) {
	w.ins("VLD1R.P 4(R5), [V31.S4]")
	w.ins("VLD1 (R6), %s", list(tmp, 4, "S4"))
	for i := range 4 {
		w.fmul(tmp+i, tmp+i, 31)
	}
	for i := range 4 {
		w.scvtf(acc+i, acc+i)
	}
	for i := range 4 {
		w.fmul(acc+i, acc+i, tmp+i)
	}
	w.ins("VLD1 (R7), %s", list(tmp, 4, "S4"))
	for i := range 4 {
		w.fadd(acc+i, acc+i, tmp+i)
	}
	w.ins("CBZ R9, store%d", row)
	w.ins("VLD1 (R0), %s", list(tmp, 4, "S4"))
	for i := range 4 {
		w.fadd(acc+i, acc+i, tmp+i)
	}
	w.line("store%d:", row)
	w.ins("VST1 %s, (R0)", list(acc, 4, "S4"))
	w.ins("ADD R1, R0")
}

// neonPeak writes a loop of n x 24 instructions that do not wait for each other.
func (w *writer) neonPeak(name, what string, one func(d int)) {
	w.line("// func %s(n int)", name)
	w.line("// n x 24 %s", what)
	w.line("TEXT ·%s(SB), NOSPLIT, $0-8", name)
	w.ins("MOVD n+0(FP), R0")
	w.ins("VEOR V24.B16, V24.B16, V24.B16")
	for i := range 24 {
		w.ins("VEOR V%d.B16, V%d.B16, V%d.B16", i, i, i)
	}
	w.line("loop:")
	for i := range 24 {
		one(i)
	}
	w.ins("SUBS $1, R0")
	w.ins("BNE loop")
	w.ins("RET")
}

func neon(w *writer) {
	for i, part := range []func(*writer){gemmSDOT, gemmSMMLA, peakNEON} {
		if i > 0 {
			w.line("")
		}
		part(w)
	}
}

func gemmSDOT(w *writer) {
	w.neonGEMM("gemmSDOT", "a: [blocks][k/4][6 rows][4]; b: [k/4][16 outputs][4].", func() {
		for half := range 2 {
			if half == 1 {
				w.ins("VLD1.P 64(R10), %s", list(24, 4, "B16"))
			}
			for r := range 6 {
				for c := range 4 {
					element := half*6 + r
					w.sdot(r*4+c, 24+c, 28+element/4, element%4)
				}
			}
		}
	}, func() {
		for r := range 6 {
			w.scale(r, r*4, 24)
		}
	})
}

func gemmSMMLA(w *writer) {
	w.neonGEMM("gemmSMMLA", "a: [blocks][k/8][6 rows][8]; b: [k/8][16 outputs][8].", func() {
		for half := range 2 {
			if half == 1 {
				w.ins("VLD1.P 64(R10), %s", list(24, 4, "B16"))
			}
			for pair := range 3 {
				for c := range 4 {
					w.smmla(pair*8+half*4+c, 28+pair, 24+c)
				}
			}
		}
	}, func() {
		// A vector holds 2 outputs of one row, then those of the next.
		for pair := range 3 {
			sums := pair * 8
			for c := range 4 {
				w.ins("VZIP1 V%d.D2, V%d.D2, V%d.D2", sums+2*c+1, sums+2*c, 24+c)
			}
			for c := range 4 {
				w.ins("VZIP2 V%d.D2, V%d.D2, V%d.D2", sums+2*c+1, sums+2*c, sums+c)
			}
			w.scale(2*pair, 24, sums+4)
			w.scale(2*pair+1, sums, sums+4)
		}
	})
}

func peakNEON(w *writer) {
	w.neonPeak("peakSDOT", "SDOT of 32 operations.", func(d int) { w.sdot(d, 24, 24, d%4) })
	w.line("")
	w.neonPeak("peakSMMLA", "SMMLA of 64 operations.", func(d int) { w.smmla(d, 24, 24) })
	w.line("")
	w.neonPeak("peakFMLA", "FMLA of 8 operations.", func(d int) { w.ins("VFMLA V24.S4, V24.S4, V%d.S4", d) })
}
