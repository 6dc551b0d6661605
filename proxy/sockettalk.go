package proxy

import (
	"strconv"
	"sync"

	"github.com/pith-llm/pith/cache"
)

// socketEvent is what pith reads of an event of the Responses API's WebSocket.
type socketEvent struct {
	kind     string
	previous string // of response.create: the response that it follows
	response string // the response's id, where the event has one
	status   int    // of an error
	item     message
	hasItem  bool
}

// readEvent reads an event, either way.
func readEvent(message []byte) (socketEvent, error) {
	var e socketEvent
	err := parseObject(message, func(s *scanner, key string) error {
		var err error
		switch next := s.peek(); {
		case key == "type":
			e.kind, err = s.text(1)
		case key == "previous_response_id":
			e.previous, err = s.text(1)
		case key == "status":
			start := s.pos
			err = s.skip(1)
			e.status, _ = strconv.Atoi(string(s.data[start:s.pos])) // 0 if it is no number
		case key == "response" && next == '{':
			err = s.object(func(key string) error {
				if key != "id" {
					return s.skip(2)
				}
				var err error
				e.response, err = s.text(2)
				return err
			})
		case key == "item" && next == '{':
			e.hasItem = true
			e.item, err = s.item()
		default:
			err = s.skip(1)
		}
		return err
	})
	return e, err
}

// socketTalk is what was said over a WebSocket, as far as the next event refers to it. With previous_response_id a client
// sends only what is new; together with this the turns are those of the whole conversation, so that what becomes of a text
// is the same when a client sends all of it instead, over HTTP or after a new connection.
type socketTalk struct {
	mu      sync.Mutex
	running int         // responses that have not ended
	last    string      // the id of the latest response
	talk    dialogue    // up to its end
	keys    []cache.Key // of the turns that were edited in its request, until the upstream has taken it
	leaving bool        // the connection ends with the last response
}

// maxTalk bounds the calls that are remembered, in bytes of their arguments.
const maxTalk = 1 << 20

// before returns what was said before an event that follows the previous response, nil if it follows none. Of a response
// that is not the latest, or of several at the same time, nothing is known.
func (t *socketTalk) before(previous string) *dialogue {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case previous == "":
		return nil
	case previous != t.last || t.running > 0 || t.talk.calls == nil:
		return &dialogue{partial: true}
	}
	known := t.talk.clone()
	return &known
}

// asked takes note of an event that asks for a response.
func (t *socketTalk) asked(out shortened) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running++
	t.last, t.talk, t.keys = "", out.after, nil
	if out.edited {
		t.keys = out.keys
	}
	size := 0
	for _, c := range t.talk.calls {
		size += len(c.arguments)
	}
	if t.running > 1 || size > maxTalk {
		t.talk = dialogue{}
	}
}

// heard takes note of an event of the upstream. It returns the keys of turns whose shortened form the upstream refused.
func (t *socketTalk) heard(e socketEvent) (refused []cache.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e.kind {
	case "response.created":
		t.last, t.keys = e.response, nil
	case "response.output_item.done":
		if e.hasItem && e.item.role == roleAssistant && t.talk.calls != nil && t.running == 1 {
			t.talk.say(e.item)
		}
	case "response.completed", "response.incomplete", "response.failed":
		t.running = max(0, t.running-1)
	case "error":
		t.running = max(0, t.running-1)
		if refuses(e.status) {
			refused = t.keys
		}
		t.keys = nil
	}
	return refused
}

// idle reports whether no response is under way.
func (t *socketTalk) idle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.running == 0
}

// leave has the connection end once no response is under way, and reports whether that is now.
func (t *socketTalk) leave() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leaving = true
	return t.running == 0
}

// left reports whether the connection should end now.
func (t *socketTalk) left() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.leaving && t.running == 0
}
