package eval

import (
	"math"
	"slices"
	"testing"
)

func TestHolm(t *testing.T) {
	// Sorted: 0.01 * 4, 0.02 * 3, 0.03 * 2 which must not fall below the one before, 0.9 * 1.
	got := holm([]float64{0.03, 0.9, 0.01, 0.02})
	for i, want := range []float64{0.06, 0.9, 0.04, 0.06} {
		if !near(got[i], want) {
			t.Errorf("corrected %v, want [0.06 0.9 0.04 0.06]", got)
			break
		}
	}
	if got := holm([]float64{0.6, 0.7}); got[0] != 1 || got[1] != 1 {
		t.Errorf("corrected %v, want no more than 1", got)
	}
}

func TestPairedTest(t *testing.T) {
	repeated := func(n int, values ...float64) (all []float64) {
		for range n {
			all = append(all, values...)
		}
		return all
	}
	if got := pairedTest(repeated(30, 0), nil, 1); got.P != 1 || got.Low != 0 || got.High != 0 || got.Units != 30 {
		t.Errorf("no difference at all: %+v", got)
	}
	if got := pairedTest(repeated(30, 1), nil, 1); got.P > 0.001 || got.Low != 1 {
		t.Errorf("the same difference everywhere: %+v", got)
	}
	// Three cases can at best be three equal signs: two of eight outcomes.
	if got := pairedTest(repeated(3, 1), nil, 1); got.P != 0.25 {
		t.Errorf("three cases: p %v, want 1/4", got.P)
	}
	// Of two draws from {1, -1} with replacement, a quarter have both -1 and half a mean of 0: 2 * 3/4 is above 1.
	if got := pairedTest([]float64{1, -1}, nil, 1); got.P != 1 {
		t.Errorf("opposite cases: p %v, want 1", got.P)
	}
	// 60 wins and 40 losses by one: the mean is 0.2 and its standard error sqrt(0.96 / 100), z is 2.04 and p about 0.04.
	got := pairedTest(append(repeated(60, 1), repeated(40, -1)...), nil, 1)
	if math.Abs(got.P-0.05) > 0.02 || math.Abs(got.Low-0.008) > 0.025 || math.Abs(got.High-0.392) > 0.025 {
		t.Errorf("60 to 40: %+v", got)
	}
}

func TestGroupsAreDrawnWhole(t *testing.T) {
	// A repository with 40 wins and five with 4 losses each: over cases a clear gain, over repositories none.
	var differences []float64
	var groups []string
	for i := range 60 {
		d, group := 1.0, "large"
		if i >= 40 {
			d, group = -1, string(rune('a'+(i-40)/4))
		}
		differences, groups = append(differences, d), append(groups, group)
	}
	cases, whole := pairedTest(differences, nil, 1), pairedTest(differences, groups, 1)
	if cases.P > 0.05 || cases.Units != 60 {
		t.Errorf("over cases: %+v", cases)
	}
	if whole.P < 0.3 || whole.Units != 6 || whole.Low > -0.99 {
		t.Errorf("over groups: %+v", whole)
	}
	// With groups of one the two are the same.
	alone := make([]string, len(differences))
	for i := range alone {
		alone[i] = string(rune('A' + i))
	}
	if got := pairedTest(differences, alone, 1); got != cases {
		t.Errorf("groups of one case: %+v, want %+v", got, cases)
	}
	if slices.Contains(groups, "") {
		t.Fatal("a case has no group")
	}
}
