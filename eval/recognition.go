package eval

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/pith-llm/pith/compressors"
)

// Recognition counts what texts and queries are taken for, beside what the data says of them.
type Recognition struct {
	// Kinds counts texts by the language that the data declares and the kind that is found from the content alone.
	Kinds map[string]map[compressors.TextKind]int
	// Tasks counts queries by the task of the data and the task that is recognised.
	Tasks map[string]map[compressors.Task]int
}

// minRecognised is the fewest bytes of a text whose kind is asked for: a word or two may be anything.
const minRecognised = 200

// Recognise reads the cases of the files at paths.
func Recognise(paths []string) (Recognition, error) {
	r := Recognition{Kinds: map[string]map[compressors.TextKind]int{}, Tasks: map[string]map[compressors.Task]int{}}
	for _, path := range paths {
		cases, err := Load(path)
		if err != nil {
			return Recognition{}, err
		}
		for _, c := range cases {
			if r.Tasks[c.Task] == nil {
				r.Tasks[c.Task] = map[compressors.Task]int{}
			}
			r.Tasks[c.Task][compressors.TaskOf(c.Query)]++
			for _, text := range c.Texts {
				if text.Language == "" || len(text.Content) < minRecognised {
					continue
				}
				if r.Kinds[text.Language] == nil {
					r.Kinds[text.Language] = map[compressors.TextKind]int{}
				}
				r.Kinds[text.Language][compressors.KindOf(compressors.Text{Content: text.Content})]++
			}
		}
	}
	return r, nil
}

// expected are the kinds that a text of a declared language may have; any other language is one of code.
var expected = map[string][]compressors.TextKind{
	"en": {compressors.PlainText, compressors.MarkdownText}, "json": {compressors.JSONText},
	"log": {compressors.LogText, compressors.TestText}, "grep": {compressors.SearchText}, "diff": {compressors.DiffText},
	"html": {compressors.HTMLText}, "csv": {compressors.TableText}, "markdown": {compressors.MarkdownText},
}

// right counts the texts of a declared language that are found to be what they are.
func right(language string, kinds map[compressors.TextKind]int) (found, n int) {
	want, ok := expected[language]
	if !ok {
		want = []compressors.TextKind{compressors.CodeText}
	}
	for kind, count := range kinds {
		n += count
		if slices.Contains(want, kind) {
			found += count
		}
	}
	return found, n
}

// WriteText writes one line a declared language and one a task.
func (r Recognition) WriteText(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "declared\ttexts\tfound right\ttaken for")
	for _, language := range slices.Sorted(maps.Keys(r.Kinds)) {
		found, n := right(language, r.Kinds[language])
		fmt.Fprintf(table, "%s\t%d\t%.1f %%\t%s\n", language, n, 100*float64(found)/float64(n), counted(r.Kinds[language]))
	}
	fmt.Fprintln(table, "\ntask\tqueries\tfor whole texts\ttaken for")
	for _, task := range slices.Sorted(maps.Keys(r.Tasks)) {
		n := 0
		for _, count := range r.Tasks[task] {
			n += count
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\n", task, n, n-r.Tasks[task][compressors.TaskAnswer], counted(r.Tasks[task]))
	}
	return table.Flush()
}

// counted writes counts as "12 code, 3 plain", the most first.
func counted[K interface {
	~uint8
	String() string
}](counts map[K]int) string {
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b K) int {
		if d := counts[b] - counts[a]; d != 0 {
			return d
		}
		return int(a) - int(b)
	})
	var parts []string
	for _, k := range keys {
		parts = append(parts, fmt.Sprintf("%d %s", counts[k], k))
	}
	return strings.Join(parts, ", ")
}
