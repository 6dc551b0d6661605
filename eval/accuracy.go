package eval

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/scoring"
)

// Arithmetic is one way of computing the same models: a precision on a CPU tier.
type Arithmetic struct {
	Name string
	// LM returns the decoder; only MeasureAccuracy calls it.
	LM func() (*scoring.LM, error)
	// Compressor returns a compressor that scores with it.
	Compressor func() (*compressors.Compressor, error)
}

// AccuracyOptions say on what arithmetic is compared with a reference. Texts, Ranked or both are needed.
type AccuracyOptions struct {
	// Texts are files of cases of which the decoder reads texts: the first one of each file, then the second, and so on,
	// until it has read the first TextTokens tokens of TextCount texts. It passes over texts with fewer.
	Texts                 []string
	TextCount, TextTokens int
	// Ranked is a file of labelled cases, of which the segments of the first RankedCases are scored; 0 is all.
	Ranked      string
	RankedCases int
	// Others are compared with Reference.
	Reference Arithmetic
	Others    []Arithmetic
	// Progress, if set, is told of every step.
	Progress io.Writer
}

// Validate names the first option that is missing or out of range.
func (o AccuracyOptions) Validate() error {
	switch {
	case len(o.Texts) == 0 && o.Ranked == "":
		return errors.New("no data: name files of texts, a file of cases to rank, or both")
	case len(o.Texts) > 0 && (o.TextCount < 1 || o.TextTokens < 2):
		return fmt.Errorf("%d texts of %d tokens: there must be at least 1 of 2", o.TextCount, o.TextTokens)
	case o.RankedCases < 0:
		return fmt.Errorf("cases is %d: it must not be negative", o.RankedCases)
	case len(o.Others) == 0:
		return errors.New("nothing to compare with the reference")
	}
	return nil
}

// Accuracy says how near other arithmetic comes to the reference.
type Accuracy struct {
	Reference   string               `json:"reference"`
	Texts       int                  `json:"texts"`
	Tokens      int                  `json:"tokens"` // with a log-probability
	Cases       int                  `json:"cases"`
	MRR         float64              `json:"mrr"` // of the reference: mean reciprocal rank of the first gold segment
	Differences []AccuracyDifference `json:"differences"`
}

// AccuracyDifference is one arithmetic against the reference. Log-probabilities are in nats.
type AccuracyDifference struct {
	Name string `json:"name"`
	// MeanAbs and P99Abs are of the absolute difference of a token's log-probability.
	MeanAbs float64 `json:"mean_abs"`
	P99Abs  float64 `json:"p99_abs"`
	// NLL is by how much the mean negative log-probability is larger.
	NLL float64 `json:"nll_difference"`
	// Rank is the rank correlation (Spearman 1904) of a case's segment scores: the mean and the least over the cases.
	Rank      float64 `json:"rank_correlation"`
	LeastRank float64 `json:"least_rank_correlation"`
	MRR       float64 `json:"mrr"`
}

// reading is what one arithmetic made of the texts and the cases.
type reading struct {
	texts    int
	logProbs []float32
	scores   [][]float64 // of each case's segments
	mrr      float64
}

// MeasureAccuracy reads the same texts and scores the same cases in each arithmetic.
func MeasureAccuracy(ctx context.Context, o AccuracyOptions) (Accuracy, error) {
	if err := o.Validate(); err != nil {
		return Accuracy{}, err
	}
	var ranked []Case
	files := make([][]Case, len(o.Texts))
	for i, path := range o.Texts {
		var err error
		if files[i], err = Load(path); err != nil {
			return Accuracy{}, err
		}
	}
	if o.Ranked != "" {
		cases, err := Load(o.Ranked)
		if err != nil {
			return Accuracy{}, err
		}
		ranked = sample(cases, o.RankedCases, 0)
	}
	want, err := o.read(ctx, o.Reference, files, ranked)
	if err != nil {
		return Accuracy{}, err
	}
	report := Accuracy{
		Reference: o.Reference.Name, Texts: want.texts, Tokens: len(want.logProbs), Cases: len(ranked), MRR: want.mrr,
	}
	for _, other := range o.Others {
		got, err := o.read(ctx, other, files, ranked)
		if err != nil {
			return Accuracy{}, err
		}
		report.Differences = append(report.Differences, differenceOf(other.Name, got, want))
	}
	return report, nil
}

// read takes the texts and the cases through one arithmetic.
func (o AccuracyOptions) read(ctx context.Context, a Arithmetic, files [][]Case, ranked []Case) (reading, error) {
	var r reading
	if len(files) > 0 {
		o.tell("%s: texts", a.Name)
		lm, err := a.LM()
		if err != nil {
			return r, fmt.Errorf("%s: %w", a.Name, err)
		}
		sequences, err := o.sequences(files, lm)
		if err != nil {
			return r, err
		}
		results, err := lm.LogProbs(ctx, sequences)
		if err != nil {
			return r, fmt.Errorf("%s: %w", a.Name, err)
		}
		r.texts = len(results)
		for _, result := range results {
			r.logProbs = append(r.logProbs, result.LogProbs...)
		}
	}
	if len(ranked) == 0 {
		return r, nil
	}
	compressor, err := a.Compressor()
	if err != nil {
		return r, fmt.Errorf("%s: %w", a.Name, err)
	}
	for i, c := range ranked {
		o.tell("%s: case %d of %d, %s", a.Name, i+1, len(ranked), c.ID)
		plan, err := compressor.Prepare(ctx, c.Query, c.Texts)
		if err != nil {
			return r, fmt.Errorf("%s: case %s: %w", a.Name, c.ID, err)
		}
		result, err := plan.Compress(ctx, compressors.Budget{Tokens: 1}) // which shows all scores
		if err != nil {
			return r, fmt.Errorf("%s: case %s: %w", a.Name, c.ID, err)
		}
		rank, ok := reciprocalRank(c, result)
		if !ok {
			return r, fmt.Errorf("case %s: no labelled segment is ranked", c.ID)
		}
		r.mrr += rank / float64(len(ranked))
		r.scores = append(r.scores, scoresOf(result))
	}
	return r, nil
}

func (o AccuracyOptions) tell(format string, args ...any) {
	if o.Progress != nil {
		fmt.Fprintf(o.Progress, format+"\n", args...)
	}
}

// sequences are the beginnings of the texts, the files in turns.
func (o AccuracyOptions) sequences(files [][]Case, lm *scoring.LM) ([]scoring.Sequence, error) {
	var texts [][]string // of each file
	for _, cases := range files {
		var own []string
		for _, c := range cases {
			for _, t := range c.Texts {
				own = append(own, t.Content)
			}
		}
		texts = append(texts, own)
	}
	var sequences []scoring.Sequence
	next := make([]int, len(texts))
	for len(sequences) < o.TextCount {
		found := false
		for i, own := range texts {
			for next[i] < len(own) && len(sequences) < o.TextCount {
				ids := lm.Tokenizer().Encode(nil, own[next[i]])
				next[i]++
				if len(ids) >= o.TextTokens {
					sequences = append(sequences, scoring.Sequence{Tokens: ids[:o.TextTokens], From: 1})
					found = true
					break
				}
			}
		}
		if !found {
			return nil, fmt.Errorf("only %d texts of %d tokens are there, %d are wanted", len(sequences), o.TextTokens, o.TextCount)
		}
	}
	return sequences, nil
}

func scoresOf(result compressors.Result) []float64 {
	var scores []float64
	for _, text := range result.Texts {
		for _, s := range text.Segments {
			scores = append(scores, s.Score.Value)
		}
	}
	return scores
}

func differenceOf(name string, got, want reading) AccuracyDifference {
	d := AccuracyDifference{Name: name, MRR: got.mrr, LeastRank: 1}
	apart := make([]float64, len(want.logProbs))
	for i, v := range want.logProbs {
		difference := float64(got.logProbs[i]) - float64(v)
		apart[i] = math.Abs(difference)
		d.MeanAbs += apart[i] / float64(len(apart))
		d.NLL -= difference / float64(len(apart))
	}
	if len(apart) > 0 {
		slices.Sort(apart)
		d.P99Abs = percentile(apart, 0.99)
	}
	for i, scores := range want.scores {
		c := rankCorrelation(got.scores[i], scores)
		d.Rank += c / float64(len(want.scores))
		d.LeastRank = min(d.LeastRank, c)
	}
	return d
}

// rankCorrelation is the correlation of the ranks of a and b, equal values sharing the mean of their ranks (Spearman
// 1904). It is 1 where all of both are equal, and 0 where all of one alone are.
func rankCorrelation(a, b []float64) float64 {
	ra, rb := ranks(a), ranks(b)
	mean := float64(len(a)-1) / 2
	var ab, aa, bb float64
	for i := range ra {
		x, y := ra[i]-mean, rb[i]-mean
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	switch {
	case aa == 0 && bb == 0:
		return 1
	case aa == 0 || bb == 0:
		return 0
	}
	return ab / math.Sqrt(aa*bb)
}

// ranks are the places of the values in ascending order, from 0; equal values share the mean of theirs.
func ranks(values []float64) []float64 {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return compareScores(values[i], values[j]) })
	out := make([]float64, len(values))
	for from := 0; from < len(order); {
		to := from
		for to < len(order) && values[order[to]] == values[order[from]] {
			to++
		}
		for _, i := range order[from:to] {
			out[i] = float64(from+to-1) / 2
		}
		from = to
	}
	return out
}

func compareScores(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// WriteText prints the report as a table.
func (a Accuracy) WriteText(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "against %s: %d texts with %d log-probabilities, %d cases to rank\n\n", a.Reference, a.Texts, a.Tokens, a.Cases); err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "arithmetic\tmean |d|, nats\t99 % |d|\tNLL\trank correlation\tleast\tMRR\tMRR difference")
	for _, d := range a.Differences {
		texts, ranking := "-\t-\t-", "-\t-\t-\t-"
		if a.Tokens > 0 {
			texts = fmt.Sprintf("%.4f\t%.3f\t%+.4f", d.MeanAbs, d.P99Abs, d.NLL)
		}
		if a.Cases > 0 {
			ranking = fmt.Sprintf("%.4f\t%.4f\t%.4f\t%+.4f", d.Rank, d.LeastRank, d.MRR, d.MRR-a.MRR)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", d.Name, texts, ranking)
	}
	return t.Flush()
}
