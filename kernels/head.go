package kernels

import "math"

// LogProbs writes out[r] = logit of targets[r] less the log-sum-exp of all logits of row r, in nats, for the m rows of x,
// where the logits are x wᵀ + bias. The logits are never stored: each panel adds its exponentials to the row's sum.
func (w *Matrix) LogProbs(out []float32, x *Rows, targets []int32, m int) {
	w.fits(x, m)
	check(len(out) >= m && len(targets) >= m, "LogProbs: %d outputs and %d targets for %d rows", len(out), len(targets), m)
	for _, t := range targets[:m] {
		check(t >= 0 && int(t) < w.n, "LogProbs: target %d of %d", t, w.n)
	}
	width := w.shape.panel
	for r0 := 0; r0 < m; r0 += stripRows {
		rows := min(stripRows, m-r0)
		clear(x.sums[:rows*laneSums])
		for p := 0; p*width < w.n; p++ {
			cols := min(width, w.n-p*width)
			w.panel(x.strip, width, x, r0, r0+rows, p, false)
			if p == 0 {
				for r := range rows {
					x.ref[r] = maxOf(x.strip[r*width : r*width+cols])
				}
			}
			for r := range rows {
				if t := int(targets[r0+r]); t/width == p {
					out[r0+r] = x.strip[r*width+t%width]
				}
			}
			x.addExp(width, cols, rows)
		}
		for r := range rows {
			var s float64
			for _, v := range x.sums[r*laneSums : (r+1)*laneSums] {
				s += float64(v)
			}
			out[r0+r] = float32(float64(out[r0+r]) - float64(x.ref[r]) - math.Log(s))
		}
	}
}

// farAbove is how far a logit may lie above the row's reference before the reference is moved: exp(64) times the largest
// vocabulary is far below the largest float32. The reference is the largest logit of the first panel, so the sum never
// vanishes either.
const farAbove = 64

// addExp adds exp(logit-ref) of rows of cols logits in the strip to the rows' lane sums.
func (x *Rows) addExp(width, cols, rows int) {
	for r := range rows {
		l := x.strip[r*width : r*width+cols]
		sums := x.sums[r*laneSums : (r+1)*laneSums]
		if m := expSums(x.tier, sums, l, x.ref[r]); m > x.ref[r]+farAbove {
			x.rebase(sums, r, l, m)
		}
	}
}

// rebase takes back nothing: expSums leaves the sums alone when it finds a logit too far above the reference.
func (x *Rows) rebase(sums []float32, r int, l []float32, m float32) {
	f := float32(math.Exp(float64(x.ref[r]) - float64(m)))
	for i := range sums {
		sums[i] *= f
	}
	x.ref[r] = m
	expSums(x.tier, sums, l, m)
}

// expSumsGeneric returns the largest logit and, unless that is too far above ref, adds exp(l-ref) to the sums.
func expSumsGeneric(sums, l []float32, ref float32) float32 {
	m := maxOf(l)
	if m > ref+farAbove {
		return m
	}
	for i, v := range l {
		sums[i%laneSums] += expf(v - ref)
	}
	return m
}

func maxOf(x []float32) float32 {
	m := x[0]
	for _, v := range x[1:] {
		m = max(m, v)
	}
	return m
}
