package kernels

import "math"

// LogProbs writes out[r] = logit of targets[r] less the log-sum-exp of all logits of row r, in nats, for the m rows of x,
// where the logits are x wᵀ + bias. The logits are never stored: each panel adds its exponentials to the row's sum.
func (w *Matrix) LogProbs(out []float32, x *Rows, targets []int32, m int) {
	w.fits(x, m)
	check(len(out) >= m && len(targets) >= m, "LogProbs: %d outputs and %d targets for %d rows", len(out), len(targets), m)
	for _, t := range targets[:m] {
		check(t >= 0 && int(t) < w.n, "LogProbs: target %d of %d", int(t), w.n)
	}
	if !w.logProbsOnTiles(out, x, targets, m) {
		w.logProbsByPanel(out, nil, x, targets, m)
	}
}

// logProbsByPanel is LogProbs a strip of rows at a time. top, if there is one, gets the rows' largest logits.
func (w *Matrix) logProbsByPanel(out, top []float32, x *Rows, targets []int32, m int) {
	width, strip := w.shape.panel, w.shape.strip
	for r0 := 0; r0 < m; r0 += strip {
		rows := min(strip, m-r0)
		sums, ref := x.sums[:rows*laneSums], x.ref[:rows]
		clear(sums)
		for p := 0; p*width < w.n; p++ {
			cols := min(width, w.n-p*width)
			w.panel(x.strip, width, x, r0, r0+rows, p, false)
			if p == 0 {
				for r := range ref {
					ref[r] = maxOf(x.strip[r*width : r*width+min(cols, refOutputs)])
				}
			}
			for r := range rows {
				logits := x.strip[r*width : r*width+cols]
				if c := uint(int(targets[r0+r]) - p*width); c < uint(cols) {
					out[r0+r] = logits[c]
				}
				if top != nil {
					top[r0+r] = max(top[r0+r], maxOf(logits))
				}
			}
			x.addExp(sums, ref, cols)
		}
		for r := range ref {
			out[r0+r] = logProb(out[r0+r], ref[r], sums[r*laneSums:])
		}
	}
}

// logProb is the logit less the logarithm of the sum of exp(ref) times laneSums sums.
func logProb(logit, ref float32, sums []float32) float32 {
	var s float64
	for _, v := range sums[:laneSums] {
		s += float64(v)
	}
	return float32(float64(logit) - float64(ref) - math.Log(s))
}

// farAbove is how far a logit may lie above the row's reference before the reference is moved: exp(64) times the largest
// vocabulary is far below the largest float32. The reference is the largest of the first logits, so the sum never vanishes
// either.
const farAbove = 64

// refOutputs is how many logits the reference is the largest of: the narrowest panel's, so that it is the same on all tiers.
const refOutputs = 16

// addExp adds exp(logit-ref) of the logits in the strip, of which cols of each row are real, to the rows' lane sums.
func (x *Rows) addExp(sums, ref []float32, cols int) {
	width, rows := x.shape.panel, len(ref)
	for r := 0; cols < width && r < rows; r++ {
		for i := r*width + cols; i < (r+1)*width; i++ {
			x.strip[i] = float32(math.Inf(-1)) // adds exactly 0
		}
	}
	for r := 0; r < rows; r++ {
		r += expSums(x.tier, sums[r*laneSums:], x.strip[r*width:], width, ref[r:], rows-r)
		if r == rows {
			return
		}
		// Row r has a logit too far above its reference, and its sums are untouched: move the reference.
		l, sums := x.strip[r*width:(r+1)*width], sums[r*laneSums:(r+1)*laneSums]
		m := maxOf(l)
		f := float32(math.Exp(float64(ref[r]) - float64(m)))
		for i := range sums {
			sums[i] *= f
		}
		ref[r] = m
		expSums(x.tier, sums, l, width, ref[r:], 1)
	}
}

// expSumsGeneric adds exp(logit-ref) of each row's width logits to its lane sums. It stops before the first row with a
// logit more than farAbove above its reference and returns how many rows it did.
func expSumsGeneric(sums, logits []float32, width int, ref []float32, rows int) int {
	for r := range rows {
		l := logits[r*width : (r+1)*width]
		if maxOf(l) > ref[r]+farAbove {
			return r
		}
		for i, v := range l {
			sums[r*laneSums+i%laneSums] += expf(v - ref[r])
		}
	}
	return rows
}

func maxOf(x []float32) float32 {
	m := x[0]
	for _, v := range x[1:] {
		m = max(m, v)
	}
	return m
}
