package eval

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
)

// AnswerLine is a case and its answers in all arms: a line of AnswerOptions.Log.
type AnswerLine struct {
	ID    string `json:"id"`
	Task  string `json:"task"`
	Group string `json:"group"`
	// Reader, Rate and Scorers are those that were asked for.
	Reader  string                 `json:"reader"`
	Rate    float64                `json:"rate"`
	Scorers []string               `json:"scorers"`
	Arms    map[string]AnswerEntry `json:"arms"`
}

// AnswerEntry is the answer of one arm: see answer.
type AnswerEntry struct {
	Rate    float64  `json:"rate"`
	LogProb *float64 `json:"log_prob"` // null if the reader does not tell
	Score   *float64 `json:"score"`    // null if the data has no metric
	Exact   float64  `json:"exact"`
}

func newAnswerEntry(a answer) AnswerEntry {
	e := AnswerEntry{Rate: a.rate, Exact: a.exact}
	if !math.IsNaN(a.logProb) {
		e.LogProb = &a.logProb
	}
	if a.scored {
		e.Score = &a.score
	}
	return e
}

func (e AnswerEntry) answer() answer {
	a := answer{rate: e.Rate, exact: e.Exact, logProb: math.NaN()}
	if e.LogProb != nil {
		a.logProb = *e.LogProb
	}
	if e.Score != nil {
		a.score, a.scored = *e.Score, true
	}
	return a
}

// known returns the lines of Known by id. It refuses lines of another reader, rate or other scorers: they belong to another report.
func (o AnswerOptions) known() (map[string]AnswerLine, error) {
	lines := map[string]AnswerLine{}
	for _, l := range o.Known {
		if l.Reader != o.ReaderName || l.Rate != o.Rate || !slices.Equal(l.Scorers, o.Scorers) {
			return nil, fmt.Errorf("the answers to %s that are there are %q's with %v at rate %v, not %q's with %v at rate %v",
				l.ID, l.Reader, l.Scorers, l.Rate, o.ReaderName, o.Scorers, o.Rate)
		}
		lines[l.ID] = l
	}
	return lines, nil
}

// add puts a line into the report.
func (r *AnswerReport) add(l AnswerLine) {
	r.tasks, r.groups = append(r.tasks, l.Task), append(r.groups, l.Group)
	for _, name := range r.arms {
		r.cells[name] = append(r.cells[name], l.Arms[name].answer())
	}
}

// writeLine appends a line to a log, if there is one.
func writeLine(log io.Writer, l AnswerLine) error {
	if log == nil {
		return nil
	}
	return json.NewEncoder(log).Encode(l)
}
