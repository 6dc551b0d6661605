package kernels

// PeakLoop runs about 10 us of the tier's integer or float arithmetic in registers, without memory, on the calling
// goroutine (float is bfloat16 on AVX512BF16) and returns how many multiplications and additions that was: timed, it is the limit of the machine's
// products. It returns 0 where there is nothing to run, on Generic.
func PeakLoop(t Tier, float bool) (ops float64) {
	t.mustBeSupported()
	return peakLoop(t, float)
}
