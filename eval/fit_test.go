package eval_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/pith-llm/pith/eval"
	"github.com/pith-llm/pith/scoring"
)

// madeCases returns cases of three families in which a segment is needed the likelier the larger its BM25 is, and nothing else
// tells.
func madeCases(seed uint64, n int) []eval.FeatureCase {
	r := rand.New(rand.NewPCG(seed, 1))
	families := []scoring.Family{scoring.Prose, scoring.Code, scoring.Records}
	cases := make([]eval.FeatureCase, n)
	for i := range cases {
		c := eval.FeatureCase{ID: fmt.Sprint(i), Task: "made", Group: fmt.Sprint("group ", i%20)}
		for range 12 {
			values := make([]float32, scoring.FullFeatures[1])
			for f := range values {
				values[f] = float32(r.NormFloat64())
			}
			needed := r.Float64() < probabilityOf(values)
			if r.IntN(2) == 0 {
				values = values[:scoring.CheapFeatures[1]] // the decoder did not read it
			}
			c.Segments = append(c.Segments, eval.FeatureSegment{
				Tokens: 100, Family: families[i%len(families)].String(), Needed: needed, Values: values,
			})
		}
		cases[i] = c
	}
	return cases
}

// probabilityOf is the truth of madeCases.
func probabilityOf(values []float32) float64 {
	return 1 / (1 + math.Exp(2-2*float64(values[scoring.FeatureBM25])))
}

// featureFile writes cases as `pith eval features` does.
func featureFile(t *testing.T, names []string, cases []eval.FeatureCase) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "features.gz")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	packed := gzip.NewWriter(file)
	lines := json.NewEncoder(packed)
	if err := lines.Encode(map[string][]string{"names": names}); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		if err := lines.Encode(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func fitted(t *testing.T, cases []eval.FeatureCase, leaveOut ...string) eval.Fit {
	t.Helper()
	boost := eval.DefaultBoost
	boost.Trees, boost.Rate = 12, 0.2
	fit, read, err := eval.FitCombination(eval.FitOptions{
		Features: []string{featureFile(t, scoring.FeatureNames(), cases)}, Boost: boost, LeaveOut: leaveOut,
	})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(read, cases) {
		t.Fatal("other cases were read than were written")
	}
	return fit
}

func TestFitFindsWhatTells(t *testing.T) {
	fit := fitted(t, madeCases(1, 200))
	var loss, least, blind float64
	n, needed := 0, 0
	unseen := madeCases(2, 120)
	for _, c := range unseen {
		for _, s := range c.Segments {
			n++
			if s.Needed {
				needed++
			}
		}
	}
	base := float64(needed) / float64(n)
	cost := func(p float64, needed bool) float64 {
		if !needed {
			p = 1 - p
		}
		return -math.Log(p) / float64(n)
	}
	for _, c := range unseen {
		for _, s := range c.Segments {
			loss += cost(fit.All.Probability(s.Family, s.Values), s.Needed)
			least += cost(probabilityOf(s.Values), s.Needed)
			blind += cost(base, s.Needed)
		}
	}
	t.Logf("log loss %.3f; of the truth %.3f, of the share of what is needed %.3f", loss, least, blind)
	if gained := (blind - loss) / (blind - least); gained < 0.6 {
		t.Errorf("the fit finds %.2f of what can be known, want 0.6", gained)
	}
}

func TestFitIsTheSameEachTime(t *testing.T) {
	if a, b := fitted(t, madeCases(3, 30)), fitted(t, madeCases(3, 30)); !reflect.DeepEqual(a, b) {
		t.Error("two fits on the same cases differ")
	}
}

func TestFitOnly(t *testing.T) {
	file := featureFile(t, scoring.FeatureNames(), madeCases(5, 60))
	boost := eval.DefaultBoost
	boost.Trees = 5
	all, _, err := eval.FitCombination(eval.FitOptions{Features: []string{file}, Boost: boost})
	if err != nil {
		t.Fatal(err)
	}
	code, cases, err := eval.FitCombination(eval.FitOptions{Features: []string{file}, Boost: boost, Only: []string{"code"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]scoring.Model{"code": all.All.Models["code"]}; !reflect.DeepEqual(code.All.Models, want) {
		t.Error("alone, a model is fitted otherwise than among others")
	}
	for _, c := range cases {
		for _, s := range c.Segments {
			if s.Family != "code" {
				t.Fatalf("a segment of %s is among those of code", s.Family)
			}
		}
	}
	if _, _, err := eval.FitCombination(eval.FitOptions{Features: []string{file}, Boost: boost, Only: []string{"verse"}}); err == nil || !strings.Contains(err.Error(), `"verse"`) {
		t.Errorf("a model that there is not: %v", err)
	}
}

func TestFoldDoesNotSeeItsGroups(t *testing.T) {
	cases := madeCases(4, 40)
	before := fitted(t, cases)
	turned := 0
	for i := range cases {
		if eval.FoldOf(cases[i].Group) == 0 {
			for j := range cases[i].Segments {
				cases[i].Segments[j].Needed = !cases[i].Segments[j].Needed
			}
			turned++
		}
	}
	if turned == 0 || turned == len(cases) {
		t.Fatalf("%d of %d cases are in fold 0", turned, len(cases))
	}
	after := fitted(t, cases)
	if !reflect.DeepEqual(before.Folds[0], after.Folds[0]) {
		t.Error("what is measured on fold 0 was fitted on it")
	}
	for k := 1; k < eval.Folds; k++ {
		if reflect.DeepEqual(before.Folds[k], after.Folds[k]) {
			t.Errorf("the fit without fold %d does not know the cases of fold 0", k)
		}
	}
	if reflect.DeepEqual(before.All, after.All) {
		t.Error("the fit on all cases does not know those of fold 0")
	}
}

func TestFitAsksNoFeatureThatIsLeftOut(t *testing.T) {
	cases := madeCases(5, 60)
	probabilities := func(fit eval.Fit, bm25 float32) float64 {
		s := cases[0].Segments[0]
		values := append([]float32(nil), s.Values...)
		values[scoring.FeatureBM25] = bm25
		return fit.All.Probability(s.Family, values)
	}
	if fit := fitted(t, cases); probabilities(fit, -2) >= probabilities(fit, 2) {
		t.Error("more of what tells does not make a segment likelier")
	}
	if fit := fitted(t, cases, scoring.FeatureBM25.String()); probabilities(fit, -2) != probabilities(fit, 2) {
		t.Error("a feature that was left out changes a probability")
	}
}

func TestFitOfOtherFeaturesIsAnError(t *testing.T) {
	names := append([]string{"unknown"}, scoring.FeatureNames()[1:]...)
	_, _, err := eval.FitCombination(eval.FitOptions{Features: []string{featureFile(t, names, madeCases(6, 4))}, Boost: eval.DefaultBoost})
	if err == nil || !strings.Contains(err.Error(), "dump them anew") {
		t.Errorf("error %v", err)
	}
}

// What makes the code that follows much likelier is needed, whether it is labelled or not.
func TestFitLearnsWhatHelps(t *testing.T) {
	labelled := madeCases(7, 60)
	helping := madeCases(7, 60)
	for i := range helping {
		for j := range helping[i].Segments {
			s := &helping[i].Segments[j]
			s.Gain = 0.9
			if s.Needed {
				s.Needed, s.Gain = false, 4
			}
		}
	}
	if want, got := fitted(t, labelled), fitted(t, helping); !reflect.DeepEqual(want, got) {
		t.Error("segments of a large gain are not fitted as the same segments with a label are")
	}
}

// Probabilities hold on cases that no fit has seen, also where a fit learns its own cases by heart.
func TestFitIsNoSurerThanItShouldBe(t *testing.T) {
	boost := eval.DefaultBoost
	boost.Trees, boost.Rate, boost.Ridge = 60, 0.3, 1
	fit, _, err := eval.FitCombination(eval.FitOptions{
		Features: []string{featureFile(t, scoring.FeatureNames(), madeCases(8, 60))}, Boost: boost,
	})
	if err != nil {
		t.Fatal(err)
	}
	loss, blind, n := 0.0, 0.0, 0.0
	for _, c := range madeCases(9, 200) {
		for _, s := range c.Segments {
			n++
			p, share := fit.All.Probability(s.Family, s.Values), 0.22
			if !s.Needed {
				p, share = 1-p, 1-share
			}
			loss -= math.Log(p)
			blind -= math.Log(share)
		}
	}
	t.Logf("log loss %.3f; of the share of what is needed %.3f", loss/n, blind/n)
	if loss > blind {
		t.Errorf("log loss is %.3f, more than %.3f, that of the same probability for all", loss/n, blind/n)
	}
}
