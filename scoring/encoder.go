package scoring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring/gguf"
	"github.com/pith-llm/pith/scoring/tokenizer"
)

// EncoderOptions configure an encoder.
type EncoderOptions struct {
	Precision Precision
	// Tier is the instruction set of the kernels; it must be supported.
	Tier kernels.Tier
	// Workers is how many packs run at a time; 0 means GOMAXPROCS.
	Workers int
	// CacheDir is where the prepared weights of Int8 are kept, as for LMOptions.
	CacheDir string
	// IdleTimeout is how long after the last call weights and working memory are given up, as for LMOptions.
	IdleTimeout time.Duration
	// Logger, if not nil, is told of each time that the weights are loaded.
	Logger *slog.Logger
}

// maxEncoderTokens is how much of a text is read, [CLS] and [SEP] included: what segments seldom exceed, and half of what the
// embedded encoder could.
const maxEncoderTokens = 256

// instructionKey is where a GGUF file holds the encoder's instruction for queries; the format has no key of its own for it.
const instructionKey = "pith.query_instruction"

// Encoder turns texts into vectors whose dot product says how near they are in meaning: BERT (Devlin et al. 2019), trained on
// pairs of texts (Reimers and Gurevych 2019, "Sentence-BERT"). It is safe for concurrent use: calls share the workers.
type Encoder struct {
	shape   encoderShape
	options EncoderOptions
	words   *tokenizer.WordPiece
	limit   int
	// instruction stands before a query, but not before what is searched, where the encoder was trained so.
	instruction string
	network     *resident[*encoder]
	source      atomic.Pointer[WeightSource]
}

// encoder is what takes memory of an Encoder: weights and passes.
type encoder struct {
	weights encoderWeights
	// idle holds the passes that no call uses; nil stands for one that is not made yet. Those who wait for one are served
	// in the order in which they came.
	idle chan encoderPass
}

// encoderShape holds an encoder's sizes, as its GGUF metadata states them.
type encoderShape struct {
	depth, d, ffn, vocab, context int
	heads, headDim                int
	eps                           float32
	pooling                       pooling
}

// pooling is how an encoder makes a text's vector of its tokens', in the numbers of GGUF's bert.pooling_type.
type pooling uint64

const (
	// meanPooling takes the mean of all tokens (Reimers and Gurevych 2019, "Sentence-BERT").
	meanPooling pooling = 1
	// firstPooling takes the first token, [CLS] (Devlin et al. 2019).
	firstPooling pooling = 2
)

// encoderPass takes packs through an encoder on one goroutine, in buffers of its own.
type encoderPass interface {
	// layers takes the token ids of whole texts, ends[i] being the row after the i-th, through all layers and returns
	// their rows [m, d].
	layers(ctx context.Context, ids []int32, ends []int) ([]float32, error)
}

// encoderWeights is a loaded encoder in one precision, shared by all passes.
type encoderWeights interface {
	newPass(tier kernels.Tier, rows int) encoderPass
}

// LoadEncoder prepares the encoder in f: a BERT model with the tensors and metadata of llama.cpp's converter that takes the mean
// of all tokens, or the first token.
func LoadEncoder(f *gguf.File, o EncoderOptions) (*Encoder, error) {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	shape, err := encoderShapeOf(f)
	if err != nil {
		return nil, fmt.Errorf("load encoder: %w", err)
	}
	e := &Encoder{shape: shape, options: o, limit: min(maxEncoderTokens, shape.context)}
	if f.Has(instructionKey) {
		if e.instruction, err = f.Text(instructionKey); err != nil {
			return nil, fmt.Errorf("load encoder: %w", err)
		}
	}
	e.network = newResident(o.IdleTimeout, func() (*encoder, error) { return e.load(f) })
	var vocabulary sync.WaitGroup
	var vocabularyErr error
	vocabulary.Go(func() { e.words, vocabularyErr = loadWordPiece(f, shape.vocab) })
	_, err = e.network.acquire()
	vocabulary.Wait()
	if err == nil {
		e.network.release()
	}
	if err = errors.Join(err, vocabularyErr); err != nil {
		return nil, fmt.Errorf("load encoder: %w", err)
	}
	return e, nil
}

// load prepares the weights.
func (e *Encoder) load(f *gguf.File) (*encoder, error) {
	start := time.Now()
	n := &encoder{idle: make(chan encoderPass, e.options.Workers)}
	var source WeightSource
	var err error
	if e.options.Precision == F32 {
		n.weights, err = loadEncoderF32(f, e.shape, e.options.Workers)
	} else {
		n.weights, source, err = loadEncoderInt8(f, e.shape, e.options)
	}
	if err != nil {
		return nil, err
	}
	source.Took = time.Since(start)
	e.source.Store(&source)
	source.log(e.options.Logger, "encoder", e.options.Precision, e.options.Tier)
	for range e.options.Workers {
		n.idle <- nil
	}
	return n, nil
}

func loadWordPiece(f *gguf.File, vocab int) (*tokenizer.WordPiece, error) {
	tokens, err := f.Texts("tokenizer.ggml.tokens")
	if err != nil {
		return nil, err
	}
	types, err := f.Ints("tokenizer.ggml.token_type")
	if err != nil {
		return nil, err
	}
	if len(tokens) > vocab {
		return nil, fmt.Errorf("%d tokens for %d embeddings", len(tokens), vocab)
	}
	return tokenizer.NewWordPiece(tokens, types)
}

func encoderShapeOf(f *gguf.File) (encoderShape, error) {
	var s encoderShape
	arch, err := f.Text("general.architecture")
	if err != nil {
		return s, err
	}
	if arch != "bert" {
		return s, fmt.Errorf("model architecture %q is not supported, want bert", arch)
	}
	for key, dst := range map[string]*int{
		"bert.block_count": &s.depth, "bert.embedding_length": &s.d, "bert.feed_forward_length": &s.ffn,
		"bert.attention.head_count": &s.heads, "bert.context_length": &s.context,
	} {
		if *dst, err = size(f, key); err != nil {
			return s, err
		}
	}
	if s.depth > len(f.Tensors) {
		return s, fmt.Errorf("%d layers in a file of %d tensors", s.depth, len(f.Tensors))
	}
	if s.d%s.heads != 0 || s.d/s.heads%headMultiple != 0 {
		return s, fmt.Errorf("%d heads do not divide a width of %d into multiples of %d", s.heads, s.d, headMultiple)
	}
	s.headDim = s.d / s.heads
	kind, err := f.Uint("bert.pooling_type")
	if err != nil {
		return s, err
	}
	if s.pooling = pooling(kind); s.pooling != meanPooling && s.pooling != firstPooling {
		return s, fmt.Errorf("pooling type %d is not supported, want %d (mean) or %d (first token)", kind, meanPooling, firstPooling)
	}
	eps, err := f.Float("bert.attention.layer_norm_epsilon")
	if err != nil {
		return s, err
	}
	s.eps = float32(eps)
	words, err := f.Tensor("token_embd.weight")
	if err != nil {
		return s, err
	}
	s.vocab = words.Shape[0]
	return s, nil
}

// WeightSource says where the prepared weights came from when they were last loaded.
func (e *Encoder) WeightSource() WeightSource { return *e.source.Load() }

// Loaded reports whether the weights are in memory: always, unless EncoderOptions.IdleTimeout has passed since the last call.
func (e *Encoder) Loaded() bool { return e.network.loaded() }

// Dim returns the length of the vectors.
func (e *Encoder) Dim() int { return e.shape.d }

// Tokens returns the ids that Embed reads of text, [CLS] and [SEP] included: what it costs.
func (e *Encoder) Tokens(text string) []int32 { return e.words.Encode(text, e.limit) }

// Embed returns the unit vector [Dim] of each text, in their order. A text's vector depends on that text alone, bit for
// bit. It fails with ctx's error, which is looked at between layers, and if weights that were given up cannot be loaded again.
func (e *Encoder) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	vectors := make([][]float32, len(texts))
	err := e.each(ctx, e.tokenized(texts), func(i int, rows []float32) { vectors[i] = e.shape.pool(rows) })
	if err != nil {
		return nil, err
	}
	return vectors, nil
}

// Encoding is a text as an encoder sees it.
type Encoding struct {
	// Unit is the vector that Embed returns, [Dim].
	Unit []float32
	// Tokens holds the unit vector of each token but [CLS] and [SEP], [tokens, Dim], times 127 and rounded.
	Tokens []int8
}

// Encode returns the vectors of each text and of its tokens, in the order of texts, under the promises and errors of Embed.
func (e *Encoder) Encode(ctx context.Context, texts []string) ([]Encoding, error) {
	return e.encode(ctx, e.tokenized(texts))
}

// tokenized returns the ids that are read of each text.
func (e *Encoder) tokenized(texts []string) [][]int32 {
	ids := make([][]int32, len(texts))
	_ = inParallel(len(texts), e.options.Workers, func(i int) error {
		ids[i] = e.Tokens(texts[i])
		return nil
	})
	return ids
}

// encode is Encode of what was tokenized.
func (e *Encoder) encode(ctx context.Context, ids [][]int32) ([]Encoding, error) {
	encodings := make([]Encoding, len(ids))
	err := e.each(ctx, ids, func(i int, rows []float32) {
		d := e.shape.d
		encodings[i] = Encoding{Unit: e.shape.pool(rows), Tokens: make([]int8, max(0, len(rows)-2*d))}
		for at := 0; at < len(encodings[i].Tokens); at += d {
			quantizeUnit(encodings[i].Tokens[at:at+d], rows[d+at:])
		}
	})
	if err != nil {
		return nil, err
	}
	return encodings, nil
}

// quantizeUnit writes the first len(dst) values of x, scaled to length 127, rounded.
func quantizeUnit(dst []int8, x []float32) {
	var square float64
	for _, v := range x[:len(dst)] {
		square += float64(v) * float64(v)
	}
	if square == 0 {
		return
	}
	scale := 127 / math.Sqrt(square)
	for i := range dst {
		dst[i] = int8(math.Round(float64(x[i]) * scale))
	}
}

// each calls use with the rows [tokens, d] of each text, given by its ids, on several goroutines.
func (e *Encoder) each(ctx context.Context, ids [][]int32, use func(i int, rows []float32)) error {
	n, err := e.network.acquire()
	if err != nil {
		return fmt.Errorf("load encoder: %w", err)
	}
	defer e.network.release()
	packs := evenPacks(ids, e.options.Workers)
	return inParallel(len(packs), e.options.Workers, func(i int) error {
		from := 0
		if i > 0 {
			from = packs[i-1]
		}
		return e.run(ctx, n, ids[from:packs[i]], func(j int, rows []float32) { use(from+j, rows) })
	})
}

// evenPacks divides texts, in their order, into packs of about equal length, a multiple of workers where that pays, and
// returns the index after the last text of each.
func evenPacks(ids [][]int32, workers int) []int {
	rows := 0
	for _, text := range ids {
		rows += len(text)
	}
	room := packRoom(rows, workers)
	var ends []int
	packed := 0
	for i, text := range ids {
		if packed > 0 && packed+len(text) > room {
			ends = append(ends, i)
			packed = 0
		}
		packed += len(text)
	}
	if packed > 0 {
		ends = append(ends, len(ids))
	}
	return ends
}

// run takes one pack of texts through the network and calls use with the rows of each.
func (e *Encoder) run(ctx context.Context, n *encoder, texts [][]int32, use func(i int, rows []float32)) error {
	var pass encoderPass
	select {
	case pass = <-n.idle:
	case <-ctx.Done():
		return ctx.Err()
	}
	if pass == nil {
		pass = n.weights.newPass(e.options.Tier, maxPackRows)
	}
	defer func() { n.idle <- pass }()
	var ids []int32
	var ends []int
	for _, text := range texts {
		ids = append(ids, text...)
		ends = append(ends, len(ids))
	}
	x, err := pass.layers(ctx, ids, ends)
	if err != nil {
		return err
	}
	row := 0
	for i, end := range ends {
		use(i, x[row*e.shape.d:end*e.shape.d])
		row = end
	}
	return nil
}

// pool returns the vector of a text whose tokens are the rows of x [m, d]: of length 1.
func (s encoderShape) pool(x []float32) []float32 {
	if s.pooling == firstPooling {
		x = x[:s.d]
	}
	sum := make([]float64, s.d)
	for ; len(x) > 0; x = x[s.d:] {
		for i, v := range x[:s.d] {
			sum[i] += float64(v)
		}
	}
	var square float64
	for _, v := range sum {
		square += v * v
	}
	unit := make([]float32, s.d)
	for i, v := range sum {
		unit[i] = float32(v / math.Sqrt(square))
	}
	return unit
}

func (s encoderShape) newAttention(tier kernels.Tier) *kernels.Attention {
	return kernels.NewAttention(kernels.AttentionOptions{Tier: tier, Heads: s.heads, KVHeads: s.heads, Dim: s.headDim})
}

// attendTexts lets the rows of each text attend to each other; ends[i] is the row after the i-th text's last. All rows are
// of d values.
func attendTexts(a *kernels.Attention, out, q, k, v []float32, ends []int, d int) {
	row := 0
	for _, end := range ends {
		at, n := row*d, end-row
		kernels.Attend(a, out[at:], d, q[at:], d, n, kernels.KV[float32]{Len: n, K: k[at:], V: v[at:]})
		row = end
	}
}
