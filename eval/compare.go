package eval

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Comparison is how much a metric of a scorer lies above that of another on the same cases, and whether that is more than
// chance.
type Comparison struct {
	// Task is "all" for the cases of all tasks together.
	Task, Scorer, Against string
	Metric                Metric
	// Rate is the rate asked for; a metric that knows none, MRR, has 0. Threshold is that of the policy, where several are measured.
	Rate, Threshold float64
	// Mean is the mean difference over N cases.
	Mean float64
	N    int
	// Cases and Groups test it with cases, and with whole groups (see GroupOf), drawn anew.
	Cases, Groups Test
	// Adjusted is the larger P of the two after Holm's correction over all comparisons of the report.
	Adjusted float64
}

// allTasks is the name of the comparison over all tasks.
const allTasks = "all"

// Verdict says in words what was found, "better", "worse" or "no difference".
func (c Comparison) Verdict() string {
	switch {
	case c.Adjusted >= significance:
		return "no difference"
	case c.Mean > 0:
		return "better"
	}
	return "worse"
}

// compare tests every scorer against the first, or what went through a proxy against what did not, for each task and for all
// of them.
func (r *runner) compare() []Comparison {
	tasks := slices.Clone(r.tasks)
	if len(tasks) > 1 {
		tasks = append(tasks, allTasks)
	}
	var all []Comparison
	for _, task := range tasks {
		for i := 1; i < len(r.Scorers); i++ {
			scorer, against := r.Scorers[i], r.Scorers[0]
			if direct, ok := strings.CutSuffix(scorer, viaProxy); ok {
				against = direct
			}
			for _, l := range r.levels() {
				all = r.appendComparison(all, Comparison{Task: task, Scorer: scorer, Against: against, Metric: GoldShare, Rate: l.rate, Threshold: l.threshold}, l)
			}
			all = r.appendComparison(all, Comparison{Task: task, Scorer: scorer, Against: against, Metric: MRR}, r.levels()[0])
		}
	}
	p := make([]float64, len(all))
	for i, c := range all {
		p[i] = max(c.Cases.P, c.Groups.P)
	}
	for i, adjusted := range holm(p) {
		all[i].Adjusted = adjusted
	}
	return all
}

// appendComparison fills in a comparison from the cells of a rate and appends it, if any case has its metric.
func (r *runner) appendComparison(all []Comparison, c Comparison, at level) []Comparison {
	var differences []float64
	var groups []string
	for _, task := range r.tasks {
		if c.Task != task && c.Task != allTasks {
			continue
		}
		// Both hold the same cases in the same order.
		cases, base := r.cells[cell{task, c.Scorer, at}], r.cells[cell{task, c.Against, at}]
		for i, o := range cases {
			if o.has[c.Metric] && base[i].has[c.Metric] {
				differences = append(differences, o.values[c.Metric]-base[i].values[c.Metric])
				groups = append(groups, o.group)
				c.Mean += differences[len(differences)-1]
			}
		}
	}
	if len(differences) == 0 {
		return all
	}
	c.N = len(differences)
	c.Mean /= float64(c.N)
	c.Cases = pairedTest(differences, nil, r.Seed)
	c.Groups = pairedTest(differences, groups, r.Seed)
	return append(all, c)
}

// fields are those of the comparison in JSON; rate is null for a metric that knows none.
func (c Comparison) fields() map[string]any {
	fields := map[string]any{
		"task": c.Task, "scorer": c.Scorer, "against": c.Against, "metric": c.Metric.String(), "rate": nil,
		"n": c.N, "groups": c.Groups.Units, "difference": c.Mean,
		"ci": [2]float64{c.Cases.Low, c.Cases.High}, "ci_groups": [2]float64{c.Groups.Low, c.Groups.High},
		"p": c.Cases.P, "p_groups": c.Groups.P, "p_holm": c.Adjusted, "verdict": c.Verdict(),
	}
	if c.Metric != MRR {
		fields["rate"] = c.Rate
	}
	if c.Threshold > 0 {
		fields["threshold"] = c.Threshold
	}
	return fields
}

const comparisonLegend = `Each scorer less the one it is compared with, on the same cases: 95 % intervals and two-sided p by paired bootstrap, over
cases and over whole repositories or questions. Holm's correction of the larger p is over all rows; the verdict is at 0.05.`

func writeComparisons(w io.Writer, comparisons []Comparison) {
	fmt.Fprintln(w, "task\tscorer\tagainst\tmetric\trate\tn\tgroups\tdifference\tby case\tby group\tp\tp by group\tHolm\tverdict")
	for _, c := range comparisons {
		rate := "-"
		if c.Metric != MRR {
			rate = level{c.Rate, c.Threshold}.String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%+.3f\t[%+.2f %+.2f]\t[%+.2f %+.2f]\t%.4f\t%.4f\t%.4f\t%s\n",
			c.Task, c.Scorer, c.Against, c.Metric, rate, c.N, c.Groups.Units, c.Mean, c.Cases.Low, c.Cases.High,
			c.Groups.Low, c.Groups.High, c.Cases.P, c.Groups.P, c.Adjusted, c.Verdict())
	}
}
