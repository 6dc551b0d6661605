package tokenizer

import (
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/tiktoken-go/tokenizer/codec"
)

// Counter counts and finds the tokens of an OpenAI encoding, equal to github.com/tiktoken-go/tokenizer, whose vocabulary
// it uses, and many times as fast. It never yields special tokens: text such as "<|endoftext|>" is plain characters.
// Two differences, where the library (v0.10.0) departs from its own expressions and we are equal to OpenAI's tiktoken:
// U+007F is a token, and white space is cut after its last line end rather than the first if other space lies between.
//
// Text that is not valid UTF-8 is taken as if each byte outside a valid character were U+FFFD, which is what a JSON
// decoder would have made of it.
type Counter struct {
	name  string
	split splitter
	ranks func() (*ranks, error)
}

// NewCounter returns the counter of "o200k_base" or "cl100k_base". The vocabulary is loaded on first use (a fraction of a
// second) and shared by all counters of the same name.
func NewCounter(encoding string) (*Counter, error) {
	switch encoding {
	case "o200k_base":
		return &Counter{encoding, splitO200K, loadO200K}, nil
	case "cl100k_base":
		return &Counter{encoding, splitCL100K, loadCL100K}, nil
	}
	return nil, fmt.Errorf("encoding %q is not known: choose o200k_base or cl100k_base", encoding)
}

// The highest ids are those of the special tokens, which are not in the vocabulary.
var (
	loadO200K  = sync.OnceValues(func() (*ranks, error) { return newRanks(codec.NewO200kBase(), 199_998) })
	loadCL100K = sync.OnceValues(func() (*ranks, error) { return newRanks(codec.NewCl100kBase(), 100_256) })
)

// Name returns the encoding's name.
func (c *Counter) Name() string { return c.name }

// Count returns the number of tokens of text.
func (c *Counter) Count(text string) int {
	_, n := c.encode(nil, text, true)
	return n
}

// Encode appends the tokens of text to dst.
func (c *Counter) Encode(dst []int32, text string) []int32 {
	dst, _ = c.encode(dst, text, false)
	return dst
}

func (c *Counter) encode(dst []int32, text string, count bool) ([]int32, int) {
	if text == "" {
		return dst, 0
	}
	r := c.mustRanks()
	if !utf8.ValidString(text) {
		text = string([]rune(text))
	}
	var m *merger
	tokens := 0
	for i := 0; i < len(text); {
		end := c.split(text, i)
		word := text[i:end]
		i = end
		if id, ok := r.id(word); ok {
			tokens++
			if !count {
				dst = append(dst, id)
			}
			continue
		}
		if m == nil {
			m = mergers.Get().(*merger)
			defer m.release()
		}
		var n int
		dst, n = m.merge(dst, word, &r.single, r, count)
		tokens += n
	}
	return dst, tokens
}

// Decode returns the text of tokens. Part of a character may be missing at either end. An id that the encoding does not
// use is an error.
func (c *Counter) Decode(ids []int32) (string, error) {
	r := c.mustRanks()
	var b strings.Builder
	for _, id := range ids {
		if id < 0 || int(id) >= len(r.ends)-1 || r.token(id) == "" {
			return "", fmt.Errorf("token %d is not in %s", id, c.name)
		}
		b.WriteString(r.token(id))
	}
	return b.String(), nil
}

// mustRanks loads the vocabulary. It is compiled into the program, so a failure is a broken build.
func (c *Counter) mustRanks() *ranks {
	r, err := c.ranks()
	if err != nil {
		panic(err)
	}
	return r
}
