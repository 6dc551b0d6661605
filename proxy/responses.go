package proxy

import "strings"

// parseResponses reads a request of OpenAI's Responses API, or the response.create event of its WebSocket, which has the
// same members. With previous_response_id the input is only what is new, and the turns are those of the new items.
func parseResponses(body []byte) (conversation, error) {
	return readConversation(body, func(s *scanner, c *conversation, key string) error {
		var err error
		switch next := s.peek(); {
		case key == "previous_response_id":
			c.previous, err = s.text(1)
		case key == "conversation" && next != 'n': // by its id or as an object
			c.previous, err = key, s.skip(1)
		case key == "instructions" && next == '"':
			c.standing = make([]textAt, 1)
			c.standing[0], err = s.textHere()
		case key == "input" && next == '"':
			err = c.text(s, roleUser)
		case key == "input" && next == '[':
			err = c.list(s, func() ([]message, error) {
				m, err := s.item()
				return []message{m}, err
			})
		default:
			err = s.skip(1)
		}
		return err
	})
}

// item reads one item of an input. What is not known to come from the client counts as the model's and ends a turn, so
// that an item of a later API, or a reference to a stored one, never joins two turns into one.
func (s *scanner) item() (message, error) {
	const depth = 3
	m := message{role: roleAssistant}
	if s.peek() != '{' {
		return m, s.skip(depth - 1)
	}
	var kind, speaker, id, callID string
	var called call
	var content, output []textAt
	err := s.object(func(key string) error {
		var err error
		switch key {
		case "type":
			kind, err = s.text(depth)
		case "role":
			speaker, err = s.text(depth)
		case "id":
			id, err = s.text(depth)
		case "call_id":
			callID, err = s.text(depth)
		case "name":
			called.name, err = s.text(depth)
		case "content":
			content, err = s.contentAt(depth)
		case "output":
			output, err = s.contentAt(depth)
		case "arguments", "input":
			called.arguments, err = s.text(depth)
		case "action":
			start := s.pos
			err = s.skip(depth)
			called.arguments = string(s.data[start:s.pos])
		default:
			err = s.skip(depth)
		}
		return err
	})
	if callID == "" {
		callID = id // of a local shell's output it names the call
	}
	switch {
	case kind == "message" || kind == "" && speaker != "":
		m.role, m.texts = roleOf(speaker), content
	case strings.HasSuffix(kind, "_output"):
		m.role, m.name, m.callID, m.texts = roleTool, called.name, callID, output
	case strings.HasSuffix(kind, "_call"):
		called.id = callID
		if called.name == "" {
			called.name = strings.TrimSuffix(kind, "_call")
		}
		m.calls = []call{called}
	case strings.HasSuffix(kind, "_response"):
		m.role = roleOther
	case kind == "item_reference" || kind == "":
		m.reference = true
	}
	return m, err
}
