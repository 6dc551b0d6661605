package proxy

import "strings"

// parseCompletions reads a completion request. Every prompt that is text is a turn by itself; prompts in tokens and the
// suffix stay as they are.
func parseCompletions(body []byte) (conversation, error) {
	return readConversation(body, func(s *scanner, c *conversation, key string) error {
		switch next := s.peek(); {
		case key == "prompt" && next == '"':
			return c.text(s, rolePrompt)
		case key == "prompt" && next == '[':
			return c.list(s, func() ([]message, error) {
				if s.peek() != '"' {
					return nil, s.skip(2)
				}
				text, err := s.textHere()
				return []message{{role: rolePrompt, texts: []textAt{text}}}, err
			})
		}
		return s.skip(1)
	})
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
