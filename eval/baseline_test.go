package eval

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring"
	"github.com/pith-llm/pith/scoring/gguf"
	"github.com/pith-llm/pith/scoring/models"
)

// embeddedLM is the embedded decoder, loaded once for all tests.
var embeddedLM = sync.OnceValues(func() (*scoring.LM, error) {
	f, err := gguf.Parse(models.Decoder)
	if err != nil {
		return nil, err
	}
	return scoring.LoadLM(f, scoring.LMOptions{Tier: kernels.Best()})
})

func TestBlocksOpenAtSpikes(t *testing.T) {
	blank := math.NaN()
	for _, test := range []struct {
		name         string
		perplexities []float64
		want         []int
	}{
		// The mean of the seven lines is 13.05 / 7 and their deviation 1.44: a spike must exceed its neighbours by 0.29.
		{"one spike", []float64{5, 1, 3, 1, blank, 1, 1.05, 1}, []int{0, 2}},
		{"beside a blank line", []float64{1, 1, blank, 4, 1}, []int{0, 3}},
		{"a rise is none", []float64{1, 2, 3, 4}, []int{0}},
		{"the last line has one neighbour", []float64{1, 1, 1, 9}, []int{0}},
		{"level", []float64{2, 2, 2}, []int{0}},
		{"blank", []float64{blank, blank}, []int{0}},
	} {
		if got := spikes(test.perplexities); !slices.Equal(got, test.want) {
			t.Errorf("%s: blocks open at %v, want %v", test.name, got, test.want)
		}
	}
}

func TestSharesOfTheBudget(t *testing.T) {
	for _, test := range []struct {
		name   string
		tokens []int
		ami    []float64
		budget int
		want   []int
	}{
		// R_base is 1/2; 1/2 (1 - 1/2) and 1/2 (1 + 1/2) of 100 tokens sum to the budget as they are.
		{name: "by AMI", tokens: []int{100, 100}, ami: []float64{-3, 7}, budget: 100, want: []int{25, 75}},
		// R_base is 0.9: 0.45 and 1.35, clamped to 1. Rescaled, the second would get 12.4 of its 10 tokens: it gets 10 and the
		// first the other 8.
		{name: "clamped", tokens: []int{10, 10}, ami: []float64{0, 1}, budget: 18, want: []int{8, 10}},
		// The middle of three has AMI' 1/2 and so R_base, 1/4; lengths weigh: 80/8 + 40/4 + 40 * 3/8 = 35, rescaled by 40/35.
		{name: "three lengths", tokens: []int{80, 40, 40}, ami: []float64{0, 5, 10}, budget: 40, want: []int{11, 11, 17}},
		{name: "alike", tokens: []int{30, 10}, ami: []float64{1, 1}, budget: 20, want: []int{15, 5}},
		{name: "nothing left", tokens: []int{30, 10}, ami: []float64{1, 2}, budget: 0, want: []int{0, 0}},
	} {
		var units []*codeUnit
		for i, n := range test.tokens {
			units = append(units, &codeUnit{tokens: n, ami: test.ami[i]})
		}
		if got := shares(units, test.budget); !slices.Equal(got, test.want) {
			t.Errorf("%s: shares %v, want %v", test.name, got, test.want)
		}
	}
}

func TestKnapsackKeepsTheMostValuable(t *testing.T) {
	blocks := []codeBlock{{tokens: 3, ami: 10}, {tokens: 4, ami: 20}, {tokens: 5, ami: 16}, {tokens: 4, ami: 15}}
	// Normalised: 0, 1, 0.6, 0.5.
	for capacity, want := range map[int]string{
		0: "", 3: "0", 4: "1", 5: "1", 7: "0 1", 8: "1 3", 9: "1 2", 12: "0 1 2", 13: "1 2 3", 16: "0 1 2 3", 99: "0 1 2 3",
	} {
		var kept []string
		for i, k := range knapsack(blocks, capacity) {
			if k {
				kept = append(kept, fmt.Sprint(i))
			}
		}
		if got := strings.Join(kept, " "); got != want {
			t.Errorf("capacity %d keeps %q, want %q", capacity, got, want)
		}
	}
}

func TestCoarseTakesTheBestThatFit(t *testing.T) {
	a, b, c, d := &codeUnit{tokens: 50, ami: 1}, &codeUnit{tokens: 60, ami: 3}, &codeUnit{tokens: 70, ami: 2}, &codeUnit{tokens: 40, ami: 0}
	if got, want := coarse([]*codeUnit{a, b, c, d}, 125), []*codeUnit{b, a}; !slices.Equal(got, want) {
		t.Errorf("kept %v, want the 60 and the 50 tokens", got)
	}
}

// TestWhatCannotBeDividedStaysWhole: a unit of one block is kept whole or not at all, and what it leaves of the budget goes
// to others.
func TestWhatCannotBeDividedStaysWhole(t *testing.T) {
	solid := codeUnit{tokens: 60, lines: 10, ami: 5, blocks: []codeBlock{{end: 60, tokens: 60}}}
	loose := codeUnit{tokens: 60, lines: 10, ami: 1, blocks: []codeBlock{
		{start: 60, end: 80, tokens: 20, ami: 0}, {start: 80, end: 100, tokens: 20, ami: 5}, {start: 100, end: 120, tokens: 20, ami: 3},
	}}
	solid.End, loose.Start, loose.End = 60, 60, 120
	solid.Parent, loose.Parent = -1, -1
	for budget, want := range map[int][]bool{
		100: {true, false, true, true}, // 120 are within 100 / 0.8; 60 and then two of three within 40
		50:  {false, false, true, true},
		90:  {true, false}, // 120 exceed 90 / 0.8
	} {
		p := codeZipPlan{units: [][]codeUnit{{solid, loose}}}
		s, err := p.choose(t.Context(), budget)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(s.kept[0], want) {
			t.Errorf("budget %d keeps %v, want %v", budget, s.kept[0], want)
		}
	}
}

const zipSource = `package stock

func openDoor(name string) error {
	door := find(name)
	if door == nil {
		return errNoDoor
	}
	return door.open()
}

func countApples(baskets []basket) int {
	apples := 0
	for _, b := range baskets {
		apples += b.apples
	}
	return apples
}

func paintWall(colour string, wall *wall) {
	wall.clean()
	wall.prime()
	wall.paint(colour)
	wall.dry()
}
`

// TestLongCodeZipOfSeveralTexts: each text keeps its own, equal texts the same, and no score is taken for a probability.
func TestLongCodeZipOfSeveralTexts(t *testing.T) {
	z := &codeZip{lm: embeddedLM, countTokens: countWords}
	var texts []compressors.Text
	for i := range 8 {
		texts = append(texts, compressors.Text{Name: "stock.go", Content: strings.Repeat("// a line\n", 3*(i%7)) + zipSource})
	}
	p, err := z.prepare(t.Context(), Case{Query: "Where are the apples of all baskets added up?", Texts: texts})
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Compress(t.Context(), compressors.Budget{Rate: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range r.Texts {
		if err := compressors.Verify(texts[i].Content, text.Output); err != nil {
			t.Errorf("text %d: %v", i, err)
		}
	}
	if r.Texts[0].Output != r.Texts[7].Output {
		t.Errorf("of equal texts was kept\n%s\nand\n%s", r.Texts[0].Output, r.Texts[7].Output)
	}
	if r.Probabilities {
		t.Error("AMI is called a probability")
	}
}

// TestLongCodeZip checks both stages with the embedded decoder: the AMI of a unit against its definition, and what is kept.
func TestLongCodeZip(t *testing.T) {
	lm, err := embeddedLM()
	if err != nil {
		t.Fatal(err)
	}
	z := &codeZip{lm: embeddedLM, countTokens: countWords}
	const query = "Where are the apples of all baskets added up?"
	texts := []compressors.Text{{Name: "stock.go", Content: zipSource}}
	prepared, err := z.prepare(t.Context(), Case{Query: query, Texts: texts})
	if err != nil {
		t.Fatal(err)
	}
	p := prepared.(*codeZipPlan)
	perplexity := func(before string) float64 {
		prefix := lm.Tokenizer().Encode(lm.Tokenizer().Encode(nil, before), "\n\n")
		r, err := lm.LogProbs(t.Context(), []scoring.Sequence{{Tokens: lm.Tokenizer().Encode(slices.Clone(prefix), query), From: len(prefix)}})
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, v := range r[0].LogProbs {
			sum -= float64(v)
		}
		return math.Exp(sum / float64(len(r[0].LogProbs)))
	}
	best := 0
	for i, u := range p.units[0] {
		if want := perplexity("") - perplexity("stock.go\n"+u.source); math.Abs(u.ami-want) > 1e-3*math.Abs(want)+1e-4 {
			t.Errorf("AMI of %q is %v, want %v", u.Name, u.ami, want)
		}
		if u.ami > p.units[0][best].ami {
			best = i
		}
	}
	if name := p.units[0][best].Name; name != "countApples" {
		t.Errorf("the unit of the highest AMI is %q", name)
	}
	for _, rate := range []float64{0.3, 0.5, 0.8} {
		r, err := p.Compress(t.Context(), compressors.Budget{Rate: rate})
		if err != nil {
			t.Fatal(err)
		}
		if err := compressors.Verify(zipSource, r.Texts[0].Output); err != nil {
			t.Error(err)
		}
		if limit := int(rate * float64(countWords(zipSource))); r.TokensOut > limit || r.TokensOut == 0 {
			t.Errorf("rate %v: %d tokens, at most %d are allowed", rate, r.TokensOut, limit)
		}
		if rate == 0.8 && !strings.Contains(r.Texts[0].Output, "apples += b.apples") {
			t.Errorf("rate %v lost the loop:\n%s", rate, r.Texts[0].Output)
		}
	}
	// A knapsack keeps parts of a function: the fine stage has divided one.
	if !slices.ContainsFunc(p.units[0], func(u codeUnit) bool { return len(u.blocks) > 1 }) {
		t.Errorf("no unit was divided: %+v", p.units[0])
	}
	if _, err := p.Compress(t.Context(), compressors.Budget{}); err == nil {
		t.Error("no error without a rate")
	}
}

// TestLongLLMLingua checks r_k against its definition: the mean over the tokens of question and restrictive sentence.
func TestLongLLMLingua(t *testing.T) {
	lm, err := embeddedLM()
	if err != nil {
		t.Fatal(err)
	}
	const query = "Who painted the ceiling of the Sistine Chapel?"
	candidates := []compressors.Candidate{
		{TextName: "Bread", Text: "Bread is baked from flour and water."},
		{TextName: "Michelangelo", Text: "Michelangelo painted the ceiling of the Sistine Chapel."},
	}
	got, err := linguaScorer{embeddedLM}.Score(t.Context(), query, candidates)
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for i, c := range candidates {
		prefix := lm.Tokenizer().Encode(lm.Tokenizer().Encode(nil, c.TextName+"\n"+c.Text), "\n\n")
		tokens := lm.Tokenizer().Encode(lm.Tokenizer().Encode(slices.Clone(prefix), query), " We can get the answer to this question in the given documents.")
		r, err := lm.LogProbs(t.Context(), []scoring.Sequence{{Tokens: tokens, From: len(prefix)}})
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, v := range r[0].LogProbs {
			sum += float64(v)
		}
		if want := sum / float64(len(tokens)-len(prefix)); math.Abs(got.Scores[i].Value-want) > 1e-4 {
			t.Errorf("r of %q is %v, want %v", c.TextName, got.Scores[i].Value, want)
		}
		read += len(tokens)
	}
	if got.Scores[1].Value <= got.Scores[0].Value {
		t.Errorf("scores %v: the document with the answer is not the first", got.Scores)
	}
	if got.ModelTokens != read {
		t.Errorf("%d model tokens, want %d", got.ModelTokens, read)
	}
}

// TestRandomIsTheMeanOfItsRuns: the random baseline's share is that of its five runs, with their deviation.
func TestRandomIsTheMeanOfItsRuns(t *testing.T) {
	text := quoteLines(strings.Split(strings.TrimSuffix(strings.Repeat("1 x\n", 10), "\n"), "\n")...)
	o := options(writeData(t, `{"id":"a","task":"t","query":"q","context":[{"name":"n","text":`+text+
		`}],"gold_segments":[0],"meta":{"gold_lines":[[0,3,3]]}}`))
	o.Scorers = []string{"random"}
	report, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	row := report.Results[0]
	kept := row.Metrics[GoldShare].Mean * randomRuns
	if row.Runs != randomRuns || !near(kept, math.Round(kept)) {
		t.Fatalf("%d runs kept the line %v times", row.Runs, kept)
	}
	// Of k ones among five, the variance of the sample is k (5 - k) / 20.
	if want := math.Sqrt(kept * (randomRuns - kept) / 20); !near(row.SeedDeviation[GoldShare], want) {
		t.Errorf("deviation %v, want %v for %v of 5", row.SeedDeviation[GoldShare], want, kept)
	}
}
