package eval

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// pinned are the metrics of a score file.
var pinned = []Metric{RateReached, GoldShare, GoldParts, MRR}

// scoreDigits is how many digits behind the point a score file has.
const scoreDigits = 3

// ScoreFile writes the report as a file of scores to be committed: the CPU tier of the run, then a line for each task, scorer
// and rate.
func (r Report) ScoreFile(tier string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "tier %s\n", tier)
	for _, row := range r.Results {
		fmt.Fprintf(&b, "%s %s %g n=%d", row.Task, row.Scorer, row.Rate, row.N-row.WithoutGold)
		for _, m := range pinned {
			if e := row.Metrics[m]; e.N > 0 {
				fmt.Fprintf(&b, " %s=%.*f", m, scoreDigits, e.Mean)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// CompareScoreFiles returns an error that names every line of got that is not as want has it. Files of the same tier must be
// equal. Between tiers, where near-equal scores can swap, a mean may differ by what one case of the row can change: 1/n, of
// the rate reached a tenth of that.
func CompareScoreFiles(want, got string) error {
	wantLines, gotLines := scoreLines(want), scoreLines(got)
	exact := wantLines[0] == gotLines[0]
	var errs []error
	for i := 1; i < max(len(wantLines), len(gotLines)); i++ {
		w, g := lineOf(wantLines, i), lineOf(gotLines, i)
		if w != g && (exact || !nearLines(w, g)) {
			errs = append(errs, fmt.Errorf("line %d\n got  %s\n want %s", i+1, g, w))
		}
	}
	return errors.Join(errs...)
}

func scoreLines(file string) []string { return strings.Split(strings.TrimSuffix(file, "\n"), "\n") }

func lineOf(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "nothing"
}

// nearLines reports whether two lines name the same row and its values differ by no more than one case can change them.
func nearLines(want, got string) bool {
	w, g := strings.Fields(want), strings.Fields(got)
	if len(w) != len(g) {
		return false
	}
	n := 0.0
	for i := range w {
		name, a, isValue := strings.Cut(w[i], "=")
		other, b, _ := strings.Cut(g[i], "=")
		if name != other {
			return false
		}
		if !isValue {
			continue
		}
		x, errX := strconv.ParseFloat(a, 64)
		y, errY := strconv.ParseFloat(b, 64)
		if errX != nil || errY != nil {
			return false
		}
		var allowed float64
		switch name {
		case "n":
			n = x
		case RateReached.String():
			allowed = 0.1 / max(1, n)
		default:
			allowed = 1 / max(1, n)
		}
		if math.Abs(x-y) > allowed+math.Pow10(-scoreDigits) {
			return false
		}
	}
	return true
}
