package eval_test

import (
	"strings"
	"testing"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/eval"
)

// Lists and prose must be told apart without fail and most code found, and of the sample's queries only the summary of a
// report asks for whole texts.
func TestSampleIsRecognised(t *testing.T) {
	r, err := eval.Recognise([]string{"testdata/sample.jsonl.gz"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		language string
		kind     compressors.TextKind
		share    float64
	}{
		{"json", compressors.JSONText, 1},
		{"grep", compressors.SearchText, 1},
		{"diff", compressors.DiffText, 1},
		{"en", compressors.PlainText, 1},
		{"go", compressors.CodeText, 0.8},
	} {
		n := 0
		for _, count := range r.Kinds[c.language] {
			n += count
		}
		if found := r.Kinds[c.language][c.kind]; n == 0 || float64(found) < c.share*float64(n) {
			t.Errorf("%d of %d texts in %s are taken for %s, want a share of %g: %v", found, n, c.language, c.kind, c.share, r.Kinds[c.language])
		}
	}
	for task, counts := range r.Tasks {
		want := compressors.TaskAnswer
		if task == "longbench_gov_report" {
			want = compressors.TaskSummarise
		}
		if len(counts) != 1 || counts[want] == 0 {
			t.Errorf("queries of %s are taken for %v, want %s", task, counts, want)
		}
	}
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "grep") || !strings.Contains(b.String(), " search") {
		t.Errorf("the report lacks search results:\n%s", b.String())
	}
}
