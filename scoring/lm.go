package scoring

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring/gguf"
	"github.com/pith-llm/pith/scoring/tokenizer"
)

// Precision is the arithmetic of a model's matrices.
type Precision uint8

// The precisions. Int8 rounds weights per output row and activations per token to 8 bits and sums exactly; F32 computes
// with the weights of the file as they are, slowly, and is what Int8 is measured against.
const (
	Int8 Precision = iota
	F32
)

// String returns the precision's name in the configuration.
func (p Precision) String() string {
	if p == F32 {
		return "f32"
	}
	return "int8"
}

// LMOptions configure a decoder.
type LMOptions struct {
	Precision Precision
	// Tier is the instruction set of the kernels; it must be supported. Results differ in their last bits between tiers.
	Tier kernels.Tier
	// Workers is how many packs run at a time, and so how many cores are used; 0 means GOMAXPROCS.
	Workers int
	// CacheDir is where the prepared weights of Int8 are kept from one start to the next, in a file that is mapped into
	// memory. It is made if it is not there. Empty means that every start prepares them.
	CacheDir string
}

// ErrContextLength is wrapped by the errors for sequences longer than the model's context.
var ErrContextLength = errors.New("longer than the model's context")

// decoderWeights is a loaded decoder in one precision, shared by all passes.
type decoderWeights interface {
	newPass(tier kernels.Tier, rows int) pass
	newKV(room int) *KV
}

// LM is a decoder language model. It is safe for concurrent use: calls share the workers.
type LM struct {
	shape   decoderShape
	weights decoderWeights
	options LMOptions
	bpe     *tokenizer.BPE
	chatML  bool
	ends    []int32 // tokens that end an answer
	source  WeightSource
	// idle holds the workers that no call uses. They are made at first use and live as long as the LM.
	idle chan *worker
}

// worker is one goroutine's private memory.
type worker struct {
	pass    pass
	rows    []float32 // hidden states waiting for the head, [maxPackRows, d]
	targets []int32   // the tokens whose log-probabilities they give
	out     []float32
	home    []*float32 // where each result goes
}

// LoadLM prepares the decoder in f: a Llama model with the tensors and metadata of llama.cpp's converter. The LM goes on
// referring to the file's memory, for embeddings and vocabulary.
func LoadLM(f *gguf.File, o LMOptions) (*LM, error) {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	shape, err := decoderShapeOf(f)
	if err != nil {
		return nil, fmt.Errorf("load decoder: %w", err)
	}
	lm := &LM{shape: shape, options: o, idle: make(chan *worker, o.Workers)}
	var vocabulary sync.WaitGroup
	var vocabularyErr error
	vocabulary.Go(func() { lm.bpe, vocabularyErr = loadBPE(f) })
	if o.Precision == F32 {
		lm.weights, err = loadF32(f, shape, o.Workers)
	} else {
		lm.weights, lm.source, err = loadInt8(f, shape, o)
	}
	vocabulary.Wait()
	if err = errors.Join(err, vocabularyErr); err != nil {
		return nil, fmt.Errorf("load decoder: %w", err)
	}
	template, _ := f.Text("tokenizer.chat_template") // a model without one is no chat model
	lm.chatML, lm.ends = isChatML(template), lm.answerEnds(f)
	for range o.Workers {
		lm.idle <- &worker{}
	}
	return lm, nil
}

func loadBPE(f *gguf.File) (*tokenizer.BPE, error) {
	tokens, err := f.Texts("tokenizer.ggml.tokens")
	if err != nil {
		return nil, err
	}
	types, err := f.Ints("tokenizer.ggml.token_type")
	if err != nil {
		return nil, err
	}
	merges, err := f.Texts("tokenizer.ggml.merges")
	if err != nil {
		return nil, err
	}
	pre, err := f.Text("tokenizer.ggml.pre")
	if err != nil {
		return nil, err
	}
	return tokenizer.NewBPE(tokenizer.Vocab{Tokens: tokens, Types: types, Merges: merges, Pre: pre})
}

// Tokenizer returns the model's own tokenizer.
func (lm *LM) Tokenizer() *tokenizer.BPE { return lm.bpe }

// WeightSource says where the prepared weights came from.
func (lm *LM) WeightSource() WeightSource { return lm.source }

// ContextLength returns the most tokens that the model takes, prefix included.
func (lm *LM) ContextLength() int { return lm.shape.context }

// Sequence is one run of tokens to score.
type Sequence struct {
	// Prefix comes before Tokens; nil means that Tokens start at position 0.
	Prefix *KV
	Tokens []int32
	// From says which log-probabilities are wanted: those of Tokens[From:], each given all that precedes it. It is at
	// least 1 where nothing precedes Tokens; len(Tokens) wants none.
	From int
	// KeepKV asks for the keys and values of Prefix and Tokens together.
	KeepKV bool
}

// Result is what became of one Sequence.
type Result struct {
	// LogProbs of Sequence.Tokens[From:], in nats.
	LogProbs []float32
	// KV of prefix and tokens; nil unless KeepKV asked for it.
	KV *KV
}

// LogProbs runs the sequences and returns one Result each, in their order. Sequences are packed together, and rows whose
// log-probability nobody wants skip the vocabulary. A result depends on its own sequence alone, bit for bit: not on the
// others, their order, the workers, or on how much of it was given as a prefix.
//
// It fails on tokens outside the vocabulary, on a From out of range, on a Prefix of another LM, with ErrContextLength, and
// with ctx's error, which is looked at between layers.
func (lm *LM) LogProbs(ctx context.Context, sequences []Sequence) ([]Result, error) {
	results := make([]Result, len(sequences))
	jobs, err := lm.plan(sequences, results)
	if err != nil {
		return nil, err
	}
	err = inParallel(len(jobs), lm.options.Workers, func(i int) error {
		w, err := lm.borrow(ctx)
		if err != nil {
			return err
		}
		defer lm.giveBack(w)
		for _, pack := range jobs[i] {
			if err := w.run(ctx, pack, lm.shape.d); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

func (lm *LM) borrow(ctx context.Context) (*worker, error) {
	select {
	case w := <-lm.idle:
		if w.pass == nil {
			w.pass = lm.weights.newPass(lm.options.Tier, maxPackRows)
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

func (lm *LM) giveBack(w *worker) { lm.idle <- w }

// plan checks the sequences, makes room for their results and cuts them into jobs: a job is a list of packs that run one
// after the other. A sequence that fits shares a pack with its neighbours; a longer one is a job of its own whose parts
// hand on their keys and values.
func (lm *LM) plan(sequences []Sequence, results []Result) ([][][]part, error) {
	rows, wanted := 0, 0
	for i, s := range sequences {
		if err := lm.check(s); err != nil {
			return nil, fmt.Errorf("sequence %d: %w", i, err)
		}
		if len(s.Tokens) <= maxPackRows {
			rows += len(s.Tokens)
		}
		wanted += len(s.Tokens) - s.From
	}
	room := packRoom(rows, lm.options.Workers)
	out := make([]float32, wanted)
	var jobs [][][]part
	var pack []part
	packed := 0
	flush := func() {
		if len(pack) > 0 {
			jobs = append(jobs, [][]part{pack})
		}
		pack, packed = nil, 0
	}
	for i, s := range sequences {
		n := len(s.Tokens) - s.From
		results[i].LogProbs, out = out[:n:n], out[n:]
		p := part{tokens: s.Tokens, kv: s.Prefix, from: s.From - 1, out: results[i].LogProbs}
		if s.KeepKV || len(s.Tokens) > maxPackRows {
			p.kv = lm.weights.newKV(s.Prefix.Len() + len(s.Tokens))
			p.kv.take(s.Prefix, lm.shape)
			p.keep = true
		}
		if s.KeepKV {
			results[i].KV = p.kv
		}
		switch {
		case len(s.Tokens) == 0:
		case len(s.Tokens) > maxPackRows:
			jobs = append(jobs, cut(p))
		default:
			if packed+len(s.Tokens) > room {
				flush()
			}
			p.row = packed
			p.next = s.Tokens[1:]
			pack = append(pack, p)
			packed += len(s.Tokens)
		}
	}
	flush()
	slices.SortStableFunc(jobs, func(a, b [][]part) int { return len(b) - len(a) }) // the longest first
	return jobs, nil
}

func (lm *LM) check(s Sequence) error {
	if s.Prefix != nil && s.Prefix.owner != lm.weights {
		return errors.New("the prefix was computed by another model")
	}
	if err := lm.checkTokens(s.Tokens, s.Prefix.Len()); err != nil {
		return err
	}
	least := 0
	if s.Prefix.Len() == 0 {
		least = min(1, len(s.Tokens))
	}
	if s.From < least || s.From > len(s.Tokens) {
		return fmt.Errorf("log-probabilities from token %d on are wanted, of %d with %d before them", s.From, len(s.Tokens), s.Prefix.Len())
	}
	return nil
}

// checkTokens checks tokens that follow others.
func (lm *LM) checkTokens(tokens []int32, before int) error {
	if n := before + len(tokens); n > lm.shape.context {
		return fmt.Errorf("%d tokens: %w of %d", n, ErrContextLength, lm.shape.context)
	}
	for i, id := range tokens {
		if id < 0 || int(id) >= lm.shape.vocab {
			return fmt.Errorf("token %d is %d, not in the vocabulary of %d", i, id, lm.shape.vocab)
		}
	}
	return nil
}

// cut divides a long part that keeps its keys and values into packs of their own.
func cut(p part) [][]part {
	var job [][]part
	tokens, from, out := p.tokens, p.from, p.out
	for at := 0; at < len(tokens); at += maxPackRows {
		end := min(at+maxPackRows, len(tokens))
		p.tokens = tokens[at:end]
		p.next = tokens[at+1 : min(end+1, len(tokens))]
		p.from = min(max(from-at, min(at, 1)-1), len(p.next)) // row -1 is the last one before the whole
		n := len(p.next) - p.from
		p.out, out = out[:n], out[n:]
		job = append(job, []part{p})
	}
	return job
}

// run takes one pack through the network and the wanted rows through the head.
func (w *worker) run(ctx context.Context, pack []part, d int) error {
	if err := w.pass.layers(ctx, pack); err != nil {
		return err
	}
	x := w.pass.stream()
	for i := range pack {
		p := &pack[i]
		for row := p.from; row < len(p.next); row++ {
			if len(w.targets) == maxPackRows {
				w.head()
			}
			hidden, target := p.kv.lastRow(), p.tokens[0]
			if row >= 0 {
				hidden, target = x[(p.row+row)*d:(p.row+row+1)*d], p.next[row]
			}
			w.rows = append(w.rows, hidden...)
			w.targets = append(w.targets, target)
			w.home = append(w.home, &p.out[row-p.from])
		}
		if p.keep {
			end := p.row + len(p.tokens)
			p.kv.n += len(p.tokens)
			copy(p.kv.last, x[(end-1)*d:end*d])
		}
	}
	w.head()
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
