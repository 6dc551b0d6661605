package tokenizer_test

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"golang.org/x/text/unicode/norm"

	"github.com/pith-llm/pith/scoring/tokenizer"
)

// The vocabulary and the tokens are those of Hugging Face's tokenizers set up as Qwen2's: see testdata/qwen2.py.
func TestQwen2TokensEqualHuggingFace(t *testing.T) {
	file, err := os.ReadFile("testdata/qwen2.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Tokens, Merges []string
		Cases          []struct {
			Text string
			IDs  []int32
		}
	}
	if err := json.Unmarshal(file, &golden); err != nil {
		t.Fatal(err)
	}
	vocab := tokenizer.Vocab{Tokens: golden.Tokens, Types: make([]int32, len(golden.Tokens)), Merges: golden.Merges, Pre: "qwen2"}
	b, err := tokenizer.NewBPE(vocab)
	if err != nil {
		t.Fatal(err)
	}
	vocab.Pre = "smollm"
	other, err := tokenizer.NewBPE(vocab)
	if err != nil {
		t.Fatal(err)
	}
	differ := 0
	for _, c := range golden.Cases {
		got := b.Encode(nil, c.Text)
		if !slices.Equal(got, c.IDs) {
			t.Errorf("%q:\n got %v\nwant %v", c.Text, got, c.IDs)
		}
		// Composed text is decoded as it was; other text as its composed form.
		if back := b.Decode(got); back != c.Text && (norm.NFC.IsNormalString(c.Text) || !norm.NFC.IsNormalString(back)) {
			t.Errorf("%q is decoded as %q", c.Text, back)
		}
		if !slices.Equal(other.Encode(nil, c.Text), c.IDs) {
			differ++
		}
	}
	if len(golden.Cases) < 150 || differ < len(golden.Cases)/4 {
		t.Errorf("%d cases, of which %d would show another pre-tokenizer", len(golden.Cases), differ)
	}
}
