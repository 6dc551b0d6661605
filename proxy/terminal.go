package proxy

import "bytes"

// terminalEvent looks in an event stream for the event after which nothing of use follows. Line breaks inside an event's
// JSON are escaped, so a line that begins so is no content.
type terminalEvent struct {
	seen bool
	tail []byte // the end of what was seen before, where a line may have begun
}

// terminalLines begin the last event of a stream: of OpenAI's completions, of Anthropic's messages, of OpenAI's responses.
var terminalLines = [...][]byte{
	[]byte("\ndata: [DONE]"), []byte("\ndata:[DONE]"), []byte("\nevent: message_stop"),
	[]byte("\nevent: response.completed"), []byte("\nevent: response.incomplete"), []byte("\nevent: response.failed"),
}

const longestTerminalLine = len("\nevent: response.incomplete")

// see looks at the next bytes of the stream.
func (t *terminalEvent) see(p []byte) {
	if t.seen {
		return
	}
	if t.tail == nil {
		t.tail = append(make([]byte, 0, 2*longestTerminalLine), '\n') // the first line begins without a break before it
	}
	// Across the border first, then inside.
	t.tail = append(t.tail, p[:min(len(p), longestTerminalLine)]...)
	for _, line := range terminalLines {
		if bytes.Contains(t.tail, line) || bytes.Contains(p, line) {
			t.seen = true
			return
		}
	}
	if len(p) >= longestTerminalLine {
		t.tail = append(t.tail[:0], p[len(p)-longestTerminalLine:]...)
	} else if over := len(t.tail) - longestTerminalLine; over > 0 {
		t.tail = append(t.tail[:0], t.tail[over:]...)
	}
}
