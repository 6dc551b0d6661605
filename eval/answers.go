package eval

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/scoring"
)

// The arms that need no scorer: the whole context, and none of it.
const (
	armFull = "full"
	armNone = "none"
)

// AnswerOptions says what to ask a reader. All fields but Limit, Skip, Seed, StopAfter, Known, Log and Progress are required.
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
	StopAfter time.Duration
	Reader    Reader
	// ReaderName tells the Reader from others in a Log.
	ReaderName string
	// Scorer returns the named scorer, Folded measures each case with what was fitted without its fold: see RunOptions.
	Scorer     func(name string, fold int) (compressors.Scorer, error)
	Folded     bool
	Compressor func(compressors.Scorer) (*compressors.Compressor, error)
	// CountTokens counts tokens as the compressor does, LM is the decoder of the published baselines: see RunOptions.
	CountTokens func(string) int
	LM          func() (*scoring.LM, error)
	// Known are the lines of earlier logs: their cases are part of the report and not asked again. Log gets a line a case.
	Known    []AnswerLine
	Log      io.Writer
	Progress io.Writer
}

// answer is what the reader made of a case in one arm.
type answer struct {
	rate    float64 // tokens kept / tokens in
	logProb float64 // of the gold answer given the prompt, nats a token; NaN if the reader does not tell
	score   float64 // by the data's own metric, 0 to 1
	exact   float64 // 1 if it equals an accepted answer
	scored  bool
}

// AnswerReport holds the answers of all arms to the same cases, in the same order.
type AnswerReport struct {
	arms   []string
	tasks  []string // of each case
	groups []string
	cells  map[string][]answer
	seed   uint64
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
	var arms [][][]preparer // [scorer][fold][run]
	for _, name := range o.Scorers {
		folds, err := o.folds(name)
		if err != nil {
			return nil, fmt.Errorf("scorer %q: %w", name, err)
		}
		arms = append(arms, folds)
	}
	known, err := o.known()
	if err != nil {
		return nil, err
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
			if line, ok := known[c.ID]; ok {
				report.add(line)
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

// folds returns the runs of a scorer for each fold; without folds for the only one.
func (o AnswerOptions) folds(name string) ([][]preparer, error) {
	count := 1
	if o.Folded {
		count = Folds
	}
	var all [][]preparer
	for fold := range count {
		if !o.Folded {
			fold = -1
		}
		runs, err := armOptions{
			seed: o.Seed, countTokens: o.CountTokens, lm: o.LM,
			scorer: func(name string) (compressors.Scorer, error) { return o.Scorer(name, fold) },
			run: func(scorer compressors.Scorer) (preparer, error) {
				compressor, err := o.Compressor(scorer)
				return engineRun{compressor}, err
			},
		}.arm(name)
		if err != nil {
			return nil, err
		}
		all = append(all, runs)
	}
	return all, nil
}

// ask reads one case in all arms. The answer of an arm of several runs is their mean.
func (r *AnswerReport) ask(ctx context.Context, o AnswerOptions, arms [][][]preparer, c Case) error {
	fold := 0
	if o.Folded {
		fold = FoldOf(GroupOf(c))
	}
	reader := o.Reader.forCase(c)
	var whole []string
	for _, t := range c.Texts {
		whole = append(whole, t.Content)
	}
	full, err := reader.read(ctx, promptOf(c, whole))
	if errors.Is(err, scoring.ErrContextLength) {
		r.TooLong++
		return nil
	}
	if err != nil {
		return err
	}
	full.rate = 1
	answers := []answer{full}
	for _, folds := range arms {
		a, err := compressed(ctx, c, reader, folds[fold], o.Rate)
		if err != nil {
			return err
		}
		answers = append(answers, a)
	}
	none, err := reader.read(ctx, promptOf(c, make([]string, len(c.Texts))))
	if err != nil {
		return err
	}
	answers = append(answers, none)
	line := AnswerLine{
		ID: c.ID, Task: c.Task, Group: GroupOf(c), Reader: o.ReaderName, Rate: o.Rate, Scorers: o.Scorers,
		Arms: map[string]AnswerEntry{},
	}
	for i, name := range r.arms {
		line.Arms[name] = newAnswerEntry(answers[i])
	}
	r.add(line)
	return writeLine(o.Log, line)
}

// compressed returns the mean answer over the runs of an arm.
func compressed(ctx context.Context, c Case, reader caseReader, runs []preparer, rate float64) (answer, error) {
	var out answer
	share := 1 / float64(len(runs))
	for _, run := range runs {
		p, err := run.prepare(ctx, c)
		if err != nil {
			return answer{}, err
		}
		result, err := p.Compress(ctx, compressors.Budget{Rate: rate})
		if err != nil {
			return answer{}, err
		}
		var texts []string
		for _, t := range result.Texts {
			texts = append(texts, t.Output)
		}
		a, err := reader.read(ctx, promptOf(c, texts))
		if err != nil {
			return answer{}, err
		}
		out.rate += share * float64(result.TokensOut) / float64(max(1, result.TokensIn))
		out.logProb += share * a.logProb
		out.score += share * a.score
		out.exact += share * a.exact
		out.scored = a.scored
	}
	return out, nil
}
