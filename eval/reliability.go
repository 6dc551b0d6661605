package eval

import (
	"fmt"
	"io"

	"github.com/pith-llm/pith/compressors"
)

// reliabilityEdges are the least probabilities of the bins of a reliability table. They are narrow below, where thresholds
// lie and most segments are.
var reliabilityEdges = [...]float64{0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}

// ReliabilityBin is what became of the segments that were said to be needed with a probability from From up to the From of
// the next bin (Murphy and Winkler 1977).
type ReliabilityBin struct {
	Scorer string `json:"scorer"`
	// Family is that of the texts, "all" for all of them.
	Family string  `json:"family"`
	From   float64 `json:"from"`
	// N counts segments and Tokens their tokens, Needed those segments that hold something that must survive.
	N      int `json:"n"`
	Tokens int `json:"tokens"`
	Needed int `json:"needed"`
	// Predicted is the mean probability.
	Predicted float64 `json:"predicted"`
}

// Observed is the share of segments that were needed.
func (b ReliabilityBin) Observed() float64 { return float64(b.Needed) / float64(max(1, b.N)) }

// reliability holds the bins of each scorer that gives probabilities and of each family.
type reliability map[reliabilityOf]*[len(reliabilityEdges)]ReliabilityBin // Predicted is a sum here

type reliabilityOf struct{ scorer, family string }

// note adds the segments of a labelled case.
func (r reliability) note(scorer string, c Case, result compressors.Result) {
	for text, t := range result.Texts {
		family := compressors.KindOf(c.Texts[text]).Family().String()
		for _, s := range t.Segments {
			bin := len(reliabilityEdges) - 1
			for s.Score.Value < reliabilityEdges[bin] {
				bin--
			}
			needed := isGold(c, text, s.Start, s.End)
			for _, name := range []string{family, allTasks} {
				of := reliabilityOf{scorer, name}
				if r[of] == nil {
					r[of] = &[len(reliabilityEdges)]ReliabilityBin{}
				}
				b := &r[of][bin]
				b.N++
				b.Tokens += s.Tokens
				b.Predicted += s.Score.Value
				if needed {
					b.Needed++
				}
			}
		}
	}
}

// bins returns the bins that hold something, by scorer and family, all families last.
func (r reliability) bins(scorers []string) []ReliabilityBin {
	var bins []ReliabilityBin
	for _, scorer := range scorers {
		for _, family := range []string{compressors.Prose.String(), compressors.Code.String(), compressors.Records.String(), allTasks} {
			of := r[reliabilityOf{scorer, family}]
			if of == nil {
				continue
			}
			for i, b := range of {
				if b.N == 0 {
					continue
				}
				b.Scorer, b.Family, b.From = scorer, family, reliabilityEdges[i]
				b.Predicted /= float64(b.N)
				bins = append(bins, b)
			}
		}
	}
	return bins
}

// writeReliability writes the table, where there is one.
func (r Report) writeReliability(w io.Writer) {
	if len(r.Reliability) == 0 {
		return
	}
	fmt.Fprintln(w, "\nHow often segments were needed that were said to be so with a probability; the last column is their share of the tokens.")
	fmt.Fprintln(w, "scorer\tfamily\tfrom\tsegments\tpredicted\tobserved\ttokens")
	total := map[reliabilityOf]int{}
	for _, b := range r.Reliability {
		total[reliabilityOf{b.Scorer, b.Family}] += b.Tokens
	}
	for _, b := range r.Reliability {
		share := float64(b.Tokens) / float64(max(1, total[reliabilityOf{b.Scorer, b.Family}]))
		fmt.Fprintf(w, "%s\t%s\t%g\t%d\t%.3f\t%.3f\t%.1f %%\n", b.Scorer, b.Family, b.From, b.N, b.Predicted, b.Observed(), 100*share)
	}
}
