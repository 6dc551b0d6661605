//go:build !purego

package kernels

// On machines without tiles every test also runs on the AMX tier with each tile instruction replaced by vector code that
// does the same: all else in gemmAMX, and packing, dispatch and the other steps, are the real ones. Only the bytes of the
// tile instructions have then not run.
func init() {
	if !hasVNNI || AMX.Supported() {
		return
	}
	amxReady = func() bool { return true }
	emulated[AMX] = true
	tileProduct, attendProduct = gemmAMXEmulated, attendAMXEmulated
}
