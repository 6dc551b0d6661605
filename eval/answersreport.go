package eval

import (
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
)

// nonInferiority is the margin of scores, in points.
const nonInferiority = -5

// WriteText prints a table a task and one of all, each arm with its change against the whole context, paired by case, and
// the 95 % interval: an arm is non-inferior where the low end of its score's change is above -5 points. A reader that tells no log-probabilities has "-". A second table tests
// the first scorer against the others at the same rate.
func (r *AnswerReport) WriteText(w io.Writer) error {
	var tasks []string
	for _, t := range r.tasks {
		if !slices.Contains(tasks, t) {
			tasks = append(tasks, t)
		}
	}
	if len(tasks) > 1 {
		tasks = append(tasks, allTasks)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "task\tarm\tn\trate\tlog p\tchange\t95 %\tscore\tchange\t95 %\tnon-inferior\texact")
	for _, task := range tasks {
		for _, arm := range r.arms {
			r.writeRow(table, task, arm)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "log p: nats a token of the gold answer, - if the reader does not tell; score: the data's own metric, exact: equal to an answer, in points\n%d cases too long for the reader, %d not read for lack of time\n", r.TooLong, r.Unread)
	return r.writeTests(w, tasks)
}

func (r *AnswerReport) writeRow(w io.Writer, task, arm string) {
	var rates, logProbs, logProbChanges, scores, scoreChanges, exact []float64
	for i, a := range r.cells[arm] {
		if task != allTasks && r.tasks[i] != task {
			continue
		}
		full := r.cells[armFull][i]
		rates, logProbs = append(rates, a.rate), append(logProbs, a.logProb)
		logProbChanges = append(logProbChanges, a.logProb-full.logProb)
		if a.scored {
			scores, scoreChanges = append(scores, 100*a.score), append(scoreChanges, 100*(a.score-full.score))
			exact = append(exact, 100*a.exact)
		}
	}
	rate, s, ds := estimate(rates, r.seed), estimate(scores, r.seed), estimate(scoreChanges, r.seed)
	fmt.Fprintf(w, "%s\t%s\t%d\t%.3f", task, arm, rate.N, rate.Mean)
	if slices.ContainsFunc(logProbs, math.IsNaN) {
		fmt.Fprint(w, "\t-\t-\t-")
	} else {
		p, dp := estimate(logProbs, r.seed), estimate(logProbChanges, r.seed)
		fmt.Fprintf(w, "\t%.3f\t%+.3f\t[%+.3f, %+.3f]", p.Mean, dp.Mean, dp.Low, dp.High)
	}
	if s.N == 0 {
		fmt.Fprintln(w, "\t-\t-\t-\t-\t-")
		return
	}
	verdict := "no"
	if ds.Low > nonInferiority {
		verdict = "yes"
	}
	fmt.Fprintf(w, "\t%.1f\t%+.1f\t[%+.1f, %+.1f]\t%s\t%.1f\n", s.Mean, ds.Mean, ds.Low, ds.High, verdict, estimate(exact, r.seed).Mean)
}

// answerTest is one row of the second table.
type answerTest struct {
	task, measure, against string
	n                      int
	mean                   float64
	cases, groups          Test
}

// writeTests tests the first scorer against each other one. Holm's correction is over all rows.
func (r *AnswerReport) writeTests(w io.Writer, tasks []string) error {
	scorers := r.arms[1 : len(r.arms)-1]
	var tests []answerTest
	var p []float64
	for _, task := range tasks {
		for i := 1; i < len(scorers); i++ {
			for _, measure := range []string{"log p", "score"} {
				if t, ok := r.test(task, measure, scorers[0], scorers[i]); ok {
					tests, p = append(tests, t), append(p, max(t.cases.P, t.groups.P))
				}
			}
		}
	}
	if len(tests) == 0 {
		return nil
	}
	fmt.Fprintf(w, "\n%s less the others, on the same cases: 95 %% intervals and two-sided p by paired bootstrap, over cases and over whole\nrepositories or questions. Holm's correction of the larger p is over all rows; the verdict is at 0.05.\n", scorers[0])
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "task\tmeasure\tagainst\tn\tgroups\tdifference\tby case\tby group\tp\tp by group\tHolm\tverdict")
	for i, adjusted := range holm(p) {
		t := tests[i]
		verdict := Comparison{Mean: t.mean, Adjusted: adjusted}.Verdict()
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%+.3f\t[%+.2f %+.2f]\t[%+.2f %+.2f]\t%.4f\t%.4f\t%.4f\t%s\n",
			t.task, t.measure, t.against, t.n, t.groups.Units, t.mean, t.cases.Low, t.cases.High, t.groups.Low, t.groups.High,
			t.cases.P, t.groups.P, adjusted, verdict)
	}
	return table.Flush()
}

// test compares two arms by a measure over the cases of a task that have it.
func (r *AnswerReport) test(task, measure, scorer, against string) (answerTest, bool) {
	t := answerTest{task: task, measure: measure, against: against}
	var differences []float64
	var groups []string
	for i, a := range r.cells[scorer] {
		b := r.cells[against][i]
		if task != allTasks && r.tasks[i] != task || measure == "score" && !a.scored {
			continue
		}
		d := a.logProb - b.logProb
		if measure == "score" {
			d = 100 * (a.score - b.score)
		}
		if math.IsNaN(d) {
			return t, false
		}
		differences, groups = append(differences, d), append(groups, r.groups[i])
		t.mean += d
	}
	if t.n = len(differences); t.n == 0 {
		return t, false
	}
	t.mean /= float64(t.n)
	t.cases, t.groups = pairedTest(differences, nil, r.seed), pairedTest(differences, groups, r.seed)
	return t, true
}
