package compressors_test

import (
	"context"
	"hash/fnv"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/pith-llm/pith/compressors"
)

// countTokens is a small tokenizer of the kind that upstreams use: words in pieces of at most six letters that take one
// space before them, digits in threes, line ends together, punctuation in pairs, other characters alone.
func countTokens(s string) int {
	const (
		start = iota
		space
		letter
		digit
		newline
		punct
	)
	tokens, class, run := 0, start, 0
	for _, r := range s {
		next, limit := punct, 2
		switch {
		case r == '\n' || r == '\r':
			next, limit = newline, 1<<30
		case r == ' ' || r == '\t':
			next, limit = space, 1<<30
		case r < 0x80 && unicode.IsLetter(r):
			next, limit = letter, 6
		case r < 0x80 && unicode.IsDigit(r):
			next, limit = digit, 3
		case r >= 0x80:
			limit = 1
		}
		if next == class && run < limit {
			run++
			continue
		}
		if class != space || run != 1 || next != letter {
			tokens++
		}
		class, run = next, 1
	}
	return tokens
}

// byHash scores segments by a hash of their text: any order, but always the same.
var byHash = compressors.ScorerFunc(func(_ context.Context, query string, candidates []compressors.Candidate) (compressors.Scores, error) {
	var s compressors.Scores
	for _, c := range candidates {
		h := fnv.New32a()
		h.Write([]byte(query + "\x00" + c.Text))
		s.Scores = append(s.Scores, compressors.Score{Value: float64(h.Sum32() % 1000)})
	}
	return s, nil
})

// checkSegments fails the test unless segments tile text within the limit and have parents that precede them.
func checkSegments(t *testing.T, text string, segments []compressors.Segment) {
	t.Helper()
	at := 0
	for i, s := range segments {
		if s.Start != at || s.End <= s.Start {
			t.Fatalf("segment %d is [%d, %d), want it to start at %d", i, s.Start, s.End, at)
		}
		if s.Parent >= i || s.Parent < -1 {
			t.Fatalf("segment %d has parent %d", i, s.Parent)
		}
		if n := countTokens(text[s.Start:s.End]); n > 512 {
			t.Fatalf("segment %d holds %d tokens", i, n)
		}
		at = s.End
	}
	if at != len(text) {
		t.Fatalf("segments end at %d of %d", at, len(text))
	}
}

// checkResult fails the test unless r keeps every promise about input.
func checkResult(t *testing.T, input compressors.Input, r compressors.Result) {
	t.Helper()
	budget := input.Budget.Tokens
	in, out, whole := 0, 0, true
	for i, text := range r.Texts {
		source := input.Texts[i].Content
		if err := compressors.Verify(source, text.Output); err != nil {
			t.Fatalf("text %d: %v\nsource %q\noutput %q", i, err, source, text.Output)
		}
		if text.TokensIn != countTokens(source) || text.TokensOut != countTokens(text.Output) {
			t.Fatalf("text %d counts %d and %d tokens, want %d and %d", i, text.TokensIn, text.TokensOut, countTokens(source), countTokens(text.Output))
		}
		if text.TokensOut > text.TokensIn {
			t.Fatalf("text %d grew from %d to %d tokens", i, text.TokensIn, text.TokensOut)
		}
		var b strings.Builder
		at := 0
		for _, p := range text.Parts {
			if p.Start != at {
				t.Fatalf("text %d: a part starts at %d, want %d", i, p.Start, at)
			}
			at = p.End
			switch {
			case p.Marker != "":
				b.WriteString(p.Marker)
			case !p.Dropped:
				b.WriteString(source[p.Start:p.End])
			}
		}
		if at != len(source) || b.String() != text.Output {
			t.Fatalf("text %d: the parts end at %d of %d and give %q, want %q", i, at, len(source), b.String(), text.Output)
		}
		for j, s := range text.Segments {
			if s.Kept && s.Parent >= 0 && !text.Segments[s.Parent].Kept {
				t.Fatalf("text %d: segment %d is kept without its parent %d", i, j, s.Parent)
			}
		}
		whole = whole && text.Skip != compressors.NotSkipped && text.Output == source
		in += text.TokensIn
		out += text.TokensOut
	}
	if in != r.TokensIn || out != r.TokensOut {
		t.Fatalf("the result counts %d and %d tokens, its texts %d and %d", r.TokensIn, r.TokensOut, in, out)
	}
	if out > budget && !whole {
		t.Fatalf("%d tokens kept, budget %d", out, budget)
	}
}

func FuzzCompress(f *testing.F) {
	f.Add("go", "package a\n\n// F does it.\nfunc F() {\n\treturn\n}\n", 20)
	f.Add("python", "class A:\n    def f(self):\n        pass\n\n    @x\n    def g(self):\n        return 1\n", 9)
	f.Add("markdown", "# A\n\nOne. Two. Three.\n\n## B\r\n\r\ntext\r\n", 5)
	f.Add("", "…2 lines…\n…2 lines…\na\nb\n # …1 lines…\n", 7)
	f.Add("text", strings.Repeat("A sentence that is not short. And … another one! ", 90), 300)
	f.Add("json", `[`+strings.Repeat(`{"id":12345,"name":"widget","tags":["a","b"]},`, 80)+`{}]`, 200)
	f.Add("tsx", "import a from 'b';\nexport const X = () => {\n  return <a/>;\n};\nclass B { m() {} }\n", 12)
	f.Add("json", "[{\n  \"a\": [1, 2, 3]\n}, {\n  \"b\": {}\n}]\n{\"c\":1}\n", 4)
	f.Add("json", `{"a":[`+strings.Repeat(`{"k":"some words, and more [of] them {here}"},`, 60)+`],"b":"`+strings.Repeat("long ", 200)+`"}`, 90)
	f.Add("html", "<h1>A</h1>\n<table><thead><tr><th>x</th></tr></thead>\n<tr><td>1</td></tr>\n"+strings.Repeat("<tr><td>y</td></tr>", 60)+"</table>", 40)
	f.Add("diff", "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n-a\n+b\n c\n", 12)
	f.Add("log", "2024-01-01 10:00:00 ERROR a\n  at b\nCaused by: c\n2024-01-01 10:00:01 INFO d\n", 15)
	f.Add("test", "=== FAILURES ===\n____ test_a ____\nE  x\n--- FAIL: TestB\nok  p\n", 12)
	f.Add("markdown", "text\n| a | b |\n|---|---|\n"+strings.Repeat("| 1 | 2 |\n", 60), 50)
	f.Add("text", strings.Repeat("x", 4000)+strings.Repeat(" ", 700)+"\x80\xff.  B", 100)
	languages := []string{
		"", "go", "python", "typescript", "tsx", "markdown", "text", "json", "java", "rust", "cpp", "c", "csharp", "kotlin", "scala",
		"swift", "ruby", "php", "bash", "css", "toml", "log", "grep", "diff", "test", "html", "csv", "yaml",
	}
	compressor, err := compressors.New(compressors.Options{Scorer: byHash, CountTokens: countTokens, MinTokens: 1, MinSaving: 1, Dependencies: 0.2})
	if err != nil {
		f.Fatal(err)
	}
	segmenter, err := compressors.NewSegmenter(compressors.SegmenterOptions{CountTokens: countTokens})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, language, content string, budget int) {
		if !slices.Contains(languages, language) {
			language = languages[len(language)%len(languages)]
		}
		text := compressors.Text{Language: language, Content: content}
		segments, err := segmenter.Segments(text)
		if err != nil {
			t.Fatal(err)
		}
		checkSegments(t, content, segments)
		// The second text has the first half, so that texts compete.
		input := compressors.Input{
			Query:  "q",
			Texts:  []compressors.Text{text, {Content: content[:len(content)/2]}},
			Budget: compressors.Budget{Tokens: 1 + int(uint(budget)%uint(1+countTokens(content)*2))},
		}
		r, err := compressor.Compress(t.Context(), input)
		if err != nil {
			t.Fatal(err)
		}
		checkResult(t, input, r)
	})
}
