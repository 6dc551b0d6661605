package scoring

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/pith-llm/pith/kernels"
)

// part is a run of one sequence's tokens that goes through the network in one pack.
type part struct {
	tokens []int32
	row    int // of its first token in the pack
	// What its tokens attend to besides each other: prefix, then what own holds before the place at, where their own keys
	// and values go. own is nil for a sequence in one part that is not kept.
	prefix, own *KV
	at          int
	// stored moves on when the keys and values of this part and all before it are in own; before is that of the part before.
	// Both are nil for a sequence in one part.
	stored, before *progress
	last           []float32 // where the hidden state of the last token goes; nil if nobody wants it
	entropy        *float32  // where the entropy of what follows the last token goes; nil if nobody wants it
	// Which log-probabilities are wanted: those of next[i] after row i of the part, for i >= from, into out in that order.
	// Row -1 is the hidden state prior, of what comes before the whole sequence; what follows it is tokens[0].
	next  []int32
	from  int
	out   []float32
	prior []float32
}

// pos is the position of the first token.
func (p *part) pos() int { return p.prefix.Len() + p.at }

// keys returns the keys and values of one layer, width values a token, that the part's tokens attend to: those of the prefix
// and those of the part's own sequence up to its end, which are in k and v if own is nil. storage is the KV's in use.
func keys[T float32 | kernels.BF16](p *part, layer, width int, storage func(*KV) (k, v []T), k, v []T) (prefix, own kernels.KV[T]) {
	if p.prefix != nil {
		pk, pv := storage(p.prefix)
		at := layer * p.prefix.room * width
		prefix = kernels.KV[T]{Len: p.prefix.n, K: pk[at:], V: pv[at:]}
	}
	if p.own != nil {
		k, v = storage(p.own)
		at := layer * p.own.room * width
		k, v = k[at:], v[at:]
	}
	return prefix, kernels.KV[T]{Len: p.at + len(p.tokens), K: k, V: v}
}

// progress tells those who wait how many layers are done.
type progress struct {
	mu     sync.Mutex
	moved  sync.Cond
	layers int
	failed bool
}

func newProgress() *progress {
	p := &progress{}
	p.moved.L = &p.mu
	return p
}

// reach says that so many layers are done.
func (p *progress) reach(layers int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.layers = layers
	p.mu.Unlock()
	p.moved.Broadcast()
}

// fail says that no more layers will be done.
func (p *progress) fail() {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.failed = true
	p.mu.Unlock()
	p.moved.Broadcast()
}

// await waits until so many layers are done and reports whether they are.
func (p *progress) await(layers int) bool {
	if p == nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.layers < layers && !p.failed {
		p.moved.Wait()
	}
	return p.layers >= layers
}

// errBefore is the error of a pack that waited for one which failed.
var errBefore = errors.New("the tokens before failed")

// planner cuts the sequences of one call into packs.
type planner struct {
	lm      *LM
	network *decoder
	packs   [][]part
	shared  []*KV // to give back
}

// plan makes room for the results and fills packs: a pack is what goes through the network together, at most maxPackRows
// rows. A sequence that fits shares a pack with its neighbours; a longer one is cut into packs of its own.
func (p *planner) plan(sequences []Sequence) []Result {
	results := make([]Result, len(sequences))
	rows, wanted := 0, 0
	for _, s := range sequences {
		rows += len(s.Tokens)
		wanted += len(s.Tokens) - s.From
	}
	room, longest := packRoom(rows, p.lm.options.Workers), longestPart(rows, len(p.network.idle))
	out := make([]float32, wanted)
	var pack []part
	packed := 0
	flush := func() {
		if len(pack) > 0 {
			p.packs = append(p.packs, pack)
		}
		pack, packed = nil, 0
	}
	for i, s := range sequences {
		n := len(s.Tokens) - s.From
		results[i].LogProbs, out = out[:n:n], out[n:]
		whole := part{tokens: s.Tokens, prefix: s.Prefix, prior: s.Prefix.lastRow(), from: s.From - 1, out: results[i].LogProbs}
		if s.KeepKV {
			kv := p.lm.newKV(s.Prefix.Len() + len(s.Tokens))
			kv.take(s.Prefix, p.lm.shape)
			whole.prefix, whole.own, whole.at, whole.last = nil, kv, kv.n, kv.last
			kv.n += len(s.Tokens) // nobody reads it before the call is done
			results[i].KV = kv
		}
		if s.Entropy {
			whole.entropy = &results[i].Entropy
		}
		switch {
		case len(s.Tokens) == 0:
		case len(s.Tokens) > longest:
			p.cut(whole, longest)
		default:
			if packed+len(s.Tokens) > room {
				flush()
			}
			whole.row = packed
			whole.next = s.Tokens[1:]
			pack = append(pack, whole)
			packed += len(s.Tokens)
		}
	}
	flush()
	return results
}

// cut divides a part into several, about equal, of at most longest tokens, each in a pack of its own. They run at the same
// time: in each layer a part waits until the keys and values of those before it are there. So a lone sequence uses all
// workers, with no other barrier than this, and its results are those of the whole, bit for bit.
func (p *planner) cut(whole part, longest int) {
	parts := (len(whole.tokens) + longest - 1) / longest
	if whole.own == nil && parts > 1 {
		whole.own = p.network.sharedKV(p.lm, len(whole.tokens))
		p.shared = append(p.shared, whole.own)
	}
	size := (len(whole.tokens) + parts - 1) / parts
	tokens, from, out := whole.tokens, whole.from, whole.out
	var packs [][]part
	var before *progress
	for start := 0; start < len(tokens); start += size {
		end := min(start+size, len(tokens))
		t := whole
		t.tokens = tokens[start:end]
		t.at += start
		t.next = tokens[start+1 : min(end+1, len(tokens))]
		t.from = min(max(from-start, min(start, 1)-1), len(t.next)) // row -1 is the last one before the whole
		n := len(t.next) - t.from
		t.out, out = out[:n], out[n:]
		if end < len(tokens) {
			t.last, t.entropy = nil, nil
		}
		t.before, t.stored = before, newProgress()
		before = t.stored
		packs = append(packs, []part{t})
	}
	p.packs = slices.Insert(p.packs, 0, packs...) // what waits for each other goes first
}

// close gives back the memory that packs shared.
func (p *planner) close() {
	for _, kv := range p.shared {
		p.network.shared.Put(kv)
	}
}

// sharedKV returns memory for the keys and values of so many tokens.
func (d *decoder) sharedKV(lm *LM, tokens int) *KV {
	if kv, ok := d.shared.Get().(*KV); ok && kv.room >= tokens {
		return kv
	}
	return lm.newKV(max(tokens, maxPackRows))
}

// runPacks takes the packs through the network. Each is given a worker before the next one, so that a pack which waits for
// an earlier one never keeps it from starting, and each call has one pack at most in the queue for workers: calls of all
// sizes get equal shares.
func (lm *LM) runPacks(ctx context.Context, d *decoder, packs [][]part) error {
	var order sync.Mutex
	next, stopped := 0, false
	errs := make([]error, len(packs))
	runNext := func() bool {
		order.Lock()
		i := next
		if i == len(packs) || stopped {
			order.Unlock()
			return false
		}
		next++
		w, err := d.borrow(ctx, lm)
		stopped = err != nil
		order.Unlock()
		if err == nil {
			err = w.run(ctx, packs[i], lm.shape.d)
			d.giveBack(w)
		}
		if err != nil {
			errs[i] = err
			order.Lock()
			stopped = true
			order.Unlock()
		}
		return err == nil
	}
	var group sync.WaitGroup
	for range min(len(packs), lm.options.Workers) - 1 {
		group.Go(func() {
			for runNext() {
			}
		})
	}
	for runNext() {
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// worker is one goroutine's private memory.
type worker struct {
	pass    pass
	rows    []float32 // hidden states waiting for the head, [maxPackRows, d]
	targets []int32   // the tokens whose log-probabilities they give
	out     []float32
	home    []*float32 // where each result goes
	ends    []float32  // hidden states after which the entropy is wanted
	endHome []*float32 // where each entropy goes
}

// borrow waits for a worker.
func (d *decoder) borrow(ctx context.Context, lm *LM) (*worker, error) {
	select {
	case w := <-d.idle:
		if w.pass == nil {
			w.pass = d.weights.newPass(lm.options.Tier, maxPackRows)
			w.rows = make([]float32, 0, maxPackRows*lm.shape.d)
			w.targets = make([]int32, 0, maxPackRows)
			w.out = make([]float32, maxPackRows)
			w.home = make([]*float32, 0, maxPackRows)
		}
		return w, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (d *decoder) giveBack(w *worker) { d.idle <- w }

// run takes one pack through the network and the wanted rows through the head.
func (w *worker) run(ctx context.Context, pack []part, d int) error {
	if err := w.pass.layers(ctx, pack); err != nil {
		for i := range pack {
			pack[i].stored.fail()
		}
		return err
	}
	x := w.pass.stream()
	for i := range pack {
		p := &pack[i]
		for row := p.from; row < len(p.next); row++ {
			if len(w.targets) == maxPackRows {
				w.head()
			}
			hidden, target := p.prior, p.tokens[0]
			if row >= 0 {
				hidden, target = x[(p.row+row)*d:(p.row+row+1)*d], p.next[row]
			}
			w.rows = append(w.rows, hidden...)
			w.targets = append(w.targets, target)
			w.home = append(w.home, &p.out[row-p.from])
		}
		if p.last != nil {
			end := p.row + len(p.tokens)
			copy(p.last, x[(end-1)*d:end*d])
		}
		if p.entropy != nil {
			end := p.row + len(p.tokens)
			w.ends = append(w.ends, x[(end-1)*d:end*d]...)
			w.endHome = append(w.endHome, p.entropy)
		}
	}
	w.head()
	w.pass.logits(w.ends, len(w.endHome), func(row int, logits []float32) { *w.endHome[row] = kernels.Entropy(logits) })
	w.ends, w.endHome = w.ends[:0], w.endHome[:0]
	return nil
}

// head computes the log-probabilities of the rows that wait and puts them where they belong.
func (w *worker) head() {
	out := w.out[:len(w.targets)]
	w.pass.logProbs(out, w.rows, w.targets)
	for i, v := range out {
		*w.home[i] = v
	}
	w.rows, w.targets, w.home = w.rows[:0], w.targets[:0], w.home[:0]
}
