package compressors_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pith-llm/pith/compressors"
)

func TestSyntaxErrors(t *testing.T) {
	for _, c := range []struct {
		name, language, content string
		want                    int
		parsed                  bool
	}{
		{"sound", "go", "package a\n\nfunc f() {\n\t// …3 lines…\n}\n", 0, true},
		{"a bracket is missing", "go", "package a\n\nfunc f() {\n\tg()\n", 1, true},
		{"a line that is no code", "python", "def f():\n    return 1\n\n) x ]\n", 1, true},
		{"no grammar", "yaml", "a: 1\n", 0, false},
		{"prose", "text", "One. Two.\n", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, parsed := compressors.SyntaxErrors(compressors.Text{Language: c.language, Content: c.content})
			if got != c.want || parsed != c.parsed {
				t.Errorf("%d errors, parsed %v, want %d and %v", got, parsed, c.want, c.parsed)
			}
		})
	}
}

// The sources of the golden segmentations are sound.
func TestGoldenSourcesAreSound(t *testing.T) {
	for name, source := range goldenSources(t) {
		text := compressors.Text{Name: source.name, Content: source.content}
		if n, parsed := compressors.SyntaxErrors(text); parsed && n > 0 {
			t.Errorf("%s has %d errors", name, n)
		}
	}
}

func TestUndefined(t *testing.T) {
	segment := func(kept bool, parent int, name string, s compressors.Symbols) compressors.SegmentResult {
		return compressors.SegmentResult{Kept: kept, Segment: compressors.Segment{Name: name, Parent: parent, Symbols: s}}
	}
	texts := []compressors.TextResult{
		{Segments: []compressors.SegmentResult{
			segment(false, -1, "open", compressors.Symbols{Defines: []string{"open"}}),
			segment(true, -1, "read", compressors.Symbols{Defines: []string{"read"}, Uses: []string{"open", "close", "fmt", "limit"}}),
			segment(true, -1, "long", compressors.Symbols{Defines: []string{"long"}, Locals: []string{"a"}}),
			segment(false, 2, "long", compressors.Symbols{Locals: []string{"b"}}),
			segment(true, 2, "long", compressors.Symbols{LocalUses: []string{"a", "b"}}),
		}},
		{Segments: []compressors.SegmentResult{
			segment(true, -1, "close", compressors.Symbols{Defines: []string{"close"}, Uses: []string{"open"}}),
			segment(false, -1, "limit", compressors.Symbols{Defines: []string{"limit"}}),
			segment(true, -1, "limit", compressors.Symbols{Defines: []string{"limit"}}),
		}},
	}
	if got, want := compressors.Undefined(texts), []string{"open", "b"}; !slices.Equal(got, want) {
		t.Errorf("undefined %q, want %q", got, want)
	}
}

// Names that a compression leaves without their definition are counted from real segments too.
func TestUndefinedAfterCompression(t *testing.T) {
	source := "package a\n\n" + strings.Repeat("// pad says nothing.\n", 20) + "func helper(n int) int { return n }\n\nfunc target() int { return helper(4) }\n" +
		func() string {
			var b strings.Builder
			for i := range 30 {
				fmt.Fprintf(&b, "\nfunc other%d() int { return %d }\n", i, i)
			}
			return b.String()
		}()
	r, err := mustNew(t, compressors.Options{Scorer: byWords, MinTokens: 1}).Compress(t.Context(), compressors.Input{
		Query: "target", Texts: []compressors.Text{{Name: "a.go", Content: source}}, Budget: compressors.Budget{Tokens: 40},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := compressors.Undefined(r.Texts); !slices.Equal(got, []string{"helper"}) {
		t.Errorf("undefined %q in\n%s", got, r.Texts[0].Output)
	}
}

// Whatever is chosen of long functions and classes with blocks in blocks, what is kept parses.
func TestCompressedCodeParses(t *testing.T) {
	var body strings.Builder
	for i := range 12 {
		fmt.Fprintf(&body, "\t\tif (a > %d) {\n\t\t\tlog(\"a { in a string\");\n\t\t\tfor (;;) {\n", i)
		for j := range 12 {
			fmt.Fprintf(&body, "\t\t\t\tcall(a + %d, b * %d);\n", i*j, j)
		}
		fmt.Fprintf(&body, "\t\t\t}\n\t\t} else {\n\t\t\tother(%d);\n\t\t\tb = b + a;\n\t\t}\n\n", i)
	}
	example := strings.Repeat("    >>> (first, second) = pair()\n    ...     'one' and two\n    The pairs, of which there are some, aren't read one by one.\n\n", 60)
	for name, source := range map[string]string{
		"a.py": "import os\n\n\nclass A:\n    \"\"\"Pairs.\n\n" + example + "    \"\"\"\n\n    x = 1\n\n    def f(self, a):\n        return a\n\n\ndef g(a, b):\n    \"\"\"More.\n\n" + example +
			"    \"\"\"\n    if a:\n        return b\n    elif b:\n        return a\n    return A().f(a)\n",
		"raw.go": "package a\n\nconst text = `\n" + example + "`\n\nfunc g() string {\n\treturn text + `" + example + "`\n}\n",
		"a.java": "class A extends B {\n\tint x = 1;\n\n\tvoid f(int a, int b) {\n" + body.String() + "\t}\n\n\tvoid g() {\n\t\tf(1, 2);\n\t}\n}\n",
		"a.js":   "class A extends B {\n\tf(a, b) {\n" + body.String() + "\t}\n\n\tg() {\n\t\treturn this.f(1, 2);\n\t}\n}\n",
		"a.go": "package a\n\nfunc f(a, b int) {\n" + strings.NewReplacer("(a > ", "a > ", ") {\n\t\t\tlog", " {\n\t\t\tlog", "for (;;)", "for", ";\n", "\n").Replace(body.String()) +
			"}\n\nfunc g() {\n\tf(1, 2)\n}\n",
	} {
		text := compressors.Text{Name: name, Content: source}
		if n, parsed := compressors.SyntaxErrors(text); !parsed || n > 0 {
			t.Fatalf("%s has %d errors, parsed %v", name, n, parsed)
		}
		compressor := mustNew(t, compressors.Options{Scorer: byHash, MinTokens: 1, Dependencies: 0.3})
		for budget := 60; budget < 2400; budget += 130 {
			r, err := compressor.Compress(t.Context(), compressors.Input{
				Query: "q", Texts: []compressors.Text{text}, Budget: compressors.Budget{Tokens: budget},
			})
			if err != nil {
				t.Fatal(err)
			}
			output := compressors.Text{Name: name, Content: r.Texts[0].Output}
			if n, parsed := compressors.SyntaxErrors(output); !parsed || n > 0 {
				t.Fatalf("%s in %d tokens has %d errors, parsed %v:\n%s", name, budget, n, parsed, output.Content)
			}
		}
	}
}
