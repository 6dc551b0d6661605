package proxy

// parseChat reads a chat completion request.
func parseChat(body []byte) (conversation, error) {
	return readConversation(body, func(s *scanner, c *conversation, key string) error {
		if key != "messages" {
			return s.skip(1)
		}
		return c.list(s, func() ([]message, error) {
			m, err := s.message()
			return []message{m}, err
		})
	})
}

func (s *scanner) message() (message, error) {
	const depth = 3
	var m message
	err := s.object(func(key string) error {
		var err error
		switch key {
		case "role":
			var name string
			name, err = s.text(depth)
			m.role = roleOf(name)
		case "name":
			m.name, err = s.text(depth)
		case "tool_call_id":
			m.callID, err = s.text(depth)
		case "content":
			m.texts, err = s.content()
		case "tool_calls":
			if s.peek() != '[' {
				return s.skip(depth)
			}
			err = s.array(func() error {
				c, err := s.toolCall()
				m.calls = append(m.calls, c)
				return err
			})
		case "function_call":
			if s.peek() != '{' {
				return s.skip(depth)
			}
			var c call
			err = s.function(&c)
			m.calls = append(m.calls, c)
		default:
			err = s.skip(depth)
		}
		return err
	})
	return m, err
}

// content reads the content of a message that sits in a list at the top: a string, or a list of parts.
func (s *scanner) content() ([]textAt, error) { return s.contentAt(3) }

// contentAt reads content that sits depth levels deep: a string, or a list whose parts in plain text count. The parts of
// all dialects are read alike: text, what came in and went out, and the two streams of a shell.
func (s *scanner) contentAt(depth int) ([]textAt, error) {
	switch s.peek() {
	case '"':
		text, err := s.textHere()
		return []textAt{text}, err
	case '[':
		var texts []textAt
		err := s.array(func() error {
			if s.peek() != '{' {
				return s.skip(depth + 1)
			}
			kind := ""
			var found []textAt
			err := s.object(func(key string) error {
				var err error
				switch {
				case key == "type":
					kind, err = s.text(depth + 2)
				case (key == "text" || key == "stdout" || key == "stderr") && s.peek() == '"':
					var text textAt
					text, err = s.textHere()
					found = append(found, text)
				default:
					err = s.skip(depth + 2)
				}
				return err
			})
			switch kind {
			case "text", "input_text", "output_text", "": // the parts of a shell's output have no type
				texts = append(texts, found...)
			}
			return err
		})
		return texts, err
	}
	return nil, s.skip(depth)
}

func (s *scanner) toolCall() (call, error) {
	var c call
	if s.peek() != '{' {
		return c, s.skip(4)
	}
	err := s.object(func(key string) error {
		var err error
		switch {
		case key == "id":
			c.id, err = s.text(5)
		case (key == "function" || key == "custom") && s.peek() == '{':
			err = s.function(&c)
		default:
			err = s.skip(5)
		}
		return err
	})
	return c, err
}

// function reads the name and the arguments of a call; a custom tool's arguments are its input.
func (s *scanner) function(c *call) error {
	return s.object(func(key string) error {
		var err error
		switch key {
		case "name":
			c.name, err = s.text(6)
		case "arguments", "input":
			c.arguments, err = s.text(6)
		default:
			err = s.skip(6)
		}
		return err
	})
}
