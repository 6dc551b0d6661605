package eval

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/scoring"
)

// The arms that need no scorer: the whole context, and none of it.
const (
	armFull = "full"
	armNone = "none"
)

// AnswerOptions says what to ask a reader. All fields but Limit, Skip, Seed, StopAfter and Progress are required.
type AnswerOptions struct {
	// Data are the files of cases.
	Data []string
	// Scorers are the arms between the whole context and none: names of baselines, or for Scorer.
	Scorers []string
	// Rate is the share of tokens that they keep.
	Rate float64
	// Skip and Limit choose the cases of each file: Limit of them after the first Skip; a Limit of 0 is all the rest.
	Skip, Limit int
	Seed        uint64
	// StopAfter ends the run before the next case when so much time has passed; 0 never does.
	StopAfter  time.Duration
	Reader     *scoring.LM
	Scorer     func(name string) (compressors.Scorer, error)
	Compressor func(compressors.Scorer) (*compressors.Compressor, error)
	Progress   io.Writer
}

// answer is what the reader made of a case in one arm.
type answer struct {
	rate    float64 // tokens kept / tokens in
	logProb float64 // of the gold answer given the prompt, nats a token
	score   float64 // by the data's own metric, 0 to 1
	scored  bool
}

// AnswerReport holds the answers of all arms to the same cases, in the same order.
type AnswerReport struct {
	arms  []string
	tasks []string // of each case
	cells map[string][]answer
	seed  uint64
	// TooLong counts the cases left out because the whole context does not fit the reader's; Unread those that StopAfter
	// left.
	TooLong, Unread int
}

// Answers asks the reader for every case in every arm. The gold answer is the first of the accepted ones.
func Answers(ctx context.Context, o AnswerOptions) (*AnswerReport, error) {
	if !(o.Rate > 0 && o.Rate <= 1) {
		return nil, fmt.Errorf("rate is %v: it must lie above 0 and up to 1", o.Rate)
	}
	report := &AnswerReport{cells: map[string][]answer{}, seed: o.Seed}
	report.arms = slices.Concat([]string{armFull}, o.Scorers, []string{armNone})
	var arms []*compressors.Compressor
	for _, name := range o.Scorers {
		scorer, ok := baseline(name, o.Seed)
		if !ok {
			var err error
			if scorer, err = o.Scorer(name); err != nil {
				return nil, fmt.Errorf("scorer %q: %w", name, err)
			}
		}
		compressor, err := o.Compressor(scorer)
		if err != nil {
			return nil, err
		}
		arms = append(arms, compressor)
	}
	start := time.Now()
	for _, path := range o.Data {
		cases, err := Load(path)
		if err != nil {
			return nil, err
		}
		cases = cases[min(o.Skip, len(cases)):]
		if o.Limit > 0 {
			cases = cases[:min(o.Limit, len(cases))]
		}
		for i, c := range cases {
			if len(c.Answers) == 0 {
				continue
			}
			if o.StopAfter > 0 && time.Since(start) > o.StopAfter {
				report.Unread++
				continue
			}
			if o.Progress != nil {
				fmt.Fprintf(o.Progress, "%s %d/%d %s\n", path, i+1, len(cases), c.ID)
			}
			if err := report.ask(ctx, o, arms, c); err != nil {
				return nil, fmt.Errorf("%s: case %s: %w", path, c.ID, err)
			}
		}
	}
	return report, nil
}

// ask reads one case in all arms.
func (r *AnswerReport) ask(ctx context.Context, o AnswerOptions, arms []*compressors.Compressor, c Case) error {
	texts, rates := [][]string{nil}, []float64{1}
	for _, t := range c.Texts {
		texts[0] = append(texts[0], t.Content)
	}
	for _, compressor := range arms {
		result, err := compressor.Compress(ctx, compressors.Input{Query: c.Query, Texts: c.Texts, Budget: compressors.Budget{Rate: o.Rate}})
		if err != nil {
			return err
		}
		var out []string
		for _, t := range result.Texts {
			out = append(out, t.Output)
		}
		texts, rates = append(texts, out), append(rates, float64(result.TokensOut)/float64(max(1, result.TokensIn)))
	}
	texts, rates = append(texts, make([]string, len(c.Texts))), append(rates, 0)
	reader := caseReader{lm: o.Reader, c: c}
	var answers []answer
	for i := range texts {
		a, err := reader.read(ctx, promptOf(c, texts[i]))
		if errors.Is(err, scoring.ErrContextLength) {
			r.TooLong++
			return nil
		}
		if err != nil {
			return err
		}
		a.rate = rates[i]
		answers = append(answers, a)
	}
	r.tasks = append(r.tasks, c.Task)
	for i, name := range r.arms {
		r.cells[name] = append(r.cells[name], answers[i])
	}
	return nil
}

// WriteText prints a table a task and one of all: each arm with its change against the whole context, paired by case, and
// the 95 % interval. An arm is non-inferior where the low end of its score's change is above -5 points.
func (r *AnswerReport) WriteText(w io.Writer) error {
	var tasks []string
	for _, t := range r.tasks {
		if !slices.Contains(tasks, t) {
			tasks = append(tasks, t)
		}
	}
	if len(tasks) > 1 {
		tasks = append(tasks, "")
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "task\tarm\tn\trate\tlog p\tchange\t95 %\tscore\tchange\t95 %\tnon-inferior")
	for _, task := range tasks {
		for _, arm := range r.arms {
			r.writeRow(table, task, arm)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "log p: nats a token of the gold answer; score: the data's own metric, in points\n%d cases too long for the reader, %d not read for lack of time\n", r.TooLong, r.Unread)
	return err
}

// nonInferiority is the margin of scores, in points.
const nonInferiority = -5

func (r *AnswerReport) writeRow(w io.Writer, task, arm string) {
	var rates, logProbs, logProbChanges, scores, scoreChanges []float64
	for i, a := range r.cells[arm] {
		if task != "" && r.tasks[i] != task {
			continue
		}
		full := r.cells[armFull][i]
		rates, logProbs = append(rates, a.rate), append(logProbs, a.logProb)
		logProbChanges = append(logProbChanges, a.logProb-full.logProb)
		if a.scored {
			scores, scoreChanges = append(scores, 100*a.score), append(scoreChanges, 100*(a.score-full.score))
		}
	}
	if task == "" {
		task = "all"
	}
	rate, p, dp := estimate(rates, r.seed), estimate(logProbs, r.seed), estimate(logProbChanges, r.seed)
	s, ds := estimate(scores, r.seed), estimate(scoreChanges, r.seed)
	fmt.Fprintf(w, "%s\t%s\t%d\t%.3f\t%.3f\t%+.3f\t[%+.3f, %+.3f]", task, arm, p.N, rate.Mean, p.Mean, dp.Mean, dp.Low, dp.High)
	if s.N == 0 {
		fmt.Fprintln(w, "\t-\t-\t-\t-")
		return
	}
	verdict := "no"
	if ds.Low > nonInferiority {
		verdict = "yes"
	}
	fmt.Fprintf(w, "\t%.1f\t%+.1f\t[%+.1f, %+.1f]\t%s\n", s.Mean, ds.Mean, ds.Low, ds.High, verdict)
}
