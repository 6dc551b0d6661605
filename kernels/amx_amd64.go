//go:build !purego

package kernels

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

// tileProduct is gemmAMX; tests put gemmAMXEmulated here on machines without tiles.
var tileProduct = gemmAMX

// packTiles orders the weights [panel of 32][input/64][2 halves][16][16 outputs][4].
func (w *Matrix) packTiles(q []int8) {
	for r := range w.n {
		out := w.q[r/32*32*w.kp+r%32/16*1024+r%16*4:]
		row := q[r*w.k : (r+1)*w.k]
		for i := 0; i < w.k; i += 4 {
			copy(out[i/64*2048+i%64/4*64:][:4], row[i:min(i+4, w.k)])
		}
	}
}

func (w *Matrix) blocksAMX(dst []float32, ld int, x *Rows, r0, blocks, p, add int) {
	per := max(1, w.tier.callOps()/(1024*w.kp))
	for i := 0; i < blocks; i += per {
		r := r0 + i*32
		tileProduct(tileConfig, &dst[i*32*ld], ld, &x.q[r*x.kp], &w.q[p*32*w.kp], w.kp/64, &x.tiles[0],
			&x.scale[r], &w.scale[p*32], &w.bias[p*32], min(per, blocks-i), add)
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
