package scorebench

import "testing"

func TestFigureOf(t *testing.T) {
	for name, c := range map[string]struct {
		samples []float64
		want    Figure
	}{
		"none":            {nil, Figure{}},
		"one":             {[]float64{3}, Figure{3, 3, 3}},
		"odd, unsorted":   {[]float64{9, 1, 4}, Figure{4, 1, 9}},
		"even: mean of 2": {[]float64{8, 1, 2, 5}, Figure{3.5, 1, 8}},
	} {
		if got := figureOf(c.samples); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// The rounds are 2, 5 and 1.5 times as fast; the medians 20 and 10.
func TestSpeedupOf(t *testing.T) {
	got := speedupOf([]float64{20, 50, 15}, []float64{10, 10, 10})
	if want := (Speedup{OfMedians: 2, Min: 1.5, Max: 5}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	// The quotient of medians is not the median of quotients, which is 3 here.
	got = speedupOf([]float64{30, 12, 40}, []float64{10, 30, 5})
	if want := (Speedup{OfMedians: 3, Min: 0.4, Max: 8}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}
