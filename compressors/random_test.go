package compressors_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pith-llm/pith/compressors"
)

// TestRandomTexts puts together texts from what gives cutting, markers and proofs trouble, and checks every promise.
func TestRandomTexts(t *testing.T) {
	words := []string{
		"…2 lines…", "…", "… ", " …", " ", "  ", "\n", "\n\n", "\r\n", ". ", "A.", "B! ", "def f():", "class A:", "{", "}", "(",
		")", "#", "# x", "```", "---", "===", "import x", "x", "yy", "\t", "    ", "。", ",", "},", "\xff", "...", "func f() {",
		"type X struct {", "@d", "//c", "function g() {", "-", `"`, "'", "`", "if x {", "return",
	}
	languages := []string{"", "go", "python", "typescript", "tsx", "markdown", "text", "json", "java"}
	fine, err := compressors.NewSegmenter(compressors.SegmenterOptions{CountTokens: countTokens, GroupTokens: 6})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*compressors.Compressor{
		mustNew(t, compressors.Options{MinTokens: 1, MinSaving: 1}),
		mustNew(t, compressors.Options{MinTokens: 1, MinSaving: 1, Dependencies: 0.5}),
		mustNew(t, compressors.Options{MinTokens: 1, MinSaving: 1, Segmenter: fine}),
	} {
		random := rand.New(rand.NewPCG(1, 2))
		for range 250 {
			var b strings.Builder
			for range random.IntN(120) {
				word, times := words[random.IntN(len(words))], 1
				if random.IntN(16) == 0 {
					times = random.IntN(300)
				}
				b.WriteString(strings.Repeat(word, times))
			}
			text := compressors.Text{Language: languages[random.IntN(len(languages))], Content: b.String()}
			input := compressors.Input{
				Query:  "q",
				Texts:  []compressors.Text{text, {Content: text.Content[:len(text.Content)/2]}},
				Budget: compressors.Budget{Tokens: 1 + random.IntN(1+2*countTokens(text.Content))},
			}
			r, err := c.Compress(t.Context(), input)
			if err != nil {
				t.Fatal(err)
			}
			checkResult(t, input, r)
		}
	}
}
