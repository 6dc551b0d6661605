package eval

import (
	"math"
	"slices"

	"github.com/pith-llm/pith/scoring"
)

// BoostOptions shape a fit of boosted trees.
type BoostOptions struct {
	Trees  int
	Leaves int     // of a tree
	Rate   float64 // of what is left, what a tree takes away
	// Ridge is added to the sum of second derivatives of a leaf; MinWeight is what a leaf holds of it at least.
	Ridge, MinWeight float64
}

// boostRow is one segment of a training set.
type boostRow struct {
	values []float32
	weight float64
	needed bool
}

// bins is how many ranges of equal frequency a feature is cut into before the fit.
const bins = 64

// fitBoost fits trees to the logistic loss with second-order steps on binned features (Friedman 2001; Chen and Guestrin
// 2016, "XGBoost"; leaf-wise growth as in Ke et al. 2017, "LightGBM"). Equal rows give equal trees.
//
// The values of a row are the features from first on; trees ask about those only for which ask is true.
func fitBoost(rows []boostRow, first int, ask func(f int) bool, o BoostOptions) scoring.Boost {
	b := newBooster(rows, first, ask, o)
	out := scoring.Boost{Bias: b.bias, Scale: 1}
	for range o.Trees {
		out.Trees = append(out.Trees, b.grow())
	}
	return out
}

type booster struct {
	BoostOptions
	rows       []boostRow
	first      int
	limits     [][]float32 // of each feature: bin k holds values below limits[k] and not below limits[k-1]
	binned     [][]uint8   // [feature][row]
	bias       float64
	scores     []float64
	grad, hess []float64
}

func newBooster(rows []boostRow, first int, ask func(f int) bool, o BoostOptions) *booster {
	features := len(rows[0].values)
	b := &booster{
		BoostOptions: o, rows: rows, first: first, limits: make([][]float32, features), binned: make([][]uint8, features),
		scores: make([]float64, len(rows)), grad: make([]float64, len(rows)), hess: make([]float64, len(rows)),
	}
	var all, needed float64
	for _, r := range rows {
		all += r.weight
		if r.needed {
			needed += r.weight
		}
	}
	share := min(max(needed/max(all, 1e-9), 1e-3), 1-1e-3)
	b.bias = math.Log(share / (1 - share))
	for i := range b.scores {
		b.scores[i] = b.bias
	}
	column := make([]float32, len(rows))
	for f := range features {
		if !ask(f) {
			continue
		}
		for i, r := range rows {
			column[i] = r.values[f]
		}
		b.limits[f] = quantiles(column)
		b.binned[f] = make([]uint8, len(rows))
		for i, v := range column {
			b.binned[f][i] = uint8(binOf(b.limits[f], v))
		}
	}
	return b
}

// quantiles returns up to bins-1 limits between different values.
func quantiles(column []float32) []float32 {
	sorted := slices.Clone(column)
	slices.Sort(sorted)
	distinct := slices.Compact(slices.Clone(sorted))
	var limits []float32
	if len(distinct) <= bins {
		for i := 1; i < len(distinct); i++ {
			limits = append(limits, between(distinct[i-1], distinct[i]))
		}
		return limits
	}
	for k := 1; k < bins; k++ {
		at := k * len(sorted) / bins
		before, _ := slices.BinarySearch(sorted, sorted[at])
		if before == 0 {
			continue
		}
		limit := between(sorted[before-1], sorted[at])
		if len(limits) == 0 || limit > limits[len(limits)-1] {
			limits = append(limits, limit)
		}
	}
	return limits
}

// between returns a short number above a and not above b.
func between(a, b float32) float32 {
	for _, scale := range [...]float64{10, 100, 1000, 10000} {
		v := float32(math.Round(float64(a+b)/2*scale) / scale)
		if v > a && v <= b {
			return v
		}
	}
	return b
}

func binOf(limits []float32, v float32) int {
	at, found := slices.BinarySearch(limits, v)
	if found {
		return at + 1
	}
	return at
}

// leaf is a node that may still be split.
type leaf struct {
	node       int
	rows       []int32
	grad, hess float64
	gain       float64
	feature    int
	bin        int // rows below bin go low
}

func (b *booster) grow() scoring.Tree {
	root := leaf{node: 0, rows: make([]int32, len(b.rows))}
	for i, r := range b.rows {
		p := 1 / (1 + math.Exp(-b.scores[i]))
		target := 0.0
		if r.needed {
			target = 1
		}
		b.grad[i], b.hess[i] = r.weight*(target-p), r.weight*p*(1-p)
		root.rows[i] = int32(i)
		root.grad += b.grad[i]
		root.hess += b.hess[i]
	}
	t := scoring.Tree{Nodes: []scoring.TreeNode{{Value: b.value(root)}}}
	b.split(&root)
	leaves := []leaf{root}
	for len(leaves) < b.Leaves {
		best := 0
		for i := range leaves {
			if leaves[i].gain > leaves[best].gain {
				best = i
			}
		}
		l := leaves[best]
		if l.gain <= 0 {
			break
		}
		low, high := leaf{node: len(t.Nodes)}, leaf{node: len(t.Nodes) + 1}
		for _, i := range l.rows {
			to := &high
			if int(b.binned[l.feature][i]) < l.bin {
				to = &low
			}
			to.rows = append(to.rows, i)
			to.grad += b.grad[i]
			to.hess += b.hess[i]
		}
		n := &t.Nodes[l.node]
		n.Feature, n.Threshold, n.Low, n.High = scoring.Feature(b.first+l.feature), b.limits[l.feature][l.bin-1], low.node, high.node
		t.Nodes = append(t.Nodes, scoring.TreeNode{Value: b.value(low)}, scoring.TreeNode{Value: b.value(high)})
		b.split(&low)
		b.split(&high)
		leaves[best] = low
		leaves = append(leaves, high)
	}
	for _, l := range leaves {
		for _, i := range l.rows {
			b.scores[i] += float64(t.Nodes[l.node].Value)
		}
	}
	return t
}

// value is the step that minimises the loss of a leaf's rows, times the rate.
func (b *booster) value(l leaf) float32 { return float32(b.Rate * l.grad / (l.hess + b.Ridge)) }

// split finds the question that lowers the loss of l's rows most.
func (b *booster) split(l *leaf) {
	before := l.grad * l.grad / (l.hess + b.Ridge)
	for f := range b.limits {
		if len(b.limits[f]) == 0 {
			continue
		}
		var grad, hess [bins]float64
		column := b.binned[f]
		for _, i := range l.rows {
			grad[column[i]] += b.grad[i]
			hess[column[i]] += b.hess[i]
		}
		g, h := 0.0, 0.0
		for bin := 1; bin <= len(b.limits[f]); bin++ {
			g += grad[bin-1]
			h += hess[bin-1]
			if h < b.MinWeight || l.hess-h < b.MinWeight {
				continue
			}
			rest := l.grad - g
			if scoring.Feature(b.first+f).Rises() && g/(h+b.Ridge) > rest/(l.hess-h+b.Ridge) {
				continue
			}
			gain := g*g/(h+b.Ridge) + rest*rest/(l.hess-h+b.Ridge) - before
			if gain > l.gain+1e-9 {
				l.gain, l.feature, l.bin = gain, f, bin
			}
		}
	}
}
