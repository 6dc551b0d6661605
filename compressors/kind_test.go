package compressors_test

import (
	"strings"
	"testing"

	"github.com/pith-llm/pith/compressors"
)

func TestKindIsFoundFromContent(t *testing.T) {
	lines := func(list ...string) string { return strings.Repeat(strings.Join(list, "\n")+"\n", 3) }
	for _, c := range []struct {
		name, content string
		want          compressors.TextKind
	}{
		{"times are no paths", lines("12:30:01:start of it", "12:30:02:end of it", "2015-07-29T17:41:44:INFO next"), compressors.LogText},
		{"addresses are no paths", lines("10.0.0.1:8080: refused", "10.0.0.2:8080: refused", "10.0.0.3:8080: accepted"), compressors.PlainText},
		{"times in hits", lines("a/log.txt:1:10:00:01 INFO started", "a/log.txt:2:10:00:02 INFO stopped", "b/log.txt:9:10:00:03 ERROR"), compressors.SearchText},
		{"records inside an error line", lines(`[error] bad request: [{"some": "data"}]`, `[error] bad request: [{"some": "data"}]`), compressors.LogText},
		{"brackets that open entries", lines("[2024-01-01 10:00:00] a", "[2024-01-01 10:00:01] b"), compressors.LogText},
		{"six digits for a date", lines("081109 203615 148 INFO dfs.DataNode: terminating", "081109 203807 222 INFO dfs.DataNode: terminating"), compressors.LogText},
		{"an entry with a long trace", "2024-01-01 10:00:00 ERROR x\n" + strings.Repeat("\tat a.b.C(C.java:1)\n", 30) + "2024-01-01 10:00:01 INFO y\n2024-01-01 10:00:02 INFO z\n", compressors.LogText},
		{"a list of strings", `["a", "b"]`, compressors.JSONText},
		{"a list of lists", "[\n  [1, 2],\n  [3, 4]\n]\n", compressors.JSONText},
		{"a quotation in brackets", `["It is done," he said.] And so on it went.`, compressors.PlainText},
		{"a template in braces", "{name} is not here.\n", compressors.PlainText},
		{"a commit", "commit 1\n\n    Mend it\n\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", compressors.DiffText},
		{"rules in a text", "A\n--- \nB\n+++ \nC\n", compressors.PlainText},
		{"a failure beside a diff", "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n===== 1 failed, 2 passed in 0.1s =====\n", compressors.TestText},
		{"a piece of a page", "<h2 id=\"a\">A</h2>\n<p>text</p>\n<p>more</p>\n", compressors.HTMLText},
		{"a component", "<script>\nimport a from 'b';\n</script>\n<div></div><p></p>\n", compressors.PlainText},
		{"quoted fields", lines(`1,"Lund, Ada",Oslo`, `2,"Berg, Nils",Bergen`), compressors.TableText},
		{"commas of prose", lines("Well, yes, I came, and I saw.", "No, I did not, though.", "Then, at last, we left."), compressors.PlainText},
		{"headings", "# A\n\ntext\n\n## B\n\ntext\n", compressors.MarkdownText},
		{"comments of code", "# one\n# two\nimport os\n\n\ndef f(a):\n    return os.path.join(a)\n\n\nclass B:\n    pass\n", compressors.CodeText},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := compressors.KindOf(compressors.Text{Content: c.content}); got != c.want {
				t.Errorf("taken for %s, want %s", got, c.want)
			}
		})
	}
}

func TestKindsHaveFamilies(t *testing.T) {
	for kind, want := range map[compressors.TextKind]compressors.Family{
		compressors.PlainText: compressors.Prose, compressors.MarkdownText: compressors.Prose, compressors.CodeText: compressors.Code,
		compressors.JSONText: compressors.Records, compressors.LogText: compressors.Records, compressors.TableText: compressors.Records,
	} {
		if got := kind.Family(); got != want {
			t.Errorf("%s belongs to %s, want %s", kind, got, want)
		}
	}
}

// A text that is taken for what it is not is still cut at whole lines, unless a line is too long for its segment.
func TestEveryTextAsEveryKind(t *testing.T) {
	sources := goldenSources(t)
	languages := []string{"text", "markdown", "code", "json", "log", "search", "diff", "test", "html", "csv"}
	for name := range sources {
		languages = append(languages, name)
	}
	for name, source := range sources {
		content := source.content
		for _, language := range languages {
			for _, s := range segments(t, compressors.Text{Language: language, Content: content}) {
				if s.Start == 0 || content[s.Start-1] == '\n' {
					continue
				}
				line := content[strings.LastIndexByte(content[:s.Start], '\n')+1:]
				if line, _, _ = strings.Cut(line, "\n"); len(line) <= 256 {
					t.Errorf("%s as %s: a segment starts inside the line %q", name, language, line)
				}
			}
		}
	}
}
