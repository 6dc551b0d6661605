package compressors_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pith-llm/pith/compressors"
)

// filler returns n definitions that nothing uses, which score as well as what is looked for in a test where all score alike.
func filler(n int, definition string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, definition, i)
	}
	return b.String()
}

func TestSignaturesOfWhatKeptCodeUses(t *testing.T) {
	for name, c := range map[string]struct {
		texts []compressors.Text
		want  []string // lines of the output, of all texts
		not   []string
	}{
		"go": {
			[]compressors.Text{{Name: "a/a.go", Content: "package a\n\n// parse reads one by one.\nfunc parse(s string, n int) (int, error) {\n" + strings.Repeat("\tn += step(n, s) * 2\n", 30) + "\treturn n, nil\n}\n\n// wanted is what is asked for.\nfunc wanted(s string) error {\n\t_, err := parse(s, 1)\n\treturn err\n}\n" +
				filler(40, "\nfunc other%d(i int) int {\n\treturn i * 3\n}\n")}},
			[]string{"func parse(s string, n int) (int, error) {\n// …31 lines…\n}\n"},
			[]string{"one by one"},
		},
		"a method of a class": {
			[]compressors.Text{
				{Name: "b.py", Content: "from a import Reader\n\n\ndef wanted(text):\n    return Reader().parse_all(text)\n" + filler(40, "\n\ndef more_%d(i):\n    return i * 3\n")},
				{Name: "a.py", Content: "class Reader:\n    \"\"\"Reads.\"\"\"\n\n    size = 1\n\n    @cached\n    def parse_all(self, text):\n" + strings.Repeat("        self.n = self.n + len(text) * 2\n", 20) + "        return self.n\n\n" +
					filler(40, "    def other_%d(self, i):\n        return i * 3 + 1\n\n")},
			},
			[]string{"class Reader:\n", "    @cached\n    def parse_all(self, text):\n# …", "wanted(text)"},
			[]string{"self.n"},
		},
		"what is imported, not a namesake": {
			[]compressors.Text{
				{Name: "src/use.ts", Content: "import { load } from './right';\n\nexport function wanted(a: string) {\n  return load(a);\n}\n" + filler(40, "\nfunction other%d(i: number) {\n  return i * 3;\n}\n")},
				{Name: "src/wrong.ts", Content: "export function load(wrong: string) {\n" + strings.Repeat("  wrong = wrong + wrong.trim();\n", 30) + "  return wrong;\n}\n"},
				{Name: "src/right.ts", Content: "export function load(right: string) {\n" + strings.Repeat("  right = right + right.trim();\n", 30) + "  return right;\n}\n"},
			},
			[]string{"export function load(right: string) {\n// …31 lines…\n}\n"},
			[]string{"load(wrong"},
		},
		"not one of two namesakes": {
			[]compressors.Text{
				{Name: "x/use.ts", Content: "export function wanted(a: string) {\n  return load(a);\n}\n" + filler(40, "\nfunction other%d(i: number) {\n  return i * 3;\n}\n")},
				{Name: "y/one.ts", Content: "export function load(one: string) {\n" + strings.Repeat("  one = one + one.trim();\n", 30) + "  return one;\n}\n"},
				{Name: "z/two.ts", Content: "export function load(two: string) {\n" + strings.Repeat("  two = two + two.trim();\n", 30) + "  return two;\n}\n"},
			},
			[]string{"return load(a);"},
			[]string{"load(one", "load(two"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			input := compressors.Input{Query: "wanted", Texts: c.texts, Budget: compressors.Budget{Tokens: 220}}
			with, err := mustNew(t, compressors.Options{Scorer: byWords, MinTokens: 1, Dependencies: 0.4}).Compress(t.Context(), input)
			if err != nil {
				t.Fatal(err)
			}
			checkResult(t, input, with)
			without, err := mustNew(t, compressors.Options{Scorer: byWords, MinTokens: 1}).Compress(t.Context(), input)
			if err != nil {
				t.Fatal(err)
			}
			all := func(r compressors.Result) string {
				var b strings.Builder
				for _, text := range r.Texts {
					b.WriteString(text.Output)
				}
				return b.String()
			}
			for _, want := range c.want {
				if !strings.Contains(all(with), want) {
					t.Errorf("%q is missing from\n%s", want, all(with))
				}
			}
			for _, not := range c.not {
				if strings.Contains(all(with), not) {
					t.Errorf("%q is in\n%s", not, all(with))
				}
			}
			if signature := c.want[0]; len(c.not) < 2 && strings.Contains(all(without), signature) {
				t.Errorf("%q is kept without dependencies too", signature)
			}
			for i, text := range c.texts {
				if n, _ := compressors.SyntaxErrors(compressors.Text{Name: text.Name, Content: with.Texts[i].Output}); n > 0 {
					t.Errorf("%d syntax errors in\n%s", n, with.Texts[i].Output)
				}
			}
		})
	}
}

// A signature alone is counted as what it is: its own names, not those of its body.
func TestUndefinedOfSignature(t *testing.T) {
	code := "package a\n\nfunc helper(i in) int {\n" +
		strings.Repeat("\tdeep(i.a + i.b)\n", 40) + "\treturn 1\n}\n\nfunc deep(int) {\n" + strings.Repeat("\tprintln(1)\n", 30) + "}\n\nfunc wanted() int {\n\treturn helper(nil)\n}\n" +
		filler(30, "\nfunc other%d(i int) int {\n\treturn i * 3\n}\n") + "\ntype in struct {\n\tfirst, second, third, fourth, fifth, sixth, seventh int\n}\n"
	r, err := mustNew(t, compressors.Options{Scorer: byWords, MinTokens: 1, Dependencies: 0.3}).Compress(t.Context(), compressors.Input{
		Query: "wanted", Texts: []compressors.Text{{Name: "a.go", Content: code}}, Budget: compressors.Budget{Tokens: 160},
	})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(r.Texts[0].Segments, func(s compressors.SegmentResult) bool { return s.Name == "helper" })
	s := r.Texts[0].Segments[i]
	if !s.Kept || !s.SignatureOnly || s.KeptTokens == 0 || s.KeptTokens >= s.Tokens/2 {
		t.Fatalf("helper: kept %v, only its signature %v, %d of %d tokens, in\n%s", s.Kept, s.SignatureOnly, s.KeptTokens, s.Tokens, r.Texts[0].Output)
	}
	if got := compressors.Undefined(r.Texts); !slices.Equal(got, []string{"in"}) {
		t.Errorf("undefined %q, want the type of the signature alone, in\n%s", got, r.Texts[0].Output)
	}
}
