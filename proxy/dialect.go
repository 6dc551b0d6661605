package proxy

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/valyala/fasthttp"
)

// dialect is a wire format whose requests hold texts that pith may shorten. Its adapter finds where the texts of a
// body stand and who speaks them; the rest of a body is bytes to pith.
type dialect uint8

const (
	dialectNone        dialect = iota // forwarded as it is, streaming
	dialectChat                       // OpenAI Chat Completions
	dialectCompletions                // OpenAI Completions
	dialectResponses                  // OpenAI Responses
	dialectMessages                   // Anthropic Messages, and the count of their tokens
)

// Dialect is a wire format, by which an Upstream may be chosen.
type Dialect = dialect

// ParseDialect is the inverse of String: chat, completions, responses or messages.
func ParseDialect(name string) (Dialect, error) {
	for _, d := range [...]dialect{dialectChat, dialectCompletions, dialectResponses, dialectMessages} {
		if name == d.String() {
			return d, nil
		}
	}
	return dialectNone, fmt.Errorf("dialect is %q: it must be chat, completions, responses or messages", name)
}

// String returns the dialect's name in logs and metrics.
func (d dialect) String() string {
	return [...]string{"none", "chat", "completions", "responses", "messages"}[d]
}

// dialectOf returns the dialect of a request. Paths are matched by their ends, whatever a base URL puts before them: with
// and without /v1, under a deployment, or as Codex calls them. A body that turns out to be of another shape is
// forwarded as it is.
func dialectOf(method, path string) dialect {
	if method != fasthttp.MethodPost {
		return dialectNone
	}
	switch {
	case strings.HasSuffix(path, "/chat/completions"):
		return dialectChat
	case strings.HasSuffix(path, "/completions"):
		return dialectCompletions
	case strings.HasSuffix(path, "/responses"), strings.HasSuffix(path, "/responses/input_tokens"):
		return dialectResponses
	case path == "/messages", path == "/messages/count_tokens", strings.HasSuffix(path, "/v1/messages"), strings.HasSuffix(path, "/v1/messages/count_tokens"):
		return dialectMessages
	}
	return dialectNone
}

// parse finds the texts of a body.
func (d dialect) parse(body []byte) (conversation, error) {
	switch d {
	case dialectChat:
		return parseChat(body)
	case dialectCompletions:
		return parseCompletions(body)
	case dialectResponses:
		return parseResponses(body)
	case dialectMessages:
		return parseMessages(body)
	case dialectNone:
	}
	return conversation{}, errShape
}

// role is who speaks a message.
type role uint8

const (
	roleOther     role = iota // whatever a later API adds: protected
	roleSystem                // system and developer: protected, but for documents that are marked as such
	roleUser                  // the one who asks
	roleAssistant             // what the model said: protected, and the end of a turn
	roleTool                  // what a tool returned
	rolePrompt                // a text to be completed, a turn by itself
)

func roleOf(name string) role {
	switch name {
	case "system", "developer":
		return roleSystem
	case "user":
		return roleUser
	case "assistant":
		return roleAssistant
	case "tool", "function":
		return roleTool
	}
	return roleOther
}

// conversation is what pith needs of a request, by places in the body.
type conversation struct {
	model    string
	previous string    // names the stored response or conversation that it goes on from
	messages []message // in the order of the talk, which need not be that of the body
	standing []textAt  // system texts beside the messages, which come before them
	found    bool      // the member that holds the messages
}

// readConversation reads a body that is an object with the model's name. Every other member of it is handed to member, which
// must consume the value. A body without messages is errShape.
func readConversation(body []byte, member func(s *scanner, c *conversation, key string) error) (conversation, error) {
	var c conversation
	err := parseObject(body, func(s *scanner, key string) error {
		if key != "model" {
			return member(s, &c, key)
		}
		var err error
		c.model, err = s.text(1)
		return err
	})
	if err == nil && !c.found {
		err = errShape
	}
	if err != nil {
		return conversation{}, err
	}
	if len(c.standing) > 0 {
		c.messages = append([]message{{role: roleSystem, texts: c.standing}}, c.messages...)
	}
	return c, nil
}

// list reads the list of messages; an element may be several.
func (c *conversation) list(s *scanner, element func() ([]message, error)) error {
	c.found = true
	return s.array(func() error {
		said, err := element()
		c.messages = append(c.messages, said...)
		return err
	})
}

// text reads a text that stands in place of the list.
func (c *conversation) text(s *scanner, by role) error {
	c.found = true
	text, err := s.textHere()
	c.messages = append(c.messages, message{role: by, texts: []textAt{text}})
	return err
}

// message is what one speaker says at a time. A message of the wire that holds several tools' results is several here.
type message struct {
	role   role
	name   string // of a function result that names its function and no call
	callID string
	texts  []textAt
	calls  []call
	// reference says that it only names what the API has stored, which may be a call.
	reference bool
}

// textAt is one text of a message: its content, or one text part of it.
type textAt struct {
	raw  rawString
	text string
	// document says that the whole text is material, by the wire's own word; title is its name where it states one.
	document bool
	title    string
}

// call is a tool call of the assistant.
type call struct {
	id, name, arguments string
}

var errShape = errors.New("body does not have the shape of its dialect")

// parseObject reads a body that is an object, handing each member of the top level to visit, which must consume the
// value. It refuses, and the body is then forwarded as it is, whatever is not valid JSON in UTF-8, nests too deep, or
// repeats a key on the way to a text (servers differ in which one they take).
func parseObject(body []byte, visit func(s *scanner, key string) error) error {
	if !utf8.Valid(body) {
		return errNotJSON
	}
	s := scanner{data: body}
	if err := s.object(func(key string) error { return visit(&s, key) }); err != nil {
		return err
	}
	return s.end()
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

// textHere reads the string that is due as a text of a message.
func (s *scanner) textHere() (textAt, error) {
	raw, err := s.str()
	if err != nil {
		return textAt{}, err
	}
	return textAt{raw: raw, text: raw.decode(s.data)}, nil
}
