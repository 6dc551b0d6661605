package compressors_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/pith-llm/pith/compressors"
)

// TestTasks reads queries with the task that each orders and wants all of them recognised; it prints the confusion table
// with -v.
func TestTasks(t *testing.T) {
	queries, err := os.ReadFile("testdata/tasks.tsv")
	if err != nil {
		t.Fatal(err)
	}
	counts := map[[2]string]int{}
	whole, ordinary := 0, 0
	for line := range strings.Lines(string(queries)) {
		want, query, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok {
			t.Fatalf("%q is not a task and a query", line)
		}
		got := compressors.TaskOf(query)
		if counts[[2]string{want, got.String()}]++; got.String() != want {
			t.Errorf("%q is taken for %s, want %s", query, got, want)
		}
		if want == compressors.TaskAnswer.String() {
			ordinary++
		} else {
			whole++
		}
	}
	if whole < 100 || ordinary < 100 {
		t.Errorf("%d queries for whole texts and %d others, want at least 100 of each", whole, ordinary)
	}
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "is \\ taken for")
	for got := compressors.TaskAnswer; got <= compressors.TaskCompact; got++ {
		fmt.Fprintf(w, "\t%s", got)
	}
	for want := compressors.TaskAnswer; want <= compressors.TaskCompact; want++ {
		fmt.Fprintf(w, "\n%s", want)
		for got := compressors.TaskAnswer; got <= compressors.TaskCompact; got++ {
			fmt.Fprintf(w, "\t%d", counts[[2]string{want.String(), got.String()}])
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d queries for whole texts, %d others\n%s", whole, ordinary, table.String())
}
