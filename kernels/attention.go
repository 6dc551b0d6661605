package kernels

import "math"

// KV holds the keys and values of Len tokens, each [Len, kv heads * dim], row-major; keys are already rotated.
type KV[T float32 | BF16] struct {
	Len  int
	K, V []T
}

// AttentionOptions says what an [Attention] computes. All fields but Causal are needed.
type AttentionOptions struct {
	Tier    Tier
	Heads   int // query heads; heads h*Heads/KVHeads and on share key head h
	KVHeads int
	Dim     int  // values a head, a multiple of 16
	Causal  bool // whether a query sees only keys up to its own position
}

// Attention is the scratch memory of [Attend] for one goroutine.
type Attention struct {
	AttentionOptions
	scale float32
	rowK  []float32 // [keyBlock, Dim]: keys of one block, row-major
	keys  []float32 // [keyBlock/16, Dim, 16]: the same, transposed in panels of 16 keys
	vals  []float32 // [keyBlock, Dim]
	score []float32 // [queryRows, keyBlock]
	q, o  []float32 // [queryRows, Dim]: rows of a block that is not full
	fix   []float32 // [queryRows]: factor of each row's earlier sums
	max   []float32 // [heads of one group, queries]: running maximum of the scaled scores
	sum   []float32 // the same shape: running sum of exponentials
}

// keyBlock is how many keys are brought into the first two cache levels at a time. Blocks start at multiples of it in
// the sequence, whatever part of it is cached, so that a row's sums have one order.
const keyBlock = 256

// queryRows is how many queries share the loads of keys and values.
const queryRows = 6

// NewAttention returns the memory for sequences of any length.
func NewAttention(o AttentionOptions) *Attention {
	o.Tier.mustBeSupported()
	check(o.KVHeads > 0 && o.Heads%o.KVHeads == 0, "NewAttention: %d heads over %d", o.Heads, o.KVHeads)
	check(o.Dim > 0 && o.Dim%16 == 0, "NewAttention: head size %d", o.Dim)
	return &Attention{
		AttentionOptions: o,
		scale:            float32(1 / math.Sqrt(float64(o.Dim))),
		rowK:             aligned[float32](keyBlock * o.Dim),
		keys:             aligned[float32](keyBlock * o.Dim),
		vals:             aligned[float32](keyBlock * o.Dim),
		score:            aligned[float32](queryRows * keyBlock),
		q:                aligned[float32](queryRows * o.Dim),
		o:                aligned[float32](queryRows * o.Dim),
		fix:              aligned[float32](16),
	}
}

// Attend writes out = softmax(q kᵀ/sqrt(dim)) v for n queries of one sequence whose keys are those of all spans, one
// after the other. Query i of n is the token at position total-n+i, so its own key is in the last span; with Causal it
// sees the keys up to itself, else all. Query i is q[i*ldq:] and its result out[i*ldo:], each [Heads*Dim]; out must not
// overlap the inputs.
//
// The softmax is computed block by block with a running maximum (Milakov and Gimelshein 2018; Dao et al. 2022): the full
// scores never exist. A query's result does not depend on how its keys are divided into spans.
func Attend[T float32 | BF16](a *Attention, out []float32, ldo int, q []float32, ldq, n int, spans ...KV[T]) {
	total := 0
	for _, s := range spans {
		width := a.KVHeads * a.Dim
		check(len(s.K) >= s.Len*width && len(s.V) >= s.Len*width, "Attend: %d keys, %d values for %d tokens", len(s.K), len(s.V), s.Len)
		total += s.Len
	}
	if n == 0 {
		return
	}
	check(n <= total, "Attend: %d queries over %d keys", n, total)
	check(len(q) >= (n-1)*ldq+a.Heads*a.Dim && len(out) >= (n-1)*ldo+a.Heads*a.Dim, "Attend: %d values in, %d out for %d queries", len(q), len(out), n)
	group := a.Heads / a.KVHeads
	if len(a.max) < group*n {
		a.max, a.sum = make([]float32, group*n), make([]float32, group*n)
	}
	for h := range a.KVHeads {
		for k0 := 0; k0 < total; k0 += keyBlock {
			nk := min(keyBlock, total-k0)
			load(a, h, k0, nk, spans)
			for g := range group {
				off := (h*group + g) * a.Dim
				a.block(out[off:], ldo, q[off:], ldq, n, g*n, k0, nk, total)
			}
		}
		for g := range group {
			off := (h*group + g) * a.Dim
			for i := range n {
				scale(a.Tier, out[i*ldo+off:][:a.Dim], 1/a.sum[g*n+i])
			}
		}
	}
}

// load brings keys k0 to k0+nk of head h into the block, rounded up to whole panels with zeros.
func load[T float32 | BF16](a *Attention, h, k0, nk int, spans []KV[T]) {
	d, width := a.Dim, a.KVHeads*a.Dim
	start, row := 0, 0
	for _, s := range spans {
		from, to := max(k0-start, 0), min(k0+nk-start, s.Len)
		if from < to {
			widen(a.Tier, a.rowK[row*d:], d, s.K[from*width+h*d:], width, to-from)
			widen(a.Tier, a.vals[row*d:], d, s.V[from*width+h*d:], width, to-from)
			row += to - from
		}
		start += s.Len
	}
	np := roundUp(nk, 16)
	clear(a.rowK[nk*d : np*d])
	clear(a.vals[nk*d : np*d])
	panels(a.Tier, a.keys, a.rowK, np, d)
}

// block brings the loaded keys into the running results of one head's queries. state is the place of query 0 in max
// and sum.
func (a *Attention) block(out []float32, ldo int, q []float32, ldq, n, state, k0, nk, total int) {
	d := a.Dim
	for i := 0; i < n; i += queryRows {
		rows := min(queryRows, n-i)
		last := a.visible(i+rows-1, n, k0, nk, total)
		if last == 0 {
			continue // the whole block lies after these queries
		}
		np := roundUp(last, 16)
		qb, lq, ob, lo := q[i*ldq:], ldq, out[i*ldo:], ldo
		if rows < queryRows {
			for r := range rows {
				copy(a.q[r*d:(r+1)*d], qb[r*ldq:])
				copy(a.o[r*d:(r+1)*d], ob[r*ldo:])
			}
			qb, lq, ob, lo = a.q, d, a.o, d
		}
		scores(a.Tier, a.score, qb, lq, a.keys, np, d)
		for r := range rows {
			s := state + i + r
			valid := a.visible(i+r, n, k0, nk, total)
			row := a.score[r*keyBlock : r*keyBlock+np]
			if k0 == 0 {
				a.max[s], a.sum[s] = float32(math.Inf(-1)), 0
			}
			a.fix[r] = a.soften(row, valid, s)
		}
		if k0 == 0 {
			for r := range rows {
				clear(ob[r*lo : r*lo+d])
			}
		}
		mix(a.Tier, ob, lo, a.score, a.vals, a.fix, np, d)
		if rows < queryRows {
			for r := range rows {
				copy(out[(i+r)*ldo:][:d], a.o[r*d:])
			}
		}
	}
}

// visible is how many keys of the block query i sees.
func (a *Attention) visible(i, n, k0, nk, total int) int {
	if !a.Causal {
		return nk
	}
	return max(0, min(nk, total-n+i+1-k0))
}

// soften turns the first valid scores into exponentials relative to the new running maximum and the rest into zeros. It
// returns the factor for what was summed before.
func (a *Attention) soften(row []float32, valid, s int) float32 {
	if valid == 0 {
		clear(row)
		return 1
	}
	for i := valid; i < len(row); i++ {
		row[i] = float32(math.Inf(-1)) // becomes exactly 0
	}
	m, sum := expRow(a.Tier, row, a.scale, a.max[s])
	f := float32(1)
	if m != a.max[s] {
		f = expf(a.max[s] - m) // 0 for the first block
	}
	a.max[s], a.sum[s] = m, float32(a.sum[s]*f)+sum
	return f
}

func widenGeneric[T float32 | BF16](dst []float32, ldd int, src []T, lds, rows int) {
	for r := range rows {
		out := dst[r*ldd : (r+1)*ldd]
		switch in := any(src[r*lds : r*lds+ldd]).(type) {
		case []float32:
			copy(out, in)
		case []BF16:
			for i, v := range in {
				out[i] = v.Float32()
			}
		}
	}
}

func panelsGeneric(dst, src []float32, rows, d int) {
	for p := 0; p < rows; p += 16 {
		for i := range d {
			for r := range 16 {
				dst[p*d+i*16+r] = src[(p+r)*d+i]
			}
		}
	}
}

func scoresGeneric(s, q []float32, ldq int, keys []float32, np, d int) {
	for r := range queryRows {
		if r*ldq+d > len(q) {
			break // the spare rows of the last block
		}
		row := q[r*ldq : r*ldq+d]
		for p := 0; p < np; p += 16 {
			out := s[r*keyBlock+p:][:16]
			clear(out)
			for i, v := range row {
				k := keys[p*d+i*16:][:16]
				for j := range out {
					out[j] += float32(v * k[j])
				}
			}
		}
	}
}

// expRowGeneric replaces the scores by exp(score*scale-m), where m is the larger of old and the largest scaled score; it
// returns m and the sum of the exponentials.
func expRowGeneric(row []float32, scale, old float32) (m, sum float32) {
	m = old
	for i, v := range row {
		row[i] = v * scale
		m = max(m, row[i])
	}
	for i, v := range row {
		e := expf(v - m)
		row[i] = e
		sum += e
	}
	return m, sum
}

func mixGeneric(out []float32, ldo int, s, vals, fix []float32, np, d int) {
	for r := range queryRows {
		if r*ldo+d > len(out) {
			break
		}
		o := out[r*ldo : r*ldo+d]
		for j := range o {
			o[j] *= fix[r]
		}
		for k, p := range s[r*keyBlock : r*keyBlock+np] {
			v := vals[k*d : (k+1)*d]
			for j := range o {
				o[j] += float32(p * v[j])
			}
		}
	}
}
