package eval

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what a run found.
type Report struct {
	// Results has one row for each task, scorer and rate: tasks in the order of the data, the others as asked for.
	Results []Row
	// Comparisons has one row for each task, scorer after the first, metric and rate.
	Comparisons []Comparison
	// Reliability says how often segments were needed that were said to be so with a probability, for each family and all.
	Reliability []ReliabilityBin
	// Losses are the worst of the first scorer at the first rate, as many as were asked for.
	Losses []Loss
}

// Row is the average over the cases of a task under one scorer at one rate.
type Row struct {
	Task, Scorer string
	// Rate is the rate asked for, Threshold that of the policy at rate 0, where several are measured.
	Rate, Threshold float64
	// N counts the cases, WithoutGold those of them without labels: they count for RateReached and the time alone.
	// Skipped counts the cases that the compressor left as they were.
	N, WithoutGold, Skipped int
	// Metrics are the means over the cases that have the metric.
	Metrics [metricCount]Estimate
	// Runs counts the runs of which each value is the mean; SeedDeviation is the standard deviation between the means of the
	// runs, where there are several.
	Runs          int
	SeedDeviation [metricCount]float64
	// TokensIn and ModelTokens are means a case; model tokens are what scoring costs with nothing cached.
	TokensIn, ModelTokens float64
	// Elapsed is the mean wall time of a case from its texts to the output, Stages its parts.
	Elapsed time.Duration
	Stages  []StageTime
}

func (r Row) level() level { return level{r.Rate, r.Threshold} }

// String returns the level as tables have it: the rate, or p and the threshold.
func (l level) String() string {
	if l.threshold > 0 {
		return fmt.Sprintf("p>=%g", l.threshold)
	}
	return fmt.Sprint(l.rate)
}

// StageTime is the mean time of a stage a case; a name "score/x" is a part of "score".
type StageTime struct {
	Name string
	Mean time.Duration
}

// report averages what was observed.
func (r *runner) report() Report {
	var report Report
	for _, task := range r.tasks {
		for _, scorer := range r.Scorers {
			for _, l := range r.levels() {
				if cases := r.cells[cell{task, scorer, l}]; len(cases) > 0 {
					report.Results = append(report.Results, newRow(task, scorer, l, cases, r.Seed))
				}
			}
		}
	}
	report.Comparisons = r.compare()
	report.Reliability = r.reliability.bins(r.Scorers)
	report.Losses = worstLosses(r.losses, r.Losses)
	return report
}

func newRow(task, scorer string, at level, cases []observation, seed uint64) Row {
	row := Row{Task: task, Scorer: scorer, Rate: at.rate, Threshold: at.threshold, N: len(cases)}
	var elapsed time.Duration
	var stages []StageTime
	tokensIn, modelTokens := 0, 0
	for _, o := range cases {
		if !o.labelled {
			row.WithoutGold++
		}
		if o.skipped {
			row.Skipped++
		}
		tokensIn += o.tokensIn
		modelTokens += o.modelTokens
		elapsed += o.elapsed
		for _, s := range o.stages {
			i := slices.IndexFunc(stages, func(t StageTime) bool { return t.Name == s.Name })
			if i < 0 {
				i = len(stages)
				stages = append(stages, StageTime{Name: s.Name})
			}
			stages[i].Mean += s.Duration
		}
	}
	for i := range stages {
		stages[i].Mean /= time.Duration(len(cases))
	}
	for m := range metricCount {
		var values []float64
		for _, o := range cases {
			if o.has[m] {
				values = append(values, o.values[m])
			}
		}
		row.Metrics[m] = estimate(values, seed)
		row.SeedDeviation[m] = betweenRuns(m, cases)
	}
	row.Runs = max(1, len(cases[0].runs))
	n := float64(len(cases))
	row.TokensIn, row.ModelTokens = float64(tokensIn)/n, float64(modelTokens)/n
	row.Elapsed, row.Stages = elapsed/time.Duration(len(cases)), stages
	return row
}

// betweenRuns returns the standard deviation of the metric's mean between the runs of a scorer, 0 for a single run.
func betweenRuns(m Metric, cases []observation) float64 {
	runs := len(cases[0].runs)
	if runs < 2 {
		return 0
	}
	means, n := make([]float64, runs), 0
	for _, o := range cases {
		if !o.has[m] {
			continue
		}
		n++
		for i := range means {
			means[i] += o.runs[i][m]
		}
	}
	average, square := 0.0, 0.0
	for i := range means {
		means[i] /= float64(max(1, n))
		average += means[i] / float64(runs)
	}
	for _, v := range means {
		square += float64((v - average) * (v - average))
	}
	return math.Sqrt(square / float64(runs-1))
}

// MarshalJSON writes {"results":[…],"comparisons":[…]}. A row holds its metrics under their names, each with its
// interval under the name with "_ci" as [low, high]; both are null where no case has the metric. Of a scorer with several
// runs it also holds their deviation under the name with "_seed_sd".
func (r Report) MarshalJSON() ([]byte, error) {
	results, comparisons := []any{}, []any{}
	for _, row := range r.Results {
		stages := map[string]float64{}
		for _, s := range row.Stages {
			stages[s.Name] = milliseconds(s.Mean)
		}
		fields := map[string]any{
			"task": row.Task, "scorer": row.Scorer, "rate": row.Rate,
			"n": row.N, "n_without_gold": row.WithoutGold, "n_skipped": row.Skipped,
			"tokens_in": row.TokensIn, "model_tokens": row.ModelTokens,
			"ms_per_case": milliseconds(row.Elapsed), "stage_ms": stages,
		}
		if row.Threshold > 0 {
			fields["threshold"] = row.Threshold
		}
		for m := range metricCount {
			addEstimate(fields, m, row.Metrics[m])
			if row.Runs > 1 {
				fields[m.String()+"_seed_sd"] = row.SeedDeviation[m]
			}
		}
		results = append(results, fields)
	}
	for _, c := range r.Comparisons {
		comparisons = append(comparisons, c.fields())
	}
	report := map[string]any{"results": results, "comparisons": comparisons}
	if len(r.Reliability) > 0 {
		report["reliability"] = r.Reliability
	}
	if len(r.Losses) > 0 {
		report["losses"] = r.Losses
	}
	return json.Marshal(report)
}

func addEstimate(fields map[string]any, m Metric, e Estimate) {
	fields[m.String()], fields[m.String()+"_ci"] = nil, nil
	if e.N > 0 {
		fields[m.String()], fields[m.String()+"_ci"] = e.Mean, [2]float64{e.Low, e.High}
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// WriteText writes the report as aligned tables: results, code, the curve, what a proxy loses, reliability, losses,
// comparisons, time by stage.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	r.writeResults(table)
	if err := table.Flush(); err != nil {
		return err
	}
	r.writeCode(table)
	if err := table.Flush(); err != nil {
		return err
	}
	r.writeCurve(table)
	if err := table.Flush(); err != nil {
		return err
	}
	r.writeProxied(table)
	if err := table.Flush(); err != nil {
		return err
	}
	r.writeReliability(table)
	if err := table.Flush(); err != nil {
		return err
	}
	r.writeLosses(table)
	if err := table.Flush(); err != nil {
		return err
	}
	if len(r.Comparisons) > 0 {
		fmt.Fprintf(table, "\n%s\n", comparisonLegend)
		writeComparisons(table, r.Comparisons)
		if err := table.Flush(); err != nil {
			return err
		}
	}
	fmt.Fprintln(table, "\nMean time of a case by stage; score/x is a part of score.")
	for _, row := range r.Results {
		var parts []string
		for _, s := range row.Stages {
			parts = append(parts, fmt.Sprintf("%s %.1f ms", s.Name, milliseconds(s.Mean)))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", row.Task, row.Scorer, row.level(), strings.Join(parts, ", "))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeResults writes the main table. The gold share of a scorer with several runs has the deviation between them behind ±.
func (r Report) writeResults(w io.Writer) {
	fmt.Fprintln(w, "task\tscorer\trate\tn\tno gold\tskipped\treached\tgold share\tany\tall\tparts\tmrr\tmodel tokens\tms/case")
	for _, row := range r.Results {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d", row.Task, row.Scorer, row.level(), row.N, row.WithoutGold, row.Skipped)
		for _, m := range goldMetrics {
			fmt.Fprintf(w, "\t%s", formatEstimate(row.Metrics[m]))
			if m == GoldShare && row.Runs > 1 && row.Metrics[m].N > 0 {
				fmt.Fprintf(w, " ±%.2f", row.SeedDeviation[m])
			}
		}
		fmt.Fprintf(w, "\t%.0f\t%.1f\n", row.ModelTokens, milliseconds(row.Elapsed))
	}
}

// writeCode writes what became of code, where there was any.
func (r Report) writeCode(w io.Writer) {
	headed := false
	for _, row := range r.Results {
		if row.Metrics[NewErrors].N == 0 {
			continue
		}
		if !headed {
			fmt.Fprintln(w, "\nCode that was shortened: places a case that no longer follow the grammar, the share of texts that have one, and names a\ncase that are used but no longer defined.")
			fmt.Fprintln(w, "task\tscorer\trate\tn\tnew errors\ttexts with any\tundefined names")
			headed = true
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d", row.Task, row.Scorer, row.level(), row.Metrics[NewErrors].N)
		for _, m := range []Metric{NewErrors, BrokenTexts, Undefined} {
			fmt.Fprintf(w, "\t%s", formatEstimate(row.Metrics[m]))
		}
		fmt.Fprintln(w)
	}
}

func formatEstimate(e Estimate) string {
	if e.N == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f [%.2f %.2f]", e.Mean, e.Low, e.High)
}
