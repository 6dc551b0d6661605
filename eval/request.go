package eval

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// placeIn is where a text of a case stands: in the content of a message, from an offset on.
type placeIn struct{ message, start int }

// request is a case as a client sends it to /v1/chat/completions.
type request struct {
	body     []byte
	contents []string  // of each message
	places   []placeIn // of each text
}

// requestOf writes a case as a client would send it: a chat as it is; the output of a tool as the result of a call, after
// the question; anything else as one user's message by the prompt's rule.
func requestOf(c Case) (request, error) {
	var r request
	var messages []any
	add := func(message map[string]any) {
		content, _ := message["content"].(string)
		messages, r.contents = append(messages, message), append(r.contents, content)
	}
	switch {
	case len(c.Messages) > 0:
		for i, m := range c.Messages {
			messages, r.contents = append(messages, m.Raw), append(r.contents, m.Content)
			if m.Role == "tool" {
				r.places = append(r.places, placeIn{message: i})
			}
		}
	case isToolOutput(c):
		add(map[string]any{"role": "user", "content": c.Query})
		var calls []any
		for i, t := range c.Texts {
			name, arguments := callOf(t.Name)
			calls = append(calls, map[string]any{
				"id": fmt.Sprintf("call_%d", i), "type": "function", "function": map[string]any{"name": name, "arguments": arguments},
			})
		}
		add(map[string]any{"role": "assistant", "content": nil, "tool_calls": calls})
		for i, t := range c.Texts {
			r.places = append(r.places, placeIn{message: len(messages)})
			add(map[string]any{"role": "tool", "tool_call_id": fmt.Sprintf("call_%d", i), "content": t.Content})
		}
	default:
		texts := make([]string, len(c.Texts))
		for i, t := range c.Texts {
			texts[i] = t.Content
		}
		prompt, places := promptPlaces(c, texts)
		for _, at := range places {
			r.places = append(r.places, placeIn{start: at})
		}
		add(map[string]any{"role": "user", "content": prompt})
	}
	var err error
	r.body, err = json.Marshal(map[string]any{"model": "gpt-4o", "messages": messages})
	return r, err
}

// isToolOutput reports whether the text of a case is what a tool printed. (Schemas of tools are no output.)
func isToolOutput(c Case) bool {
	return strings.HasPrefix(c.Task, "tool_") && c.Task != "tool_schema" || strings.HasPrefix(c.Task, "log_")
}

var functionName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// callOf returns the call whose result has that name: a command after "$ ", a function, or what was fetched.
func callOf(name string) (function, arguments string) {
	key, value := "name", name
	switch command, isCommand := strings.CutPrefix(name, "$ "); {
	case isCommand:
		function, key, value = "shell", "command", command
	case functionName.MatchString(name):
		return name, "{}"
	default:
		function = "fetch"
	}
	encoded, err := json.Marshal(map[string]string{key: value})
	if err != nil {
		panic(err) // two strings
	}
	return function, string(encoded)
}
