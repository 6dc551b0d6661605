package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
)

// Key names a value by what it was computed from: the SHA-256 of labelled parts.
type Key [sha256.Size]byte

// String returns the key in 64 hex digits.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// KeyBuilder makes a Key out of labelled parts. Two builders give the same key only if they were given the same kind and
// then the same labels and values in the same order: every part is hashed with its type and lengths, so that none can run
// into the next. It is not safe for concurrent use.
type KeyBuilder struct {
	hash hash.Hash
	buf  []byte
}

// NewKey starts a key of a kind, such as "vector"; keys of different kinds never meet.
func NewKey(kind string) *KeyBuilder {
	b := &KeyBuilder{hash: sha256.New()}
	return b.Text("kind", kind)
}

// Text adds a text.
func (b *KeyBuilder) Text(label, value string) *KeyBuilder {
	b.start('t', label, len(value))
	for len(value) > 0 { // through a buffer, as hash.Hash takes no string
		n := min(len(value), cap(b.buf))
		b.buf = append(b.buf[:0], value[:n]...)
		b.hash.Write(b.buf)
		value = value[n:]
	}
	return b
}

// Int adds a number.
func (b *KeyBuilder) Int(label string, value int) *KeyBuilder {
	b.start('i', label, 8)
	b.buf = binary.LittleEndian.AppendUint64(b.buf[:0], uint64(value))
	b.hash.Write(b.buf)
	return b
}

// Key adds another key, so that parts which many keys share are hashed once.
func (b *KeyBuilder) Key(label string, value Key) *KeyBuilder {
	b.start('k', label, len(value))
	b.hash.Write(value[:])
	return b
}

// Sum returns the key of the parts so far.
func (b *KeyBuilder) Sum() Key {
	var k Key
	b.hash.Sum(k[:0])
	return k
}

// start hashes what comes before a value: its type, and both lengths as fixed-width numbers.
func (b *KeyBuilder) start(kind byte, label string, length int) {
	if b.buf == nil {
		b.buf = make([]byte, 0, 4<<10)
	}
	b.buf = append(b.buf[:0], kind)
	b.buf = binary.LittleEndian.AppendUint64(b.buf, uint64(len(label)))
	b.buf = append(b.buf, label...)
	b.buf = binary.LittleEndian.AppendUint64(b.buf, uint64(length))
	b.hash.Write(b.buf)
}
