package eval

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/scoring"
)

const longCodeZip = "longcodezip"

// The settings of LongCodeZip, those of the paper's completion task.
const (
	fineRate    = 0.8  // R_fine: the coarse budget is the budget divided by it
	importance  = 0.5  // beta: how far a unit's share of the budget follows its AMI
	smallUnit   = 5    // units of fewer lines stay whole
	maxCodeUnit = 2048 // tokens; a longer function is several units, so that none exceeds the decoder's context
)

// codeZip is LongCodeZip (Shi et al. 2025, arXiv 2510.00446) as published, on the segmenter, renderer and decoder of this
// repository:
//
//   - coarse: units (functions, and what else the segmenter finds) are ranked by their approximated mutual information with
//     the query, AMI(c, q) = PPL(q) - PPL(q|c), and taken from the top as far as B / R_fine tokens go; one that does not fit
//     is passed over;
//   - fine: units of five lines and more are divided into blocks before lines of high perplexity, get a share of the budget
//     by their AMI, and keep the blocks that a 0/1 knapsack finds for it. One without such a line stays whole, as shorter
//     ones do. Signatures and enclosing headers are blocks and units like others.
//
// Where the markers make the result longer than the budget, everything is chosen anew for a budget that is smaller by the
// excess.
type codeZip struct {
	lm          func() (*scoring.LM, error)
	countTokens func(string) int
}

// codeUnit is a unit of code: a segment of its text.
type codeUnit struct {
	compressors.Segment
	source string
	tokens int
	lines  int
	ami    float64
	blocks []codeBlock // nil until the fine stage has divided it
	cost   int         // model tokens of that
}

// codeBlock is a run of a unit's lines: bytes [start, end) of the text.
type codeBlock struct {
	start, end, tokens int
	ami                float64
}

// codeZipPlan is a case after the coarse stage's scores.
type codeZipPlan struct {
	*codeZip
	query       string
	texts       []compressors.Text
	units       [][]codeUnit // of each text
	scorer      conditional
	alone       float64 // PPL(q)
	tokensIn    int
	modelTokens int
}

func (z *codeZip) prepare(ctx context.Context, c Case) (plan, error) {
	query, texts := c.Query, c.Texts
	if query == "" || compressors.WholeText(query) {
		// Nothing is scored: the compressor leaves such a case as it is.
		none, err := compressors.New(compressors.Options{CountTokens: z.countTokens})
		if err != nil {
			return nil, err
		}
		return none.Prepare(ctx, query, texts)
	}
	lm, err := z.lm()
	if err != nil {
		return nil, err
	}
	p := &codeZipPlan{codeZip: z, query: query, texts: texts, scorer: newConditional(lm, query)}
	segmenter, err := compressors.NewSegmenter(compressors.SegmenterOptions{CountTokens: z.countTokens, MaxTokens: maxCodeUnit})
	if err != nil {
		return nil, err
	}
	conditions := []string{""}
	for i, text := range texts {
		segments, err := segmenter.Segments(text)
		if err != nil {
			return nil, fmt.Errorf("segment text %d: %w", i, err)
		}
		p.tokensIn += z.countTokens(text.Content)
		units := make([]codeUnit, len(segments))
		for j, s := range segments {
			source := text.Content[s.Start:s.End]
			units[j] = codeUnit{Segment: s, source: source, tokens: z.countTokens(source), lines: countLines(source)}
			conditions = append(conditions, named(text.Name, source))
		}
		p.units = append(p.units, units)
	}
	means, tokens, err := p.scorer.means(ctx, conditions)
	if err != nil {
		return nil, err
	}
	for _, n := range tokens {
		p.modelTokens += n
	}
	p.alone = math.Exp(-means[0])
	at := 1
	for i := range p.units {
		for j := range p.units[i] {
			p.units[i][j].ami = p.information(means[at])
			at++
		}
	}
	return p, nil
}

// information returns the AMI of what gives the query's tokens the mean log-probability m.
func (p *codeZipPlan) information(m float64) float64 { return rounded(p.alone - math.Exp(-m)) }

// Compress selects within the budget, which must be given.
func (p *codeZipPlan) Compress(ctx context.Context, budget compressors.Budget) (compressors.Result, error) {
	limit := budget.Tokens
	if budget.Rate > 0 {
		limit = int(math.Floor(budget.Rate * float64(p.tokensIn)))
	}
	if limit <= 0 {
		return compressors.Result{}, errors.New("longcodezip: it has no policy: give a rate above 0")
	}
	var s codeZipSelection
	for try, inner := 0, limit; inner > 0 && try < maxCodeZipTries; try++ {
		var err error
		if s, err = p.choose(ctx, inner); err != nil {
			return compressors.Result{}, err
		}
		r, err := p.render(ctx, s, 1)
		if err != nil || r.TokensOut <= limit {
			return r, err
		}
		inner -= (r.TokensOut - limit) << try
	}
	// Not even the markers fit: the compressor drops what it must.
	return p.render(ctx, s, float64(limit)/float64(p.tokensIn))
}

// maxCodeZipTries bounds how often the selection is made anew for the sake of the markers.
const maxCodeZipTries = 6

// codeZipSelection is what a budget keeps.
type codeZipSelection struct {
	segments [][]compressors.Segment // of each text: units, or the blocks of a divided one
	ami      [][]float64             // of each segment: that of its unit
	kept     [][]bool
	tokens   int // model tokens of the fine stage
}

// choose runs both stages for a budget of tokens.
func (p *codeZipPlan) choose(ctx context.Context, budget int) (codeZipSelection, error) {
	var all []*codeUnit
	for i := range p.units {
		for j := range p.units[i] {
			all = append(all, &p.units[i][j])
		}
	}
	var taken, whole, large []*codeUnit
	var small int // tokens of whole
	for {
		taken = coarse(all, int(float64(budget)/fineRate))
		whole, large, small = nil, nil, 0
		for _, u := range taken {
			if err := p.divide(ctx, u); err != nil {
				return codeZipSelection{}, err
			}
			if len(u.blocks) == 1 {
				whole = append(whole, u)
				small += u.tokens
			} else {
				large = append(large, u)
			}
		}
		if small <= budget {
			break
		}
		// What stays whole is more than the budget: the last of the ranking goes, and the next that fits comes.
		all = slices.DeleteFunc(all, func(u *codeUnit) bool { return u == whole[len(whole)-1] })
	}
	kept := map[*codeUnit][]bool{}
	for _, u := range whole {
		kept[u] = []bool{true}
	}
	for i, tokens := range shares(large, budget-small) {
		kept[large[i]] = knapsack(large[i].blocks, tokens)
	}
	var s codeZipSelection
	for _, units := range p.units {
		s.appendText(units, kept)
	}
	for _, u := range taken {
		s.tokens += u.cost
	}
	return s, nil
}

// coarse returns the units of the highest AMI, from the best, as far as they go into budget.
func coarse(units []*codeUnit, budget int) []*codeUnit {
	ranked := slices.Clone(units)
	slices.SortStableFunc(ranked, func(a, b *codeUnit) int { return cmp.Compare(b.ami, a.ami) })
	return slices.DeleteFunc(ranked, func(u *codeUnit) bool {
		if u.tokens > budget {
			return true
		}
		budget -= u.tokens
		return false
	})
}

// appendText adds the segments of one text: kept says which blocks of a unit are kept, of none where it lacks the unit.
func (s *codeZipSelection) appendText(units []codeUnit, kept map[*codeUnit][]bool) {
	var segments []compressors.Segment
	var ami []float64
	var which []bool
	for j := range units {
		u := &units[j]
		segment := u.Segment
		segment.Parent = -1 // nothing is pinned
		blocks := kept[u]
		if !slices.Contains(blocks, true) {
			segments, ami, which = append(segments, segment), append(ami, u.ami), append(which, false)
			continue
		}
		for b, block := range u.blocks {
			segment.Start, segment.End = block.start, block.end
			segments, ami, which = append(segments, segment), append(ami, u.ami), append(which, blocks[b])
		}
	}
	s.segments, s.ami, s.kept = append(s.segments, segments), append(s.ami, ami), append(s.kept, which)
}

// render lets the compressor write what s keeps, and of that what goes into rate. Of equal texts all are kept like the first.
func (p *codeZipPlan) render(ctx context.Context, s codeZipSelection, rate float64) (compressors.Result, error) {
	segments, first := fixedSegments{}, map[string]int{}
	for i, text := range p.texts {
		if j, ok := first[text.Content]; ok {
			s.ami[i], s.kept[i] = s.ami[j], s.kept[j]
			continue
		}
		first[text.Content], segments[text.Content] = i, s.segments[i]
	}
	c, err := compressors.New(compressors.Options{
		CountTokens: p.countTokens, Segmenter: segments,
		Scorer: compressors.ScorerFunc(func(_ context.Context, _ string, candidates []compressors.Candidate) (compressors.Scores, error) {
			scores := compressors.Scores{Scores: make([]compressors.Score, 0, len(candidates)), Probabilities: true}
			for _, kept := range s.kept {
				for _, k := range kept {
					scores.Scores = append(scores.Scores, compressors.Score{Value: number(k)})
				}
			}
			return scores, nil
		}),
		// Kept is what has a score of 1, and nothing else.
		Threshold: 0.5, DefaultRate: rate, MinTokens: 1,
	})
	if err != nil {
		return compressors.Result{}, err
	}
	r, err := c.Compress(ctx, compressors.Input{Query: p.query, Texts: p.texts})
	if err != nil {
		return compressors.Result{}, err
	}
	for i := range r.Texts {
		for j := range r.Texts[i].Segments {
			r.Texts[i].Segments[j].Score.Value = s.ami[i][j]
		}
	}
	r.Probabilities = false // those were of the selection
	r.ModelTokens = p.modelTokens + s.tokens
	return r, nil
}

// fixedSegments is a segmenter that knows the segments of texts by their content.
type fixedSegments map[string][]compressors.Segment

// Segments returns those of a text.
func (f fixedSegments) Segments(text compressors.Text) ([]compressors.Segment, error) {
	return f[text.Content], nil
}
