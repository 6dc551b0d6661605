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
		var cheap, pieces []boostRow
		var read []readRow
		for _, f := range cases {
			if use(f.Group) {
				rows := segmentRows(f, family.String())
				cheap = append(cheap, rows...)
				read = append(read, readRows(f, family.String(), rows)...)
				pieces = append(pieces, pieceRows(f, family.String())...)
			}
		}
		m := scoring.FamilyModel{
			Cheap: o.boost(cheap, scoring.CheapFeatures), Piece: o.boost(pieces, scoring.PieceFeatures),
		}
		m.Full, m.Carry = o.decoder(cheap, read)
		c.Families[family.String()] = m
	}
	return c
}

func (o FitOptions) boost(rows []boostRow, features [2]int) scoring.Boost {
	return calibrated(o.trees(rows, features), features[0], rows)
}

func (o FitOptions) trees(rows []boostRow, features [2]int) scoring.Boost {
	ask := func(f int) bool { return !slices.Contains(o.LeaveOut, scoring.FeatureNames()[features[0]+f]) }
	return fitBoost(rows, features[0], ask, o.Boost)
}

// decoder fits what the decoder's features add to the log-odds of the cheap ones, and by how much to multiply those. The
// cheap log-odds are those of a fit without the row's own group, as they will be for cases that no fit has seen.
func (o FitOptions) decoder(cheap []boostRow, read []readRow) (scoring.Boost, float64) {
	if len(read) == 0 {
		return scoring.Boost{Scale: 1, Trees: []scoring.Tree{{Nodes: []scoring.TreeNode{{}}}}}, 1
	}
	rows := make([]boostRow, 0, len(read))
	for k := range Folds {
		var others []boostRow
		for _, r := range cheap {
			if FoldOf("inner "+r.group) != k {
				others = append(others, r)
			}
		}
		b := o.boost(others, scoring.CheapFeatures)
		for _, r := range read {
			if FoldOf("inner "+r.group) == k {
				r.before = b.Bias + b.Scale*b.Sum(0, r.cheap)
				rows = append(rows, r.boostRow)
			}
		}
	}
	o.Boost.Trees = (o.Boost.Trees + 2) / 3 // seven features
	b := o.trees(rows, scoring.DecoderFeatures)
	var carry float64
	b.Bias, b.Scale, carry = calibrate(rows, func(r boostRow) float64 { return b.Sum(scoring.DecoderFeatures[0], r.values) })
	return b, carry
}

// readRow is a segment that the decoder read: a row of its features, with the cheap ones.
type readRow struct {
	boostRow
	cheap []float32
}

// segmentRows returns the cheap features of the segments of a family. What is needed weighs as much as what is not, and
// cases weigh alike, whatever their size; but a case in which whole files are needed says little about segments, and has none.
func segmentRows(c FeatureCase, family string) []boostRow {
	var rows []boostRow
	var needed, other float64
	for _, s := range c.Segments {
		if s.Family != family {
			continue
		}
		rows = append(rows, boostRow{values: s.Values[:scoring.CheapFeatures[1]], needed: s.Needed, group: c.Group})
		if s.Needed {
			needed++
		} else {
			other++
		}
	}
	if needed > maxNeeded {
		return nil
	}
	for i := range rows {
		if rows[i].weight = caseWeight / max(1, other); rows[i].needed {
			rows[i].weight = caseWeight / needed
		}
	}
	return rows
}

// maxNeeded is how many needed segments a case may have.
const maxNeeded = 24

// readRows returns the decoder's features of the segments that it read; rows are those of all segments of the family.
func readRows(c FeatureCase, family string, rows []boostRow) []readRow {
	var read []readRow
	at := 0
	for _, s := range c.Segments {
		if s.Family != family || len(rows) == 0 {
			continue
		}
		r := rows[at]
		if at++; len(s.Values) > scoring.DecoderFeatures[0] {
			own := boostRow{values: s.Values[scoring.DecoderFeatures[0]:], weight: 1, needed: r.needed, group: r.group}
			read = append(read, readRow{own, r.values})
		}
	}
	return read
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

// calibrated fits scale and bias so that the log-odds hold for rows that all weigh the same.
func calibrated(b scoring.Boost, first int, rows []boostRow) scoring.Boost {
	b.Bias, b.Scale, _ = calibrate(rows, func(r boostRow) float64 { return b.Sum(first, r.values) })
	return b
}

// calibrate returns bias, scale and carry for which the log-odds bias + scale sum + carry before hold best for rows that all
// weigh the same (Platt 1999), by Newton's method.
func calibrate(rows []boostRow, sumOf func(boostRow) float64) (bias, scale, carry float64) {
	x := make([][3]float64, len(rows))
	for i, r := range rows {
		x[i] = [3]float64{1, sumOf(r), r.before}
	}
	w := [3]float64{0, 1, 1}
	for range 50 {
		// A little of a prior keeps what has no effect, such as before where there is none, where it is.
		gradient := [3]float64{-1e-3 * w[0], -1e-3 * (w[1] - 1), -1e-3 * (w[2] - 1)}
		curvature := [3][3]float64{{1e-3}, {0, 1e-3}, {0, 0, 1e-3}}
		for i, r := range rows {
			p := 1 / (1 + math.Exp(-(w[0] + w[1]*x[i][1] + w[2]*x[i][2])))
			d := -p
			if r.needed {
				d++
			}
			for a := range 3 {
				gradient[a] += d * x[i][a]
				for b := range 3 {
					curvature[a][b] += p * (1 - p) * x[i][a] * x[i][b]
				}
			}
		}
		step := solve(curvature, gradient)
		size := 0.0
		for a := range 3 {
			w[a] += step[a]
			size += math.Abs(step[a])
		}
		if size < 1e-9 {
			break
		}
	}
	return w[0], w[1], w[2]
}

// solve returns x with m x = y, m being symmetric and positive, by elimination.
func solve(m [3][3]float64, y [3]float64) [3]float64 {
	for a := range 3 {
		for b := a + 1; b < 3; b++ {
			f := m[b][a] / m[a][a]
			for k := a; k < 3; k++ {
				m[b][k] -= f * m[a][k]
			}
			y[b] -= f * y[a]
		}
	}
	for a := 2; a >= 0; a-- {
		for k := a + 1; k < 3; k++ {
			y[a] -= m[a][k] * y[k]
		}
		y[a] /= m[a][a]
	}
	return y
}

// FoldFile is the name of the file of the combination that was fitted without fold k.
func FoldFile(k int) string { return fmt.Sprintf("without-%d.json", k) }
