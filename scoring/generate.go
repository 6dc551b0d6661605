package scoring

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pith-llm/pith/kernels"
)

// GenerateOptions say what to generate.
type GenerateOptions struct {
	// Prefix comes before Prompt; nil means that Prompt starts at position 0.
	Prefix *KV
	// Prompt is the tokens to continue, at least one; none where a whole Prefix precedes.
	Prompt []int32
	// MaxTokens bounds the answer; 0 means as many as the context has room for.
	MaxTokens int
	// Stop ends the answer before the first place where one of these texts appears. Empty ones are ignored.
	Stop []string
}

// FinishReason says why generation ended.
type FinishReason uint8

// The reasons: the model or a stop text ended the answer; MaxTokens or the context did.
const (
	FinishStop FinishReason = iota
	FinishLength
)

// String returns the reason as OpenAI's API spells it.
func (r FinishReason) String() string {
	if r == FinishLength {
		return "length"
	}
	return "stop"
}

// GenerateResult is a whole answer.
type GenerateResult struct {
	Text   string
	Tokens int // generated, the one that ended the answer included
	Reason FinishReason
}

// Generate continues the prompt with the most probable token each time, until the model ends its turn, a stop text
// appears, or MaxTokens is reached. emit gets the text as it becomes certain, in whole UTF-8 characters: never a part of
// a stop text that is complete later, so that the emitted texts joined are the result's. It may be nil; its error ends
// the generation and is returned.
//
// It fails with ErrContextLength if the prompt leaves no room for a token, and with ctx's error, which is looked at
// between layers. After the prompt it uses one worker at a time.
func (lm *LM) Generate(ctx context.Context, o GenerateOptions, emit func(text string) error) (GenerateResult, error) {
	before := o.Prefix.Len()
	if len(o.Prompt) == 0 && !o.Prefix.predicts() {
		return GenerateResult{}, errors.New("generate: the prompt is empty")
	}
	if o.Prefix != nil && o.Prefix.owner != lm {
		return GenerateResult{}, errors.New("generate: the prefix was computed by another model")
	}
	if err := lm.checkTokens(o.Prompt, before+1); err != nil {
		return GenerateResult{}, fmt.Errorf("generate: %w", err)
	}
	room := lm.shape.context - before - len(o.Prompt)
	if o.MaxTokens > 0 {
		room = min(room, o.MaxTokens)
	}
	d, err := lm.network.acquire()
	if err != nil {
		return GenerateResult{}, fmt.Errorf("load decoder: %w", err)
	}
	defer lm.network.release()
	kv := lm.newKV(before + len(o.Prompt) + room)
	kv.take(o.Prefix, lm.shape)
	if len(o.Prompt) > 0 {
		p := planner{lm: lm, network: d}
		p.cut(part{tokens: o.Prompt, own: kv, at: before, from: len(o.Prompt), last: kv.last}, longestPart(len(o.Prompt), len(d.idle)))
		if err := lm.runPacks(ctx, d, p.packs); err != nil {
			return GenerateResult{}, err
		}
		kv.n = before + len(o.Prompt)
	}
	out := answer{stop: o.Stop, emit: emit}
	next := make([]int32, 1)
	for n := 1; ; n++ {
		if next[0], err = lm.step(ctx, d, kv, next[:min(n-1, 1)]); err != nil {
			return GenerateResult{}, err
		}
		if slices.Contains(lm.ends, next[0]) {
			return out.result(n, FinishStop)
		}
		out.bytes = lm.bpe.DecodeBytes(out.bytes, next)
		stopped, err := out.advance()
		switch {
		case err != nil:
			return GenerateResult{}, err
		case stopped:
			return out.result(n, FinishStop)
		case n == room:
			return out.result(n, FinishLength)
		}
	}
}

// step appends tokens, if there are any, to kv and returns the most probable token after it. It holds a worker for that long
// only, so that other calls run in between.
func (lm *LM) step(ctx context.Context, d *decoder, kv *KV, tokens []int32) (int32, error) {
	w, err := d.borrow(ctx, lm)
	if err != nil {
		return 0, err
	}
	defer d.giveBack(w)
	if len(tokens) > 0 {
		p := part{tokens: tokens, own: kv, at: kv.n, last: kv.last}
		if err := w.run(ctx, []part{p}, lm.shape.d); err != nil {
			return 0, err
		}
		kv.n += len(tokens)
	}
	var best int32
	w.pass.logits(kv.last, 1, func(_ int, logits []float32) { best = int32(kernels.ArgMax(logits)) })
	return best, nil
}

// answer is the text generated so far and how much of it is out.
type answer struct {
	stop  []string
	emit  func(text string) error
	bytes []byte          // all that was decoded, less a stop text
	sent  int             // bytes of it that were emitted
	text  strings.Builder // what was emitted: bytes with what is no UTF-8 replaced
}

// advance emits what is certain: whole characters, up to where a stop text may have begun. It reports whether a stop text
// is complete; the answer is cut before it then.
func (a *answer) advance() (stopped bool, err error) {
	text := string(a.bytes[a.sent:])
	certain := len(text) - incomplete(text)
	first := -1
	for _, stop := range a.stop {
		if stop == "" {
			continue
		}
		if i := strings.Index(text, stop); i >= 0 && (first < 0 || i < first) {
			first = i
		}
		for i := max(0, len(text)-len(stop)+1); i < certain; i++ {
			if strings.HasPrefix(stop, text[i:]) {
				certain = i
			}
		}
	}
	if first >= 0 {
		a.bytes = a.bytes[:a.sent+first]
		return true, a.flush(len(a.bytes))
	}
	return false, a.flush(a.sent + certain)
}

// flush emits the text up to the offset end.
func (a *answer) flush(end int) error {
	text := string([]rune(string(a.bytes[a.sent:end]))) // each byte that is no UTF-8 becomes U+FFFD
	a.sent = end
	a.text.WriteString(text)
	if text == "" || a.emit == nil {
		return nil
	}
	return a.emit(text)
}

// result ends the answer where it is.
func (a *answer) result(tokens int, reason FinishReason) (GenerateResult, error) {
	err := a.flush(len(a.bytes))
	return GenerateResult{Text: a.text.String(), Tokens: tokens, Reason: reason}, err
}

// incomplete is how many bytes at the end of text begin a character without completing it.
func incomplete(text string) int {
	for i := 1; i <= min(utf8.UTFMax-1, len(text)); i++ {
		tail := text[len(text)-i:]
		if utf8.RuneStart(tail[0]) {
			if utf8.FullRuneInString(tail) {
				return 0
			}
			return i
		}
	}
	return 0
}
