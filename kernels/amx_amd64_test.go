//go:build !purego

package kernels

// On machines without tiles every test also runs on the AMX tier with each tile instruction replaced by vector code that
// does the same: all else in these functions, and packing, dispatch and the other steps, are the real ones. The bytes of the tile
// instructions themselves run in TestBytesOfTileInstructions.
func init() {
	if !hasVNNI || AMX.Supported() {
		return
	}
	amxReady = func() bool { return true }
	emulated[AMX] = true
	tileProducts, attendProduct = emulatedTiles, attendAMXEmulated
}

var emulatedTiles = tileFunctions{gemmAMXEmulated, gemmAddAMXEmulated, swiGLUAMXEmulated, expSumsAMXEmulated}
