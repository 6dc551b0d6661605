package main

// The tile instructions. Tiles are 16 rows of 64 bytes; a register holds the distance of their rows in memory. The
// emulation keeps tile t at t*1024(SP). It clobbers ax.

// borrow writes body, which may use n vectors from 16 on.
func (w *writer) borrow(n int, body func()) {
	for i := range n {
		w.ins("VMOVUPS Z%d, %d(SP)", 16+i, 8192+i*64)
	}
	body()
	for i := range n {
		w.ins("VMOVUPS %d(SP), Z%d", 8192+i*64, 16+i)
	}
}

func (w *writer) ldtilecfg(base reg) {
	if !w.emulate {
		w.bytes(append(vex(np, 0, 0, int(base), 0), 0x49, byte(int(base)&7)), "LDTILECFG [%s]", base)
	}
}

func (w *writer) tilerelease() {
	if !w.emulate {
		w.bytes(append(vex(np, 0, 0, 0, 0), 0x49, 0xc0), "TILERELEASE")
	}
}

func (w *writer) tilezero(t int) {
	if !w.emulate {
		w.bytes(append(vex(f2, t, 0, 0, 0), 0x49, byte(0xc0|t<<3)), "TILEZERO tmm%d", t)
		return
	}
	w.borrow(1, func() {
		w.ins("VPXORD Z16, Z16, Z16")
		for r := range 16 {
			w.ins("VMOVDQU64 Z16, %d(SP)", t*1024+r*64)
		}
	})
}

func (w *writer) tileloadd(t int, base, stride reg, disp int) {
	if !w.emulate {
		code := append(vex(f2, t, int(stride), int(base), 0), 0x4b)
		w.bytes(append(code, memory(t, base, stride, disp)...), "TILELOADD tmm%d, [%s+%s+%d]", t, base, stride, disp)
		return
	}
	w.ins("LEAQ %d(%s), AX", disp, base.plan9())
	w.borrow(1, func() {
		for r := range 16 {
			w.ins("VMOVDQU64 (AX), Z16")
			w.ins("VMOVDQU64 Z16, %d(SP)", t*1024+r*64)
			w.ins("ADDQ %s, AX", stride.plan9())
		}
	})
}

// tileloaddt1 is tileloadd for what will not be used again soon.
func (w *writer) tileloaddt1(t int, base, stride reg, disp int) {
	if !w.emulate {
		code := append(vex(p66, t, int(stride), int(base), 0), 0x4b)
		w.bytes(append(code, memory(t, base, stride, disp)...), "TILELOADDT1 tmm%d, [%s+%s+%d]", t, base, stride, disp)
		return
	}
	w.tileloadd(t, base, stride, disp)
}

func (w *writer) tilestored(t int, base, stride reg, disp int) {
	if !w.emulate {
		code := append(vex(f3, t, int(stride), int(base), 0), 0x4b)
		w.bytes(append(code, memory(t, base, stride, disp)...), "TILESTORED [%s+%s+%d], tmm%d", base, stride, disp, t)
		return
	}
	w.ins("LEAQ %d(%s), AX", disp, base.plan9())
	w.borrow(1, func() {
		for r := range 16 {
			w.ins("VMOVDQU64 %d(SP), Z16", t*1024+r*64)
			w.ins("VMOVDQU64 Z16, (AX)")
			w.ins("ADDQ %s, AX", stride.plan9())
		}
	})
}

// tdpbssd adds to tile c the products of the signed bytes of tile a, by rows, and tile b, by groups of four rows. The
// emulation multiplies a+128, which is unsigned, and takes 128 times the sums of b off.
func (w *writer) tdpbssd(c, a, b int) {
	if !w.emulate {
		w.bytes(append(vex(f2, c, 0, a, b), 0x5e, byte(0xc0|c<<3|a)), "TDPBSSD tmm%d, tmm%d, tmm%d", c, a, b)
		return
	}
	w.eachRow(4, "$0x80808080", func() {
		w.ins("VMOVDQU32 %d(SP)(AX*1), Z16", c*1024)
		w.ins("VPXORD Z17, Z17, Z17")
		for k := range 16 {
			w.ins("VPBROADCASTD %d(SP)(AX*1), Z18", a*1024+k*4)
			w.ins("VPXORD Z19, Z18, Z18")
			w.ins("VPDPBUSD %d(SP), Z18, Z16", b*1024+k*64)
			w.ins("VPDPBUSD %d(SP), Z19, Z17", b*1024+k*64)
		}
		w.ins("VPSUBD Z17, Z16, Z16")
		w.ins("VMOVDQU32 Z16, %d(SP)(AX*1)", c*1024)
	})
}

// tdpbf16ps adds to tile c, of float32, the products of the bfloat16 pairs of tile a, by rows, and tile b, by pairs of rows.
func (w *writer) tdpbf16ps(c, a, b int) {
	if !w.emulate {
		w.bytes(append(vex(f3, c, 0, a, b), 0x5c, byte(0xc0|c<<3|a)), "TDPBF16PS tmm%d, tmm%d, tmm%d", c, a, b)
		return
	}
	w.eachRow(6, "$0xffff0000", func() {
		w.ins("VMOVUPS %d(SP)(AX*1), Z16", c*1024)
		for k := range 16 {
			w.ins("VPBROADCASTD %d(SP)(AX*1), Z17", a*1024+k*4)
			w.ins("VMOVDQU32 %d(SP), Z18", b*1024+k*64)
			w.ins("VPSLLD $16, Z17, Z20")
			w.ins("VPSLLD $16, Z18, Z21")
			w.ins("VFMADD231PS Z20, Z21, Z16")
			w.ins("VPANDD Z19, Z17, Z17")
			w.ins("VPANDD Z19, Z18, Z18")
			w.ins("VFMADD231PS Z17, Z18, Z16")
		}
		w.ins("VMOVUPS Z16, %d(SP)(AX*1)", c*1024)
	})
}

// eachRow repeats what body writes with ax as the offset of each row of a tile, n borrowed vectors, and mask in all of vector 19.
func (w *writer) eachRow(n int, mask string, body func()) {
	w.labels++
	w.borrow(n, func() {
		w.ins("MOVL %s, AX", mask)
		w.ins("VPBROADCASTD AX, Z19")
		w.ins("XORQ AX, AX")
		w.line("row%d:", w.labels)
		body()
		w.ins("ADDQ $64, AX")
		w.ins("CMPQ AX, $1024")
		w.ins("JLT row%d", w.labels)
	})
}

// text begins a function that uses tiles.
func (w *writer) text(name string, variables, args int) {
	if w.emulate {
		w.line("TEXT ·%sEmulated(SB), 0, $%d-%d", name, 8576+variables, args)
		return
	}
	w.line("TEXT ·%s(SB), NOSPLIT, $%d-%d", name, variables, args)
}

// signature writes the comment with the function's declaration.
func (w *writer) signature(name, args string) {
	if w.emulate {
		name += "Emulated"
	}
	w.line("// func %s(%s)", name, args)
}
