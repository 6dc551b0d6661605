package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Vocab is a byte-level BPE vocabulary as a GGUF file holds it.
type Vocab struct {
	// Tokens are the tokens by id, their bytes spelled as GPT-2 spells them (tokenizer.ggml.tokens).
	Tokens []string
	// Types are the tokens' types (tokenizer.ggml.token_type); those of type 3 (control) are the special tokens.
	Types []int32
	// Merges are the pairs to join, best first, each two tokens with a space between (tokenizer.ggml.merges).
	Merges []string
	// Pre names the pre-tokenizer (tokenizer.ggml.pre): "smollm" or "qwen2".
	Pre string
}

// tokenControl is the GGUF token type of special tokens.
const tokenControl = 3

// BPE is the byte-level byte-pair encoding of a decoder model.
type BPE struct {
	split   splitter
	compose bool     // the text is brought to Unicode's form NFC first
	bytes   []string // what each token stands for
	ids     map[string]int32
	special []string // the special tokens
	single  [256]int32
	pairs   pairs
}

// NewBPE checks the vocabulary and builds the encoding. Every merge must join two tokens to a third. A byte without a token
// of its own is dropped from what is encoded, as Hugging Face's tokenizers does; SmolLM2 lacks six control characters and
// the bytes that UTF-8 does not use.
func NewBPE(v Vocab) (*BPE, error) {
	b := &BPE{bytes: make([]string, len(v.Tokens)), ids: make(map[string]int32, len(v.Tokens))}
	switch v.Pre {
	case "smollm":
		b.split = splitSmol
	case "qwen2": // the file does not say it, but the model's own tokenizer composes characters
		b.split, b.compose = splitQwen2, true
	default:
		return nil, fmt.Errorf("pre-tokenizer %q is not known: smollm and qwen2 are", v.Pre)
	}
	if len(v.Tokens) != len(v.Types) {
		return nil, fmt.Errorf("the vocabulary has %d tokens but %d types", len(v.Tokens), len(v.Types))
	}
	if len(v.Tokens) == 0 || len(v.Tokens) > math.MaxInt32 || len(v.Merges) >= noRank {
		return nil, errors.New("the vocabulary is empty or too large")
	}
	for id, token := range v.Tokens {
		if _, ok := b.ids[token]; ok {
			return nil, fmt.Errorf("token %q is there twice", token)
		}
		b.ids[token] = int32(id)
		b.bytes[id] = token
		if v.Types[id] == tokenControl {
			if token == "" {
				return nil, fmt.Errorf("special token %d is empty", id)
			}
			b.special = append(b.special, token)
			continue
		}
		if raw, ok := unspell(token); ok {
			b.bytes[id] = raw
		}
	}
	for i := range b.single {
		id, ok := b.ids[string(spelling[i])]
		if !ok {
			id = -1
		}
		b.single[i] = id
	}
	b.pairs = newPairs(len(v.Merges))
	for rank, merge := range v.Merges {
		left, right, ok := strings.Cut(merge, " ")
		if !ok {
			return nil, fmt.Errorf("merge %d is %q: it must be two tokens", rank, merge)
		}
		l, okLeft := b.ids[left]
		r, okRight := b.ids[right]
		joined, okJoined := b.ids[left+right]
		if !okLeft || !okRight || !okJoined {
			return nil, fmt.Errorf("merge %d is %q: not all of its tokens are in the vocabulary", rank, merge)
		}
		b.pairs.add(l, r, uint32(rank), joined)
	}
	return b, nil
}

// Len returns the number of tokens in the vocabulary.
func (b *BPE) Len() int { return len(b.bytes) }

// ID returns the id of a token by its own spelling, such as "<|im_start|>".
func (b *BPE) ID(token string) (int32, bool) {
	id, ok := b.ids[token]
	return id, ok
}

// Encode appends the tokens of text to dst. It never yields a special token: their names are plain characters.
func (b *BPE) Encode(dst []int32, text string) []int32 {
	if text == "" {
		return dst
	}
	if b.compose && !norm.NFC.IsNormalString(text) {
		text = composed(text)
	}
	m := mergers.Get().(*merger)
	defer m.release()
	for i := 0; i < len(text); {
		end := b.split(text, i)
		dst, _ = m.merge(dst, text[i:end], &b.single, &b.pairs, false)
		i = end
	}
	return dst
}

// composed returns text in Unicode's form NFC. Package norm breaks runs of more than 30 combining marks with graphemeJoiner,
// which the form does not ask for: it is taken out again, unless the text has some of its own.
func composed(text string) string {
	c := norm.NFC.String(text)
	if strings.Contains(text, graphemeJoiner) {
		return c
	}
	return strings.ReplaceAll(c, graphemeJoiner, "")
}

const graphemeJoiner = "\u034f"

// EncodeSpecial appends the tokens of text to dst, where the name of a special token is that token. Only for text that
// we write ourselves, such as a chat template.
func (b *BPE) EncodeSpecial(dst []int32, text string) []int32 {
	for text != "" {
		at, longest := len(text), ""
		for _, s := range b.special {
			if i := strings.Index(text, s); i >= 0 && (i < at || i == at && len(s) > len(longest)) {
				at, longest = i, s
			}
		}
		dst = b.Encode(dst, text[:at])
		if longest == "" {
			break
		}
		dst = append(dst, b.ids[longest])
		text = text[at+len(longest):]
	}
	return dst
}

// Decode returns the text of tokens, special ones by their names. Bytes that are not valid UTF-8, such as part of a
// character at the end, become U+FFFD. It panics if an id is out of range.
func (b *BPE) Decode(ids []int32) string {
	return strings.ToValidUTF8(string(b.DecodeBytes(nil, ids)), string(utf8.RuneError))
}

// DecodeBytes appends the bytes of tokens to dst, special ones by their names. It panics if an id is out of range.
func (b *BPE) DecodeBytes(dst []byte, ids []int32) []byte {
	for _, id := range ids {
		dst = append(dst, b.bytes[id]...)
	}
	return dst
}

// spelling is how GPT-2 writes bytes as printable characters (Radford et al. 2019, encoder.py, bytes_to_unicode):
// printable Latin-1 as itself, the rest from U+0100 on in order.
var spelling = func() (s [256]rune) {
	next := rune(0x100)
	for b := range s {
		switch {
		case b >= '!' && b <= '~', b >= 0xa1 && b <= 0xac, b >= 0xae:
			s[b] = rune(b)
		default:
			s[b] = next
			next++
		}
	}
	return s
}()

var spelled = func() map[rune]byte {
	m := make(map[rune]byte, 256)
	for b, r := range spelling {
		m[r] = byte(b)
	}
	return m
}()

// unspell returns the bytes that a token's characters stand for.
func unspell(token string) (string, bool) {
	raw := make([]byte, 0, len(token))
	for _, r := range token {
		b, ok := spelled[r]
		if !ok {
			return "", false
		}
		raw = append(raw, b)
	}
	return string(raw), true
}

// pairs is the table of merges, by open addressing.
type pairs struct {
	slots []pair // a power of two of them; joined 0 with rank noRank is empty
	shift uint8
}

type pair struct {
	left, right int32
	rank        uint32
	joined      int32
}

func newPairs(n int) pairs {
	log := uint8(1)
	for 1<<log < 2*n {
		log++
	}
	p := pairs{make([]pair, 1<<log), 64 - log}
	for i := range p.slots {
		p.slots[i].rank = noRank
	}
	return p
}

func (p *pairs) find(left, right int32) *pair {
	key := uint64(uint32(left))<<32 | uint64(uint32(right))
	for at := key * 0x9e3779b97f4a7c15 >> p.shift; ; at = (at + 1) & uint64(len(p.slots)-1) {
		if s := &p.slots[at]; s.rank == noRank || s.left == left && s.right == right {
			return s
		}
	}
}

// add keeps the first rank of a pair.
func (p *pairs) add(left, right int32, rank uint32, joined int32) {
	if s := p.find(left, right); s.rank == noRank {
		*s = pair{left, right, rank, joined}
	}
}

// join makes pairs a ranker.
func (p *pairs) join(_ string, _, _ int, left, right int32) (rank uint32, id int32) {
	s := p.find(left, right)
	return s.rank, s.joined
}
