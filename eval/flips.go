package eval

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/pith-llm/pith/compressors"
)

// FlipOptions say whose selections are compared on what.
type FlipOptions struct {
	// Data are files of cases; Limit is how many of each, the first ones, 0 for all.
	Data  []string
	Limit int
	// Rate is the share of tokens to keep.
	Rate float64
	// Others are compared with Reference.
	Reference Arithmetic
	Others    []Arithmetic
	// Progress, if set, is told of every case.
	Progress io.Writer
}

// Validate names the first option that is missing or out of range.
func (o FlipOptions) Validate() error {
	switch {
	case len(o.Data) == 0:
		return errors.New("no data: name at least one file of cases")
	case o.Limit < 0:
		return fmt.Errorf("limit is %d: it must not be negative", o.Limit)
	case !(o.Rate > 0 && o.Rate <= 1):
		return fmt.Errorf("rate is %v: it must lie above 0 and up to 1", o.Rate)
	case len(o.Others) == 0:
		return errors.New("nothing to compare with the reference")
	}
	return nil
}

// Flips counts the selections that differ from the reference's.
type Flips struct {
	Reference string  `json:"reference"`
	Rate      float64 `json:"rate"`
	// Cases and Segments are those compared; cases that were left as they are everywhere are not among them.
	Cases    int         `json:"cases"`
	Segments int         `json:"segments"`
	Others   []FlipsFrom `json:"others"`
}

// FlipsFrom is one arithmetic against the reference.
type FlipsFrom struct {
	Name string `json:"name"`
	// Cases is how many cases have another selection, Segments how many segments are kept by one side alone.
	Cases    int `json:"cases"`
	Segments int `json:"segments"`
	// IDs are those of the cases.
	IDs []string `json:"ids,omitempty"`
}

// CountFlips compresses the cases in each arithmetic and compares which segments are kept.
func CountFlips(ctx context.Context, o FlipOptions) (Flips, error) {
	if err := o.Validate(); err != nil {
		return Flips{}, err
	}
	report := Flips{Reference: o.Reference.Name, Rate: o.Rate}
	all := append([]Arithmetic{o.Reference}, o.Others...)
	var each []*compressors.Compressor
	for _, a := range all {
		compressor, err := a.Compressor()
		if err != nil {
			return Flips{}, fmt.Errorf("%s: %w", a.Name, err)
		}
		each = append(each, compressor)
	}
	for _, a := range o.Others {
		report.Others = append(report.Others, FlipsFrom{Name: a.Name})
	}
	for _, path := range o.Data {
		cases, err := Load(path)
		if err != nil {
			return Flips{}, err
		}
		cases = sample(cases, o.Limit, 0)
		for i, c := range cases {
			if o.Progress != nil {
				fmt.Fprintf(o.Progress, "%s %d/%d %s\n", path, i+1, len(cases), c.ID)
			}
			if err := report.add(ctx, c, o.Rate, all, each); err != nil {
				return Flips{}, fmt.Errorf("%s: case %s: %w", path, c.ID, err)
			}
		}
	}
	return report, nil
}

// add compares the selections of one case.
func (f *Flips) add(ctx context.Context, c Case, rate float64, all []Arithmetic, each []*compressors.Compressor) error {
	var want []bool
	for i, compressor := range each {
		result, err := compressor.Compress(ctx, compressors.Input{Query: c.Query, Texts: c.Texts, Budget: compressors.Budget{Rate: rate}})
		if err != nil {
			return fmt.Errorf("%s: %w", all[i].Name, err)
		}
		got := selection(result)
		if i == 0 {
			if want = got; len(want) == 0 {
				return nil // nothing to select, by anybody
			}
			f.Cases++
			f.Segments += len(want)
			continue
		}
		if len(got) != len(want) {
			return fmt.Errorf("%s cuts %d segments, %s %d", all[i].Name, len(got), all[0].Name, len(want))
		}
		other, flipped := &f.Others[i-1], 0
		for j := range want {
			if got[j] != want[j] {
				flipped++
			}
		}
		other.Segments += flipped
		if flipped > 0 {
			other.Cases++
			other.IDs = append(other.IDs, c.ID)
		}
	}
	return nil
}

// selection says of each segment of all texts whether it is kept.
func selection(result compressors.Result) []bool {
	var kept []bool
	for _, text := range result.Texts {
		for _, s := range text.Segments {
			kept = append(kept, s.Kept)
		}
	}
	return kept
}

// WriteText prints the report as a table.
func (f Flips) WriteText(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "against %s at rate %v: %d cases of %d segments in all\n\n", f.Reference, f.Rate, f.Cases, f.Segments); err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "arithmetic\tcases with another selection\tsegments that flip\t")
	for _, o := range f.Others {
		fmt.Fprintf(t, "%s\t%d (%.2f %%)\t%d (%.3f %%)\t%s\n", o.Name, o.Cases, share(o.Cases, f.Cases), o.Segments, share(o.Segments, f.Segments), firstOf(o.IDs))
	}
	return t.Flush()
}

func share(part, whole int) float64 { return 100 * float64(part) / float64(max(whole, 1)) }

// firstOf names a few cases.
func firstOf(ids []string) string {
	const few = 5
	text := ""
	for i, id := range ids {
		if i == few {
			return text + fmt.Sprintf(" and %d more", len(ids)-few)
		}
		text += " " + id
	}
	return text
}
