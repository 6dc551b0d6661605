package scoring

import (
	"fmt"

	"github.com/pith-llm/pith/kernels"
)

// KV holds the keys and values of a run of tokens that starts at position 0, so that other tokens can follow them without
// running them again. It is immutable once LogProbs has returned it and safe for concurrent use. It fits the LM that made
// it, and no other.
type KV struct {
	owner *LM // what computed it
	n     int // tokens
	room  int // tokens that the storage has space for
	// One of two storages, [layers, room, kvWidth]: F32 keeps float32, Int8 half as much.
	k32, v32 []float32
	k16, v16 []kernels.BF16
	// last is the hidden state of the last token before the output norm, [d]: it predicts the token that follows. nil if it
	// is not known, as of the head of another KV.
	last []float32
}

// newKV returns room for so many tokens.
func (lm *LM) newKV(room int) *KV {
	s := lm.shape
	n := s.depth * room * s.kvWidth()
	kv := &KV{owner: lm, room: room, last: make([]float32, s.d)}
	if lm.options.Precision == F32 {
		kv.k32, kv.v32 = make([]float32, n), make([]float32, n)
	} else {
		kv.k16, kv.v16 = make([]kernels.BF16, n), make([]kernels.BF16, n)
	}
	return kv
}

func (kv *KV) float32s() (k, v []float32)   { return kv.k32, kv.v32 }
func (kv *KV) bf16s() (k, v []kernels.BF16) { return kv.k16, kv.v16 }

// Len returns the number of tokens.
func (kv *KV) Len() int {
	if kv == nil {
		return 0
	}
	return kv.n
}

// Head returns the KV of the first n tokens, for other tokens to follow. It shares kv's memory. What its last token predicts
// is not known: a Sequence after it wants no log-probability of its own first token.
func (kv *KV) Head(n int) *KV {
	if n < 0 || n > kv.Len() {
		panic(fmt.Sprintf("scoring: the head of %d tokens of a KV of %d", n, kv.Len()))
	}
	if n == kv.Len() {
		return kv
	}
	head := *kv
	head.n, head.last = n, nil
	return &head
}

// predicts reports whether what follows the last token is known.
func (kv *KV) predicts() bool { return kv.Len() > 0 && kv.last != nil }

// Bytes returns the memory that the KV occupies.
func (kv *KV) Bytes() int64 {
	if kv == nil {
		return 0
	}
	return int64(4*(cap(kv.k32)+cap(kv.v32)+cap(kv.last)) + 2*(cap(kv.k16)+cap(kv.v16)) + 160)
}

// take makes kv, empty so far, hold what prefix holds.
func (kv *KV) take(prefix *KV, s decoderShape) {
	if prefix.Len() == 0 {
		return
	}
	width := s.kvWidth()
	for l := range s.depth {
		from, to, n := l*prefix.room*width, l*kv.room*width, prefix.n*width
		if kv.k32 != nil {
			copy(kv.k32[to:to+n], prefix.k32[from:])
			copy(kv.v32[to:to+n], prefix.v32[from:])
		} else {
			copy(kv.k16[to:to+n], prefix.k16[from:])
			copy(kv.v16[to:to+n], prefix.v16[from:])
		}
	}
	copy(kv.last, prefix.last)
	kv.n = prefix.n
}

// lastRow is the hidden state of the last token, [d]; nil without one.
func (kv *KV) lastRow() []float32 {
	if kv == nil {
		return nil
	}
	return kv.last
}
