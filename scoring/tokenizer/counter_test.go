package tokenizer_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tiktoken-go/tokenizer/codec"

	"github.com/pith-llm/pith/scoring/tokenizer"
)

// nasty holds texts that take the expressions' less travelled ways.
var nasty = []string{
	"", " ", "  ", "\n", "\r\n", " \n", "\n ", "   \n  \n  x", "\t\t\tx", "x  ", "x \n", "a\u00a0\u00a0b", "\u2028\u2029 x", "\u0085\u0085a",
	"don't DON'T Don'T we'LL 's 'S 'ſ it'ſ I'm'll'd x'vex 'r 're 'lL 'l 'rE", "'", "''s", "' s", " 's",
	"ABCdef ABC abcDEF ABCDefGHI aB Ab AB ab A b HTTPServer XMLHttpRequest iPhone", "中文ABC文D", "中ABC", " 中ABC def", "ÀÉ中BCd", "ªº", "ǅabc ABǅ",
	"e\u0301 E\u0301A \u0301 \u0301\u0301 .\u0301 ..\u0301 \u0301. \u0301ABC \u0301ABCd  \u0301 \n\u0301 '\u0301s \u0301's", "\u0301", "a\u0301'S",
	"1 12 123 1234 12345678901 ①②③④ ٣٤٥٦ 1a2b ½¾⅓⅔ 1'000 3.14", "१२३४५", "𝟘𝟙𝟚𝟛",
	"// comment\n//\n///\n\n/x/\n//y", ";\n\n\n", "foo();\r\n\r\n\tbar", "{}[]()<>!=,;:--->>>===\n", "...\n/..", " /\n/ /", "-\u0301-", " \u200b\u200bx",
	"😀👨‍👩‍👧 🏳️‍🌈 x😀y", "Привет МИР нИ", "مرحبا שלום नमस्ते ไทย 한국어 日本語", "ﬁ ſ K", "\u00ad\u00adx", "<|endoftext|><|endofprompt|>",
	"\x00\x01\x7f", "\ufffd", "\ufeffx", "    return x\n        y", "a\tb\t\tc \t d", "x\r", "\r\r\n\n\r", " \r \n x", "ʰʰʰABC ʰABCd ABʰCD",
	strings.Repeat("a", 300), strings.Repeat("ab", 200), strings.Repeat(" ", 300) + "x", strings.Repeat("=", 200), strings.Repeat("\n", 200), strings.Repeat("中", 100),
	strings.Repeat("A", 65), strings.Repeat("xyzzy", 13), strings.Repeat("\u0301", 70), strings.Repeat("0", 1000),
}

var encodings = map[string]func() *codec.Codec{"o200k_base": codec.NewO200kBase, "cl100k_base": codec.NewCl100kBase}

// libraryErrs matches what tiktoken-go v0.10.0 does not cut as its own expression says: U+007F, which it drops, and white
// space with a line end before other space and one after, which it cuts at the first line end instead of the last.
// TestCounterEqualsTiktoken has such texts.
var libraryErrs = regexp.MustCompile(`\x7f|[\n\r][\t\v\f\x{85}\p{Z}]+[\n\r][\s\x{85}\p{Z}]*`)

// compare fails if the counter and the library differ on text.
func compare(t *testing.T, c *tokenizer.Counter, truth *codec.Codec, text string) {
	t.Helper()
	text = libraryErrs.ReplaceAllString(text, "")
	ids, _, err := truth.Encode(text)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]int32, len(ids))
	for i, id := range ids {
		want[i] = int32(id)
	}
	got := c.Encode(nil, text)
	if !slices.Equal(got, want) {
		t.Fatalf("%s of %q:\n got %v\nwant %v", c.Name(), text, got, want)
	}
	if n := c.Count(text); n != len(want) {
		t.Fatalf("%s of %q counts %d, want %d", c.Name(), text, n, len(want))
	}
	back, err := c.Decode(got)
	if err != nil || back != text {
		t.Fatalf("%s decodes %q as %q, %v", c.Name(), text, back, err)
	}
}

func newCounter(tb testing.TB, encoding string) *tokenizer.Counter {
	tb.Helper()
	c, err := tokenizer.NewCounter(encoding)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func TestCounterEqualsTheLibrary(t *testing.T) {
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := filepath.Glob("../testdata/golden/*.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	texts := slices.Clone(nasty)
	for _, name := range append(sources, golden...) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	for encoding, truth := range encodings {
		c := newCounter(t, encoding)
		for _, text := range texts {
			compare(t, c, truth(), text)
		}
		for _, a := range nasty {
			for _, b := range nasty {
				if len(a)+len(b) < 60 {
					compare(t, c, truth(), a+b)
				}
			}
		}
	}
}

// The texts and tokens are those of OpenAI's tiktoken 0.14 for Python, given the same vocabularies and its own expressions:
// the nasty texts, and random ones of characters that the expressions tell apart.
func TestCounterEqualsTiktoken(t *testing.T) {
	o200k, cl100k := newCounter(t, "o200k_base"), newCounter(t, "cl100k_base")
	file, err := os.ReadFile("testdata/tiktoken.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range strings.Lines(string(file)) {
		var want struct {
			Text          string
			O200k, Cl100k []int32
		}
		if err := json.Unmarshal([]byte(line), &want); err != nil {
			t.Fatal(err)
		}
		lines++
		if got := o200k.Encode(nil, want.Text); !slices.Equal(got, want.O200k) {
			t.Errorf("o200k of %q:\n got %v\nwant %v", want.Text, got, want.O200k)
		}
		if got := cl100k.Encode(nil, want.Text); !slices.Equal(got, want.Cl100k) {
			t.Errorf("cl100k of %q:\n got %v\nwant %v", want.Text, got, want.Cl100k)
		}
	}
	if lines < 600 {
		t.Errorf("the file has only %d lines", lines)
	}
}

// Every character alone, after a letter and before one: the class tables are those of the library.
func TestEveryCharacterFallsIntoItsClass(t *testing.T) {
	for encoding, truth := range encodings {
		c := newCounter(t, encoding)
		want := truth()
		var b strings.Builder
		for r := rune(0); r <= utf8.MaxRune; r++ {
			if !utf8.ValidRune(r) || r > 0x323af && r%509 != 0 {
				continue
			}
			b.WriteString("aB")
			b.WriteRune(r)
			b.WriteString("c 'x")
			b.WriteRune(r)
			if b.Len() > 4<<10 {
				compare(t, c, want, b.String())
				b.Reset()
			}
		}
		compare(t, c, want, b.String())
	}
}

func TestInvalidUTF8CountsAsReplacementCharacters(t *testing.T) {
	c := newCounter(t, "o200k_base")
	for _, text := range []string{"\xff", "a\xffb", "\xf0\x9f\x98", "é\xc3", "\xed\xa0\x80x", "\xc0\xaf"} {
		if got, want := c.Encode(nil, text), c.Encode(nil, string([]rune(text))); !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
	if got := c.Encode(nil, "\xff"); !slices.Equal(got, c.Encode(nil, "\ufffd")) || len(got) == 0 {
		t.Errorf("a stray byte gives %v", got)
	}
}

func TestUnknownEncodingAndToken(t *testing.T) {
	if _, err := tokenizer.NewCounter("gpt2"); err == nil {
		t.Error("gpt2 is taken for a known encoding")
	}
	c := newCounter(t, "o200k_base")
	for _, id := range []int32{-1, 199_998, 1 << 30} {
		if _, err := c.Decode([]int32{id}); err == nil {
			t.Errorf("token %d is decoded", id)
		}
	}
	text, err := c.Decode(c.Encode(nil, "…12 lines…"))
	if err != nil || text != "…12 lines…" {
		t.Errorf("got %q, %v", text, err)
	}
	if got := c.Encode(nil, "a\x7f"); !slices.Equal(got, []int32{64, 221}) {
		t.Errorf("U+007F gives %v", got)
	}
	if n := c.Count("…"); n != 1 {
		t.Errorf("the marker's ellipsis is %d tokens", n)
	}
}

// Long words join through the heap; were that quadratic, this would take hours.
func TestLongWords(t *testing.T) {
	for encoding, truth := range encodings {
		c := newCounter(t, encoding)
		for _, text := range []string{strings.Repeat("a", 1<<19), strings.Repeat("abcdefgh", 1<<13), strings.Repeat("中́", 1<<13), strings.Repeat(" ", 1<<19) + "x"} {
			compare(t, c, truth(), text)
		}
	}
}

func TestCountDoesNotAllocate(t *testing.T) {
	c := newCounter(t, "o200k_base")
	text := strings.Repeat("func (s *Server) handleXyzzy(ctx context.Context) error { return errFrobnicate }\n", 20)
	c.Count(text)
	// Under the race detector a pool drops some of what it is given, so that a few allocations are allowed.
	if n := testing.AllocsPerRun(100, func() { c.Count(text) }); n > 2 {
		t.Errorf("Count allocates %v times", n)
	}
}

func FuzzCounter(f *testing.F) {
	for _, text := range nasty {
		f.Add(text)
	}
	counters := map[*tokenizer.Counter]*codec.Codec{}
	for encoding, truth := range encodings {
		counters[newCounter(f, encoding)] = truth()
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			text = strings.ToValidUTF8(text, "\ufffd")
		}
		for c, truth := range counters {
			compare(t, c, truth, text)
		}
	})
}
