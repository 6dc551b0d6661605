package eval

import (
	"strings"
	"testing"
)

func TestScoreFile(t *testing.T) {
	row := Row{Task: "nq", Scorer: "default", Rate: 0.25, N: 5, WithoutGold: 1}
	row.Metrics[RateReached] = Estimate{Mean: 0.2412345, N: 5}
	row.Metrics[GoldShare] = Estimate{Mean: 0.75, N: 4}
	report := Report{Results: []Row{row}}
	want := "tier avx2\nnq default 0.25 n=4 rate_reached=0.241 gold_share=0.750\n"
	if got := report.ScoreFile("avx2"); got != want {
		t.Errorf("file %q, want %q", got, want)
	}
}

func TestScoreFilesAgree(t *testing.T) {
	const want = "tier avx2\nnq default 0.25 n=4 rate_reached=0.241 gold_share=0.750\nnq bm25 0.25 n=4 rate_reached=0.240 gold_share=0.500\n"
	for _, test := range []struct {
		name, old, changed string
		wrong              string // what the error must name; empty is none
	}{
		{"equal", "", "", ""},
		{"another mean", "gold_share=0.750", "gold_share=0.749", "line 2"},
		{"a row less", "nq bm25 0.25 n=4 rate_reached=0.240 gold_share=0.500\n", "", "got  nothing"},
		{"another tier", "avx2", "generic", ""},
		{"another tier, one case more", "avx2\nnq default 0.25 n=4 rate_reached=0.241 gold_share=0.750", "generic\nnq default 0.25 n=4 rate_reached=0.241 gold_share=1.000", ""},
		{"another tier, two cases less", "avx2\nnq default 0.25 n=4 rate_reached=0.241 gold_share=0.750", "generic\nnq default 0.25 n=4 rate_reached=0.241 gold_share=0.250", "line 2"},
		{"another tier and rate", "avx2\nnq default 0.25 n=4 rate_reached=0.241", "generic\nnq default 0.25 n=4 rate_reached=0.201", "line 2"},
		{"another tier and scorer", "avx2\nnq default", "generic\nnq other", "line 2"},
		{"another tier and n", "avx2\nnq default 0.25 n=4", "generic\nnq default 0.25 n=6", "line 2"},
	} {
		err := CompareScoreFiles(want, strings.Replace(want, test.old, test.changed, 1))
		if (err == nil) != (test.wrong == "") || err != nil && !strings.Contains(err.Error(), test.wrong) {
			t.Errorf("%s: error %v, want one with %q", test.name, err, test.wrong)
		}
	}
}
