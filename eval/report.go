package eval

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what a run found.
type Report struct {
	// Results has one row for each task, scorer and rate: tasks in the order of the data, the others as asked for.
	Results []Row
	// Differences has one row for each task, scorer after the first, and rate.
	Differences []Difference
}

// Row is the average over the cases of a task under one scorer at one rate.
type Row struct {
	Task, Scorer string
	// Rate is the rate asked for.
	Rate float64
	// N counts the cases, WithoutGold those of them without labels: they count for RateReached and the time alone.
	// Skipped counts the cases that the compressor left as they were.
	N, WithoutGold, Skipped int
	// Metrics are the means over the cases that have the metric.
	Metrics [metricCount]Estimate
	// TokensIn and ModelTokens are means a case; model tokens are what scoring costs with nothing cached.
	TokensIn, ModelTokens float64
	// Elapsed is the mean wall time of a case from its texts to the output, Stages its parts.
	Elapsed time.Duration
	Stages  []StageTime
}

// StageTime is the mean time of a stage a case; a name "score/x" is a part of "score".
type StageTime struct {
	Name string
	Mean time.Duration
}

// Difference is how much a scorer's metrics lie above those of another on the same cases.
type Difference struct {
	Task, Scorer, Against string
	Rate                  float64
	Metrics               [metricCount]Estimate
}

// compared are the metrics of which differences are reported.
var compared = []Metric{GoldShare, GoldAny, GoldAll, GoldParts, MRR}

// report averages what was observed.
func (r *runner) report() Report {
	var report Report
	for _, task := range r.tasks {
		for _, scorer := range r.Scorers {
			for _, rate := range r.Rates {
				if cases := r.cells[cell{task, scorer, rate}]; len(cases) > 0 {
					report.Results = append(report.Results, newRow(task, scorer, rate, cases, r.Seed))
				}
			}
		}
		first := r.Scorers[0]
		for _, scorer := range r.Scorers[1:] {
			for _, rate := range r.Rates {
				cases, base := r.cells[cell{task, scorer, rate}], r.cells[cell{task, first, rate}]
				d := Difference{Task: task, Scorer: scorer, Against: first, Rate: rate}
				for _, m := range compared {
					d.Metrics[m] = estimate(pairedDifferences(m, cases, base), r.Seed)
				}
				report.Differences = append(report.Differences, d)
			}
		}
	}
	return report
}

func newRow(task, scorer string, rate float64, cases []observation, seed uint64) Row {
	row := Row{Task: task, Scorer: scorer, Rate: rate, N: len(cases)}
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
	}
	n := float64(len(cases))
	row.TokensIn, row.ModelTokens = float64(tokensIn)/n, float64(modelTokens)/n
	row.Elapsed, row.Stages = elapsed/time.Duration(len(cases)), stages
	return row
}

// pairedDifferences returns the metric of each case less that of the same case in base. Both hold the same cases in the
// same order.
func pairedDifferences(m Metric, cases, base []observation) []float64 {
	var differences []float64
	for i, o := range cases {
		if o.has[m] && base[i].has[m] {
			differences = append(differences, o.values[m]-base[i].values[m])
		}
	}
	return differences
}

// MarshalJSON writes {"results":[…],"differences":[…]}. A row holds its metrics under their names, each with its
// interval under the name with "_ci" as [low, high]; both are null where no case has the metric.
func (r Report) MarshalJSON() ([]byte, error) {
	results, differences := []any{}, []any{}
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
		for m := range metricCount {
			addEstimate(fields, m, row.Metrics[m])
		}
		results = append(results, fields)
	}
	for _, d := range r.Differences {
		fields := map[string]any{
			"task": d.Task, "scorer": d.Scorer, "against": d.Against, "rate": d.Rate, "n": d.Metrics[GoldShare].N,
		}
		for _, m := range compared {
			addEstimate(fields, m, d.Metrics[m])
		}
		differences = append(differences, fields)
	}
	return json.Marshal(map[string]any{"results": results, "differences": differences})
}

func addEstimate(fields map[string]any, m Metric, e Estimate) {
	fields[m.String()], fields[m.String()+"_ci"] = nil, nil
	if e.N > 0 {
		fields[m.String()], fields[m.String()+"_ci"] = e.Mean, [2]float64{e.Low, e.High}
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// WriteText writes the report as aligned tables: results, paired differences, time by stage.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "task\tscorer\trate\tn\tno gold\tskipped\treached\tgold share\tany\tall\tparts\tmrr\tmodel tokens\tms/case")
	for _, row := range r.Results {
		fmt.Fprintf(table, "%s\t%s\t%g\t%d\t%d\t%d", row.Task, row.Scorer, row.Rate, row.N, row.WithoutGold, row.Skipped)
		for m := range metricCount {
			fmt.Fprintf(table, "\t%s", formatEstimate(row.Metrics[m]))
		}
		fmt.Fprintf(table, "\t%.0f\t%.1f\n", row.ModelTokens, milliseconds(row.Elapsed))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(r.Differences) > 0 {
		fmt.Fprintln(&b, "\nDifference to the first scorer on the same cases; in words where the interval holds 0.")
		fmt.Fprintln(table, "task\tscorer\tagainst\trate\tn\tgold share\tany\tall\tparts\tmrr")
		for _, d := range r.Differences {
			fmt.Fprintf(table, "%s\t%s\t%s\t%g\t%d", d.Task, d.Scorer, d.Against, d.Rate, d.Metrics[GoldShare].N)
			for _, m := range compared {
				fmt.Fprintf(table, "\t%s", formatDifference(d.Metrics[m]))
			}
			fmt.Fprintln(table)
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	fmt.Fprintln(&b, "\nMean time of a case by stage; score/x is a part of score.")
	for _, row := range r.Results {
		var parts []string
		for _, s := range row.Stages {
			parts = append(parts, fmt.Sprintf("%s %.1f ms", s.Name, milliseconds(s.Mean)))
		}
		fmt.Fprintf(table, "%s\t%s\t%g\t%s\n", row.Task, row.Scorer, row.Rate, strings.Join(parts, ", "))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func formatEstimate(e Estimate) string {
	if e.N == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f [%.2f %.2f]", e.Mean, e.Low, e.High)
}

func formatDifference(e Estimate) string {
	switch {
	case e.N == 0:
		return "-"
	case e.Low <= 0 && e.High >= 0:
		return fmt.Sprintf("no difference [%+.2f %+.2f]", e.Low, e.High)
	}
	return fmt.Sprintf("%+.2f [%+.2f %+.2f]", e.Mean, e.Low, e.High)
}
