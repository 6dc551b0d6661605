package proxy

import (
	"errors"
	"unicode/utf8"
)

// role is who speaks a message.
type role uint8

const (
	roleOther role = iota // system, developer and whatever a later API adds: protected
	roleUser
	roleAssistant
	roleTool
)

func roleOf(name string) role {
	switch name {
	case "user":
		return roleUser
	case "assistant":
		return roleAssistant
	case "tool", "function":
		return roleTool
	}
	return roleOther
}

// chat is what pith needs of a chat completion request, by places in the body.
type chat struct {
	model    string
	messages []message
}

type message struct {
	role   role
	name   string // of a function result in the older form
	callID string
	texts  []textAt
	calls  []call
}

// textAt is one text of a message: its content, or one text part of it.
type textAt struct {
	raw  rawString
	text string
}

// call is a tool call of the assistant.
type call struct {
	id, name, arguments string
}

var errNotChat = errors.New("body is not a chat completion request")

// parseChat reads a chat completion request. It refuses, and the body is then forwarded as it is, whatever is not valid
// JSON in UTF-8, nests too deep, repeats a key on the way to a text (servers differ in which one they take), or does
// not have the shape of the API.
func parseChat(body []byte) (chat, error) {
	if !utf8.Valid(body) {
		return chat{}, errNotJSON
	}
	var c chat
	s := scanner{data: body}
	found := false
	err := s.object(func(key string) error {
		switch key {
		case "model":
			text, err := s.text(1)
			c.model = text
			return err
		case "messages":
			found = true
			return s.array(func() error {
				m, err := s.message()
				c.messages = append(c.messages, m)
				return err
			})
		}
		return s.skip(1)
	})
	if err != nil {
		return chat{}, err
	}
	if err := s.end(); err != nil {
		return chat{}, err
	}
	if !found {
		return chat{}, errNotChat
	}
	return c, nil
}

// text reads a string, or passes another value that sits depth levels deep and returns "".
func (s *scanner) text(depth int) (string, error) {
	if s.peek() != '"' {
		return "", s.skip(depth)
	}
	raw, err := s.str()
	if err != nil {
		return "", err
	}
	return raw.decode(s.data), nil
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

// content reads a message's content: a string, or a list whose parts of type text count.
func (s *scanner) content() ([]textAt, error) {
	switch s.peek() {
	case '"':
		raw, err := s.str()
		if err != nil {
			return nil, err
		}
		return []textAt{{raw, raw.decode(s.data)}}, nil
	case '[':
		var texts []textAt
		err := s.array(func() error {
			if s.peek() != '{' {
				return s.skip(4)
			}
			var kind string
			var text textAt
			hasText := false
			err := s.object(func(key string) error {
				var err error
				switch {
				case key == "type":
					kind, err = s.text(5)
				case key == "text" && s.peek() == '"':
					hasText = true
					if text.raw, err = s.str(); err == nil {
						text.text = text.raw.decode(s.data)
					}
				default:
					err = s.skip(5)
				}
				return err
			})
			if kind == "text" && hasText {
				texts = append(texts, text)
			}
			return err
		})
		return texts, err
	}
	return nil, s.skip(3)
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
