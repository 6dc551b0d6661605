package eval

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/pith-llm/pith/compressors"
)

// With the embedded model as reader: an answer that stands in the context is likelier with it than without, and what is
// compressed to everything is the whole context, whose answers it shares to the last bit.
func TestAnswers(t *testing.T) {
	lm, err := embeddedLM()
	if err != nil {
		t.Fatal(err)
	}
	data := writeData(t,
		`{"id":"1","task":"qa","query":"What is the secret word of the blue house?","context":[{"name":"Houses","text":"The secret word of the blue house is zanzibar.","lang":"en"},{"name":"Weather","text":"It rained all day long.","lang":"en"}],"answers":["The secret word is zanzibar."],"gold_segments":[0],"meta":{"instruction":"Answer the question.","metric":"f1"}}`,
		`{"id":"2","task":"code","query":"y = 2","context":[{"name":"a.py","text":"quorble = 1","lang":"python"}],"answers":["print(quorble)"],"gold_segments":[0],"meta":{"metric":"edit_similarity / exact_match"}}`)
	options := AnswerOptions{
		Data: []string{data}, Scorers: []string{"head"}, Rate: 1, Reader: LocalReader(lm), ReaderName: "small",
		Compressor: func(s compressors.Scorer) (*compressors.Compressor, error) {
			return compressors.New(compressors.Options{Scorer: s, CountTokens: func(s string) int { return len(strings.Fields(s)) }, DefaultRate: 1, MinTokens: 1})
		},
	}
	var log, out bytes.Buffer
	options.Log = &log
	report, err := Answers(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	if err := report.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`task +arm .* exact\n`,
		`qa +full +1 +1\.000 +-\d\.\d+ +\+0\.000 `,
		`qa +head +1 +1\.000 +-\d\.\d+ +\+0\.000 +\[\+0\.000, \+0\.000\] +\d+\.\d +\+0\.0 +\[\+0\.0, \+0\.0\] +yes`,
		`qa +none +1 +0\.000 +-\d\.\d+ +-\d\.\d+ `,
		`code +none +1 +0\.000 +-\d\.\d+ +-\d\.\d+ `,
		`all +none +2 `,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("no line is like %q:\n%s", want, out.String())
		}
	}
	testKnownAnswers(t, options, log.Bytes(), out.String())

	// With folds each case is compressed by the scorer of its own: the others would fail.
	cases, err := Load(data)
	if err != nil {
		t.Fatal(err)
	}
	used := map[int]bool{}
	for _, c := range cases {
		used[FoldOf(GroupOf(c))] = true
	}
	options.Scorers, options.Folded = []string{"folded"}, true
	options.Scorer = func(_ string, fold int) (compressors.Scorer, error) {
		return compressors.ScorerFunc(func(_ context.Context, _ string, candidates []compressors.Candidate) (compressors.Scores, error) {
			if !used[fold] {
				return compressors.Scores{}, fmt.Errorf("fold %d was asked", fold)
			}
			return compressors.Scores{Scores: make([]compressors.Score, len(candidates))}, nil
		}), nil
	}
	if len(used) == Folds {
		t.Fatal("the cases are of all folds: nothing would fail")
	}
	if _, err := Answers(t.Context(), options); err != nil {
		t.Error(err)
	}
	options.Rate = 0
	if _, err := Answers(t.Context(), options); err == nil {
		t.Error("a rate of 0 was accepted")
	}
}

// testKnownAnswers reports from a log what the run that wrote it did, without asking for what is in it.
func testKnownAnswers(t *testing.T, o AnswerOptions, log []byte, want string) {
	t.Helper()
	for line := range bytes.Lines(log) {
		var l AnswerLine
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatal(err)
		}
		o.Known = append(o.Known, l)
	}
	var again, out bytes.Buffer
	o.Reader, o.Log = nil, &again
	report, err := Answers(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := report.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	if out.String() != want || again.Len() > 0 {
		t.Errorf("from the log:\n%s\nwant\n%s\nand %d bytes were added to it", out.String(), want, again.Len())
	}
	other := o
	other.Scorers = []string{"tail"}
	if _, err := Answers(t.Context(), other); err == nil || !strings.Contains(err.Error(), `with [head] at rate 1, not "small"'s with [tail]`) {
		t.Errorf("answers of another scorer: error %v", err)
	}
	other = o
	other.ReaderName = "large"
	if _, err := Answers(t.Context(), other); err == nil || !strings.Contains(err.Error(), `"small"'s with [head] at rate 1, not "large"'s`) {
		t.Errorf("answers of another reader: error %v", err)
	}
}
