package tokenizer

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxWordChars is the most characters of a word that is looked up: a longer one is [UNK].
const maxWordChars = 100

// wordStart is how GGUF marks a token that starts a word.
const wordStart = "\u2581"

// WordPiece is the lower-casing tokenizer of a BERT encoder (Devlin et al. 2019; Wu et al. 2016, section 4.1).
type WordPiece struct {
	starts, rest  map[string]int32 // tokens that start a word, and those that go on
	longest       int              // bytes of the longest token
	cls, sep, unk int32
}

// NewWordPiece builds the tokenizer from a GGUF file's tokens and their types: those of type 1 start a word if they begin
// with U+2581 and go on in one otherwise; the others stand as they are, [CLS], [SEP] and [UNK] among them.
func NewWordPiece(tokens []string, types []int32) (*WordPiece, error) {
	if len(tokens) != len(types) {
		return nil, fmt.Errorf("the vocabulary has %d tokens but %d types", len(tokens), len(types))
	}
	w := &WordPiece{starts: make(map[string]int32, len(tokens)), rest: make(map[string]int32)}
	special := map[string]int32{}
	for id, token := range tokens {
		into := w.rest
		if types[id] != 1 {
			into = special
		} else if s, ok := strings.CutPrefix(token, wordStart); ok {
			into, token = w.starts, s
		}
		if _, ok := into[token]; ok {
			return nil, fmt.Errorf("token %q is there twice", token)
		}
		into[token] = int32(id)
		w.longest = max(w.longest, len(token))
	}
	var okCLS, okSEP, okUNK bool
	w.cls, okCLS = special["[CLS]"]
	w.sep, okSEP = special["[SEP]"]
	w.unk, okUNK = special["[UNK]"]
	if !okCLS || !okSEP || !okUNK {
		return nil, errors.New("the vocabulary lacks one of [CLS], [SEP] and [UNK]")
	}
	return w, nil
}

// Encode returns the tokens of text with [CLS] before and [SEP] after them, cut to limit in all; 0 means no limit.
// Special tokens in the text are plain characters. It reads no more of the text than the limit needs.
func (w *WordPiece) Encode(text string, limit int) []int32 {
	ids := make([]int32, 1, 64)
	ids[0] = w.cls
	if limit == 0 {
		limit = len(text) + 2 // a byte gives at most one token
	}
	for word := range words(text) {
		if len(ids) >= limit-1 {
			break
		}
		ids = w.word(ids, word)
	}
	return append(ids[:max(1, min(len(ids), limit-1))], w.sep)
}

// word appends the tokens of a word: the longest token that fits, again and again; [UNK] if none fits somewhere.
func (w *WordPiece) word(ids []int32, word string) []int32 {
	if len(word) > maxWordChars && utf8.RuneCountInString(word) > maxWordChars {
		return append(ids, w.unk)
	}
	before := len(ids)
	from := w.starts
	for word != "" {
		n := min(len(word), w.longest)
		for ; n > 0; n-- {
			if id, ok := from[word[:n]]; ok {
				ids = append(ids, id)
				break
			}
		}
		if n == 0 {
			return append(ids[:before], w.unk)
		}
		word = word[n:]
		from = w.rest
	}
	return ids
}

// words yields the words of text as BERT's normaliser and pre-tokenizer see them: control characters removed, accents
// stripped (canonical decomposition without non-spacing marks), lower case; cut at white space, punctuation and Chinese
// characters, of which the latter two are words of one character.
func words(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		var word []byte
		flush := func() bool {
			if len(word) == 0 {
				return true
			}
			ok := yield(string(word))
			word = word[:0]
			return ok
		}
		// one takes a character after decomposition.
		one := func(r rune, alone bool) bool {
			if unicode.IsSpace(r) {
				return flush()
			}
			if unicode.Is(unicode.Mn, r) {
				return true
			}
			r = unicode.ToLower(r)
			if alone || isPunctuation(r) {
				if !flush() {
					return false
				}
				word = utf8.AppendRune(word, r)
				return flush()
			}
			word = utf8.AppendRune(word, r)
			return true
		}
		for i := 0; i < len(text); {
			if b := text[i]; b < utf8.RuneSelf {
				i++
				if isRemoved(rune(b)) {
					continue
				}
				if !one(rune(b), false) {
					return
				}
				continue
			}
			r, n := utf8.DecodeRuneInString(text[i:])
			i += n
			if isRemoved(r) {
				continue
			}
			alone := isChinese(r)
			for _, r := range norm.NFD.String(text[i-n : i]) {
				if !one(r, alone) {
					return
				}
			}
		}
		flush()
	}
}

// isRemoved tells the characters that BERT drops: NUL, U+FFFD (so bytes that are not UTF-8 too) and control, format and
// private-use characters, but not tab and line ends.
func isRemoved(r rune) bool {
	switch {
	case r == '\t' || r == '\n' || r == '\r':
		return false
	case r < utf8.RuneSelf:
		return r < ' ' || r == 0x7f
	}
	return r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co)
}

func isPunctuation(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= '!' && r <= '/' || r >= ':' && r <= '@' || r >= '[' && r <= '`' || r >= '{' && r <= '~'
	}
	return unicode.Is(unicode.P, r)
}

// isChinese tells the characters of the CJK Unified Ideographs blocks that BERT lists.
func isChinese(r rune) bool {
	return r >= 0x4E00 && r <= 0x9FFF || r >= 0x3400 && r <= 0x4DBF || r >= 0x20000 && r <= 0x2A6DF ||
		r >= 0x2A700 && r <= 0x2B73F || r >= 0x2B740 && r <= 0x2B81F || r >= 0x2B920 && r <= 0x2CEAF ||
		r >= 0xF900 && r <= 0xFAFF || r >= 0x2F800 && r <= 0x2FA1F
}
