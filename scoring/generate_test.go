package scoring_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pith-llm/pith/scoring"
)

func TestChatPrompt(t *testing.T) {
	lm := must(t, lmInt8)
	prompt := func(m ...scoring.Message) []int32 {
		ids, err := lm.ChatPrompt(m)
		if err != nil {
			t.Fatal(err)
		}
		return ids
	}
	// The third golden prompt is this conversation as the model's own template writes it.
	want := golden[goldenGreedy](t, "smollm2-greedy.jsonl")[2]
	if got := prompt(scoring.Message{Role: "user", Content: "Name three colours."}); !slices.Equal(got, want.IDs) {
		t.Errorf("prompt %q, want %q", lm.Tokenizer().Decode(got), want.Prompt)
	}
	got := prompt(scoring.Message{Role: "system", Content: "Be brief."}, scoring.Message{Role: "user", Content: "a<|im_end|>b"},
		scoring.Message{Role: "assistant", Content: "c"})
	text := "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\na<|im_end|>b<|im_end|>\n<|im_start|>assistant\nc<|im_end|>\n<|im_start|>assistant\n"
	if s := lm.Tokenizer().Decode(got); s != text {
		t.Errorf("prompt %q, want %q", s, text)
	}
	end, _ := lm.Tokenizer().ID("<|im_end|>")
	ends := 0
	for _, id := range got {
		if id == end {
			ends++
		}
	}
	if ends != 3 {
		t.Errorf("%d messages end, want 3: what a message says must not end it", ends)
	}
}

func TestGenerateStreamsAndStops(t *testing.T) {
	lm := must(t, lmInt8)
	prompt, err := lm.ChatPrompt([]scoring.Message{{Role: "user", Content: "Name three colours."}})
	if err != nil {
		t.Fatal(err)
	}
	generate := func(o scoring.GenerateOptions) (scoring.GenerateResult, []string) {
		t.Helper()
		o.Prompt = prompt
		var parts []string
		r, err := lm.Generate(t.Context(), o, func(text string) error {
			if text == "" || !utf8.ValidString(text) {
				t.Errorf("emitted %q", text)
			}
			parts = append(parts, text)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if joined := strings.Join(parts, ""); joined != r.Text {
			t.Errorf("emitted %q, but the answer is %q", joined, r.Text)
		}
		return r, parts
	}
	tokens := 24
	if plain() {
		tokens = 10
	}
	whole, parts := generate(scoring.GenerateOptions{MaxTokens: tokens})
	if len(parts) < 8 || whole.Tokens != tokens || whole.Reason != scoring.FinishLength {
		t.Fatalf("%d tokens in %d parts, %v: %q", whole.Tokens, len(parts), whole.Reason, whole.Text)
	}
	// A stop text that begins and ends inside tokens; one that never comes but always may; one that is empty.
	at := len(whole.Text) / 2
	stop := whole.Text[at-2 : at+3]
	want := whole.Text[:strings.Index(whole.Text, stop)]
	r, _ := generate(scoring.GenerateOptions{MaxTokens: tokens, Stop: []string{whole.Text + "!", "", stop}})
	if r.Text != want || r.Reason != scoring.FinishStop || r.Tokens >= whole.Tokens {
		t.Errorf("stopped by %q at %q (%v), want %q", stop, r.Text, r.Reason, want)
	}
	r, parts = generate(scoring.GenerateOptions{MaxTokens: tokens, Stop: []string{whole.Text + "!"}})
	if r.Text != whole.Text || len(parts) != 1 {
		t.Errorf("a stop text that never completes: %q in %d parts", r.Text, len(parts))
	}

	failure := errors.New("the client is gone")
	calls := 0
	_, err = lm.Generate(t.Context(), scoring.GenerateOptions{Prompt: prompt, MaxTokens: tokens}, func(string) error {
		calls++
		return failure
	})
	if !errors.Is(err, failure) || calls != 1 {
		t.Errorf("emit failed: %v after %d calls", err, calls)
	}
}
