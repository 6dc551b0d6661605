//go:build !purego

package kernels

import "unsafe"

// On machines without tiles every test also runs on the AMX tier with its one tile instruction loop emulated in plain Go,
// so that packing, scaling and dispatch are the real ones; only the bytes of gemmAMX have then not run.
func init() {
	if !hasVNNI || AMX.Supported() {
		return
	}
	amxReady = func() bool { return true }
	amxEmulated = true
	tileProduct = func(a, b *int8, k64 int, c *int32, blocks int) {
		as := unsafe.Slice(a, blocks*k64*2048)
		bs := unsafe.Slice(b, k64*2048)
		cs := unsafe.Slice(c, blocks*1024)
		clear(cs)
		for blk := range blocks {
			for k := range k64 {
				for half := range 4 {
					tdpbssd(cs[blk*1024+half*256:], as[(blk*k64+k)*2048+half/2*1024:], bs[k*2048+half%2*1024:])
				}
			}
		}
	}
}

// tdpbssd is the instruction's definition for tiles of 16 rows of 64 bytes.
func tdpbssd(c []int32, a, b []int8) {
	for m := range 16 {
		for k := range 16 {
			for n := range 16 {
				for i := range 4 {
					c[m*16+n] += int32(a[m*64+k*4+i]) * int32(b[k*64+n*4+i])
				}
			}
		}
	}
}
