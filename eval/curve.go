package eval

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// CurveScorers are the default scorer with the budgets of model tokens at which its quality is reported. The first has that
// of the settings' default; the others are compared with it.
var CurveScorers = []string{"default@4000", "default@0", "default@1000", "default@all"}

// ModelTokensOf returns the budget of model tokens that a scorer's name states behind "@", as in "default@1000", and the name
// before it; "all" is without a bound. It reports false for a name that states none.
func ModelTokensOf(name string) (scorer string, tokens int, ok bool) {
	scorer, stated, found := strings.Cut(name, "@")
	if stated == "all" {
		return scorer, math.MaxInt32, true
	}
	tokens, err := strconv.Atoi(stated)
	if !found || err != nil || tokens < 0 {
		return name, 0, false
	}
	return scorer, tokens, true
}

// curvePoint is the gold share of a task at a rate with a budget of model tokens.
type curvePoint struct {
	task   string
	rate   float64
	scorer string
	budget int
	n      int
	// spent is what the models read of a case on average, at the cold price; gold the share of gold kept.
	spent, gold float64
}

// decoder returns what of the point's tokens the decoder read: those beyond what is spent with a budget of 0, where only the
// encoder reads. It is NaN where points hold no such budget.
func (p curvePoint) decoder(points []curvePoint) float64 {
	for _, q := range points {
		if q.task == p.task && q.rate == p.rate && q.budget == 0 {
			return p.spent - q.spent
		}
	}
	return math.NaN()
}

// curve returns the points of all scorers whose name states a budget, by task, rate and budget, with those of all tasks last.
func (r Report) curve() []curvePoint {
	var points, all []curvePoint
	for _, row := range r.Results {
		_, budget, ok := ModelTokensOf(row.Scorer)
		gold := row.Metrics[GoldShare]
		if !ok || gold.N == 0 {
			continue
		}
		p := curvePoint{row.Task, row.Rate, row.Scorer, budget, gold.N, row.ModelTokens, gold.Mean}
		points = append(points, p)
		i := slices.IndexFunc(all, func(a curvePoint) bool { return a.scorer == p.scorer && a.rate == p.rate })
		if i < 0 {
			i = len(all)
			all = append(all, curvePoint{task: allTasks, rate: p.rate, scorer: p.scorer, budget: budget})
		}
		a := &all[i]
		share := float64(p.n) / float64(a.n+p.n)
		a.n += p.n
		a.spent += share * (p.spent - a.spent)
		a.gold += share * (p.gold - a.gold)
	}
	order := map[string]int{}
	for _, p := range points {
		if _, ok := order[p.task]; !ok {
			order[p.task] = len(order)
		}
	}
	order[allTasks] = len(order)
	points = append(points, all...)
	slices.SortStableFunc(points, func(a, b curvePoint) int {
		return cmp.Or(cmp.Compare(order[a.task], order[b.task]), cmp.Compare(b.rate, a.rate), cmp.Compare(a.budget, b.budget))
	})
	return points
}

// writeCurve writes the curve, where there is one.
func (r Report) writeCurve(w io.Writer) {
	points := r.curve()
	if len(points) == 0 {
		return
	}
	fmt.Fprintln(w, "\nGold kept against the tokens that the decoder, and both models, read of a case with nothing cached.")
	fmt.Fprintln(w, "task\trate\tscorer\tn\tdecoder\tboth\tgold share")
	for _, p := range points {
		fmt.Fprintf(w, "%s\t%g\t%s\t%d\t%.0f\t%.0f\t%.3f\n", p.task, p.rate, p.scorer, p.n, p.decoder(points), p.spent, p.gold)
	}
}
