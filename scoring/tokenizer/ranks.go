package tokenizer

import (
	"fmt"
	"hash/maphash"
	"math/bits"

	"github.com/tiktoken-go/tokenizer/codec"
)

// ranks is the vocabulary of a byte-pair encoding whose token ids are the ranks of joining: an open-addressing table
// from a token's bytes to its id, built for words of a few bytes, which are kept in the table itself.
type ranks struct {
	slots []slot // a power of two of them
	shift uint8  // 64 - log2(len(slots))
	seed  maphash.Seed
	text  string   // all tokens, in order of id
	ends  []uint32 // token id is text[ends[id]:ends[id+1]]; empty where the id is not used

	single  [256]int32
	longest int // bytes of the longest token
}

// slot is one token: key is its bytes if there are at most eight, else their hash. Length 0 marks an empty slot.
type slot struct {
	key    uint64
	id     int32
	length uint32
}

// newRanks reads the vocabulary out of a codec, whose ids are below limit.
func newRanks(c *codec.Codec, limit int) (*ranks, error) {
	r := &ranks{seed: maphash.MakeSeed(), ends: make([]uint32, 1, limit+1)}
	buf := make([]byte, 0, 8*limit)
	tokens := 0
	for id := range limit {
		token, err := c.Decode([]uint{uint(id)})
		if err == nil {
			tokens++
			buf = append(buf, token...)
		}
		r.ends = append(r.ends, uint32(len(buf)))
	}
	r.text = string(buf)
	logSlots := bits.Len(uint(2 * tokens))
	r.slots, r.shift = make([]slot, 1<<logSlots), uint8(64-logSlots)
	for id := range limit {
		token := r.token(int32(id))
		if token == "" {
			continue
		}
		r.longest = max(r.longest, len(token))
		key := r.key(token)
		at := r.home(key, len(token))
		for r.slots[at].length != 0 {
			at = (at + 1) & (len(r.slots) - 1)
		}
		r.slots[at] = slot{key, int32(id), uint32(len(token))}
	}
	for b := range r.single {
		id, ok := r.id(string([]byte{byte(b)}))
		if !ok {
			return nil, fmt.Errorf("encoding %s has no token for byte %#x", c.GetName(), b)
		}
		r.single[b] = id
	}
	return r, nil
}

func (r *ranks) token(id int32) string { return r.text[r.ends[id]:r.ends[id+1]] }

// key packs up to eight bytes into an integer, and hashes more.
func (r *ranks) key(s string) uint64 {
	switch n := len(s); {
	case n > 8:
		return maphash.String(r.seed, s)
	case n >= 4:
		return uint64(load32(s)) | uint64(load32(s[n-4:]))<<(8*(n-4))
	case n >= 2:
		return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[n-1])<<(8*(n-1))
	case n == 1:
		return uint64(s[0])
	}
	return 0
}

func load32(s string) uint32 {
	_ = s[3]
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

func (r *ranks) home(key uint64, length int) int {
	return int((key + uint64(length)) * 0x9e3779b97f4a7c15 >> r.shift)
}

// id returns the token whose bytes are s.
func (r *ranks) id(s string) (int32, bool) {
	if len(s) > r.longest {
		return 0, false
	}
	key := r.key(s)
	for at := r.home(key, len(s)); ; at = (at + 1) & (len(r.slots) - 1) {
		slot := &r.slots[at]
		if slot.length == 0 {
			return 0, false
		}
		if slot.key == key && int(slot.length) == len(s) && (len(s) <= 8 || r.token(slot.id) == s) {
			return slot.id, true
		}
	}
}

// join makes ranks a ranker: two tokens join if their bytes together are a token.
func (r *ranks) join(word string, start, end int, _, _ int32) (rank uint32, id int32) {
	if id, ok := r.id(word[start:end]); ok {
		return uint32(id), id
	}
	return noRank, 0
}
