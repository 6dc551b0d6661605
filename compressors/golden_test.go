package compressors_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/pith-llm/pith/compressors"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// byWords scores a segment by the share of the query's words that it holds, letter case aside.
var byWords = compressors.ScorerFunc(func(_ context.Context, query string, candidates []compressors.Candidate) (compressors.Scores, error) {
	words := func(s string) []string {
		return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	}
	var s compressors.Scores
	for _, c := range candidates {
		has := map[string]bool{}
		for _, w := range words(c.SegmentName + " " + c.Text) {
			has[w] = true
		}
		found, all := 0, words(query)
		for _, w := range all {
			if len(w) > 3 && has[w] {
				found++
			}
		}
		v := float64(found) / float64(len(all))
		s.Scores = append(s.Scores, compressors.Score{Value: v, Terms: []compressors.Term{{Name: "words", Value: v}}})
	}
	return s, nil
})

// archiveFile is one file of a txtar archive.
type archiveFile struct{ name, content string }

// parseArchive reads a txtar archive: a comment, then files that each follow a line "-- name --".
func parseArchive(text string) (comment string, files []archiveFile) {
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "-- "); ok && strings.HasSuffix(name, " --\n") {
			files = append(files, archiveFile{name: strings.TrimSuffix(name, " --\n")})
		} else if len(files) == 0 {
			comment += line
		} else {
			files[len(files)-1].content += line
		}
	}
	return comment, files
}

// TestGolden compresses the sources of each archive in testdata for its query and budget, and compares the segments
// and the outputs with what the archive holds; -update writes them there.
func TestGolden(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) < 6 {
		t.Fatalf("%d golden files: %v", len(paths), err)
	}
	compressor, err := compressors.New(compressors.Options{Scorer: byWords, CountTokens: countTokens, MinTokens: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			comment, files := parseArchive(string(archive))
			var input compressors.Input
			for line := range strings.Lines(comment) {
				switch key, value, _ := strings.Cut(strings.TrimSpace(line), ": "); key {
				case "query":
					input.Query = value
				case "budget":
					if input.Budget.Tokens, err = strconv.Atoi(value); err != nil {
						t.Fatal(err)
					}
				default:
					t.Fatalf("unknown line %q", line)
				}
			}
			for _, f := range files {
				if name, ok := strings.CutPrefix(f.name, "source "); ok {
					input.Texts = append(input.Texts, compressors.Text{Name: name, Content: f.content})
				}
			}
			result, err := compressor.Compress(t.Context(), input)
			if err != nil {
				t.Fatal(err)
			}
			checkResult(t, input, result)

			var got strings.Builder
			got.WriteString(comment)
			for _, text := range input.Texts {
				fmt.Fprintf(&got, "-- source %s --\n%s", text.Name, text.Content)
			}
			for i, text := range result.Texts {
				fmt.Fprintf(&got, "-- segments %s --\n", input.Texts[i].Name)
				for j, s := range text.Segments {
					kept := "-"
					if s.Kept {
						kept = "+"
					}
					first, _, _ := strings.Cut(input.Texts[i].Content[s.Start:s.End], "\n")
					line := 1 + strings.Count(input.Texts[i].Content[:s.Start], "\n")
					fmt.Fprintf(&got, "%s %d line %d, %d tokens, %.2f, %s %s", kept, j, line, s.Tokens, s.Score.Value, s.Kind, s.Name)
					if s.Parent >= 0 {
						fmt.Fprintf(&got, " in %d", s.Parent)
					}
					fmt.Fprintf(&got, ": %.40s\n", strings.TrimSpace(first))
				}
				fmt.Fprintf(&got, "-- output %s, %d of %d tokens --\n%s", input.Texts[i].Name, text.TokensOut, text.TokensIn, text.Output)
			}
			if *update {
				if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got.String() != string(archive) {
				t.Errorf("the outcome has changed (-update rewrites the file):\n%s", got.String())
			}
		})
	}
}
