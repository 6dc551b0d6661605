package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport says which top folders the code of a folder may import besides its own; the root may import everything.
var mayImport = map[string][]string{
	"config":      {"proxy", "compressors", "scoring", "cache"},
	"proxy":       {"compressors", "cache"},
	"compressors": {},
	"scoring":     {"kernels", "cache"},
	"kernels":     {},
	"cache":       {},
	"eval":        {"config", "proxy", "compressors", "scoring", "kernels", "cache"},
}

// TestImportsFollowTheMap checks the arrows between folders. Tests may import more: they use real parts.
func TestImportsFollowTheMap(t *testing.T) {
	const module = "github.com/pith-llm/pith/"
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "_asm" || (d.Name() != "." && strings.HasPrefix(d.Name(), "."))) {
			return filepath.SkipDir
		}
		folder, _, inFolder := strings.Cut(filepath.ToSlash(path), "/")
		if !inFolder || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		allowed, ok := mayImport[folder]
		if !ok {
			t.Errorf("%s: folder %s is not on the map", path, folder)
			return nil
		}
		seen[folder] = true
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			rest, ours := strings.CutPrefix(imported, module)
			to, _, _ := strings.Cut(rest, "/")
			if ours && to != folder && !slices.Contains(allowed, to) {
				t.Errorf("%s imports %s: %s may import only %v", path, imported, folder, allowed)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for folder := range mayImport {
		if !seen[folder] {
			t.Errorf("folder %s holds no code", folder)
		}
	}
}
