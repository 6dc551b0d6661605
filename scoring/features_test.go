package scoring_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pith-llm/pith/scoring"
)

// features returns the named feature of every segment, without the decoder.
func features(t *testing.T, query string, segments []scoring.Segment) func(name string) []float64 {
	t.Helper()
	f, err := newScorer(t, "default", scoring.Options{}).Features(t.Context(), query, segments)
	if err != nil {
		t.Fatal(err)
	}
	return func(name string) []float64 {
		at := slices.Index(scoring.FeatureNames(), name)
		if at < 0 {
			t.Fatalf("there is no feature %q", name)
		}
		column := make([]float64, len(f.Rows))
		for i, row := range f.Rows {
			column[i] = float64(row[at])
		}
		return column
	}
}

// wantHighest checks that a feature is larger for one segment than for all others.
func wantHighest(t *testing.T, name string, values []float64, segment int) {
	t.Helper()
	for i, v := range values {
		if i != segment && v >= values[segment] {
			t.Errorf("%s: segment %d should have the largest value of %v", name, segment, values)
			return
		}
	}
}

// unfinished is the code before a cursor; the next line calls Store.Evict of store/store.go.
const unfinished = `func (c *Cleaner) Run(limit int) error {
	if c.store == nil {
		return errNoStore
	}
	for c.store.Size() > limit {
		// evict the oldest`

func unfinishedProject() []scoring.Segment {
	code := func(text int, path, name string, form scoring.Form, content string, defines ...string) scoring.Segment {
		return scoring.Segment{
			TextIndex: text, TextName: path, Name: name, Family: scoring.Code, Form: form, Text: content, Defines: defines, Tokens: len(content) / 4,
		}
	}
	imports := code(2, "store/cleaner.go", "", scoring.FormImport, "import \"example/disk\"\n")
	imports.Imports = []string{"example/disk", "errNoStore"}
	return []scoring.Segment{
		code(0, "store/store.go", "Store.Size", scoring.FormMethod, "func (s *Store) Size() int { return len(s.entries) }\n", "Size"),
		code(0, "store/store.go", "Store.Evict", scoring.FormMethod, "func (s *Store) Evict() { s.Size() }\n", "Evict"),
		code(1, "net/disk.go", "Mount", scoring.FormFunction, "func Mount(path string) error { return nil }\n", "Mount"),
		code(1, "net/disk.go", "errNoStore", scoring.FormStatement, "var errNoStore = errors.New(\"no store\")\n", "errNoStore"),
		imports,
		code(2, "store/cleaner.go", "Cleaner", scoring.FormClass, "type Cleaner struct { store *Store }\n", "Cleaner"),
	}
}

// What is known of the text that a completion continues does not depend on whether the lines before the cursor are in it.
func TestCompletionFeatures(t *testing.T) {
	apart := unfinishedProject()
	within := append(unfinishedProject(), scoring.Segment{
		TextIndex: 2, TextName: "store/cleaner.go", Name: "Cleaner.Run", Family: scoring.Code, Form: scoring.FormMethod, Text: unfinished,
		Defines: []string{"Run"}, Tokens: len(unfinished) / 4,
	})
	for _, segments := range [][]scoring.Segment{apart, within} {
		of := features(t, unfinished, segments)
		wantHighest(t, "name_near", of("name_near"), 1)
		wantHighest(t, "imported_name", of("imported_name"), 3)
		wantHighest(t, "users", of("users")[:5], 0)
		for name, want := range map[string][]float64{
			"new_name":      {0, 1, 1, 0, 0, 0},
			"current":       {0, 0, 0, 0, 1, 1},
			"import_unused": {0, 0, 0, 0, 0, 0},
		} {
			if got := of(name)[:6]; !slices.Equal(got, want) {
				t.Errorf("%s: got %v, want %v", name, got, want)
			}
		}
		if near := of("owner_near"); near[1] <= near[2] {
			t.Errorf("owner_near: a method of Store has %v, a function of disk.go %v", near[1], near[2])
		}
		if near := of("path_near"); near[0] <= near[2] {
			t.Errorf("path_near: store/store.go has %v, net/disk.go %v", near[0], near[2])
		}
	}
}

func TestLexicalFeatures(t *testing.T) {
	segments := []scoring.Segment{
		{Text: "The harbour was dredged. Ships came. The county paid.", Tokens: 12},
		{Text: "The county dredged a harbour for its ships.", Tokens: 12},
		{Text: "Nothing of the kind.", Tokens: 5},
		{Text: "Dredging harbours is a task of counties.", Tokens: 9},
	}
	of := features(t, "Which county dredged the harbour?", segments)
	wantHighest(t, "best_line", of("best_line"), 1)
	if grams := of("grams"); grams[3] <= grams[2] || of("bm25")[3] <= of("bm25")[2] {
		t.Errorf("grams: %v for words in other forms, %v for none of them", grams[3], grams[2])
	}
	of = features(t, "who dredges?", segments)
	if words, grams := of("bm25"), of("grams"); slices.Max(words) != 0 || grams[3] == 0 || grams[2] != 0 {
		t.Errorf("only runs of letters are in common: grams %v, bm25 %v", grams, words)
	}
	of = features(t, "Harbour is too shallow\n\nThe ships of our county cannot come in. Nothing of the kind was seen before.", segments)
	if of("headline_bm25")[2] != 0 || of("bm25")[2] == 0 {
		t.Errorf("headline_bm25 %v and bm25 %v of what only the later lines name", of("headline_bm25")[2], of("bm25")[2])
	}
	if slices.Equal(of("headline"), of("cosine")) {
		t.Error("the headline's vector is that of the whole query")
	}
}

func TestPlaces(t *testing.T) {
	segments := []scoring.Segment{
		{TextIndex: 0, Text: "Knead the dough for ten minutes."},
		{TextIndex: 0, Text: "The river reaches the sea."},
		{TextIndex: 1, Text: "The harbour was dredged in the spring."},
		{TextIndex: 1, Text: "Let it rest."},
	}
	of := features(t, "When was the harbour dredged?", segments)
	if got := of("text_place"); !slices.Equal(got, []float64{.5, .5, 1, 1}) {
		t.Errorf("text_place: got %v", got)
	}
	local := of("local_place")
	if local[2] != 1 || local[3] != .5 || local[0]+local[1] != 1.5 {
		t.Errorf("local_place: got %v", local)
	}
}

// Only code before a cursor is looked at for what it continues.
func TestIssuesAreNoCode(t *testing.T) {
	queryCode := func(query string) float64 { return features(t, query, unfinishedProject())("query_code")[0] }
	for _, issue := range []string{
		"Color mapping fails with boolean data\n```python\nso.Plot([\"a\"], [1]).add(so.Bar())\n```\n```\nTraceback (most recent call last):\n  File \"x.py\", line 5, in draw\n    raise KeyError(x);\n```\n",
		"<files>\n/testbed\n</files>\nThe function below is wrong:\n    x = f(1);\n    y = f(2);\n    z = f(3);\n",
		"fix: empty slices are nil (#1702)\n\n- x == nil;\n- y == nil;\n",
		"what does parse() return?",
	} {
		if queryCode(issue) != 0 {
			t.Errorf("taken for code: %q", issue)
		}
	}
	for _, code := range []string{
		unfinished,
		"/// Recognizes a number in the input.\n///\n/// # Example\npub fn number(input: &str) -> u32 {\n",
		"from os import path\n\nclass Reader(object):\n    \"\"\"Reads what others wrote.\"\"\"\n",
		"template <typename T>\nstruct Name : std::true_type\n{\n};\n/**\n * @return the name\n */",
	} {
		if queryCode(code) != 1 {
			t.Errorf("not taken for code: %q", code)
		}
	}
}

// The decoder does not read what a combination makes nothing of.
func TestDecoderReadsOnlyWhatCounts(t *testing.T) {
	whole, err := scoring.DefaultCombination()
	if err != nil {
		t.Fatal(err)
	}
	deaf := scoring.Combination{Models: map[string]scoring.Model{}}
	for name, m := range whole.Models {
		if name == scoring.Code.String() {
			m.Full = scoring.Boost{}
		}
		deaf.Models[name] = m
	}
	spent := func(c *scoring.Combination, family scoring.Family, price int) int {
		segments := slices.Clone(passages)
		for i := range segments {
			segments[i].Family = family
		}
		return score(t, newScorer(t, "default", scoring.Options{Combination: c, ModelTokens: price}), curie, segments).ModelTokens
	}
	if n := spent(&deaf, scoring.Code, 1000) - spent(&deaf, scoring.Code, 0); n != 0 {
		t.Errorf("%d tokens read of code", n)
	}
	if spent(&deaf, scoring.Prose, 1000) == spent(&deaf, scoring.Prose, 0) {
		t.Error("nothing read of prose")
	}
}

func TestEncoderFeatures(t *testing.T) {
	filler := strings.Repeat("The bread is kneaded for ten minutes, and the oven is heated in the meantime. ", 6)
	segments := []scoring.Segment{
		{Text: filler + "The harbour was dredged in the spring of 1962. " + filler},
		{Text: filler + "Butter goes with it, or oil. " + filler},
		{Text: "Guests are called when the table is set."},
	}
	of := features(t, "When was the harbour dredged?", segments)
	for _, name := range []string{"window", "window_gap", "late_contrast"} {
		wantHighest(t, name, of(name), 0)
	}
	if window, cosine := of("window")[0], of("cosine")[0]; window <= cosine {
		t.Errorf("the window of the sentence has %v, and all of the text %v", window, cosine)
	}
	if gap := of("window_gap"); gap[0] != 0 {
		t.Errorf("the best window is %v less than the best", gap[0])
	}
}
