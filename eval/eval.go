// Package eval measures how much of what an answer needs survives compression.
//
// Its steps, in order: load cases with their labels; for each case and scorer, segment and score once; compress to each
// rate; prove every output; find by source ranges what of the labels survived and how far up the first gold segment
// ranked; average by task with bootstrap intervals, and test every scorer against the first on the same cases.
package eval

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/proxy"
	"github.com/pith-llm/pith/scoring"
)

// RunOptions says what to measure. All fields but Thresholds, Tasks, Limit, Seed, Proxy, Losses, LM and Progress are required.
type RunOptions struct {
	// Data are the files of cases.
	Data []string
	// Scorers are names: of a baseline (see Baselines), or for Scorer. The others are compared with the first.
	Scorers []string
	// Rates are the shares of tokens to keep, above 0 and up to 1; 0 leaves it to the compressor's policy.
	Rates []float64
	// Thresholds are thresholds of the compressor's policy under which each case is also compressed, at rate 0; without one
	// rate 0 has that of the compressor.
	Thresholds []float64
	// Tasks are the tasks whose cases are run; none means all.
	Tasks []string
	// Limit is how many cases of each file, of those tasks, to run; 0 means all.
	Limit int
	// Seed draws the cases of Limit, the random baseline and the bootstrap. 0 means the first cases of each file.
	Seed uint64
	// Scorer returns the named scorer; it is called once a name, or once a name and fold. A fold from 0 asks for what was
	// fitted without the cases whose FoldOf it is, -1 for what was fitted on all.
	Scorer func(name string, fold int) (compressors.Scorer, error)
	// Folded measures each case with what was fitted without its fold.
	Folded bool
	// Compressor returns a compressor that uses the scorer. It should leave no text alone for being small: what is left
	// alone is counted as skipped.
	Compressor func(compressors.Scorer) (*compressors.Compressor, error)
	// CountTokens counts tokens as the compressor does.
	CountTokens func(string) int
	// Proxy, if set, returns a proxy in front of upstream that uses the scorer; every scorer is then also measured with its
	// cases sent through one, and compared with itself without.
	Proxy func(scorer compressors.Scorer, upstream string, observe func(proxy.Report)) (*proxy.Server, error)
	// Losses is how many of the worst losses of the first scorer at the first rate to report.
	Losses int
	// LM is the decoder of the published baselines, called when one of them first needs it.
	LM func() (*scoring.LM, error)
	// Progress, if set, is told of every case before it runs.
	Progress io.Writer
}

// Validate names the first option that is missing or out of range.
func (o RunOptions) Validate() error {
	switch {
	case len(o.Data) == 0:
		return errors.New("no data: name at least one file of cases")
	case len(o.Scorers) == 0:
		return errors.New("no scorer: name at least one")
	case len(o.Rates) == 0:
		return errors.New("no rate: give at least one")
	case o.Losses < 0:
		return fmt.Errorf("losses is %d: it must not be negative", o.Losses)
	case o.Limit < 0:
		return fmt.Errorf("limit is %d: it must not be negative", o.Limit)
	case o.Scorer == nil || o.Compressor == nil || o.CountTokens == nil:
		return errors.New("one of Scorer, Compressor and CountTokens is not set")
	}
	for i, r := range o.Rates {
		if !(r >= 0 && r <= 1) {
			return fmt.Errorf("rate is %v: it must lie above 0 and up to 1, or be 0 for the policy", r)
		}
		if slices.Contains(o.Rates[:i], r) {
			return fmt.Errorf("rate %v is given twice", r)
		}
	}
	for i, t := range o.Thresholds {
		if !(t > 0 && t <= 1) {
			return fmt.Errorf("threshold is %v: it must lie above 0 and up to 1", t)
		}
		if slices.Contains(o.Thresholds[:i], t) {
			return fmt.Errorf("threshold %v is given twice", t)
		}
	}
	if len(o.Thresholds) > 0 && (!slices.Contains(o.Rates, 0) || o.Proxy != nil) {
		return errors.New("thresholds apply at rate 0, and not through a proxy")
	}
	for i, name := range o.Scorers {
		if slices.Contains(o.Scorers[:i], name) {
			return fmt.Errorf("scorer %q is given twice", name)
		}
	}
	return nil
}

// Metric is one measure of a case that a report averages.
type Metric uint8

// The metrics. GoldAny and GoldAll are 0 or 1 for a case, the others shares.
const (
	RateReached Metric = iota // tokens out / tokens in, markers included
	GoldShare                 // gold texts that survive
	GoldAny                   // at least one gold text survives
	GoldAll                   // all gold texts survive
	GoldParts                 // labelled lines, spans, strings or answers that survive
	MRR                       // reciprocal rank of the first gold segment by score, at no rate
	NewErrors                 // places that no longer follow the grammar, a case: see compressors.SyntaxErrors
	BrokenTexts               // shortened code texts that have such a place
	Undefined                 // names used and no longer defined, a case: see compressors.Undefined
	metricCount
)

// goldMetrics are those of the main table, in its order.
var goldMetrics = []Metric{RateReached, GoldShare, GoldAny, GoldAll, GoldParts, MRR}

var metricNames = [...]string{
	"rate_reached", "gold_share", "gold_any", "gold_all", "gold_parts", "mrr", "new_errors", "broken_texts", "undefined",
}

// String returns the metric's name in JSON, such as "gold_share".
func (m Metric) String() string {
	if int(m) < len(metricNames) {
		return metricNames[m]
	}
	return fmt.Sprintf("Metric(%d)", uint8(m))
}

// observation is one case under one scorer at one rate. A metric that the case does not have is absent.
type observation struct {
	values      [metricCount]float64
	has         [metricCount]bool
	labelled    bool
	skipped     bool
	tokensIn    int
	modelTokens int
	elapsed     time.Duration
	stages      []compressors.Stage
	group       string
	// runs holds the values of each run of a scorer that has several; the observation is their mean.
	runs [][metricCount]float64
}

func (o *observation) set(m Metric, v float64) { o.values[m], o.has[m] = v, true }

// cell is where observations are averaged.
type cell struct {
	task, scorer string
	level
}

// level is how much is kept: a rate or, where that is 0, what the policy keeps, under a threshold of its own unless that is 0.
type level struct{ rate, threshold float64 }

// levels returns the levels in the order of a report.
func (o RunOptions) levels() []level {
	var all []level
	for _, rate := range o.Rates {
		if rate > 0 || len(o.Thresholds) == 0 {
			all = append(all, level{rate: rate})
			continue
		}
		for _, t := range o.Thresholds {
			all = append(all, level{threshold: t})
		}
	}
	return all
}

// Run measures. An output that Verify refuses, and any other failure of one case, ends the run with an error that names
// the case; so does the end of ctx.
func Run(ctx context.Context, options RunOptions) (Report, error) {
	if err := options.Validate(); err != nil {
		return Report{}, err
	}
	r := runner{RunOptions: options, cells: map[cell][]observation{}, reliability: reliability{}}
	if options.Proxy != nil {
		r.Scorers = nil
		for _, name := range options.Scorers {
			r.Scorers = append(r.Scorers, name)
			if name != longCodeZip { // it is no scorer: a proxy cannot use it
				r.Scorers = append(r.Scorers, name+viaProxy)
			}
		}
	}
	defer r.stop()
	for _, name := range r.Scorers {
		var folds [][]preparer
		for fold := range r.folds() {
			runs, err := r.arm(name, fold)
			if err != nil {
				return Report{}, fmt.Errorf("scorer %q: %w", name, err)
			}
			folds = append(folds, runs)
		}
		r.arms = append(r.arms, folds)
	}
	for _, path := range options.Data {
		cases, err := Load(path)
		if err != nil {
			return Report{}, err
		}
		if len(options.Tasks) > 0 {
			cases = slices.DeleteFunc(cases, func(c Case) bool { return !slices.Contains(options.Tasks, c.Task) })
		}
		cases = sample(cases, options.Limit, options.Seed)
		for i, c := range cases {
			if err := r.run(ctx, c, fmt.Sprintf("%s %d/%d", path, i+1, len(cases))); err != nil {
				return Report{}, fmt.Errorf("%s: case %s: %w", path, c.ID, err)
			}
		}
	}
	if len(r.tasks) == 0 {
		return Report{}, errors.New("no case is of one of the tasks")
	}
	return r.report(), nil
}

// runner is a run under way.
type runner struct {
	RunOptions
	arms        [][][]preparer // [scorer][fold][run]
	tasks       []string       // in the order of the data
	cells       map[cell][]observation
	reliability reliability
	losses      []Loss
	// proxies are those that run.
	proxies []*proxyRun
}

// stop ends what the run has started.
func (r *runner) stop() {
	for _, p := range r.proxies {
		_ = p.stop() // nothing is under way
	}
}

// folds is how many compressors a scorer needs.
func (r *runner) folds() int {
	if r.Folded {
		return Folds
	}
	return 1
}

// arm returns the runs of a scorer for the cases of a fold.
func (r *runner) arm(name string, fold int) ([]preparer, error) {
	if !r.Folded {
		fold = -1
	}
	name, proxied := strings.CutSuffix(name, viaProxy)
	o := armOptions{
		seed:        r.Seed,
		scorer:      func(name string) (compressors.Scorer, error) { return r.Scorer(name, fold) },
		countTokens: r.CountTokens, lm: r.LM,
		run: func(scorer compressors.Scorer) (preparer, error) {
			compressor, err := r.Compressor(scorer)
			return engineRun{compressor}, err
		},
	}
	if proxied {
		o.run = func(scorer compressors.Scorer) (preparer, error) {
			p, err := startProxyRun(r.CountTokens, func(upstream string, observe func(proxy.Report)) (*proxy.Server, error) {
				return r.Proxy(scorer, upstream, observe)
			})
			if err == nil {
				r.proxies = append(r.proxies, p)
			}
			return p, err
		}
	}
	return o.arm(name)
}

// run measures one case under all scorers at all rates.
func (r *runner) run(ctx context.Context, c Case, position string) error {
	if !slices.Contains(r.tasks, c.Task) {
		r.tasks = append(r.tasks, c.Task)
	}
	m := measured{Case: c, group: GroupOf(c), errors: syntaxErrors(c.Texts)}
	for i, name := range r.Scorers {
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.Progress != nil {
			fmt.Fprintf(r.Progress, "%s %s %s\n", position, c.ID, name)
		}
		fold := 0
		if r.Folded {
			fold = FoldOf(m.group)
		}
		var runs [][]observation
		for _, p := range r.arms[i][fold] {
			observations, err := r.measure(ctx, name, m, p)
			if err != nil {
				return fmt.Errorf("scorer %q: %w", name, err)
			}
			runs = append(runs, observations)
		}
		for j, l := range r.levels() {
			at := cell{c.Task, name, l}
			r.cells[at] = append(r.cells[at], meanOf(runs, j))
		}
	}
	return nil
}

// measured is a case with what does not depend on the scorer.
type measured struct {
	Case
	group  string
	errors []int // of each text: see syntaxErrors
}

// measure scores the case once and compresses it to each rate.
func (r *runner) measure(ctx context.Context, name string, m measured, p preparer) ([]observation, error) {
	start := time.Now()
	plan, err := p.prepare(ctx, m.Case)
	if err != nil {
		return nil, err
	}
	prepared := time.Since(start)
	rank, ranked, err := r.rankOf(ctx, name, m.Case, plan)
	if err != nil {
		return nil, err
	}
	var observations []observation
	for _, l := range r.levels() {
		start := time.Now()
		at := plan
		if scored, ok := plan.(*compressors.Plan); ok && l.threshold > 0 {
			at = scored.WithThreshold(l.threshold)
		}
		result, err := at.Compress(ctx, compressors.Budget{Rate: l.rate})
		if err != nil {
			return nil, err
		}
		took := prepared + time.Since(start)
		_, sent := plan.(*proxyPlan)
		o, err := r.observe(m, result, !sent)
		if err != nil {
			return nil, fmt.Errorf("rate %v, %w", l.rate, err)
		}
		o.elapsed = took
		if r.Losses > 0 && name == r.Scorers[0] && l == r.levels()[0] {
			r.lose(name, l, m.Case, o, result)
		}
		if o.labelled && ranked {
			o.set(MRR, rank)
		}
		if _, blocks := plan.(*codeZipPlan); blocks {
			o.has[Undefined] = false // a block's symbols are not known
		}
		observations = append(observations, o)
	}
	return observations, nil
}

// lose notes what a scorer lost of a case.
func (r *runner) lose(scorer string, l level, c Case, o observation, result compressors.Result) {
	if lost := lostSegments(c, result, r.CountTokens); len(lost) > 0 {
		r.losses = append(r.losses, Loss{c.Task, c.ID, scorer, l.rate, o.values[GoldParts], c.Query, lost})
	}
}

// observe measures what of the labels survived. If texts were compressed each for itself it also proves the outputs and
// checks their code; what was sent through a proxy is proved there.
func (r *runner) observe(m measured, result compressors.Result, each bool) (observation, error) {
	o := observation{
		labelled: len(m.Gold.Texts) > 0, tokensIn: result.TokensIn, modelTokens: result.ModelTokens,
		stages: result.Stages, group: m.group, skipped: true,
	}
	for i, t := range result.Texts {
		if each {
			if err := compressors.Verify(m.Texts[i].Content, t.Output); err != nil {
				return observation{}, fmt.Errorf("text %d: the output does not follow from the source: %w", i, err)
			}
		}
		o.skipped = o.skipped && t.Skip != compressors.NotSkipped
	}
	if result.TokensIn > 0 {
		o.set(RateReached, float64(result.TokensOut)/float64(result.TokensIn))
	}
	if each {
		o.checkCode(m, result)
	}
	if o.labelled {
		s := survival(m.Case, result, r.CountTokens)
		o.set(GoldShare, s.share)
		o.set(GoldAny, number(s.any))
		o.set(GoldAll, number(s.all))
		o.set(GoldParts, s.parts)
	}
	return o, nil
}

// meanOf returns the mean of the observations of one rate, the i-th, over runs.
func meanOf(runs [][]observation, i int) observation {
	out := runs[0][i]
	if len(runs) == 1 {
		return out
	}
	out.elapsed, out.modelTokens, out.stages = 0, 0, nil
	out.values = [metricCount]float64{}
	for _, run := range runs {
		o := run[i]
		out.runs = append(out.runs, o.values)
		out.skipped = out.skipped && o.skipped
		out.elapsed += o.elapsed / time.Duration(len(runs))
		out.modelTokens += o.modelTokens / len(runs)
		for m := range metricCount {
			out.has[m] = out.has[m] && o.has[m]
			out.values[m] += o.values[m] / float64(len(runs))
		}
	}
	return out
}

// rankOf returns the reciprocal rank of the first gold segment, and notes how likely segments were said to be needed. The
// smallest budget shows the scores of all segments, where a large one may leave the texts as they are.
func (r *runner) rankOf(ctx context.Context, scorer string, c Case, plan plan) (rank float64, ok bool, err error) {
	if len(c.Gold.Texts) == 0 {
		return 0, false, nil
	}
	result, err := plan.Compress(ctx, compressors.Budget{Tokens: 1})
	if err != nil {
		return 0, false, err
	}
	if result.Probabilities {
		r.reliability.note(scorer, c, result)
	}
	rank, ok = reciprocalRank(c, result)
	return rank, ok, nil
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
