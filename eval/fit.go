package eval

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/pith-llm/pith/scoring"
)

// Folds is into how many parts groups are divided: a case is measured with weights that were fitted without its part.
const Folds = 5

// FoldOf returns the part of a group, the same on every machine.
func FoldOf(group string) int {
	h := fnv.New32a()
	_, _ = io.WriteString(h, group)
	return int(h.Sum32() % Folds)
}

// FitOptions say what to fit.
type FitOptions struct {
	// Features are files of WriteFeatures.
	Features []string
	// Command is noted in the result.
	Command string
	Boost   BoostOptions
	// LeaveOut names features that no tree may ask about.
	LeaveOut []string
	// Only names the models to fit; nil is all: see scoring.ModelNames.
	Only []string
}

// DefaultLeaveOut are features by which data sets give their gold away: the places at which it was put, and lengths, by
// which Lost in the Middle's gold passages can be told from its distractors. What a segment costs is weighed in the
// selection instead.
var DefaultLeaveOut = []string{"text_at", "tokens", "share", "lines"}

// DefaultBoost is what the combination in the repository was fitted with.
var DefaultBoost = BoostOptions{Trees: 200, Leaves: 6, Rate: 0.05, Ridge: 8, MinWeight: 1}

// Fit is a fitted combination, and the same without each fold, of the models that were asked for.
type Fit struct {
	All   scoring.Combination
	Folds [Folds]scoring.Combination
}

// FitCombination fits a combination on all cases and one without each fold.
func FitCombination(o FitOptions) (Fit, []FeatureCase, error) {
	names, cases, err := ReadFeatures(o.Features)
	if err != nil {
		return Fit{}, nil, err
	}
	if !slices.Equal(names, scoring.FeatureNames()) {
		return Fit{}, nil, errors.New("the files hold other features than this version of pith computes: dump them anew")
	}
	if err := o.checkOnly(); err != nil {
		return Fit{}, nil, err
	}
	helped := make([]FeatureCase, len(cases))
	for i := range cases {
		cases[i].Segments = slices.DeleteFunc(cases[i].Segments, func(s FeatureSegment) bool { return !o.fits(s.model()) })
		helped[i] = cases[i].withHelpers()
	}
	return o.fitAll(helped), cases, nil
}

// fits reports whether a model is one of those to fit.
func (o FitOptions) fits(model string) bool { return o.Only == nil || slices.Contains(o.Only, model) }

// model is the name of the model that is asked about a segment.
func (s FeatureSegment) model() string { return scoring.ModelOf(s.Family, s.Values) }

// checkOnly names a model that there is not.
func (o FitOptions) checkOnly() error {
	for _, name := range o.Only {
		if !slices.Contains(scoring.ModelNames(), name) {
			return fmt.Errorf("no model is called %q: there are %v", name, scoring.ModelNames())
		}
	}
	return nil
}

// fitAll fits on all cases, without each fold, and without each two of them, which only calibrates: of the cases that trees were
// fitted on they are surer than they should be, so bias and scale are set by what is said of others.
func (o FitOptions) fitAll(cases []FeatureCase) Fit {
	type left struct{ k, j int } // the folds left out, k <= j
	var sets []left
	for k := range Folds {
		for j := k; j < Folds; j++ {
			sets = append(sets, left{k, j})
		}
	}
	fits := make([]scoring.Combination, len(sets)+1)
	var next atomic.Int64
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(fits); i = int(next.Add(1)) - 1 {
				fits[i] = o.fit(cases, func(fold int) bool { return i == len(sets) || fold != sets[i].k && fold != sets[i].j })
			}
		})
	}
	group.Wait()
	without := func(k, j int) *scoring.Combination {
		return &fits[slices.Index(sets, left{min(k, j), max(k, j)})]
	}
	fit := Fit{All: calibrated(fits[len(sets)], cases, func(fold int) *scoring.Combination { return without(fold, fold) })}
	for k := range fit.Folds {
		fit.Folds[k] = calibrated(*without(k, k), cases, func(fold int) *scoring.Combination {
			if fold == k {
				return nil
			}
			return without(fold, k)
		})
		for name, model := range fit.Folds[k].Models {
			model.Command = fmt.Sprintf("%s (without fold %d)", o.Command, k)
			fit.Folds[k].Models[name] = model
		}
	}
	return fit
}

// fittedPart is one of a model's sums of trees: where it stands, from which feature on it reads, and what it is fitted on.
type fittedPart struct {
	of    func(*scoring.Model) *scoring.Boost
	reads [2]int
	rows  func(c FeatureCase, model string) []boostRow
}

var fittedParts = []fittedPart{
	{func(m *scoring.Model) *scoring.Boost { return &m.Cheap }, scoring.CheapFeatures, cheapRows},
	{func(m *scoring.Model) *scoring.Boost { return &m.Full }, scoring.FullFeatures, fullRows},
	{func(m *scoring.Model) *scoring.Boost { return &m.Piece }, scoring.PieceFeatures, pieceRows},
}

// fit fits a combination on the cases of the folds to use; it is not calibrated.
func (o FitOptions) fit(cases []FeatureCase, use func(fold int) bool) scoring.Combination {
	c := scoring.Combination{Models: map[string]scoring.Model{}}
	for _, name := range scoring.ModelNames() {
		if !o.fits(name) {
			continue
		}
		out := scoring.Model{Command: o.Command}
		for _, part := range fittedParts {
			var rows []boostRow
			for _, f := range cases {
				if use(FoldOf(f.Group)) {
					rows = append(rows, part.rows(f, name)...)
				}
			}
			*part.of(&out) = o.boost(rows, part.reads)
		}
		c.Models[name] = out
	}
	return c
}

// boost fits one sum of trees; it has no trees if there are no rows.
func (o FitOptions) boost(rows []boostRow, features [2]int) scoring.Boost {
	if len(rows) == 0 {
		return scoring.Boost{}
	}
	ask := func(f int) bool { return !slices.Contains(o.LeaveOut, scoring.FeatureNames()[features[0]+f]) }
	return fitBoost(rows, features[0], ask, o.Boost)
}

// heldOut is a sum of trees for a row that they were not fitted on.
type heldOut struct {
	sum    float64
	needed bool
}

// ofModel returns the segments of a model and how many of them are needed: none of a case in which whole files are
// needed, which says little about segments.
func ofModel(c FeatureCase, model string) (segments []FeatureSegment, needed int) {
	for _, s := range c.Segments {
		if s.model() != model {
			continue
		}
		segments = append(segments, s)
		if s.Needed {
			needed++
		}
	}
	if needed > maxNeeded {
		return nil, 0
	}
	return segments, needed
}

// helpersFrom is the part of a case's largest Gain, and leastHelp the nats, from which a segment is needed for what it does
// for the code that follows.
const (
	helpersFrom = 0.5
	leastHelp   = 1.0
)

// withHelpers returns the case with the segments needed, too, that make the code that follows much likelier.
func (c FeatureCase) withHelpers() FeatureCase {
	most := 0.0
	for _, s := range c.Segments {
		most = max(most, s.Gain)
	}
	if most < leastHelp {
		return c
	}
	c.Segments = slices.Clone(c.Segments)
	for i := range c.Segments {
		s := &c.Segments[i]
		s.Needed = s.Needed || s.Gain >= max(leastHelp, helpersFrom*most)
	}
	return c
}

// maxNeeded is how many needed segments a case may have.
const maxNeeded = 24

// cheapRows returns the cheap features of the segments of a model. What is needed weighs as much as what is not, and
// cases weigh alike, whatever their size.
func cheapRows(c FeatureCase, model string) []boostRow {
	segments, needed := ofModel(c, model)
	rows := make([]boostRow, len(segments))
	for i, s := range segments {
		rows[i] = boostRow{values: s.Values[:scoring.CheapFeatures[1]], needed: s.Needed}
		if rows[i].weight = caseWeight / max(1, float64(len(segments)-needed)); s.Needed {
			rows[i].weight = caseWeight / float64(needed)
		}
	}
	return rows
}

// fullRows returns all features of the segments of a model that the decoder read. They weigh alike: log loss on cases that
// no fit has seen is 0.152 on nq_multidoc and multihop, and 0.160 with the weights of cheapRows.
func fullRows(c FeatureCase, model string) []boostRow {
	segments, _ := ofModel(c, model)
	var rows []boostRow
	for _, s := range segments {
		if len(s.Values) > scoring.CheapFeatures[1] {
			rows = append(rows, boostRow{values: s.Values, weight: 1, needed: s.Needed})
		}
	}
	return rows
}

// pieceRows returns the pieces of the needed segments of a model; segments weigh alike.
func pieceRows(c FeatureCase, model string) []boostRow {
	var rows []boostRow
	for _, s := range c.Segments {
		for _, p := range s.Pieces {
			if s.model() == model {
				rows = append(rows, boostRow{values: p.Values, needed: p.Needed, weight: caseWeight / float64(len(s.Pieces))})
			}
		}
	}
	return rows
}

// caseWeight is what each side of a case weighs.
const caseWeight = 8

// calibrated returns c with bias and scale of all sums set by the cases. judge returns what is asked about the cases of a
// fold: a combination that was fitted like c but on none of them, or nil to leave them out.
func calibrated(c scoring.Combination, cases []FeatureCase, judge func(fold int) *scoring.Combination) scoring.Combination {
	out := scoring.Combination{Models: map[string]scoring.Model{}}
	for name, model := range c.Models {
		for _, part := range fittedParts {
			b := part.of(&model)
			if len(b.Trees) == 0 {
				continue
			}
			var held []heldOut
			for _, f := range cases {
				j := judge(FoldOf(f.Group))
				if j == nil {
					continue
				}
				other := j.Models[name]
				for _, r := range part.rows(f, name) {
					held = append(held, heldOut{part.of(&other).Sum(part.reads[0], r.values), r.needed})
				}
			}
			b.Bias, b.Scale = platt(held)
		}
		out.Models[name] = model
	}
	return out
}

// platt returns bias and scale for which the log-odds bias + scale sum hold best for rows that all weigh the same (Platt
// 1999), by Newton's method with backtracking (Lin, Lin and Weng 2007, "A Note on Platt's Probabilistic Outputs").
func platt(rows []heldOut) (bias, scale float64) {
	const prior = 1e-3 // keeps what has no effect where it is
	loss := func(bias, scale float64) float64 {
		sum := prior / 2 * (bias*bias + (scale-1)*(scale-1))
		for _, r := range rows {
			z := bias + scale*r.sum
			if r.needed {
				z = -z
			}
			sum += max(z, 0) + math.Log1p(math.Exp(-math.Abs(z)))
		}
		return sum
	}
	scale = 1
	at := loss(bias, scale)
	for range 50 {
		g, h := [2]float64{-prior * bias, -prior * (scale - 1)}, [3]float64{prior, 0, prior} // gradient, and curvature: bias, both, scale
		for _, r := range rows {
			p := 1 / (1 + math.Exp(-(bias + scale*r.sum)))
			d, w := -p, p*(1-p)
			if r.needed {
				d++
			}
			g[0] += d
			g[1] += d * r.sum
			h[0] += w
			h[1] += w * r.sum
			h[2] += w * r.sum * r.sum
		}
		det := h[0]*h[2] - h[1]*h[1]
		db, ds := (h[2]*g[0]-h[1]*g[1])/det, (h[0]*g[1]-h[1]*g[0])/det
		next := loss(bias+db, scale+ds)
		for ; !(next <= at) && math.Abs(db)+math.Abs(ds) > 1e-9; next = loss(bias+db, scale+ds) {
			db, ds = db/2, ds/2
		}
		if !(next <= at) {
			break
		}
		bias, scale, at = bias+db, scale+ds, next
		if math.Abs(db)+math.Abs(ds) < 1e-9 {
			break
		}
	}
	return bias, scale
}

// FoldFile is the name of the file of the combination that was fitted without fold k.
func FoldFile(k int) string { return fmt.Sprintf("without-%d.json", k) }
