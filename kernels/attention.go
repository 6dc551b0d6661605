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

// Attention is the scratch memory of [Attend] for one goroutine. It grows with the longest sequence.
type Attention struct {
	AttentionOptions
	tile attentionTile
	keys []float32 // [tokens, Dim]: all keys of one head
	vals []float32 // [tokens, Dim]
	half halfKeys
}

// halfKeys is one head's keys for attention in bfloat16, and what it takes to lay them out.
type halfKeys struct {
	keys       []BF16        // [tokens, Dim]
	vals       []BF16        // on tiles [Dim, room], else [tokens/2, Dim, 2]
	rows       []BF16        // [32, Dim]: queries or values before they are turned; nil where bfloat16 is not used
	turn       attentionTile // turns rows, a pair of values being one
	turnCached attentionTile // the same for rows as they are cached, those of all heads next to each other
	turnV      []float32     // [Dim/2, 32]: pairs of values, on tiles
}

// attentionTile is what the assembly works on: a lane holds one query of one of the heads that share keys, so that all
// steps of the softmax stay within a lane and no lane's result depends on the others.
type attentionTile struct {
	q     []float32 // [dim, lanes]
	k, v  []float32 // [keys, dim]: a block of the head's keys
	p     []float32 // [keyBlock, lanes]: scores, then exponentials
	o     []float32 // [dim, lanes]: running sums of values
	from  []int     // [lanes]: where the query begins
	to    []int     // [lanes]: where its result does
	limit []int32   // [lanes]: how many keys the lane sees
	max   []float32 // [lanes]: running maximum of the scores
	sum   []float32 // [lanes]: running sum of the exponentials
	fix   []float32 // [lanes]: factor of what was summed before this block
	lanes int
	dim   int

	// In bfloat16; pairs of dimensions or keys are next to each other.
	q16  []float32 // [dim/2, lanes]: pairs
	p16  []float32 // [keyBlock/2, lanes]: pairs
	k16  []BF16    // [keys, dim]
	v16  []BF16    // on tiles [dim, room], keys of the block first, else [keys/2, dim, 2]
	room int       // 0 where keys are in float32

	scale float32 // of the scores, 1/sqrt(dim)
	log2  float32 // the same times log2(e)
}

// keyBlock is how many keys a tile takes at a time: with their exponentials a tile fits the first-level cache. Blocks
// start at multiples of it in the sequence, whatever part of it is cached, so that a lane's sums have one order.
const keyBlock = 128

// keyGroup is what the number of keys of a block is rounded up to. A lane gives keys that it does not see the weight 0.
const keyGroup = 8

// NewAttention returns the memory for sequences of any length.
func NewAttention(o AttentionOptions) *Attention {
	o.Tier.mustBeSupported()
	check(o.KVHeads > 0 && o.Heads%o.KVHeads == 0, "NewAttention: %d heads over %d", o.Heads, o.KVHeads)
	check(o.Dim > 0 && o.Dim%16 == 0, "NewAttention: head size %d", o.Dim)
	lanes := tileLanes(o.Tier)
	scale := 1 / math.Sqrt(float64(o.Dim))
	a := &Attention{
		AttentionOptions: o,
		tile: attentionTile{
			q: aligned[float32](o.Dim * lanes), p: aligned[float32](keyBlock * lanes), o: aligned[float32](o.Dim * lanes),
			from: make([]int, lanes), to: make([]int, lanes),
			limit: aligned[int32](lanes), max: aligned[float32](lanes), sum: aligned[float32](lanes), fix: aligned[float32](lanes),
			lanes: lanes, dim: o.Dim, scale: float32(scale), log2: float32(scale * math.Log2E),
		},
	}
	a.newHalves()
	return a
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
	for h := range a.KVHeads {
		load(a, h, total, spans)
		for first := 0; first < n*group; first += a.tile.lanes {
			a.mix(out, ldo, q, ldq, h, first, min(a.tile.lanes, n*group-first), total-n, total)
		}
	}
}

// load brings all keys and values of head h into keys and vals, followed by zeros up to a whole group.
func load[T float32 | BF16](a *Attention, h, total int, spans []KV[T]) {
	if half, ok := any(spans).([]KV[BF16]); ok && a.loadHalves(h, total, half) {
		return
	}
	d, width := a.Dim, a.KVHeads*a.Dim
	a.tile.room = 0
	if room := roundUp(total, keyGroup) * d; len(a.keys) < room {
		a.keys, a.vals = aligned[float32](room), aligned[float32](room)
	}
	at := 0
	for _, s := range spans {
		if s.Len > 0 {
			widen(a.Tier, a.keys[at:], d, s.K[h*d:], width, s.Len)
			widen(a.Tier, a.vals[at:], d, s.V[h*d:], width, s.Len)
			at += s.Len * d
		}
	}
	end := roundUp(total, keyGroup) * d
	clear(a.keys[at:end])
	clear(a.vals[at:end])
}

// mix computes the lanes from first on of head h's queries: lane l is head l%group of the group, query l/group. Query 0
// is the token at position before. Lanes to spare repeat the last one.
func (a *Attention) mix(out []float32, ldo int, q []float32, ldq, h, first, lanes, before, total int) {
	t, d, group := &a.tile, a.Dim, a.Heads/a.KVHeads
	i, g := first/group, first%group
	for l := range t.lanes {
		t.from[l], t.to[l] = i*ldq+(h*group+g)*d, i*ldo+(h*group+g)*d
		t.max[l], t.sum[l] = float32(math.Inf(-1)), 0
		t.limit[l] = int32(total)
		if a.Causal {
			t.limit[l] = int32(before + i + 1)
		}
		if l+1 < lanes {
			if g++; g == group {
				i, g = i+1, 0
			}
		}
	}
	if t.room > 0 {
		a.gatherHalves(q)
	} else {
		gather(a.Tier, t, q)
	}
	if a.Tier != AMX || t.room == 0 { // tiles begin without it
		clear(t.o)
	}
	all, last := int(t.limit[0]), int(t.limit[t.lanes-1])
	for k0 := 0; k0 < last; k0 += keyBlock {
		if t.room > 0 {
			a.attendHalves(k0, min(keyBlock, last-k0), max(0, all-k0))
			continue
		}
		keys := roundUp(min(keyBlock, last-k0), keyGroup)
		t.k, t.v = a.keys[k0*d:(k0+keys)*d], a.vals[k0*d:(k0+keys)*d]
		attendTile(a.Tier, t, k0, keys, max(0, all-k0))
	}
	scatter(a.Tier, t, out)
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

// gatherGeneric brings each lane's query into the tile.
func gatherGeneric(t *attentionTile, q []float32) {
	for l, at := range t.from {
		for i, v := range q[at : at+t.dim] {
			t.q[i*t.lanes+l] = v
		}
	}
}

// scatterGeneric writes each lane's result, divided by the sum of its exponentials.
func scatterGeneric(t *attentionTile, out []float32) {
	for l, at := range t.to {
		f := 1 / t.sum[l]
		for i := range t.dim {
			out[at+i] = t.o[i*t.lanes+l] * f
		}
	}
}

// attendTileGeneric brings a block of keys, the first of which is key0 of the sequence, into the tile's running results.
// The first all keys of the block are seen by all lanes.
func attendTileGeneric(t *attentionTile, key0, keys, all int) {
	w, d := t.lanes, t.dim
	copy(t.fix, t.max)
	for j := range keys {
		p := t.p[j*w : (j+1)*w]
		clear(p)
		for i, k := range t.k[j*d : (j+1)*d] {
			for l, q := range t.q[i*w : (i+1)*w] {
				p[l] += float32(k * q)
			}
		}
		for l := range p {
			if j >= all && key0+j >= int(t.limit[l]) {
				p[l] = float32(math.Inf(-1))
			}
			t.max[l] = max(t.max[l], p[l])
		}
	}
	for l, m := range t.max {
		top := float32(m * t.scale)
		t.fix[l] = expf(float32(t.fix[l]*t.scale) - top) // 1 if the maximum is the same, 0 in the first block
		var sum float32
		for j := range keys {
			e := expf(float32(t.p[j*w+l]*t.scale) - top)
			t.p[j*w+l] = e
			sum += e
		}
		t.sum[l] = float32(t.sum[l]*t.fix[l]) + sum
	}
	for i := range d {
		o := t.o[i*w : (i+1)*w]
		for l := range o {
			o[l] *= t.fix[l]
		}
		for j := range keys {
			v := t.v[j*d+i]
			for l, p := range t.p[j*w : (j+1)*w] {
				o[l] += float32(p * v)
			}
		}
	}
}
