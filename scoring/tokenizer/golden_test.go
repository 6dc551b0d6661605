package tokenizer_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	for _, g := range readGolden(t, "encoder.jsonl") {
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

// The texts and tokens are those of Hugging Face's tokenizers 0.23 for Python, set up as the models' own: the texts of
// nasty, and random ones of characters that the normalisers and expressions tell apart.
func TestTokensEqualHuggingFace(t *testing.T) {
	b, w := decoder(t), encoder(t)
	file, err := os.ReadFile("testdata/huggingface.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range strings.Lines(string(file)) {
		var want struct {
			Text          string
			Smollm2, Bert []int32
		}
		if err := json.Unmarshal([]byte(line), &want); err != nil {
			t.Fatal(err)
		}
		lines++
		if got := b.Encode(nil, want.Text); !slices.Equal(got, want.Smollm2) {
			t.Errorf("decoder, %q:\n got %v\nwant %v", want.Text, got, want.Smollm2)
		}
		if got := w.Encode(want.Text, 256); !slices.Equal(got, want.Bert) {
			t.Errorf("encoder, %q:\n got %v\nwant %v", want.Text, got, want.Bert)
		}
	}
	if lines < 400 {
		t.Errorf("the file has only %d lines", lines)
	}
}

func TestSpecialTokens(t *testing.T) {
	b := decoder(t)
	start, ok := b.ID("<|im_start|>")
	if !ok || b.Len() != 49152 {
		t.Fatalf("<|im_start|> known: %v; %d tokens", ok, b.Len())
	}
	const text = "a<|im_start|>user\n<|im_start|><|im_x|>"
	plain, special := b.Encode(nil, text), b.EncodeSpecial(nil, text)
	if slices.Contains(plain, start) {
		t.Errorf("plain text gives a special token: %v", plain)
	}
	var want []int32
	want = b.Encode(want, "a")
	want = append(want, start)
	want = b.Encode(want, "user\n")
	want = append(want, start)
	want = b.Encode(want, "<|im_x|>")
	if !slices.Equal(special, want) {
		t.Errorf("got %v, want %v", special, want)
	}
	if got := b.Decode(special); got != text {
		t.Errorf("decoded as %q", got)
	}
	// Part of a character stays as bytes, and is a replacement character as text.
	if ids := b.Encode(nil, "😀"); string(b.DecodeBytes(nil, ids)) != "😀" || len(ids) < 2 || b.Decode(ids[:1]) != "\ufffd" {
		t.Errorf("an emoji gives %v, %q, of which the first is %q", ids, b.Decode(ids), b.Decode(ids[:1]))
	}
	if _, ok := b.ID("no such token"); ok {
		t.Error("an unknown token has an id")
	}
}

func TestBadVocabularies(t *testing.T) {
	good := func() tokenizer.Vocab {
		return tokenizer.Vocab{Tokens: []string{"a", "b", "ab", "<s>"}, Types: []int32{1, 1, 1, 3}, Merges: []string{"a b"}, Pre: "smollm"}
	}
	b, err := tokenizer.NewBPE(good())
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Encode(nil, "abba zab"); !slices.Equal(got, []int32{2, 1, 0, 2}) { // bytes without a token are dropped
		t.Errorf("got %v", got)
	}
	for name, spoil := range map[string]func(v *tokenizer.Vocab){
		"pre-tokenizer":    func(v *tokenizer.Vocab) { v.Pre = "gpt-9" },
		"types missing":    func(v *tokenizer.Vocab) { v.Types = v.Types[:2] },
		"empty":            func(v *tokenizer.Vocab) { v.Tokens, v.Types, v.Merges = nil, nil, nil },
		"twice":            func(v *tokenizer.Vocab) { v.Tokens[1] = "a" },
		"merge of one":     func(v *tokenizer.Vocab) { v.Merges = []string{"ab"} },
		"merge unknown":    func(v *tokenizer.Vocab) { v.Merges = []string{"b a"} },
		"special is empty": func(v *tokenizer.Vocab) { v.Tokens[3] = "" },
	} {
		v := good()
		spoil(&v)
		if _, err := tokenizer.NewBPE(v); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for name, v := range map[string]tokenizer.Vocab{
		"types missing": {Tokens: []string{"[CLS]", "[SEP]", "[UNK]"}, Types: []int32{3, 3}},
		"no [SEP]":      {Tokens: []string{"[CLS]", "[UNK]"}, Types: []int32{3, 3}},
		"twice":         {Tokens: []string{"[CLS]", "[SEP]", "[UNK]", "a", "a"}, Types: []int32{3, 3, 3, 1, 1}},
	} {
		if _, err := tokenizer.NewWordPiece(v.Tokens, v.Types); err == nil {
			t.Errorf("word pieces, %s: no error", name)
		}
	}
}
