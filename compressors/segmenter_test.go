package compressors_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pith-llm/pith/compressors"
)

func segments(t *testing.T, text compressors.Text) []compressors.Segment {
	t.Helper()
	s, err := compressors.NewSegmenter(compressors.SegmenterOptions{CountTokens: countTokens})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Segments(text)
	if err != nil {
		t.Fatal(err)
	}
	checkSegments(t, text.Content, got)
	return got
}

// outline writes segments as "kind name<parent", one a line.
func outline(list []compressors.Segment) string {
	var b strings.Builder
	for _, s := range list {
		fmt.Fprintf(&b, "%s %s<%d\n", s.Kind, s.Name, s.Parent)
	}
	return b.String()
}

func TestLongFunctionIsSignatureAndParts(t *testing.T) {
	var b strings.Builder
	b.WriteString("// long does much.\nfunc long(\n\ta int,\n\tb int,\n) int {\n")
	for i := range 60 {
		fmt.Fprintf(&b, "\tif a > %d {\n\t\tb += a * %d\n\t}\n\n", i, i)
	}
	b.WriteString("\treturn b\n}\n")
	source := "package p\n\n" + b.String()
	got := segments(t, compressors.Text{Name: "p.go", Content: source})
	if header := source[got[1].Start:got[1].End]; got[1].Kind != compressors.KindHeader || !strings.HasSuffix(header, ") int {\n") {
		t.Errorf("the second segment is a %s, %q, want the signature", got[1].Kind, header)
	}
	if len(got) < 5 {
		t.Errorf("%d segments, want several parts", len(got))
	}
	last := got[len(got)-1]
	if last.Kind != compressors.KindClosing || last.Parent != 1 || source[last.Start:last.End] != "}\n" {
		t.Errorf("the last segment is a %s, %q with parent %d, want the closing bracket", last.Kind, source[last.Start:last.End], last.Parent)
	}
	for _, s := range got[2 : len(got)-1] {
		if s.Parent != 1 || s.Name != "long" {
			t.Errorf("a part is %q with parent %d", s.Name, s.Parent)
		}
		if text := source[s.Start:s.End]; !strings.HasPrefix(text, "\tif") {
			t.Errorf("a part starts inside a statement: %.20q", text)
		}
	}
}

// What a definition is made of stays with it.
func TestDefinitions(t *testing.T) {
	pad := strings.Repeat("    # a comment line that makes the body longer than one group of lines is\n", 8)
	for _, c := range []struct{ name, language, source, want string }{
		{
			"go comment and blank line", "go",
			"package p\n\n// A is separate.\n\n// F does.\nfunc F() {}\n",
			"import <-1\nstatement <-1\nfunction F<-1\n",
		},
		{
			"go receivers", "go",
			"package p\n\nfunc (s *Set[K]) Add(k K) {}\n\nfunc (Set) Len() int { return 0 }\n\ntype Set[K any] struct{}\n",
			"import <-1\nfunction Set.Add<-1\nfunction Set.Len<-1\nclass Set<-1\n",
		},
		{
			"python decorators", "python",
			"import a\n\n@one\n@two(3)\ndef f():\n    pass\n\n# about g\nasync def g():\n    pass\n",
			"import <-1\nfunction f<-1\nfunction g<-1\n",
		},
		{
			"python class in a class", "python",
			"class A:\n    x = 1\n\n    class B:\n        def f(self):\n" + pad + "            pass\n\n        def g(self):\n            pass\n\n    def h(self):\n        pass\n",
			"header A<-1\nheader A.B<0\nmethod A.B.f<1\nmethod A.B.g<1\nmethod A.h<0\n",
		},
		{
			"typescript exports", "typescript",
			"import { a } from 'b';\nimport c from 'd';\n\nexport default function f() {}\n\nexport const g = async () => { return 1; };\n\nexport abstract class H { m() {} }\n\nexport enum E { A, B }\n\nconst x = 1, y = 2;\n",
			"import <-1\nfunction f<-1\nfunction g<-1\nclass H<-1\nclass E<-1\nstatement <-1\n",
		},
		{
			"jsx", "tsx",
			"const A = () => <div>{x}</div>;\n\nfunction B() { return <A<string> y={1} />; }\n",
			"function A<-1\nfunction B<-1\n",
		},
		{
			"two statements on a line", "go",
			"package p; import \"fmt\"; func F() {}\n\nfunc G() {}\n",
			"import <-1\nfunction G<-1\n",
		},
		{
			"sections", "markdown",
			"# A\n\ntext\n\n### B\n\ntext\n\n## C\ntext\n\n```\n# no heading\n```\n\nD\n=\n\nE\n===\ntext\n",
			"heading A<-1\ntext A<0\nheading B<0\ntext B<2\nheading C<0\ntext C<4\nheading E<-1\ntext E<6\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := outline(segments(t, compressors.Text{Language: c.language, Content: c.source}))
			if got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}

func TestLanguageIsFound(t *testing.T) {
	const prose = "package of the day\n\nNothing here is code. It is prose, and func is a word.\n"
	goCode := functions(3)
	for _, c := range []struct {
		name string
		text compressors.Text
		code bool
	}{
		{"extension", compressors.Text{Name: "a/b.go", Content: goCode}, true},
		{"content", compressors.Text{Name: "tool output", Content: goCode}, true},
		{"language against extension", compressors.Text{Name: "b.go", Language: "text", Content: goCode}, false},
		{"language in capitals", compressors.Text{Language: "Go", Content: goCode}, true},
		{"title like a file name", compressors.Text{Name: "The story of Node.js", Content: prose}, false},
		{"prose", compressors.Text{Content: prose}, false},
		{"prose in a source file", compressors.Text{Name: "a.py", Content: strings.Repeat("It's not a program, is it? No: (it is prose.\n", 20)}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := slices.ContainsFunc(segments(t, c.text), func(s compressors.Segment) bool {
				return s.Kind == compressors.KindFunction || s.Kind == compressors.KindImport
			})
			if got != c.code {
				t.Errorf("cut as code: %v, want %v", got, c.code)
			}
		})
	}
}

// Small neighbours share a segment, but never across a heading.
func TestGroups(t *testing.T) {
	list := strings.Repeat("- an item of a list\n\n", 10)
	got := segments(t, compressors.Text{Language: "markdown", Content: "# One\n\n" + list + "# Two\n\n" + list})
	if want := "heading One<-1\ntext One<0\nheading Two<-1\ntext Two<2\n"; outline(got) != want {
		t.Errorf("got\n%swant\n%s", outline(got), want)
	}
}

func TestLongLines(t *testing.T) {
	for name, content := range map[string]string{
		"sentences":   strings.Repeat("This is a sentence of a long line. ", 400),
		"records":     "[" + strings.Repeat(`{"id": 12345, "name": "Ada", "tags": ["a", "b"]}, `, 200) + "{}]",
		"no spaces":   strings.Repeat("x1", 20_000),
		"spaces":      strings.Repeat(" ", 20_000),
		"chinese":     strings.Repeat("这是一个很长的句子。", 500),
		"no breaks":   strings.Repeat("语", 5000),
		"not unicode": strings.Repeat("\xff\xfe", 5000),
	} {
		t.Run(name, func(t *testing.T) {
			for _, s := range segments(t, compressors.Text{Content: content}) {
				switch text := content[s.Start:s.End]; {
				case name == "sentences" && !strings.HasSuffix(text, ". "),
					name == "records" && s.Start > 0 && s.End < len(content) && !strings.HasSuffix(text, "}, ") && s.Kind != compressors.KindClosing && content[s.End:] != "]",
					name == "chinese" && !strings.HasSuffix(text, "。"),
					name == "no breaks" && len(text)%len("语") != 0:
					t.Fatalf("a segment ends in %q", text[max(0, len(text)-20):])
				}
			}
		})
	}
}

// Deep nesting and endless errors must not keep the parser busy, nor overflow what a scanner keeps: these texts take it
// minutes or more, or stop the process.
func TestHostileCode(t *testing.T) {
	for _, c := range []struct{ language, unit string }{
		{"go", "f("},
		{"go", `"`},
		{"go", "a?b:"},
		{"python", "<a>"},
		{"python", "\\\n"},
		{"tsx", "class A:\n"},
		{"tsx", `"""`},
		{"java", "template<"},
		{"rust", "r#\"\n"},
		{"typescript", "/*\n"},
		{"ruby", "a.\n"},
		{"bash", "\x00\n"},
		{"c", "#if A\n"},
		{"kotlin", `"}${`},
		{"ruby", "<<" + strings.Repeat("A", 300) + "\n"},
		{"bash", "<<" + strings.Repeat("A", 1015) + "\n"},
	} {
		t.Run(fmt.Sprintf("%s %q", c.language, c.unit), func(t *testing.T) {
			start := time.Now()
			segments(t, compressors.Text{Language: c.language, Content: strings.Repeat(c.unit, 130_000/len(c.unit))})
			if d := time.Since(start); d > 30*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

func TestSegmenterIsConcurrent(t *testing.T) {
	s, err := compressors.NewSegmenter(compressors.SegmenterOptions{CountTokens: countTokens})
	if err != nil {
		t.Fatal(err)
	}
	text := compressors.Text{Name: "a.go", Content: functions(50)}
	want, err := s.Segments(text)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 10 {
				got, err := s.Segments(text)
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("segments differ (%v)", err)
				}
			}
		})
	}
	group.Wait()
}

func BenchmarkSegments(b *testing.B) {
	s, err := compressors.NewSegmenter(compressors.SegmenterOptions{CountTokens: func(s string) int { return (len(s) + 3) / 4 }})
	if err != nil {
		b.Fatal(err)
	}
	text := compressors.Text{Name: "a.go", Content: functions(2000)}
	b.SetBytes(int64(len(text.Content)))
	for b.Loop() {
		if _, err := s.Segments(text); err != nil {
			b.Fatal(err)
		}
	}
}
