package proxy

// parseMessages reads a request of Anthropic's Messages API, or one that counts its tokens: the count is then that of
// what would be forwarded. Marks of caching are passed over: clients move them between turns.
func parseMessages(body []byte) (conversation, error) {
	return readConversation(body, func(s *scanner, c *conversation, key string) error {
		switch key {
		case "system":
			var err error
			c.standing, err = s.contentAt(1)
			return err
		case "messages":
			return c.list(s, s.anthropicMessage)
		}
		return s.skip(1)
	})
}

// anthropicMessage reads one message: its own texts and calls, and the tool results among its blocks, each as a message.
func (s *scanner) anthropicMessage() ([]message, error) {
	const depth = 3
	speaker := roleOther
	var blocks []block
	err := s.object(func(key string) error {
		var err error
		switch key {
		case "role":
			var name string
			name, err = s.text(depth)
			speaker = roleOf(name)
		case "content":
			switch s.peek() {
			case '"':
				var text textAt
				text, err = s.textHere()
				blocks = append(blocks, block{kind: "text", texts: []textAt{text}})
			case '[':
				err = s.array(func() error {
					b, err := s.block()
					blocks = append(blocks, b)
					return err
				})
			default:
				err = s.skip(depth)
			}
		default:
			err = s.skip(depth)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	said := []message{{role: speaker}}
	for _, b := range blocks {
		if b.kind == "tool_result" && speaker == roleUser {
			said = append(said, message{role: roleTool, callID: b.call.id, texts: b.texts}, message{role: speaker})
			continue
		}
		last := &said[len(said)-1]
		switch b.kind {
		case "text":
			last.texts = append(last.texts, b.texts...)
		case "document", "search_result":
			if !b.cited { // citations count characters of the document
				for _, text := range b.texts {
					text.document, text.title = true, b.title
					last.texts = append(last.texts, text)
				}
			}
		case "tool_use":
			last.calls = append(last.calls, b.call)
		}
	}
	return said, nil
}

// block is a content block of a message.
type block struct {
	kind  string
	texts []textAt // its text, the content of a result, or the data of a document in plain text
	call  call     // of a tool_use; of a tool_result only the id
	title string
	cited bool
}

func (s *scanner) block() (block, error) {
	const depth = 5
	var b block
	if s.peek() != '{' {
		return b, s.skip(depth - 1)
	}
	var text, content, source []textAt
	err := s.object(func(key string) error {
		var err error
		switch next := s.peek(); {
		case key == "type":
			b.kind, err = s.text(depth)
		case key == "text" && next == '"':
			text = make([]textAt, 1)
			text[0], err = s.textHere()
		case key == "content" && (next == '"' || next == '['):
			content, err = s.contentAt(depth)
		case key == "source" && next == '{':
			source, err = s.plainSource()
		case key == "id", key == "tool_use_id":
			b.call.id, err = s.text(depth)
		case key == "name":
			b.call.name, err = s.text(depth)
		case key == "title":
			b.title, err = s.text(depth)
		case key == "input":
			start := s.pos
			err = s.skip(depth)
			b.call.arguments = string(s.data[start:s.pos])
		case key == "citations" && next == '{':
			start := s.pos
			err = s.skip(depth)
			b.cited = !isOff(s.data[start:s.pos])
		default:
			err = s.skip(depth)
		}
		return err
	})
	switch b.kind {
	case "text":
		b.texts = text
	case "tool_result", "search_result":
		b.texts = content
	case "document":
		b.texts = source
	}
	return b, err
}

// isOff reports whether a citations object says that none are wanted.
func isOff(object []byte) bool {
	s := scanner{data: object}
	off := false
	err := s.object(func(key string) error {
		start := s.pos
		err := s.skip(1)
		off = off || key == "enabled" && string(s.data[start:s.pos]) == "false"
		return err
	})
	return err == nil && off
}

// plainSource reads the source of a document and returns its data if that is plain text.
func (s *scanner) plainSource() ([]textAt, error) {
	const depth = 6
	kind := ""
	var data []textAt
	err := s.object(func(key string) error {
		var err error
		switch {
		case key == "type":
			kind, err = s.text(depth)
		case key == "data" && s.peek() == '"':
			data = make([]textAt, 1)
			data[0], err = s.textHere()
		default:
			err = s.skip(depth)
		}
		return err
	})
	if kind != "text" {
		data = nil
	}
	return data, err
}
