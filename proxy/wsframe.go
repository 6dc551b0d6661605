package proxy

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
)

// opcode is what a WebSocket frame holds (RFC 6455, section 5.2).
type opcode byte

const (
	opContinuation opcode = 0
	opText         opcode = 1
	opBinary       opcode = 2
	opClose        opcode = 8
	opPing         opcode = 9
	opPong         opcode = 10
)

// isControl reports whether frames of the kind may stand between those of a message.
func (o opcode) isControl() bool { return o >= opClose }

// maxControl is the most that a control frame may hold, in bytes.
const maxControl = 125

// errFrame is a frame that breaks the protocol.
var errFrame = errors.New("frame breaks the WebSocket protocol")

// frameHead is the head of a frame, and the bytes that spelled it.
type frameHead struct {
	op     opcode
	fin    bool
	masked bool
	mask   [4]byte
	length int64
	raw    [14]byte
	size   int // of the bytes
}

// bytes is the head as it came.
func (h *frameHead) bytes() []byte { return h.raw[:h.size] }

// readFrameHead reads the head of a frame. What the protocol forbids, and what only extensions allow, is errFrame; io.EOF
// means that the stream ended between frames.
func readFrameHead(r *bufio.Reader) (frameHead, error) {
	var h frameHead
	take := func(n int) ([]byte, error) {
		part := h.raw[h.size : h.size+n]
		_, err := io.ReadFull(r, part)
		if errors.Is(err, io.EOF) && h.size > 0 {
			err = io.ErrUnexpectedEOF
		}
		h.size += n
		return part, err
	}
	first, err := take(2)
	if err != nil {
		return h, err
	}
	h.fin, h.op, h.masked, h.length = first[0]&0x80 != 0, opcode(first[0]&0x0f), first[1]&0x80 != 0, int64(first[1]&0x7f)
	switch h.op {
	case opContinuation, opText, opBinary, opClose, opPing, opPong:
	default:
		return h, errFrame
	}
	if first[0]&0x70 != 0 || h.op.isControl() && (!h.fin || h.length > maxControl) {
		return h, errFrame
	}
	// The shortest spelling of a length is the only one.
	switch h.length {
	case 126:
		long, err := take(2)
		if err != nil {
			return h, err
		}
		if h.length = int64(binary.BigEndian.Uint16(long)); h.length < 126 {
			return h, errFrame
		}
	case 127:
		long, err := take(8)
		if err != nil {
			return h, err
		}
		if h.length = int64(binary.BigEndian.Uint64(long)); h.length < 1<<16 { // below 0 with the highest bit set
			return h, errFrame
		}
	}
	if h.masked {
		key, err := take(4)
		if err != nil {
			return h, err
		}
		copy(h.mask[:], key)
	}
	return h, nil
}

// newFrame spells a frame with a payload; mask is nil for a server's.
func newFrame(op opcode, payload []byte, mask *[4]byte) []byte {
	var flag byte
	if mask != nil {
		flag = 0x80
	}
	frame := append(make([]byte, 0, 14+len(payload)), 0x80|byte(op))
	switch n := len(payload); {
	case n < 126:
		frame = append(frame, flag|byte(n))
	case n < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, flag|126), uint16(n)) //nolint:gosec // bounded by the case
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, flag|127), uint64(n))
	}
	if mask == nil {
		return append(frame, payload...)
	}
	frame = append(frame, mask[:]...)
	at := len(frame)
	frame = append(frame, payload...)
	applyMask(*mask, frame[at:])
	return frame
}

// applyMask masks the payload of a frame, or unmasks it.
func applyMask(mask [4]byte, payload []byte) {
	word := uint64(binary.LittleEndian.Uint32(mask[:]))
	word |= word << 32
	for len(payload) >= 8 {
		binary.LittleEndian.PutUint64(payload, binary.LittleEndian.Uint64(payload)^word)
		payload = payload[8:]
	}
	for i := range payload {
		payload[i] ^= mask[i&3]
	}
}

// newMask returns a mask that nobody can foresee, as clients must use.
func newMask() *[4]byte {
	var mask [4]byte
	_, _ = rand.Read(mask[:]) // never fails, says its documentation
	return &mask
}

// closeCode says why a WebSocket is closed (RFC 6455, section 7.4.1).
type closeCode uint16

const (
	closeGoingAway closeCode = 1001
	closeProtocol  closeCode = 1002
	closeTooBig    closeCode = 1009
)

// closeFrame is the frame with which a server closes.
func closeFrame(code closeCode, reason string) []byte {
	return newFrame(opClose, append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...), nil)
}

// messages checks the order of a stream's data frames: a message is a first frame and continuations until one is final.
type messages struct {
	open bool
	op   opcode // of the message that is open, or was last
}

// next takes note of a data frame; errFrame says that it is out of order.
func (m *messages) next(h frameHead) error {
	if m.open != (h.op == opContinuation) {
		return errFrame
	}
	if !m.open {
		m.op = h.op
	}
	m.open = !h.fin
	return nil
}

// isHandshakeKey reports whether a Sec-WebSocket-Key is one: 16 bytes in base64.
func isHandshakeKey(value []byte) bool {
	key, err := base64.StdEncoding.DecodeString(string(value))
	return err == nil && len(key) == 16
}
