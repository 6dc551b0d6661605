package eval

import (
	"math"
	"testing"
)

func approx(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9 {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestNormalised(t *testing.T) {
	for s, want := range map[string]string{
		"The  Quick, brown-fox's\tan end.": "quick brownfoxs end",
		"A an THE":                         "",
		"Röntgen «x» theory":               "röntgen «x» theory",
		"U.S.A.":                           "usa",
	} {
		if got := normalised(s); got != want {
			t.Errorf("%q is normalised to %q, want %q", s, got, want)
		}
	}
}

func TestSubspanMatch(t *testing.T) {
	approx(t, "part of a sentence", subspanMatch("It was Wilhelm Conrad Röntgen.", []string{"x y", "wilhelm conrad Röntgen"}), 1)
	approx(t, "other order", subspanMatch("Conrad Wilhelm", []string{"Wilhelm Conrad"}), 0)
	approx(t, "an answer of articles", subspanMatch("anything", []string{"the"}), 0)
}

func TestTokenF1(t *testing.T) {
	// two of three words are right, of four wanted: 2·2/(3+4)
	approx(t, "partly", tokenF1("green big apple", []string{"a very big red apple"}), 4.0/7)
	approx(t, "repeated words count once each", tokenF1("yes yes yes", []string{"yes"}), 2.0/4)
	approx(t, "best of two", tokenF1("red apple", []string{"pear", "the red apple"}), 1)
	approx(t, "nothing in common", tokenF1("x", []string{"y"}), 0)
	approx(t, "empty", tokenF1("", []string{"y"}), 0)
}

func TestEditSimilarity(t *testing.T) {
	approx(t, "kitten and sitting", editSimilarity("kitten", "sitting"), 1-3.0/7)
	approx(t, "stripped", editSimilarity("  return x ", "return x"), 1)
	approx(t, "characters, not bytes", editSimilarity("äöü", "äöx"), 2.0/3)
	approx(t, "nothing", editSimilarity("", "abc"), 0)
	approx(t, "both empty", editSimilarity("", " "), 1)
	if got := firstLine("\n  \n  a b \r\nc"); got != "  a b " {
		t.Errorf("the first line is %q", got)
	}
}

func TestRougeL(t *testing.T) {
	// police killed the gunman / police kill the gunman: the longest common subsequence is police, the, gunman
	approx(t, "Lin's first example", rougeL("police kill the gunman", []string{"Police killed the gunman."}), 3.0/4)
	approx(t, "Lin's second example", rougeL("the gunman kill police", []string{"police killed the gunman"}), 2.0/4)
	approx(t, "best of two, lengths differ", rougeL("a b c", []string{"x", "a c d e f"}), 2*2.0/8)
	approx(t, "no words", rougeL("…", []string{"a"}), 0)
}

// The values are those of nltk 3.10's sentence_bleu with SmoothingFunction().method4.
func TestBLEU(t *testing.T) {
	for _, c := range []struct {
		output, want string
		bleu         float64
	}{
		{"a b c d e f", "a b c d e f", 1},
		{"a b c d e g", "a b c d e f", 0.7598356856515925},
		{"a b x d", "a b c d", 0.18616487055295167},
		{"a", "a b c", 0.1353352832366127},
		{"x y z", "a b c", 0},
		{"", "a b c", 0},
		{"a b c d e f g h", "a b c d", 0.345720784641941},
		{"a a a a", "a a b c d", 0.13100905001347277},
		{"def f(x):\n    return x", "def f(y):\n    return y", 0.07258113984652705},
		{"a b", "a b", 0.2213885886251307},
	} {
		approx(t, "of "+c.output, bleu(c.output, c.want), c.bleu)
	}
}
