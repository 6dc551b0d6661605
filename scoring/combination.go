package scoring

import (
	_ "embed" // for the fitted weights
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sync"
)

// Combination turns features into the probability that a segment is needed: boosted trees (Friedman 2001, "Greedy Function
// Approximation") on the log-odds. It has a model for each of ModelNames. `pith eval fit` makes it.
type Combination struct {
	Models map[string]Model `json:"models"`
}

// Model is up to three sums of trees: from the cheap features of all segments, from these and the decoder's of those that it
// read, and for the pieces of a needed segment.
type Model struct {
	// Command is how it was made.
	Command string `json:"command"`
	Cheap   Boost  `json:"cheap"`
	// Full takes the place of Cheap where the decoder has read. It has no trees where the decoder reads nothing.
	Full Boost `json:"full,omitzero"`
	// Piece is for the pieces of needed segments, where they are divided.
	Piece Boost `json:"piece,omitzero"`
}

// completion names the model of segments of code where the query is code, too: what follows a cursor needs other segments
// than a question about the code. One model for both kept less of what either needs.
const completion = "completion"

// ModelNames are the models of a Combination: one for each family, and that for completions of code.
func ModelNames() []string { return append(slices.Clone(familyNames[:]), completion) }

// ModelOf returns the name of the model for a segment of a family with these features.
func ModelOf(family string, values []float32) string {
	if family == Code.String() && values[FeatureQueryCode] != 0 {
		return completion
	}
	return family
}

// Boost is a sum of trees.
type Boost struct {
	Bias  float64 `json:"bias"`
	Scale float64 `json:"scale"` // of the trees' sum, from the calibration
	Trees []Tree  `json:"trees"`
}

// MarshalText and UnmarshalText give a tree its form in files.
func (t Tree) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (t *Tree) UnmarshalText(text []byte) (err error) {
	*t, err = ParseTree(string(text))
	return err
}

//go:embed combination.json
var combinationFile []byte

// DefaultCombination is the one in the repository.
var DefaultCombination = sync.OnceValues(func() (*Combination, error) { return ParseCombination(combinationFile) })

// ParseCombination reads a combination and checks that it has every model.
func ParseCombination(file []byte) (*Combination, error) {
	var c Combination
	if err := json.Unmarshal(file, &c); err != nil {
		return nil, fmt.Errorf("combination: %w", err)
	}
	for _, name := range ModelNames() {
		if _, ok := c.Models[name]; !ok {
			return nil, fmt.Errorf("combination: no model for %s", name)
		}
	}
	return &c, nil
}

// logOdds returns the sum for a row, and adds what each feature contributes to parts if that is not nil.
func (b *Boost) logOdds(r *row, parts *row) float64 {
	sum := float32(0)
	var own *row
	if parts != nil {
		own = &row{}
	}
	for i := range b.Trees {
		sum += b.Trees[i].value(r, own)
	}
	if parts != nil {
		for f, v := range own {
			parts[f] += float32(b.Scale) * v
		}
	}
	return b.Bias + b.Scale*float64(sum)
}

// probability returns how likely a segment of the family with these features is needed.
func (c *Combination) probability(family Family, r *row, parts *row) float64 {
	m := c.model(family, r)
	if r.read() && len(m.Full.Trees) > 0 {
		return logistic(m.Full.logOdds(r, parts))
	}
	return logistic(m.Cheap.logOdds(r, parts))
}

// reads reports whether what the decoder says of a segment of the family with these features changes anything.
func (c *Combination) reads(family Family, r *row) bool {
	return len(c.model(family, r).Full.Trees) > 0
}

// model returns the model that is asked about a segment of the family with these features.
func (c *Combination) model(family Family, r *row) Model {
	return c.Models[ModelOf(family.String(), r[:])]
}

// logistic turns log-odds into a probability.
func logistic(logOdds float64) float64 { return 1 / (1 + math.Exp(-logOdds)) }

// Probability is for a fit: it returns how likely a segment of a family is needed. values are its CheapFeatures, or its
// FullFeatures where the decoder has read it.
func (c *Combination) Probability(family string, values []float32) float64 {
	var r row
	r.unread()
	copy(r[:], values)
	for f, name := range familyNames {
		if name == family {
			return c.probability(Family(f), &r, nil)
		}
	}
	return 0
}

// Sum returns the sum of the trees for values, which are the features from first on.
func (b *Boost) Sum(first int, values []float32) float64 {
	var r row
	r.unread()
	copy(r[first:], values)
	sum := float32(0)
	for i := range b.Trees {
		sum += b.Trees[i].value(&r, nil)
	}
	return float64(sum)
}
