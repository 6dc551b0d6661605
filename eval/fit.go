package eval

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"slices"

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
}

// DefaultLeaveOut are features by which data sets give their gold away: the places at which it was put, and lengths, by
// which Lost in the Middle's gold passages can be told from its distractors. What a segment costs is weighed in the
// selection instead.
var DefaultLeaveOut = []string{"text_at", "tokens", "share", "lines"}

// DefaultBoost is what the combination in the repository was fitted with.
var DefaultBoost = BoostOptions{Trees: 200, Leaves: 6, Rate: 0.05, Ridge: 8, MinWeight: 1}

// Fit is a fitted combination, and the same without each fold.
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
	var fit Fit
	fit.All = o.fit(cases, func(string) bool { return true })
	for k := range fit.Folds {
		fit.Folds[k] = o.fit(cases, func(group string) bool { return FoldOf(group) != k })
		fit.Folds[k].Command = fmt.Sprintf("%s (without fold %d)", o.Command, k)
	}
	return fit, cases, nil
}

func (o FitOptions) fit(cases []FeatureCase, use func(group string) bool) scoring.Combination {
	c := scoring.Combination{Command: o.Command, Families: map[string]scoring.FamilyModel{}}
	for _, family := range []scoring.Family{scoring.Prose, scoring.Code, scoring.Records} {
		var cheap, full, pieces []boostRow
		for _, f := range cases {
			if use(f.Group) {
				cheap = append(cheap, cheapRows(f, family.String())...)
				full = append(full, fullRows(f, family.String())...)
				pieces = append(pieces, pieceRows(f, family.String())...)
			}
		}
		m := scoring.FamilyModel{
			Cheap: o.boost(cheap, scoring.CheapFeatures),
			Full:  o.boost(full, scoring.FullFeatures),
			Piece: o.boost(pieces, scoring.PieceFeatures),
		}
		c.Families[family.String()] = m
	}
	return c
}

// boost fits one model, calibrated; it has no trees if there are no rows.
func (o FitOptions) boost(rows []boostRow, features [2]int) scoring.Boost {
	if len(rows) == 0 {
		return scoring.Boost{}
	}
	ask := func(f int) bool { return !slices.Contains(o.LeaveOut, scoring.FeatureNames()[features[0]+f]) }
	b := fitBoost(rows, features[0], ask, o.Boost)
	b.Bias, b.Scale = calibrate(rows, func(r boostRow) float64 { return b.Sum(features[0], r.values) })
	return b
}

// ofFamily returns the segments of a family and how many of them are needed: none of a case in which whole files are
// needed, which says little about segments.
func ofFamily(c FeatureCase, family string) (segments []FeatureSegment, needed int) {
	for _, s := range c.Segments {
		if s.Family != family {
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

// maxNeeded is how many needed segments a case may have.
const maxNeeded = 24

// cheapRows returns the cheap features of the segments of a family. What is needed weighs as much as what is not, and
// cases weigh alike, whatever their size.
func cheapRows(c FeatureCase, family string) []boostRow {
	segments, needed := ofFamily(c, family)
	rows := make([]boostRow, len(segments))
	for i, s := range segments {
		rows[i] = boostRow{values: s.Values[:scoring.CheapFeatures[1]], needed: s.Needed}
		if rows[i].weight = caseWeight / max(1, float64(len(segments)-needed)); s.Needed {
			rows[i].weight = caseWeight / float64(needed)
		}
	}
	return rows
}

// fullRows returns all features of the segments of a family that the decoder read. They weigh alike: log loss on cases that
// no fit has seen is 0.152 on nq_multidoc and multihop, and 0.160 with the weights of cheapRows.
func fullRows(c FeatureCase, family string) []boostRow {
	segments, _ := ofFamily(c, family)
	var rows []boostRow
	for _, s := range segments {
		if len(s.Values) > scoring.CheapFeatures[1] {
			rows = append(rows, boostRow{values: s.Values, weight: 1, needed: s.Needed})
		}
	}
	return rows
}

// pieceRows returns the pieces of the needed segments of a family; segments weigh alike.
func pieceRows(c FeatureCase, family string) []boostRow {
	var rows []boostRow
	for _, s := range c.Segments {
		for _, p := range s.Pieces {
			if s.Family == family {
				rows = append(rows, boostRow{values: p.Values, needed: p.Needed, weight: caseWeight / float64(len(s.Pieces))})
			}
		}
	}
	return rows
}

// caseWeight is what each side of a case weighs.
const caseWeight = 8

// calibrate returns bias and scale for which the log-odds bias + scale sum hold best for rows that all weigh the same (Platt
// 1999), by Newton's method.
func calibrate(rows []boostRow, sumOf func(boostRow) float64) (bias, scale float64) {
	sums := make([]float64, len(rows))
	for i, r := range rows {
		sums[i] = sumOf(r)
	}
	scale = 1
	for range 50 {
		// A little of a prior keeps what has no effect where it is.
		g, h := [2]float64{-1e-3 * bias, -1e-3 * (scale - 1)}, [3]float64{1e-3, 0, 1e-3} // gradient, and curvature: bias, both, scale
		for i, r := range rows {
			p := 1 / (1 + math.Exp(-(bias + scale*sums[i])))
			d, w := -p, p*(1-p)
			if r.needed {
				d++
			}
			g[0] += d
			g[1] += d * sums[i]
			h[0] += w
			h[1] += w * sums[i]
			h[2] += w * sums[i] * sums[i]
		}
		det := h[0]*h[2] - h[1]*h[1]
		db, ds := (h[2]*g[0]-h[1]*g[1])/det, (h[0]*g[1]-h[1]*g[0])/det
		bias += db
		scale += ds
		if math.Abs(db)+math.Abs(ds) < 1e-9 {
			break
		}
	}
	return bias, scale
}

// FoldFile is the name of the file of the combination that was fitted without fold k.
func FoldFile(k int) string { return fmt.Sprintf("without-%d.json", k) }
