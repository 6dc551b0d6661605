package eval

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/scoring"
)

// FeatureCase is what a fit needs of one case: the features of its segments and which of them are needed. A file of them
// has one JSON object a line after a first line with the features' names.
type FeatureCase struct {
	ID   string `json:"id"`
	Task string `json:"task"`
	// Group is the repository or the question of the case: cases of one group never stand on both sides of a fold.
	Group       string           `json:"group"`
	Segments    []FeatureSegment `json:"segments"`
	ModelTokens int              `json:"model_tokens"`
}

// FeatureSegment is one segment of a FeatureCase.
type FeatureSegment struct {
	Text   int    `json:"text"`
	Start  int    `json:"start"`
	Tokens int    `json:"tokens"`
	Family string `json:"family"`
	Needed bool   `json:"needed,omitempty"` // it overlaps what must survive
	// Gain is how much likelier it makes the code that follows, in nats, in completions of their only text.
	Gain float64 `json:"gain,omitempty"`
	// Values are the features in the order of the file's names; only the first ones where the decoder did not read it.
	Values []float32 `json:"values"`
	// Pieces are those of a needed segment in a text with labelled parts, if it can be divided.
	Pieces []FeaturePiece `json:"pieces,omitempty"`
}

// FeaturePiece is one piece of a needed segment.
type FeaturePiece struct {
	Tokens int       `json:"tokens"`
	Needed bool      `json:"needed,omitempty"`
	Values []float32 `json:"values"` // scoring.PieceFeatures
}

// FeatureOptions say what to dump. Limit and Seed choose cases as in RunOptions; all else but Progress is required.
type FeatureOptions struct {
	Data  []string
	Limit int
	Seed  uint64
	// Scorer computes the features; it is a default scorer. Segments and Pieces turn what compressors asks for into its terms.
	Scorer   *scoring.Scorer
	Segments func([]compressors.Candidate) []scoring.Segment
	Pieces   func([]compressors.Piece) []scoring.Piece
	// LM is the decoder that tells what helps a completion.
	LM func() (*scoring.LM, error)
	// Compressor returns a compressor that uses the scorer.
	Compressor func(compressors.Scorer) (*compressors.Compressor, error)
	Progress   io.Writer
}

// featureHeader is the first line of a file of features.
type featureHeader struct {
	Names []string `json:"names"`
}

// WriteFeatures writes the features of all labelled cases to w, as JSON Lines in gzip.
func WriteFeatures(ctx context.Context, w io.Writer, o FeatureOptions) error {
	packed := gzip.NewWriter(w)
	lines := json.NewEncoder(packed)
	if err := lines.Encode(featureHeader{scoring.FeatureNames()}); err != nil {
		return err
	}
	for _, path := range o.Data {
		cases, err := Load(path)
		if err != nil {
			return err
		}
		cases = sample(cases, o.Limit, o.Seed)
		for i, c := range cases {
			if len(c.Gold.Texts) == 0 {
				continue
			}
			if o.Progress != nil {
				fmt.Fprintf(o.Progress, "%s %d/%d %s\n", path, i+1, len(cases), c.ID)
			}
			f, err := o.featuresOf(ctx, c)
			if err != nil {
				return fmt.Errorf("%s: case %s: %w", path, c.ID, err)
			}
			if err := lines.Encode(f); err != nil {
				return err
			}
		}
	}
	return packed.Close()
}

func (o FeatureOptions) featuresOf(ctx context.Context, c Case) (FeatureCase, error) {
	r := &featureRecorder{FeatureOptions: o, labels: c, out: FeatureCase{ID: c.ID, Task: c.Task, Group: GroupOf(c)}}
	compressor, err := o.Compressor(r)
	if err != nil {
		return r.out, err
	}
	_, err = compressor.Prepare(ctx, c.Query, c.Texts)
	return r.out, err
}

// featureRecorder is a scorer that notes the features of what it is asked about.
type featureRecorder struct {
	FeatureOptions
	labels Case
	out    FeatureCase
}

// Score notes the features of all segments, and lets none but the needed ones be divided.
func (r *featureRecorder) Score(ctx context.Context, query string, candidates []compressors.Candidate) (compressors.Scores, error) {
	f, err := r.Scorer.Features(ctx, query, r.Segments(candidates))
	if err != nil {
		return compressors.Scores{}, err
	}
	r.out.ModelTokens = f.ModelTokens
	gains, err := r.gains(ctx, candidates)
	if err != nil {
		return compressors.Scores{}, err
	}
	scores := compressors.Scores{Scores: make([]compressors.Score, len(candidates)), Probabilities: true}
	scores.Refine = func(pieces []compressors.Piece) ([]float64, error) {
		return r.pieces(ctx, query, candidates, scores.Scores, pieces)
	}
	for i, a := range candidates {
		values := f.Rows[i]
		if n := slices.IndexFunc(values, func(v float32) bool { return math.IsNaN(float64(v)) }); n >= 0 {
			values = values[:n]
		}
		s := FeatureSegment{
			Text: a.TextIndex, Start: a.Start, Tokens: a.Tokens, Family: a.Family.String(), Values: values,
			Needed: isGold(r.labels, a.TextIndex, a.Start, a.Start+len(a.Text)), Gain: gains[i],
		}
		r.out.Segments = append(r.out.Segments, s)
		if s.Needed && hasParts(r.labels, a.TextIndex) {
			scores.Scores[i].Value = 1
		}
	}
	return scores, nil
}

// gains returns what the candidates of a completion of its only text do for what follows; 0 in other cases.
func (r *featureRecorder) gains(ctx context.Context, candidates []compressors.Candidate) ([]float64, error) {
	if !isLoneCompletion(r.labels) {
		return make([]float64, len(candidates)), nil
	}
	lm, err := r.LM()
	if err != nil {
		return nil, err
	}
	return continuationGains(ctx, lm, r.labels, candidates)
}

// pieces notes the features of pieces.
func (r *featureRecorder) pieces(ctx context.Context, query string, candidates []compressors.Candidate, scores []compressors.Score, pieces []compressors.Piece) ([]float64, error) {
	values := make([]float64, len(scores))
	for i, s := range scores {
		values[i] = s.Value
	}
	rows, err := r.Scorer.PieceFeatures(ctx, query, r.Segments(candidates), values, r.Pieces(pieces))
	if err != nil {
		return nil, err
	}
	for i, p := range pieces {
		s := &r.out.Segments[p.Candidate]
		s.Pieces = append(s.Pieces, FeaturePiece{
			Tokens: p.Tokens, Values: rows[i], Needed: isGold(r.labels, s.Text, p.Start, p.Start+len(p.Text)),
		})
	}
	return make([]float64, len(pieces)), nil
}

// repository finds "owner/name@commit" in a case's source.
var repository = regexp.MustCompile(`[\w.-]+/[\w.-]+@[0-9a-f]{7,}`)

// GroupOf returns the repository that a case's texts are from, or else its question.
func GroupOf(c Case) string {
	if found := repository.FindString(c.Source); found != "" {
		for i := range found {
			if found[i] == '@' {
				return found[:i]
			}
		}
	}
	return c.Query
}

// ReadFeatures reads files that WriteFeatures wrote, all of the same features.
func ReadFeatures(paths []string) (names []string, cases []FeatureCase, err error) {
	for _, path := range paths {
		more, some, err := readFeatureFile(path)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		if names == nil {
			names = more
		}
		if !slices.Equal(names, more) {
			return nil, nil, fmt.Errorf("%s: it holds other features than %s", path, paths[0])
		}
		cases = append(cases, some...)
	}
	return names, cases, nil
}

func readFeatureFile(path string) (names []string, cases []FeatureCase, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	packed, err := gzip.NewReader(bufio.NewReader(file))
	if err != nil {
		return nil, nil, err
	}
	lines := json.NewDecoder(packed)
	var header featureHeader
	if err := lines.Decode(&header); err != nil {
		return nil, nil, err
	}
	for {
		var c FeatureCase
		if err := lines.Decode(&c); errors.Is(err, io.EOF) {
			return header.Names, cases, nil
		} else if err != nil {
			return nil, nil, err
		}
		cases = append(cases, c)
	}
}
