package scoring

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pith-llm/pith/cache"
)

// Options configure a Scorer. The zero value is enough for "bm25".
type Options struct {
	// LM and Encoder give the models; each is called once, when a score first needs it.
	LM      func() (*LM, error)
	Encoder func() (*Encoder, error)
	// KVBytes bounds the cached keys and values of segments; 0 means 512 MiB.
	KVBytes int64
	// ScoreBytes bounds the cached vectors and the cached scores, each; 0 means 64 MiB.
	ScoreBytes int64
	// ModelTokens bounds what the default scorer has the decoder read for one call, in tokens at the cold price: a segment's
	// and the query's for each pair. What is cached saves time and changes nothing. 0 does without the decoder.
	ModelTokens int
	// Plan bounds what the default scorer has both models read for one call, the encoder first: see Plan.
	Plan Plan
	// Combination is how the default scorer weighs its features; DefaultCombination if nil.
	Combination *Combination
}

func (o Options) withDefaults() Options {
	if o.KVBytes == 0 {
		o.KVBytes = 512 << 20
	}
	if o.ScoreBytes == 0 {
		o.ScoreBytes = 64 << 20
	}
	return o
}

// Family groups kinds of text by what makes a part of them worth keeping.
type Family uint8

// The families: running text, code, and records of which each stands for itself (data, logs, search results).
const (
	Prose Family = iota
	Code
	Records
	familyCount
)

var familyNames = [familyCount]string{"prose", "code", "records"}

// String returns the family's name, such as "code".
func (f Family) String() string {
	if f < familyCount {
		return familyNames[f]
	}
	return fmt.Sprintf("Family(%d)", uint8(f))
}

// Form says what a segment is in its text.
type Form uint8

// The forms.
const (
	FormText Form = iota
	FormHeading
	FormSentence
	FormLines
	FormImport
	FormStatement
	FormFunction
	FormMethod
	FormClass
	FormHeader
)

var formNames = [...]string{
	"text", "heading", "sentence", "lines", "import", "statement", "function", "method", "class", "header",
}

// String returns the form's name, such as "function".
func (f Form) String() string {
	if int(f) < len(formNames) {
		return formNames[f]
	}
	return fmt.Sprintf("Form(%d)", uint8(f))
}

// Segment is a candidate for being kept. The segments of a call stand in the order of their texts and of their places
// there. Only Text is needed; what else is known makes the default scorer better.
type Segment struct {
	// TextName is the path or title of the text that the segment is from, Name the segment's own symbol or heading; both
	// may be empty.
	TextName, Name string
	// TextIndex numbers the texts, from 0.
	TextIndex int
	Family    Family
	Form      Form
	// Enclosed says that it stands under a header that is a segment of its own.
	Enclosed bool
	// Tokens counts the segment's tokens, by whatever tokenizer the budget is in.
	Tokens int
	// Defines are the names that a segment of code defines for others, Imports what its import statements name: modules, as
	// they are written, and names. Where both are empty, the beginnings of lines are looked at instead.
	Defines, Imports []string
	// Text is the segment itself.
	Text string
}

// document is what is read of a segment: after its names, on a line of their own, where it does not say its own name itself.
func (s Segment) document() string {
	names := s.TextName
	if s.Name != "" && !strings.Contains(s.Text, s.Name) {
		if names != "" {
			names += ": "
		}
		names += s.Name
	}
	if names == "" {
		return s.Text
	}
	return names + "\n" + s.Text
}

// Scores says how relevant segments are to a query.
type Scores struct {
	// Values holds one score a segment, in their order: higher is more relevant. Those of the default scorer are the
	// probabilities that segments are needed; others are comparable within one call only.
	Values []float64
	// Probabilities says that they are.
	Probabilities bool
	// Terms are what the values are made of: of the default scorer what each feature contributes to the log-odds.
	Terms []Term
	// ModelTokens counts the tokens that the models had to read if nothing were cached: for the decoder the segment's and
	// the query's for each pair, and the query's alone; for the encoder each text's once.
	ModelTokens int
	// Cut and Unread count the segments of which the encoder read only the beginning, and nothing, for the plan's sake.
	Cut, Unread int
	// Stages are the steps in order, with their time.
	Stages []Stage

	call *call // for Refine
}

// Term is one signal: "bm25" (BM25's score), "encoder" (cosine), "lm" (nats a token of the query), or a feature.
type Term struct {
	Name string
	// Values holds one value a segment; NaN where the term was not computed.
	Values []float64
}

// Stage is the time that one step took.
type Stage struct {
	Name     string
	Duration time.Duration
}

// DefaultScorer names the cascade: see NewScorer.
const DefaultScorer = "default"

const (
	termBM25    = "bm25"
	termEncoder = "encoder"
	termLM      = "lm"
)

// ErrNoQuery is returned by Score where there is nothing to score against.
var ErrNoQuery = errors.New("the query is empty")

// Scorer rates segments against a query. It is safe for concurrent use.
//
// Every term is rounded to 1e-4 before it is compared or combined, so that differences in the last bits of float sums,
// which depend on the instruction set, hardly ever change a selection. A segment's encoder and lm values are functions of
// the query and that segment alone; bm25 and the sums depend on the other segments of the call too.
type Scorer struct {
	terms   []string // of a sum
	cascade bool
	options Options

	combination *Combination

	lm      func() (*LM, error)
	encoder func() (*Encoder, error)

	vectors *cache.Cache[encoding]
	kv      *cache.Cache[*KV]
	pairs   *cache.Cache[pairScore]
}

// NewScorer returns the scorer of that name: "bm25", "encoder" or "lm", a sum such as "bm25+lm", or "default". A sum adds
// the terms' z-scores over the segments of the call. The default scorer is a cascade whose values are probabilities: a
// combination of cheap features for all segments, then with the decoder's for those that can still change the decision.
//
// Close frees its caches.
func NewScorer(name string, o Options) (*Scorer, error) {
	s := &Scorer{options: o.withDefaults(), cascade: name == DefaultScorer}
	s.terms = strings.Split(name, "+")
	if s.cascade {
		s.terms = []string{termBM25, termEncoder, termLM}
	}
	for i, term := range s.terms {
		switch {
		case term != termBM25 && term != termEncoder && term != termLM:
			return nil, fmt.Errorf("scorer %q: no term is named %q; choose default, or a sum of bm25, encoder and lm", name, term)
		case slices.Contains(s.terms[:i], term):
			return nil, fmt.Errorf("scorer %q: term %q is there twice", name, term)
		}
	}
	if err := o.Plan.Validate(); err != nil {
		return nil, fmt.Errorf("scorer %q: %w", name, err)
	}
	if o.ModelTokens < 0 {
		return nil, fmt.Errorf("scorer %q: ModelTokens is %d, it must not be negative", name, o.ModelTokens)
	}
	var errs [4]error
	if slices.Contains(s.terms, termEncoder) {
		if o.Encoder == nil {
			return nil, fmt.Errorf("scorer %q: it needs an encoder", name)
		}
		s.encoder = sync.OnceValues(o.Encoder)
		s.vectors, errs[0] = cache.New(cache.Options[encoding]{MaxBytes: s.options.ScoreBytes})
	}
	if slices.Contains(s.terms, termLM) {
		if o.LM == nil {
			return nil, fmt.Errorf("scorer %q: it needs a language model", name)
		}
		s.lm = sync.OnceValues(o.LM)
		s.kv, errs[1] = cache.New(cache.Options[*KV]{MaxBytes: s.options.KVBytes})
		s.pairs, errs[2] = cache.New(cache.Options[pairScore]{MaxBytes: s.options.ScoreBytes})
	}
	if s.cascade {
		if s.combination = o.Combination; s.combination == nil {
			s.combination, errs[3] = DefaultCombination()
		}
	}
	if err := errors.Join(errs[:]...); err != nil {
		s.Close()
		return nil, fmt.Errorf("scorer %q: %w", name, err)
	}
	return s, nil
}

// With returns a default scorer that weighs its features by another combination and shares the caches of s. Only s is closed.
func (s *Scorer) With(c *Combination) *Scorer {
	other := *s
	other.combination = c
	return &other
}

// WithPlan returns a scorer that keeps to another plan and shares the caches of s. Only s is closed.
func (s *Scorer) WithPlan(p Plan) *Scorer {
	other := *s
	other.options.Plan = p
	return &other
}

// Close frees what is cached.
func (s *Scorer) Close() {
	if s.vectors != nil {
		s.vectors.Close()
	}
	if s.kv != nil {
		s.kv.Close()
	}
	if s.pairs != nil {
		s.pairs.Close()
	}
}

// CacheStats returns the statistics of the scorer's caches by name: "vectors", "kv" and "scores", as far as it has them.
func (s *Scorer) CacheStats() map[string]cache.Stats {
	stats := map[string]cache.Stats{}
	if s.vectors != nil {
		stats["vectors"] = s.vectors.Stats()
	}
	if s.kv != nil {
		stats["kv"] = s.kv.Stats()
		stats["scores"] = s.pairs.Stats()
	}
	return stats
}

// Score rates segments against query. It returns ErrNoQuery if the query is blank, the error of loading a model, or that of
// ctx.
func (s *Scorer) Score(ctx context.Context, query string, segments []Segment) (Scores, error) {
	if strings.TrimSpace(query) == "" {
		return Scores{}, ErrNoQuery
	}
	if len(segments) == 0 {
		return Scores{}, nil
	}
	c := s.newCall(query, segments)
	if s.cascade {
		c.out.Probabilities, c.out.call = true, c
		return c.scored(s.cascaded(ctx, c))
	}
	return c.scored(s.summed(ctx, c))
}

// summed adds the z-scores of all terms; a single term is its own value.
func (s *Scorer) summed(ctx context.Context, c *call) ([]float64, error) {
	all := allOf(c.segments)
	for _, name := range s.terms {
		if err := c.compute(ctx, name, all); err != nil {
			return nil, err
		}
	}
	if len(c.out.Terms) == 1 {
		return slices.Clone(c.out.Terms[0].Values), nil
	}
	return sumOfZ(c.out.Terms, all), nil
}

// call is one Score under way.
type call struct {
	scorer     *Scorer
	query      query
	segments   []Segment
	keys       []cache.Key // of the segments' documents
	textOf     []int       // number of each segment's text, from 0
	texts      int
	purse      purse      // what is left of the plan
	vectors    []encoding // of the segments; zero of those that are not read
	asked      encoding   // of the query
	instructed encoding   // of the query after the encoder's instruction
	out        Scores
}

func (s *Scorer) newCall(query string, segments []Segment) *call {
	c := &call{
		scorer: s, query: newQuery(query), segments: segments,
		keys: make([]cache.Key, len(segments)), textOf: make([]int, len(segments)), vectors: make([]encoding, len(segments)),
	}
	bytes := 0
	for i, segment := range segments {
		bytes += len(segment.Text)
		c.keys[i] = cache.NewKey("document").Text("text", segment.document()).Sum()
		if i > 0 && segment.TextIndex != segments[i-1].TextIndex {
			c.texts++
		}
		c.textOf[i] = c.texts
	}
	c.texts++
	c.purse = s.options.Plan.purse(bytes)
	return c
}

// scored finishes the call.
func (c *call) scored(values []float64, err error) (Scores, error) {
	if err != nil {
		return Scores{}, err
	}
	for i := range values {
		values[i] = rounded(values[i])
	}
	c.out.Values = values
	return c.out, nil
}

// compute adds the term of that name, for the segments of which are the indices.
func (c *call) compute(ctx context.Context, name string, which []int) error {
	start := time.Now()
	var values []float64 // one for each of which
	tokens := 0
	var err error
	switch name {
	case termEncoder:
		values, tokens, err = c.cosines(ctx, which)
	case termLM:
		values, tokens, err = c.gains(ctx, which)
	default:
		documents := make([]string, len(which))
		for i, segment := range which {
			documents[i] = c.segments[segment].document()
		}
		values = BM25(c.query.text, documents)
	}
	if err != nil {
		return fmt.Errorf("score by %s: %w", name, err)
	}
	term := Term{Name: name, Values: make([]float64, len(c.segments))}
	for i := range term.Values {
		term.Values[i] = math.NaN()
	}
	for i, segment := range which {
		term.Values[segment] = rounded(values[i])
	}
	c.out.Terms = append(c.out.Terms, term)
	c.out.ModelTokens += tokens
	c.out.Stages = append(c.out.Stages, Stage{name, time.Since(start)})
	return nil
}

func allOf(segments []Segment) []int {
	which := make([]int, len(segments))
	for i := range which {
		which[i] = i
	}
	return which
}

// rounded drops what lies below 1e-4.
func rounded(v float64) float64 { return math.Round(v*1e4) / 1e4 }

// sumOfZ adds the terms' z-scores over which; the result is in the order of which. A term that is the same everywhere
// adds nothing.
func sumOfZ(terms []Term, which []int) []float64 {
	sums := make([]float64, len(which))
	for _, term := range terms {
		var mean, square float64
		for _, i := range which {
			mean += term.Values[i]
		}
		mean /= float64(len(which))
		for _, i := range which {
			square += float64((term.Values[i] - mean) * (term.Values[i] - mean))
		}
		deviation := math.Sqrt(square / float64(len(which)))
		if deviation < 1e-9 {
			continue
		}
		for at, i := range which {
			sums[at] += (term.Values[i] - mean) / deviation
		}
	}
	return sums
}
