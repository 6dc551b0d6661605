package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// contextList is LLMLingua's context: one text or a list of them.
type contextList []string

// UnmarshalJSON reads a string or a list of strings; null is no context.
func (c *contextList) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	var one string
	if json.Unmarshal(data, &one) == nil {
		*c = contextList{one}
		return nil
	}
	var list []string
	if err := json.Unmarshal(data, &list); err != nil {
		return errors.New("context is neither a string nor a list of strings")
	}
	*c = list
	return nil
}

// llmlinguaOptions are fields of LLMLingua's compress_prompt that steer how it works inside; pith has no counterpart and
// says in its answer which it ignored.
var llmlinguaOptions = map[string]bool{
	"iterative_size": true, "force_context_ids": true, "force_context_number": true, "use_sentence_level_filter": true,
	"use_context_level_filter": true, "use_token_level_filter": true, "keep_split": true, "keep_first_sentence": true,
	"keep_last_sentence": true, "keep_sentence_number": true, "high_priority_bonus": true, "context_budget": true,
	"token_budget_ratio": true, "condition_in_question": true, "reorder_context": true, "condition_compare": true,
	"dynamic_context_compression_ratio": true, "add_instruction": true, "rank_method": true, "concate_question": true,
	"context_segs": true, "context_segs_rate": true, "context_segs_compress": true, "target_context": true,
	"context_level_rate": true, "context_level_target_token": true, "return_word_label": true, "word_sep": true,
	"label_sep": true, "token_to_word": true, "force_tokens": true, "force_reserve_digit": true, "drop_consecutive": true,
	"chunk_end_tokens": true, "strict_preserve_uncompressed": true,
}

// taggedPart is a piece of a context that its own tag rules: [start, end) without the tags.
type taggedPart struct {
	start, end int
	// rate is the tag's, 0 without one: then the request's budget holds.
	rate float64
	// keep says that the piece must stay as it is, byte for byte.
	keep bool
}

// llmlinguaTag opens or closes a piece: <llmlingua, rate=0.4, compress=False>, commas or not, the values in any order.
var llmlinguaTag = regexp.MustCompile(`<llmlingua((?:[\s,]+[a-z_]+\s*=\s*[^\s,<>]+)*)[\s,]*>|</llmlingua>`)

// splitTags returns the pieces of a context in order; the tags lie between them. A context without tags is one piece. What
// stands outside the tags is ruled by the request.
func splitTags(text string) ([]taggedPart, error) {
	var parts []taggedPart
	at := taggedPart{}
	inside := false
	add := func(end int) {
		if at.end = end; at.end > at.start {
			parts = append(parts, at)
		}
	}
	for _, m := range llmlinguaTag.FindAllStringSubmatchIndex(text, -1) {
		opens := m[2] >= 0
		if opens == inside {
			return nil, fmt.Errorf("tag %q at byte %d: llmlingua tags must not nest, and each must be closed", text[m[0]:m[1]], m[0])
		}
		add(m[0])
		at, inside = taggedPart{start: m[1]}, opens
		if !opens {
			continue
		}
		for _, field := range strings.FieldsFunc(text[m[2]:m[3]], func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' }) {
			name, value, _ := strings.Cut(field, "=")
			switch name {
			case "rate":
				rate, err := strconv.ParseFloat(value, 64)
				if err != nil || rate <= 0 || rate > 1 {
					return nil, fmt.Errorf("tag %q: rate must lie above 0 and up to 1", text[m[0]:m[1]])
				}
				at.rate = rate
			case "compress":
				switch value {
				case "True", "true":
				case "False", "false":
					at.keep = true
				default:
					return nil, fmt.Errorf("tag %q: compress must be True or False", text[m[0]:m[1]])
				}
			default:
				return nil, fmt.Errorf("tag %q: %s is neither rate nor compress", text[m[0]:m[1]], name)
			}
		}
	}
	if inside {
		return nil, errors.New("a llmlingua tag is not closed")
	}
	add(len(text))
	return parts, nil
}
