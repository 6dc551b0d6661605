package scoring_test

import (
	"testing"

	"github.com/pith-llm/pith/scoring"
)

// The system message of a conversation without one is the template's own, with a line end in Jinja's spelling or as it is.
func TestChatPromptTakesTheSystemMessageOfTheTemplate(t *testing.T) {
	for template, want := range map[string]string{
		`{%- if tools %}{{- '<|im_start|>system\n' }}{%- else %}{{- '<|im_start|>system\nYou are Q.<|im_end|>\n' }}{%- endif %}`: "<|im_start|>system\nYou are Q.<|im_end|>\n",
		"{{ '<|im_start|>system\nYou are S.<|im_end|>\n' }}":                                                                     "<|im_start|>system\nYou are S.<|im_end|>\n",
		"{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>'}}":                                        "",
	} {
		lm := newTinyWith("tokenizer.chat_template", template).load(t, scoring.LMOptions{Precision: scoring.F32, Workers: 1})
		ids, err := lm.ChatPrompt([]scoring.Message{{Role: "user", Content: "a"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := lm.Tokenizer().Decode(ids); got != want+"<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n" {
			t.Errorf("%q begins as %q", template, got)
		}
	}
}
