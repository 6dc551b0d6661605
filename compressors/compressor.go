package compressors

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options configures a Compressor. The zero value of each field but CountTokens means its default.
type Options struct {
	// Scorer rates segments against the query; without one every Input is left as it is, with SkipNoQuery.
	Scorer Scorer
	// CountTokens counts a text's tokens by the upstream's tokenizer. Required; called concurrently.
	CountTokens func(string) int
	// Segmenter cuts texts; a SyntaxSegmenter by default.
	Segmenter Segmenter
	// MaxSegmentTokens is MaxTokens of the default Segmenter; 512 by default.
	MaxSegmentTokens int
	// MinTokens is how many tokens the texts of an Input must hold together to be worth the work; 128 by default.
	MinTokens int
	// MinSaving is the overhead: how many tokens must be saved, by an Input and by each text of it, for a change to be
	// worth its own cost; 16 by default.
	MinSaving int
	// DefaultRate is the rate for a zero Budget; 0.5 by default.
	DefaultRate float64
	// Threshold, if not 0, is how likely a segment must be needed to be kept under a zero Budget: DefaultRate is then the most
	// that is kept, and Floor the least, as a share of the tokens, whatever is likely. It applies to a Scorer that gives
	// probabilities; under another the budget is DefaultRate.
	Threshold, Floor float64
	// Dependencies is the share of what is kept, 0 to 0.5, that definitions may take which kept code uses and which are not kept
	// for their own score, in place of the segments that score least: those of functions and classes by their signatures, a
	// marker in place of the body, others whole. 0 keeps none.
	Dependencies float64
	// Verify has every output proved by Verify; a violation is an error.
	Verify bool
}

// Validate names the first option that is missing or out of range.
func (o Options) Validate() error {
	o = o.withDefaults()
	switch {
	case o.CountTokens == nil:
		return errors.New("CountTokens is required")
	case o.MinTokens < 0:
		return fmt.Errorf("MinTokens is %d: it must not be negative", o.MinTokens)
	case o.MinSaving < 0:
		return fmt.Errorf("MinSaving is %d: it must not be negative", o.MinSaving)
	case !(o.DefaultRate > 0 && o.DefaultRate <= 1):
		return fmt.Errorf("DefaultRate is %v: it must lie above 0 and up to 1", o.DefaultRate)
	case !(o.Threshold >= 0 && o.Threshold <= 1):
		return fmt.Errorf("the option Threshold is %v: it must lie from 0 to 1", o.Threshold)
	case !(o.Floor >= 0 && o.Floor <= o.DefaultRate):
		return fmt.Errorf("the option Floor is %v: it must lie from 0 to DefaultRate, %v", o.Floor, o.DefaultRate)
	case !(o.Dependencies >= 0 && o.Dependencies <= 0.5):
		return fmt.Errorf("the option Dependencies is %v: it must lie from 0 to 0.5", o.Dependencies)
	case o.Segmenter != nil && o.MaxSegmentTokens != 0:
		return errors.New("MaxSegmentTokens is set together with Segmenter: it is an option of the default one")
	}
	return nil
}

func (o Options) withDefaults() Options {
	if o.MinTokens == 0 {
		o.MinTokens = 128
	}
	if o.MinSaving == 0 {
		o.MinSaving = 16
	}
	if o.DefaultRate == 0 {
		o.DefaultRate = 0.5
	}
	return o
}

// Compressor shortens the texts of a turn. It may be used concurrently.
type Compressor struct {
	options   Options
	segmenter Segmenter
}

// New returns a Compressor; it refuses what Validate refuses.
func New(options Options) (*Compressor, error) {
	if err := options.Validate(); err != nil {
		return nil, fmt.Errorf("compressor options: %w", err)
	}
	c := &Compressor{options: options.withDefaults(), segmenter: options.Segmenter}
	if c.segmenter == nil {
		var err error
		c.segmenter, err = NewSegmenter(SegmenterOptions{CountTokens: options.CountTokens, MaxTokens: options.MaxSegmentTokens})
		if err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Compress shortens the texts of input to its budget. The same input gives the same result.
//
// The budget covers all texts together, markers included, and the outputs of a compressed Input never count more
// tokens; they come as near to it as the length of a segment allows. Segments are kept by score, with their parents; one
// that does not fit is passed over for those after it.
//
// A text of which nothing is kept becomes one marker. Where the budget does not even hold the markers, the last texts
// become empty outputs. Without a query and a budget, what repeats is left out, down to about three fifths of the tokens,
// and all else is kept; without a query a budget is met by leaving out first what repeats and last what gives structure.
//
// An Input as a whole stays as it is, whatever the budget, for one of the skip reasons: it is small, has no query and
// repeats nothing, its query asks for whole texts, it fits the budget, or would save fewer than MinSaving tokens. Of a
// compressed Input, a text that would save fewer than that stays whole if the budget has room for it.
//
// An invalid budget, a failing Segmenter or Scorer and a context that ended are errors.
func (c *Compressor) Compress(ctx context.Context, input Input) (Result, error) {
	if err := input.Budget.Validate(); err != nil {
		return Result{}, err
	}
	counts, total := c.count(input.Texts)
	reason := c.skip(input.Query, total, c.tokens(input.Budget, total))
	if reason == SkipWithinBudget && (c.options.Threshold > 0 || input.Query == "") && input.Budget == (Budget{}) {
		reason = NotSkipped // which of it is likely to be needed, or repeats, shows when it is scored
	}
	if reason != NotSkipped {
		return skipped(input.Texts, counts, reason), nil
	}
	plan, err := c.prepare(ctx, input.Query, input.Texts, counts)
	if err != nil {
		return Result{}, err
	}
	return plan.Compress(ctx, input.Budget)
}

// count returns the tokens of each text and their sum.
func (c *Compressor) count(texts []Text) (counts []int, total int) {
	counts = make([]int, len(texts))
	for i, t := range texts {
		counts[i] = c.options.CountTokens(t.Content)
		total += counts[i]
	}
	return counts, total
}

// tokens returns the budget in tokens for texts of total tokens.
func (c *Compressor) tokens(b Budget, total int) int {
	if b.Tokens > 0 {
		return b.Tokens
	}
	if b.Rate == 0 {
		b.Rate = c.options.DefaultRate
	}
	return int(math.Floor(b.Rate * float64(total)))
}

// skip returns why texts of total tokens stay as they are, as far as it shows before they are scored.
func (c *Compressor) skip(query string, total, budget int) SkipReason {
	switch {
	case total < c.options.MinTokens:
		return SkipSmall
	case c.options.Scorer == nil:
		return SkipNoQuery
	case WholeText(query):
		return SkipWholeText
	case total <= budget:
		return SkipWithinBudget
	}
	return NotSkipped
}

// skipped returns the result that leaves texts as they are.
func skipped(texts []Text, counts []int, reason SkipReason) Result {
	r := Result{Texts: make([]TextResult, len(texts))}
	for i, t := range texts {
		r.Texts[i] = TextResult{
			Output: t.Content, Parts: wholePart(t.Content),
			TokensIn: counts[i], TokensOut: counts[i], Skip: reason, Kind: KindOf(t),
		}
		r.TokensIn += counts[i]
	}
	r.TokensOut = r.TokensIn
	return r
}

func wholePart(text string) []Part {
	if text == "" {
		return nil
	}
	return []Part{{Start: 0, End: len(text)}}
}

// Plan is texts that are segmented and scored against a query, ready to be compressed to any budget. It may be used
// concurrently.
type Plan struct {
	compressor *Compressor
	query      string
	texts      []Text
	counts     []int
	arrangement
	probabilities bool // the scores are
	tokensIn      int
	read          read
	stages        []Stage
}

// read is what the scorer's models read.
type read struct {
	modelTokens, cut, unread int
}

func (r read) of(result *Result) {
	result.ModelTokens, result.Cut, result.Unread = r.modelTokens, r.cut, r.unread
}

// arrangement is documents with their items in the order of choice.
type arrangement struct {
	docs  []*document
	order []ranked
	// needs are what their code needs of each other; nil where there is none.
	needs *dependencies
	// likely is order with the items of likely segments first, or without a query of those that repeat nothing, and how many
	// those are; nil without probabilities.
	likely      []ranked
	likelyItems int
}

// arrange puts the items of docs, which are those of the plan or made of them, into the order of choice.
func (p *Plan) arrange(docs []*document) arrangement {
	a := arrangement{docs: docs, order: rank(docs, p.probabilities)}
	if p.query == "" {
		a.likely, a.likelyItems = likelyFirst(docs, a.order, newFrom)
		return a
	}
	a.needs = newDependencies(docs, p.compressor.options.Dependencies)
	if threshold := p.compressor.options.Threshold; p.probabilities && threshold > 0 {
		a.likely, a.likelyItems = likelyFirst(docs, a.order, threshold)
	}
	return a
}

// WithThreshold returns the plan under another Options.Threshold, 0 to 1; both share what was segmented and scored.
func (p *Plan) WithThreshold(threshold float64) *Plan {
	compressor := *p.compressor
	compressor.options.Threshold = threshold
	out := *p
	out.compressor = &compressor
	out.arrangement = out.arrange(p.docs)
	return &out
}

// Prepare segments and scores texts, so that several budgets share the work. Without a Scorer, or for a query that asks for
// whole texts, it does neither, and the plan leaves every text as it is. Without a query, texts are scored by what repeats.
func (c *Compressor) Prepare(ctx context.Context, query string, texts []Text) (*Plan, error) {
	counts, _ := c.count(texts)
	return c.prepare(ctx, query, texts, counts)
}

func (c *Compressor) prepare(ctx context.Context, query string, texts []Text, counts []int) (*Plan, error) {
	p := &Plan{compressor: c, query: query, texts: texts, counts: counts}
	for _, n := range counts {
		p.tokensIn += n
	}
	if c.options.Scorer == nil || WholeText(query) {
		return p, nil
	}
	start := time.Now()
	var err error
	if p.docs, err = c.documents(ctx, texts); err != nil {
		return nil, err
	}
	for i, d := range p.docs {
		d.tokensIn = counts[i]
	}
	p.stages = append(p.stages, Stage{"segment", time.Since(start)})
	if query != "" {
		return p, p.score(ctx)
	}
	start = time.Now()
	scoreRepetitions(p.docs)
	for _, d := range p.docs {
		d.whole()
	}
	p.stages = append(p.stages, Stage{"score", time.Since(start)})
	p.arrangement = p.arrange(p.docs)
	return p, nil
}

// score has the scorer rate the segments against the query and makes them the items of the selection.
func (p *Plan) score(ctx context.Context) error {
	c := p.compressor
	var candidates []Candidate
	for i, d := range p.docs {
		t := p.texts[i]
		first := len(candidates)
		for j, s := range d.segments {
			parent := -1
			if s.Parent >= 0 {
				parent = first + s.Parent
			}
			candidates = append(candidates, Candidate{
				TextName: t.Name, SegmentName: s.Name, TextIndex: i, Start: s.Start, Family: d.family, Kind: s.Kind,
				Parent: parent, Tokens: d.tokens[j], Symbols: s.Symbols, Text: t.Content[s.Start:s.End],
			})
		}
	}
	start := time.Now()
	scores, err := c.options.Scorer.Score(ctx, p.query, candidates)
	if err != nil {
		return fmt.Errorf("score: %w", err)
	}
	if len(scores.Scores) != len(candidates) {
		return fmt.Errorf("score: %d scores for %d segments", len(scores.Scores), len(candidates))
	}
	rest := scores.Scores
	for i, s := range rest {
		if math.IsNaN(s.Value) {
			return fmt.Errorf("score: the score of segment %d is not a number", i)
		}
	}
	for _, d := range p.docs {
		d.scores, rest = rest[:len(d.segments)], rest[len(d.segments):]
		d.whole()
	}
	p.stages = append(p.stages, Stage{"score", time.Since(start)})
	for _, s := range scores.Stages {
		p.stages = append(p.stages, Stage{"score/" + s.Name, s.Duration})
	}
	if scores.Probabilities && scores.Refine != nil {
		start = time.Now()
		if err := c.refine(p.docs, scores.Refine); err != nil {
			return err
		}
		p.stages = append(p.stages, Stage{"refine", time.Since(start)})
	}
	if c.options.Dependencies > 0 {
		for _, d := range p.docs {
			if d.grammar != nil {
				d.divideDefinitions(c.options.CountTokens)
			}
		}
	}
	p.probabilities = scores.Probabilities
	p.arrangement = p.arrange(p.docs)
	p.read = read{scores.ModelTokens, scores.Cut, scores.Unread}
	return nil
}

// documents segments texts, several at a time: for half a million tokens of code it is a second's work.
func (c *Compressor) documents(ctx context.Context, texts []Text) ([]*document, error) {
	docs, errs := make([]*document, len(texts)), make([]error, len(texts))
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(len(texts), runtime.GOMAXPROCS(0)) {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(texts); i = int(next.Add(1)) - 1 {
				if errs[i] = ctx.Err(); errs[i] == nil {
					docs[i], errs[i] = c.document(texts[i])
				}
			}
		})
	}
	group.Wait()
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("segment text %d: %w", i, err)
		}
	}
	return docs, nil
}

// document segments one text.
func (c *Compressor) document(text Text) (*document, error) {
	lang := languageOf(text)
	d := &document{name: text.Name, source: newSource(text.Content), comment: lang.comment, kind: lang.kind, family: lang.family()}
	var err error
	if s, ok := c.segmenter.(*SyntaxSegmenter); ok {
		d.grammar = lang.grammar
		d.sourceErrors = sync.OnceValues(func() (int, bool) { return syntaxErrors(d.grammar, text.Content) })
		d.segments, d.tokens, err = s.counted(d.source, lang)
		return d, err
	}
	if d.segments, err = c.segmenter.Segments(text); err != nil {
		return nil, err
	}
	if err := check(d.source, d.segments); err != nil {
		return nil, err
	}
	for _, s := range d.segments {
		d.tokens = append(d.tokens, c.options.CountTokens(text.Content[s.Start:s.End]))
	}
	return d, nil
}

// Compress is Compressor.Compress for the plan's query and texts.
func (p *Plan) Compress(ctx context.Context, budget Budget) (Result, error) {
	if err := budget.Validate(); err != nil {
		return Result{}, err
	}
	c := p.compressor
	tokens := c.tokens(budget, p.tokensIn)
	byLikelihood := budget == (Budget{}) && p.likely != nil
	reason := c.skip(p.query, p.tokensIn, tokens)
	unasked := p.query == "" && budget == (Budget{})
	switch {
	case unasked && reason != SkipSmall && p.likelyItems == len(p.likely):
		reason = SkipNoQuery
	case reason == SkipWithinBudget && byLikelihood && p.likelyItems < len(p.likely):
		reason = NotSkipped
	}
	if reason != NotSkipped {
		return skipped(p.texts, p.counts, reason), nil
	}
	f := fitter{budget: tokens, count: c.options.CountTokens}
	if byLikelihood {
		f.floor = int(c.options.Floor * float64(p.tokensIn))
	}
	if unasked {
		f.budget, f.floor = p.tokensIn, int(cautiousFloor*float64(p.tokensIn))
	}
	if err := f.fitSound(ctx, p, byLikelihood); err != nil {
		return Result{}, err
	}
	f.restore(c.options.MinSaving)
	if p.tokensIn-f.total < c.options.MinSaving {
		reason := SkipNoSaving
		if unasked {
			reason = SkipNoQuery
		}
		r := skipped(p.texts, p.counts, reason)
		p.read.of(&r)
		return r, nil
	}
	r := Result{
		TokensIn: p.tokensIn, TokensOut: f.total, Probabilities: p.probabilities,
		Texts: make([]TextResult, len(f.docs)),
		Stages: append(slices.Clip(p.stages),
			Stage{"select", f.selectTime}, Stage{"render", f.renderTime}, Stage{"parse", f.parseTime}),
	}
	p.read.of(&r)
	for i, d := range f.docs {
		r.Texts[i] = f.best[i].result(d)
		if c.options.Verify {
			if err := Verify(d.text, r.Texts[i].Output); err != nil {
				return Result{}, fmt.Errorf("verify text %d: %w", i, err)
			}
		}
	}
	return r, nil
}

// check reports the first segment that does not continue the tiling, starts elsewhere than a line or a unit of one, or has
// a parent that does not precede it.
func check(src *source, segments []Segment) error {
	at, line := 0, -1
	var units []int
	for i, s := range segments {
		if s.Start != at || s.End <= s.Start || s.End > len(src.text) {
			return fmt.Errorf("segment %d is [%d, %d): it must start at %d and hold something", i, s.Start, s.End, at)
		}
		if s.Parent >= i || s.Parent < -1 {
			return fmt.Errorf("segment %d has parent %d: it must precede it", i, s.Parent)
		}
		at = s.End
		if l := src.lineAt(s.Start); l != line {
			line, units = l, appendUnits(units[:0], src.content(l))
		}
		for len(units) > 0 && src.start(line)+units[0] < s.Start {
			units = units[1:]
		}
		if s.Start > src.start(line) && (len(units) == 0 || src.start(line)+units[0] != s.Start) {
			return fmt.Errorf("segment %d starts at %d: inside a sentence", i, s.Start)
		}
	}
	if at != len(src.text) {
		return fmt.Errorf("the segments end at %d of %d bytes", at, len(src.text))
	}
	return nil
}
