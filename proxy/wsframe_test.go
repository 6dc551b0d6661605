package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"testing"
)

// FuzzFrames reads bytes as a client's frames: what is passed on is what came, to the byte; messages that are gathered are
// the payloads unmasked, and are spelled again as they came; and what a frame says can be spelled anew.
func FuzzFrames(f *testing.F) {
	f.Add(frame(true, opText, `{"type":"response.create"}`, 1), 1000)
	f.Add(append(frame(false, opText, "a", 1), append(frame(true, opPing, "p", 7), frame(true, opContinuation, "b", 2)...)...), 10)
	f.Add(frame(true, opClose, "\x03\xe8bye", 3), 0)
	f.Add(frame(true, opBinary, string(make([]byte, 70_000)), 3), 100_000)
	f.Add([]byte{0x81, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, 100)
	f.Fuzz(func(t *testing.T, data []byte, limit int) {
		limit = max(0, min(limit, 1<<20))
		source := bytes.NewReader(data)
		in := bufio.NewReaderSize(source, 64)
		var passed bytes.Buffer
		out := bufio.NewWriterSize(&passed, 16)
		var order messages
		var message gathered
		var held []byte // of the message that is gathered
		text := []byte{}
		for {
			start := len(data) - in.Buffered() - source.Len()
			head, err := readFrameHead(in)
			if err == nil && !head.op.isControl() {
				err = order.next(head)
			}
			if err != nil {
				break
			}
			if !bytes.Equal(head.bytes(), data[start:start+head.size]) || head.length < 0 || head.op.isControl() && head.length > maxControl {
				t.Fatalf("head %+v of % x", head, data[start:])
			}
			if head.op.isControl() || order.op != opText || !head.masked {
				before := passed.Len() + out.Buffered()
				var seen []byte
				err := copyFrame(out, &head, in, func(p []byte) { seen = append(seen, p...) })
				if err := out.Flush(); err != nil {
					t.Fatal(err)
				}
				if got := passed.Bytes()[before:]; !bytes.HasPrefix(data[start:], got) || !bytes.Equal(got[head.size:], seen) {
					t.Fatalf("passed on % x of % x", got, data[start:])
				}
				if err != nil {
					break
				}
				if head.fin {
					payload := bytes.Clone(seen)
					var mask *[4]byte
					if head.masked {
						applyMask(head.mask, payload)
						mask = &head.mask
					}
					if got := newFrame(head.op, payload, mask); !bytes.Equal(got, data[start:start+len(got)]) {
						t.Fatalf("spelled % x, came % x", got, data[start:])
					}
				}
				continue
			}
			if err := message.add(head, in, out, limit); err != nil {
				if !errors.Is(err, errBodyTooLarge) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatal(err)
				}
				break
			}
			if len(message.text) > limit {
				t.Fatalf("%d bytes gathered, the limit is %d", len(message.text), limit)
			}
			whole := data[start : start+head.size+int(head.length)]
			held = append(held, whole...)
			for i, c := range whole[head.size:] {
				text = append(text, c^head.mask[i%4])
			}
			if !head.fin {
				continue
			}
			if !bytes.Equal(message.text, text) {
				t.Fatalf("gathered %q, want %q", message.text, text)
			}
			before := passed.Len()
			if err := errors.Join(message.writeTo(out), out.Flush()); err != nil || !bytes.Equal(passed.Bytes()[before:], held) {
				t.Fatalf("spelled again % x, came % x: %v", passed.Bytes()[before:], held, err)
			}
			message, held, text = gathered{}, nil, text[:0]
		}
	})
}
