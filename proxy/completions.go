package proxy

import "strings"

// parseCompletions reads a completion request. Every prompt that is text is a turn by itself; prompts in tokens and the
// suffix stay as they are.
func parseCompletions(body []byte) (conversation, error) {
	var c conversation
	found := false
	prompt := func(s *scanner) error {
		text, err := s.textHere()
		c.messages = append(c.messages, message{role: rolePrompt, texts: []textAt{text}})
		return err
	}
	err := parseObject(body, func(s *scanner, key string) error {
		var err error
		switch next := s.peek(); {
		case key == "model":
			c.model, err = s.text(1)
		case key == "prompt" && next == '"':
			found = true
			err = prompt(s)
		case key == "prompt" && next == '[':
			found = true
			err = s.array(func() error {
				if s.peek() != '"' {
					return s.skip(2)
				}
				return prompt(s)
			})
		default:
			err = s.skip(1)
		}
		return err
	})
	if err == nil && !found {
		err = errShape
	}
	if err != nil {
		return conversation{}, err
	}
	return c, nil
}

const (
	// nearLines is how many lines before the cursor stay as they are, queryLines how many of them are the query.
	nearLines  = 30
	queryLines = 10
)

// chatTokens begin the messages of conversations that a client has spelled out for the model. Cutting them by turns would
// take the model's own template, so such prompts stay as they are.
var chatTokens = [...]string{"<|im_start|>", "<|start_header_id|>", "<start_of_turn>", "<|user|>", "[INST]", "<|start|>", "<｜User｜>"}

// middleTokens are the spellings of a prompt that is to be filled in the middle: what stands before the text in front of
// the cursor, and behind it.
var middleTokens = [...][2]string{
	{"<|fim_prefix|>", "<|fim_suffix|>"},
	{"<fim_prefix>", "<fim_suffix>"},
	{"<PRE>", "<SUF>"},
	{"<｜fim▁begin｜>", "<｜fim▁hole｜>"},
}

// completionMaterial finds the material of a text to be completed and what it is read for. A prompt that states a
// question, as programs write them, is read for that; another for the lines before the cursor.
func completionMaterial(text string, rules []DocumentRule) ([]region, string) {
	for _, token := range chatTokens {
		if strings.Contains(text, token) {
			return nil, ""
		}
	}
	start, end := 0, len(text)
	middle := false
	for _, tokens := range middleTokens {
		before := strings.LastIndex(text, tokens[0])
		if before < 0 {
			continue
		}
		before += len(tokens[0])
		if hole := strings.Index(text[before:], tokens[1]); hole >= 0 {
			start, end, middle = before, before+hole, true
			break
		}
	}
	if !middle && labelled(text[max(0, len(text)-maxTask):]) >= 0 {
		if regions, question := material(text, rules); len(regions) > 0 && question != "" {
			return regions, question
		}
	}
	if end-start < minUnmarked {
		return nil, ""
	}
	near := lastLines(text[start:end], nearLines)
	query := strings.TrimSpace(tailOf(text[:end][start+lastLines(text[start:end], queryLines):], maxTask))
	if near < minRegion {
		return nil, query
	}
	return []region{{start: start, end: start + near}}, query
}

// lastLines returns where the last n lines of text begin.
func lastLines(text string, n int) int {
	at := len(text)
	for range n {
		line := strings.LastIndexByte(text[:max(0, at-1)], '\n')
		if line < 0 {
			return 0
		}
		at = line + 1
	}
	return at
}
