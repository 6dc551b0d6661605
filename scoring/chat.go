package scoring

import (
	"errors"
	"regexp"
	"strings"

	"github.com/pith-llm/pith/scoring/gguf"
)

// Message is one message of a conversation.
type Message struct {
	Role    string // "system", "user", "assistant", or another that the model may not know
	Content string
}

// ErrNoChat is returned by ChatPrompt of a model that was not made for conversations in ChatML.
var ErrNoChat = errors.New("the model has no ChatML template")

const (
	messageStart = "<|im_start|>"
	messageEnd   = "<|im_end|>"
	endOfText    = "<|endoftext|>"
)

// defaultSystem returns what a chat template in ChatML puts first where a conversation has no system message; empty if it
// puts nothing. Templates spell it as one literal of Jinja.
func defaultSystem(template string) string {
	if m := systemLiteral.FindStringSubmatch(template); m != nil {
		return m[1]
	}
	return ""
}

var systemLiteral = regexp.MustCompile(`<\|im_start\|>system(?:\\n|\n)([^'{}<]+)<\|im_end\|>`)

// isChatML reports whether a model's chat template (Jinja) is ChatML, the only one that ChatPrompt writes.
func isChatML(template string) bool {
	return strings.Contains(template, messageStart) && strings.Contains(template, messageEnd)
}

// ChatPrompt returns the tokens of a conversation as the model's chat template writes them, with the beginning of the
// assistant's answer. What the messages say is plain text: "<|im_end|>" in it ends no message.
func (lm *LM) ChatPrompt(messages []Message) ([]int32, error) {
	if !lm.chatML {
		return nil, ErrNoChat
	}
	if lm.system != "" && (len(messages) == 0 || messages[0].Role != "system") {
		messages = append([]Message{{Role: "system", Content: lm.system}}, messages...)
	}
	var ids []int32
	for _, m := range messages {
		ids = lm.bpe.EncodeSpecial(ids, messageStart)
		ids = lm.bpe.Encode(ids, m.Role+"\n"+m.Content)
		ids = lm.bpe.EncodeSpecial(ids, messageEnd)
		ids = lm.bpe.Encode(ids, "\n")
	}
	ids = lm.bpe.EncodeSpecial(ids, messageStart)
	return lm.bpe.Encode(ids, "assistant\n"), nil
}

// answerEnds returns the tokens that end an answer: the model's end-of-sequence token, and the ends of message and text
// where it has them.
func (lm *LM) answerEnds(f *gguf.File) []int32 {
	var ends []int32
	if id, err := f.Uint("tokenizer.ggml.eos_token_id"); err == nil && id < uint64(lm.shape.vocab) {
		ends = append(ends, int32(id))
	}
	for _, token := range []string{messageEnd, endOfText} {
		if id, ok := lm.bpe.ID(token); ok {
			ends = append(ends, id)
		}
	}
	return ends
}
