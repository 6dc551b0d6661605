package compressors_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pith-llm/pith/compressors"
)

// describe writes segments with the first line of each, the names that it holds and what it imports.
func describe(text string, segments []compressors.Segment) string {
	var b strings.Builder
	for i, s := range segments {
		fmt.Fprintf(&b, "%d line %d %s %s", i, 1+strings.Count(text[:s.Start], "\n"), s.Kind, s.Name)
		if s.Parent >= 0 {
			fmt.Fprintf(&b, " in %d", s.Parent)
		}
		first, _, _ := strings.Cut(text[s.Start:s.End], "\n")
		fmt.Fprintf(&b, ": %.50s\n", strings.TrimSpace(first))
		for _, names := range []struct {
			what string
			list []string
		}{{"defines", s.Defines}, {"uses", s.Uses}, {"locals", s.Locals}, {"local uses", s.LocalUses}} {
			if len(names.list) > 0 {
				fmt.Fprintf(&b, "    %s %s\n", names.what, strings.Join(names.list, " "))
			}
		}
		for _, imported := range s.Imports {
			fmt.Fprintf(&b, "    imports %s %v\n", imported.Path, imported.Names)
		}
	}
	return b.String()
}

// TestSegmentations cuts the source of each archive in testdata/segments with a small group size and compares the
// segments with what the archive holds; -update writes them there.
func TestSegmentations(t *testing.T) {
	paths, err := filepath.Glob("testdata/segments/*.txtar")
	if err != nil || len(paths) < 17 {
		t.Fatalf("%d archives: %v", len(paths), err)
	}
	segmenter, err := compressors.NewSegmenter(compressors.SegmenterOptions{CountTokens: countTokens, GroupTokens: 24})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, files := parseArchive(string(archive))
			if len(files) != 2 {
				t.Fatalf("%d files, want the source and its segments", len(files))
			}
			source := files[0]
			got, err := segmenter.Segments(compressors.Text{Name: source.name, Content: source.content})
			if err != nil {
				t.Fatal(err)
			}
			checkSegments(t, source.content, got)
			if want := files[1].content; describe(source.content, got) != want && !*update {
				t.Errorf("got\n%swant\n%s", describe(source.content, got), want)
			}
			if *update {
				content := fmt.Sprintf("-- %s --\n%s-- segments --\n%s", source.name, source.content, describe(source.content, got))
				if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// goldenSources returns the source of each archive in testdata/segments by the archive's name.
func goldenSources(t *testing.T) map[string]archiveFile {
	t.Helper()
	paths, err := filepath.Glob("testdata/segments/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d archives: %v", len(paths), err)
	}
	sources := map[string]archiveFile{}
	for _, path := range paths {
		archive, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, files := parseArchive(string(archive))
		sources[strings.TrimSuffix(filepath.Base(path), ".txtar")] = files[0]
	}
	return sources
}
