package scoring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

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
	// Tier is the instruction set of the kernels; it must be supported. Results differ in their last bits between
	// some tiers, see package kernels.
	Tier kernels.Tier
	// Workers is how many packs run at a time, and so how many cores are used; 0 means GOMAXPROCS.
	Workers int
	// CacheDir is where the prepared weights of Int8 are kept from one start to the next, in a file that is mapped into
	// memory. It is made if it is not there. Empty means that every start prepares them.
	CacheDir string
	// IdleTimeout is how long after the last call weights and working memory are given up; the next call loads them again.
	// 0 keeps them.
	IdleTimeout time.Duration
	// Logger, if not nil, is told of each time that the weights are loaded.
	Logger *slog.Logger
}

// ErrContextLength is wrapped by the errors for sequences longer than the model's context.
var ErrContextLength = errors.New("longer than the model's context")

// decoderWeights is a loaded decoder in one precision, shared by all passes.
type decoderWeights interface {
	newPass(tier kernels.Tier, rows int) pass
}

// LM is a decoder language model. It is safe for concurrent use: calls share the workers, pack by pack in turn.
type LM struct {
	shape   decoderShape
	options LMOptions
	bpe     *tokenizer.BPE
	chatML  bool
	system  string  // the message that begins a conversation without one
	ends    []int32 // tokens that end an answer
	network *resident[*decoder]
	source  atomic.Pointer[WeightSource]
}

// decoder is what takes memory of an LM: weights and workers.
type decoder struct {
	weights decoderWeights
	// idle holds the workers that no call uses; those who wait for one are served in the order in which they came. A
	// worker's memory is made at its first use.
	idle chan *worker
	// shared holds each *KV that a sequence in several parts may use.
	shared sync.Pool
}

// LoadLM prepares the decoder in f: a Llama or Qwen2 model with the tensors and metadata of llama.cpp's converter. The LM goes on
// referring to the file's memory, for embeddings and vocabulary.
func LoadLM(f *gguf.File, o LMOptions) (*LM, error) {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	shape, err := decoderShapeOf(f)
	if err != nil {
		return nil, fmt.Errorf("load decoder: %w", err)
	}
	lm := &LM{shape: shape, options: o}
	lm.network = newResident(o.IdleTimeout, func() (*decoder, error) { return lm.load(f) })
	var vocabulary sync.WaitGroup
	var vocabularyErr error
	vocabulary.Go(func() { lm.bpe, vocabularyErr = loadBPE(f) })
	_, err = lm.network.acquire()
	vocabulary.Wait()
	if err == nil {
		lm.network.release()
	}
	if err = errors.Join(err, vocabularyErr); err != nil {
		return nil, fmt.Errorf("load decoder: %w", err)
	}
	template, _ := f.Text("tokenizer.chat_template") // a model without one is no chat model
	lm.chatML, lm.system, lm.ends = isChatML(template), defaultSystem(template), lm.answerEnds(f)
	return lm, nil
}

// load prepares the weights.
func (lm *LM) load(f *gguf.File) (*decoder, error) {
	start := time.Now()
	d := &decoder{idle: make(chan *worker, lm.options.Workers)}
	var source WeightSource
	var err error
	if lm.options.Precision == F32 {
		d.weights, err = loadF32(f, lm.shape, lm.options.Workers)
	} else {
		d.weights, source, err = loadInt8(f, lm.shape, lm.options)
	}
	if err != nil {
		return nil, err
	}
	source.Took = time.Since(start)
	lm.source.Store(&source)
	source.log(lm.options.Logger, "decoder", lm.options.Precision, lm.options.Tier)
	for range lm.options.Workers {
		d.idle <- &worker{}
	}
	return d, nil
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

// WeightSource says where the prepared weights came from when they were last loaded.
func (lm *LM) WeightSource() WeightSource { return *lm.source.Load() }

// Loaded reports whether the weights are in memory: always, unless LMOptions.IdleTimeout has passed since the last call.
func (lm *LM) Loaded() bool { return lm.network.loaded() }

// ContextLength returns the most tokens that the model takes, prefix included.
func (lm *LM) ContextLength() int { return lm.shape.context }

// Sequence is one run of tokens to score.
type Sequence struct {
	// Prefix comes before Tokens; nil means that Tokens start at position 0.
	Prefix *KV
	Tokens []int32
	// From says which log-probabilities are wanted: those of Tokens[From:], each given all that precedes it. It is at
	// least 1 where nothing precedes Tokens, or the Head of a KV; len(Tokens) wants none.
	From int
	// Entropy asks how uncertain it is what follows Tokens, of which there has to be one.
	Entropy bool
	// KeepKV asks for the keys and values of Prefix and Tokens together.
	KeepKV bool
}

// Result is what became of one Sequence.
type Result struct {
	// LogProbs of Sequence.Tokens[From:], in nats.
	LogProbs []float32
	// Entropy in nats of the token after the last one (Shannon 1948); 0 unless Sequence.Entropy asked for it.
	Entropy float32
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
	for i, s := range sequences {
		if err := lm.check(s); err != nil {
			return nil, fmt.Errorf("sequence %d: %w", i, err)
		}
	}
	d, err := lm.network.acquire()
	if err != nil {
		return nil, fmt.Errorf("load decoder: %w", err)
	}
	defer lm.network.release()
	p := planner{lm: lm, network: d}
	defer p.close()
	results := p.plan(sequences)
	if err := lm.runPacks(ctx, d, p.packs); err != nil {
		return nil, err
	}
	return results, nil
}

func (lm *LM) check(s Sequence) error {
	if s.Prefix != nil && s.Prefix.owner != lm {
		return errors.New("the prefix was computed by another model")
	}
	if err := lm.checkTokens(s.Tokens, s.Prefix.Len()); err != nil {
		return err
	}
	if s.Entropy && len(s.Tokens) == 0 {
		return errors.New("the entropy after no tokens is wanted")
	}
	least := 0
	if !s.Prefix.predicts() {
		least = min(1, len(s.Tokens))
		if s.Prefix.Len() > 0 && len(s.Tokens) == 0 {
			return errors.New("no tokens follow the head of another sequence's KV")
		}
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
