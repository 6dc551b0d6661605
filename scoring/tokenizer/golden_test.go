package tokenizer_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/pith-llm/pith/scoring/gguf"
	"github.com/pith-llm/pith/scoring/models"
	"github.com/pith-llm/pith/scoring/tokenizer"
)

type golden struct {
	Text, Prompt string
	IDs          []int32
	Segment      string
	Query        string
	SegmentIDs   []int32 `json:"segment_ids"`
	QueryIDs     []int32 `json:"query_ids"`
}

func readGolden(t *testing.T, name string) []golden {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "testdata", "golden", name))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var all []golden
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var g golden
		if err := json.Unmarshal(lines.Bytes(), &g); err != nil {
			t.Fatal(err)
		}
		all = append(all, g)
	}
	if err := lines.Err(); err != nil || len(all) == 0 {
		t.Fatalf("%s: %d lines, %v", name, len(all), err)
	}
	return all
}

func vocabulary(tb testing.TB, model string) tokenizer.Vocab {
	tb.Helper()
	f, err := gguf.Parse(model)
	if err != nil {
		tb.Fatal(err)
	}
	must := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	var v tokenizer.Vocab
	v.Tokens, err = f.Texts("tokenizer.ggml.tokens")
	must(err)
	v.Types, err = f.Ints("tokenizer.ggml.token_type")
	must(err)
	if f.Has("tokenizer.ggml.merges") {
		v.Merges, err = f.Texts("tokenizer.ggml.merges")
		must(err)
		v.Pre, err = f.Text("tokenizer.ggml.pre")
		must(err)
	}
	return v
}

func decoder(tb testing.TB) *tokenizer.BPE {
	tb.Helper()
	b, err := tokenizer.NewBPE(vocabulary(tb, models.Decoder))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func encoder(tb testing.TB) *tokenizer.WordPiece {
	tb.Helper()
	v := vocabulary(tb, models.Encoder)
	w, err := tokenizer.NewWordPiece(v.Tokens, v.Types)
	if err != nil {
		tb.Fatal(err)
	}
	return w
}

func TestDecoderTokensEqualTheReference(t *testing.T) {
	b := decoder(t)
	check := func(text string, got, want []int32) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%q:\n got %v\nwant %v", text, got, want)
		}
		if decoded := b.Decode(got); decoded != text {
			t.Errorf("%q is decoded as %q", text, decoded)
		}
	}
	for _, g := range readGolden(t, "smollm2-tokens.jsonl") {
		check(g.Text, b.Encode(nil, g.Text), g.IDs)
	}
	for _, g := range readGolden(t, "smollm2-conditional.jsonl") {
		check(g.Segment, b.Encode(nil, g.Segment), g.SegmentIDs)
		check(g.Query, b.Encode(nil, g.Query), g.QueryIDs)
	}
	for _, g := range readGolden(t, "smollm2-greedy.jsonl") {
		check(g.Prompt, b.EncodeSpecial(nil, g.Prompt), g.IDs)
	}
}

func TestEncoderTokensEqualTheReference(t *testing.T) {
	w := encoder(t)
	for _, g := range readGolden(t, "minilm.jsonl") {
		if got := w.Encode(g.Text, 256); !slices.Equal(got, g.IDs) {
			t.Errorf("%q:\n got %v\nwant %v", g.Text, got, g.IDs)
		}
		// A limit cuts the same tokens and keeps [CLS] and [SEP].
		limit := min(5, len(g.IDs))
		want := append(slices.Clone(g.IDs[:limit-1]), g.IDs[len(g.IDs)-1])
		if got := w.Encode(g.Text, limit); !slices.Equal(got, want) {
			t.Errorf("%q cut to %d:\n got %v\nwant %v", g.Text, limit, got, want)
		}
	}
}
