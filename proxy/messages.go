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
					b, err := s.block(depth + 2)
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
			last.texts = append(last.texts, b.documents()...)
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

// documents are the texts of a document or a search result, none if they are to be cited: citations count its characters.
func (b block) documents() []textAt {
	if b.cited {
		return nil
	}
	for i := range b.texts {
		b.texts[i].document, b.texts[i].title = true, b.title
	}
	return b.texts
}

// block reads a block of a message, or one inside a tool's result, the members of which are depth levels deep.
func (s *scanner) block(depth int) (block, error) {
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
			content, err = s.blockContent(depth)
		case key == "source" && next == '{':
			source, err = s.plainSource(depth + 1)
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

// blockContent reads the content of a block: a text, or a list whose parts in plain text count. In a tool's result those of
// documents and search results do too.
func (s *scanner) blockContent(depth int) ([]textAt, error) {
	const inMessage = 5
	if depth > inMessage || s.peek() != '[' {
		return s.contentAt(depth)
	}
	var texts []textAt
	err := s.array(func() error {
		b, err := s.block(depth + 2)
		switch b.kind {
		case "text":
			texts = append(texts, b.texts...)
		case "document", "search_result":
			texts = append(texts, b.documents()...)
		}
		return err
	})
	return texts, err
}

// plainSource reads the source of a document and returns its texts if they are plain: its data, or its content in parts.
func (s *scanner) plainSource(depth int) ([]textAt, error) {
	kind := ""
	var data, content []textAt
	err := s.object(func(key string) error {
		var err error
		switch {
		case key == "type":
			kind, err = s.text(depth)
		case key == "data" && s.peek() == '"':
			data = make([]textAt, 1)
			data[0], err = s.textHere()
		case key == "content":
			content, err = s.contentAt(depth)
		default:
			err = s.skip(depth)
		}
		return err
	})
	switch kind {
	case "text":
		return data, err
	case "content":
		return content, err
	}
	return nil, err
}
