//go:build !purego

package kernels

import (
	"math"
	"slices"
)

//go:generate go run -C _asm . -out ../gemm_amx_amd64.s
//go:generate go run -C _asm . -emulate -out ../gemm_amx_emulated_amd64.s
//go:generate go run -C _asm . -what attention -out ../attention_amx_amd64.s
//go:generate go run -C _asm . -what attention -emulate -out ../attention_amx_emulated_amd64.s

// tileConfig sets all eight tiles to 16 rows of 64 bytes (palette 1).
var tileConfig = func() *[64]byte {
	c := &[64]byte{0: 1}
	for i := range 8 {
		c[16+2*i], c[48+i] = 64, 16
	}
	return c
}()

// tileJob is what a product on tiles is told: row blocks of 32 times panels of two tiles of 16 outputs.
type tileJob struct {
	config  *[64]byte
	dst     *float32
	ld      int // how far the rows of dst lie apart; of no use to expSumsAMX
	a       *int8
	b       [2]*int8    // the weights of the first panel's outputs, [k64][16][16][4]
	sw      [2]*float32 // their scales
	bias    [2]*float32
	parts   int         // in how many parts the inputs come
	k64     int         // how many times 64 inputs there are in a part
	skip    int         // how many bytes of a lie between a block's values in a part and the next block's
	sums    *int32      // with several parts, room for the sums of all blocks
	strip   *int32      // room for the sums of two blocks, each [2 row halves][2 output halves][16][16]
	sa      *float32    // the rows' scales
	ref     *float32    // expSumsAMX: what to add to each row's outputs, in powers of two,
	far     [16]float32 // and the largest sums in each lane so far
	blocks  int
	panels  int
	weights int // how many bytes the next panel lies on in b,
	between int // from the end of the last in b,
	columns int // in dst,
	outputs int // and in sw and bias
}

type tileFunctions struct{ set, add, swiGLU, expSums func(*tileJob) }

// tileProducts are the functions on tiles; tests put those that need none here, on machines without tiles.
var tileProducts = tileFunctions{gemmAMX, gemmAddAMX, swiGLUAMX, expSumsAMX}

// packTiles orders the weights [group of 16 outputs][input/64][16][16 outputs][4].
func (w *Matrix) packTiles(q []int8) {
	for r := range w.n {
		out := w.q[r/16*16*w.kp+r%16*4:]
		row := q[r*w.k : (r+1)*w.k]
		for i := 0; i < w.k; i += 4 {
			copy(out[i/4*64:][:4], row[i:min(i+4, w.k)])
		}
	}
}

// tileWork is what products on tiles need beside the rows.
type tileWork struct {
	job     tileJob
	refBits []float32 // [rows]: LogProbs' reference logits, negated, in powers of two
}

func (x *Rows) newTileWork() tileWork {
	if x.tier != AMX {
		return tileWork{}
	}
	rows := len(x.scale)
	w := tileWork{refBits: aligned[float32](rows)}
	w.job.config, w.job.strip = tileConfig, &aligned[int32](2 * 1024)[0]
	if x.inputParts() > 1 {
		w.job.sums = &aligned[int32](rows * 32)[0]
	}
	return w
}

// inputParts is in how many parts products take their inputs: of 8 to 14 times 64, if that can be, so that the weights of 32
// outputs stay in the first-level cache.
func (x *Rows) inputParts() int {
	k64 := x.kp / 64
	for parts := 2; k64 > 14 && k64/parts >= 8; parts++ {
		if k64%parts == 0 && k64/parts <= 14 {
			return parts
		}
	}
	return 1
}

// tileGroups are groups of 16 outputs: of w, from the one of number first on, each step after the one before.
type tileGroups struct {
	w           *Matrix
	first, step int
}

// tileProduct runs product over panels of a group of each half and over row blocks of 32, from row r0 on, in calls that the
// scheduler can wait for. dst has ld values a row and a panel's results are columns values after those of the one before.
func (x *Rows) tileProduct(product func(*tileJob), dst []float32, ld, columns, r0, blocks, panels int, halves [2]tileGroups) {
	j := &x.onTiles.job
	j.ld, j.columns = ld, columns*4
	j.parts, j.k64 = x.inputParts(), x.kp/64/x.inputParts()
	j.skip = (j.parts - 1) * j.k64 * 2048
	panel := 1024 * x.kp // multiply-adds of a block
	perCall := max(1, min(blocks, x.tier.callOps()/panel))
	for i := 0; i < blocks; i += perCall {
		j.blocks = min(perCall, blocks-i)
		r := r0 + i*32
		j.a, j.sa, j.ref = &x.q[r*x.kp], &x.scale[r], &x.onTiles.refBits[r]
		some := max(1, x.tier.callOps()/(panel*j.blocks))
		for p := 0; p < panels; p += some {
			for h, g := range halves {
				at := g.first + p*g.step
				j.b[h], j.sw[h], j.bias[h] = &g.w.q[at*16*x.kp], &g.w.scale[at*16], &g.w.bias[at*16]
				j.weights, j.between, j.outputs = g.step*16*x.kp, (g.step-1)*16*x.kp, g.step*16*4
			}
			j.dst, j.panels = &dst[i*32*ld+p*columns], min(some, panels-p)
			product(j)
		}
	}
}

// panelGroups are the groups of w's panels of 32 outputs from panel p on.
func (w *Matrix) panelGroups(p int) [2]tileGroups {
	return [2]tileGroups{{w, 2 * p, 2}, {w, 2*p + 1, 2}}
}

func (w *Matrix) blocksAMX(dst []float32, ld int, x *Rows, r0, blocks, p, panels int, add bool) {
	product := tileProducts.set
	if add {
		product = tileProducts.add
	}
	x.tileProduct(product, dst, ld, 32, r0, blocks, panels, w.panelGroups(p))
}

// mulOnTiles is mul for all panels of 32 outputs, of which it returns the number, several at a time.
func (w *Matrix) mulOnTiles(y []float32, ldy int, x *Rows, m int, add bool) int {
	if w.tier != AMX {
		return 0
	}
	panels, whole := w.n/32, m/32*32
	if whole > 0 && panels > 0 {
		w.blocksAMX(y, ldy, x, 0, whole/32, 0, panels, add)
	}
	spare := w.shape.spare
	wide := spare * 32
	for p := 0; p < panels && whole < m; p += spare {
		n := min(spare, panels-p)
		for r := whole; add && r < m; r++ {
			copy(x.spare[(r-whole)*wide:][:n*32], y[r*ldy+p*32:])
		}
		w.blocksAMX(x.spare, wide, x, whole, 1, p, n, add)
		for r := whole; r < m; r++ {
			copy(y[r*ldy+p*32:][:n*32], x.spare[(r-whole)*wide:])
		}
	}
	return panels
}

// actsOnTiles writes the products of in's rows, from r0 on, with whole panels of w to acts and returns for how many outputs.
func (x *Rows) actsOnTiles(w *Matrix, in *Rows, r0, rows int) int {
	panels := w.n / 32
	if x.tier != AMX || panels == 0 {
		return 0
	}
	in.tileProduct(tileProducts.set, x.acts, x.actStride, 32, r0, (rows+31)/32, panels, w.panelGroups(0))
	return panels * 32
}

// gatedOnTiles computes SwiGLU's rows of acts, from r0 on, and returns up to which column it did.
func (x *Rows) gatedOnTiles(gate, up *Matrix, in *Rows, r0, rows int) int {
	if x.tier != AMX || x.k < 16 {
		return 0
	}
	in.tileProduct(tileProducts.swiGLU, x.acts, x.actStride, 16, r0, (rows+31)/32, x.k/16, [2]tileGroups{{gate, 0, 1}, {up, 0, 1}})
	return x.k / 32 * 32 // from where whole panels are left
}

// logProbsOnTiles is LogProbs for all rows together, without logits ever leaving the tiles' strip. It reports false where that
// is not for this tier or matrix.
func (w *Matrix) logProbsOnTiles(out []float32, x *Rows, targets []int32, m int) bool {
	if w.tier != AMX || w.biased || m == 0 {
		return false
	}
	blocks := (m + 31) / 32
	clear(x.scale[m : blocks*32])
	sums, ref := x.sums[:blocks*32*laneSums], x.ref[:blocks*32]
	clear(sums)
	block := func(r, p int) []float32 { // the products of the block of row r with panel p
		w.blocksAMX(x.spare, 32, x, r/32*32, 1, p, 1, false)
		return x.spare
	}
	for r := range ref {
		if r%32 == 0 {
			block(r, 0)
		}
		ref[r] = maxOf(x.spare[r%32*32:][:min(w.n, refOutputs)])
		x.onTiles.refBits[r] = -ref[r] * math.Log2E
	}
	x.onTiles.job.far = [16]float32{}
	if panels := w.n / 32; panels > 0 {
		x.tileProduct(tileProducts.expSums, sums, laneSums, 0, 0, blocks, panels, w.panelGroups(0))
	}
	if cols := w.n % 32; cols > 0 {
		for r := 0; r < m; r += w.shape.strip {
			rows := min(w.shape.strip, m-r)
			w.panel(x.strip, 32, x, r, r+rows, w.n/32, false)
			x.addExp(sums[r*laneSums:], ref[r:r+rows], cols)
		}
	}
	for r, t := range targets[:m] {
		logit := block(r, int(t)/32)[r%32*32+int(t)%32]
		out[r] = logProb(logit, ref[r], sums[r*laneSums:])
	}
	if maxOf(x.onTiles.job.far[:]) > farAbove*math.Log2E {
		w.replaceFar(out, x, targets, m)
	}
	return true
}

// replaceFar computes anew, with references that move, the rows of which a logit is so far above the reference that the sum
// may have overflown. Which rows these are depends on nothing but the row: the limit is above that which led here.
func (w *Matrix) replaceFar(out []float32, x *Rows, targets []int32, m int) {
	ref, top, exact := slices.Clone(x.ref[:m]), make([]float32, m), make([]float32, m)
	for r := range top {
		top[r] = float32(math.Inf(-1))
	}
	w.logProbsByPanel(exact, top, x, targets, m)
	for r := range out[:m] {
		if top[r]-ref[r] > farAbove+1 {
			out[r] = exact[r]
		}
	}
}

// storeTiles writes row r into its tiles, [block of 32][input/64][2 halves][16 rows][64].
func (x *Rows) storeTiles(r int, row []float32, inv float32) {
	out := x.q[r/32*32*x.kp+r%32/16*1024+r%16*64:]
	whole := len(row) &^ 63
	if whole > 0 {
		quantAMX(&row[0], inv, &out[0], whole)
	}
	for i, v := range row[whole:] {
		out[whole*32+i] = roundInt8(v * inv)
	}
}
