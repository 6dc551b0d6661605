//go:build !purego

package kernels

// On machines with AVX-512's VPDPBUSD but not AVX-VNNI's every test also runs on the AVX-VNNI tier with the former: all
// but the bytes of that instruction is the real code.
func init() {
	if !hasVNNI || AVXVNNI.Supported() {
		return
	}
	hasAVXVNNI = true
	emulated[AVXVNNI] = true
	vnni256Product = gemmAVXVNNIEmulated
}
