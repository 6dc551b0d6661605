package tokenizer_test

import (
	"os"
	"strings"
	"testing"

	"github.com/tiktoken-go/tokenizer/codec"
)

// corpus returns named texts of about 100 KB: our own source, the models' golden file (numbers), prose, and one letter.
func corpus(tb testing.TB) map[string]string {
	tb.Helper()
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		return string(text)
	}
	code := read("split.go") + read("merge.go") + read("wordpiece.go")
	prose := "The committee, having met twice in the spring, could not agree whether the bridge's northern approach should be " +
		"widened before the harbour was dredged; the engineers favoured delay. Its minutes record that Alderman Thistlewood spoke at length.\n"
	return map[string]string{
		"code":    strings.Repeat(code, 4),
		"numbers": read("../testdata/golden/encoder.jsonl"),
		"prose":   strings.Repeat(prose, 400),
		"letter":  strings.Repeat("a", 1<<20),
		"spaces":  strings.Repeat(" ", 1<<20),
	}
}

func BenchmarkCount(b *testing.B) {
	for _, encoding := range []string{"o200k_base", "cl100k_base"} {
		c := newCounter(b, encoding)
		for name, text := range corpus(b) {
			b.Run("encoding="+encoding+"/text="+name, func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					c.Count(text)
				}
			})
		}
	}
}

func BenchmarkLibraryCount(b *testing.B) {
	truth, text := codec.NewO200kBase(), corpus(b)["code"]
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := truth.Count(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	text := corpus(b)["code"]
	bpe, wordPiece := decoder(b), encoder(b)
	b.Run("model=smollm2", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		var ids []int32
		for b.Loop() {
			ids = bpe.Encode(ids[:0], text)
		}
	})
	b.Run("model=encoder", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			wordPiece.Encode(text, 0)
		}
	})
}
