package proxy

import (
	"cmp"
	"time"
)

// spelling is how a dialect spells an answer of the model server, in one piece and as events.
type spelling interface {
	whole(a *answered, text string, took Generation) any
	begin(a *answered) []serverEvent
	piece(a *answered, text string) []serverEvent
	end(a *answered, text string, took Generation) []serverEvent
}

// answered is what every spelling of an answer names.
type answered struct {
	id, model string
	started   time.Time
	prompt    int // tokens
	request   modelRequest
}

// serverEvent is a server-sent event: its name, "" where the dialect gives none, and its data.
type serverEvent struct {
	name string
	data any
}

// spellingOf returns the spelling of one answer, and how the dialect's ids begin.
func spellingOf(d dialect) (spelling, string) {
	switch d {
	case dialectCompletions:
		return textSpelling{}, "cmpl-"
	case dialectResponses:
		return &responsesSpelling{}, "resp_"
	case dialectMessages:
		return messagesSpelling{}, "msg_"
	case dialectNone, dialectChat:
	}
	return chatSpelling{}, "chatcmpl-"
}

// lastEvent ends the streams of OpenAI's older APIs.
const lastEvent = "[DONE]"

// usage is the count of tokens as OpenAI's older APIs spell it.
func usage(took Generation) map[string]any {
	return map[string]any{
		"prompt_tokens": took.PromptTokens, "completion_tokens": took.CompletionTokens,
		"total_tokens": took.PromptTokens + took.CompletionTokens,
	}
}

// older is the envelope of an answer of OpenAI's older APIs.
func (a *answered) older(object string, choices []any) map[string]any {
	return map[string]any{"id": a.id, "object": object, "created": a.started.Unix(), "model": a.model, "choices": choices}
}

// olderChunk is an event with one choice; usage is there, as null, if it is asked for at the end.
func (a *answered) olderChunk(object string, choice map[string]any) serverEvent {
	chunk := a.older(object, []any{choice})
	if a.request.includeUsage {
		chunk["usage"] = nil
	}
	return serverEvent{data: chunk}
}

// olderEnd are the events behind the last choice.
func (a *answered) olderEnd(object string, took Generation) []serverEvent {
	var events []serverEvent
	if a.request.includeUsage {
		chunk := a.older(object, []any{})
		chunk["usage"] = usage(took)
		events = append(events, serverEvent{data: chunk})
	}
	return append(events, serverEvent{data: lastEvent})
}

// chatSpelling is that of OpenAI's Chat Completions.
type chatSpelling struct{}

func (chatSpelling) whole(a *answered, text string, took Generation) any {
	whole := a.older("chat.completion", []any{map[string]any{
		"index": 0, "message": map[string]any{"role": "assistant", "content": text}, "logprobs": nil, "finish_reason": took.FinishReason,
	}})
	whole["usage"] = usage(took)
	return whole
}

func (chatSpelling) chunk(a *answered, delta map[string]any, reason any) serverEvent {
	return a.olderChunk("chat.completion.chunk", map[string]any{"index": 0, "delta": delta, "logprobs": nil, "finish_reason": reason})
}

func (s chatSpelling) begin(a *answered) []serverEvent {
	return []serverEvent{s.chunk(a, map[string]any{"role": "assistant", "content": ""}, nil)}
}

func (s chatSpelling) piece(a *answered, text string) []serverEvent {
	return []serverEvent{s.chunk(a, map[string]any{"content": text}, nil)}
}

func (s chatSpelling) end(a *answered, _ string, took Generation) []serverEvent {
	return append([]serverEvent{s.chunk(a, map[string]any{}, took.FinishReason)}, a.olderEnd("chat.completion.chunk", took)...)
}

// textSpelling is that of OpenAI's Completions, whose events are like the whole.
type textSpelling struct{}

const textObject = "text_completion"

func (textSpelling) choice(text string, reason any) map[string]any {
	return map[string]any{"index": 0, "text": text, "logprobs": nil, "finish_reason": reason}
}

func (s textSpelling) whole(a *answered, text string, took Generation) any {
	whole := a.older(textObject, []any{s.choice(text, took.FinishReason)})
	whole["usage"] = usage(took)
	return whole
}

func (textSpelling) begin(*answered) []serverEvent { return nil }

func (s textSpelling) piece(a *answered, text string) []serverEvent {
	return []serverEvent{a.olderChunk(textObject, s.choice(text, nil))}
}

func (s textSpelling) end(a *answered, _ string, took Generation) []serverEvent {
	return append([]serverEvent{a.olderChunk(textObject, s.choice("", took.FinishReason))}, a.olderEnd(textObject, took)...)
}

// responsesSpelling is that of OpenAI's Responses, whose events are numbered.
type responsesSpelling struct{ sequence int }

// response is the object as it stands: with its output once there is one, with its usage once it has ended.
func (*responsesSpelling) response(a *answered, status string, output []any) map[string]any {
	var limit any
	if a.request.MaxTokens > 0 {
		limit = a.request.MaxTokens
	}
	return map[string]any{
		"id": a.id, "object": "response", "created_at": a.started.Unix(), "model": a.model, "status": status, "output": output,
		"background": false, "error": nil, "incomplete_details": nil, "instructions": nil, "max_output_tokens": limit, "metadata": map[string]any{},
		"parallel_tool_calls": false, "previous_response_id": nil, "store": false, "temperature": 0, "top_p": 1, "truncation": "disabled",
		"text": map[string]any{"format": map[string]any{"type": "text"}}, "tool_choice": "none", "tools": []any{}, "usage": nil,
	}
}

// ended is the response at its end.
func (s *responsesSpelling) ended(a *answered, text string, took Generation) map[string]any {
	status := "completed"
	if took.FinishReason == finishLength {
		status = "incomplete"
	}
	r := s.response(a, status, []any{s.message(a, status, []any{s.part(text)})})
	if took.FinishReason == finishLength {
		r["incomplete_details"] = map[string]any{"reason": "max_output_tokens"}
	} else {
		r["completed_at"] = time.Now().Unix()
	}
	r["usage"] = map[string]any{
		"input_tokens": took.PromptTokens, "input_tokens_details": map[string]any{"cached_tokens": 0},
		"output_tokens": took.CompletionTokens, "output_tokens_details": map[string]any{"reasoning_tokens": 0},
		"total_tokens": took.PromptTokens + took.CompletionTokens,
	}
	return r
}

func (*responsesSpelling) message(a *answered, status string, content []any) map[string]any {
	return map[string]any{"id": "msg_" + a.id, "type": "message", "status": status, "role": "assistant", "content": content}
}

func (*responsesSpelling) part(text string) map[string]any {
	return map[string]any{"type": "output_text", "text": text, "annotations": []any{}, "logprobs": []any{}}
}

func (s *responsesSpelling) whole(a *answered, text string, took Generation) any {
	return s.ended(a, text, took)
}

// event numbers an event.
func (s *responsesSpelling) event(name string, members map[string]any) serverEvent {
	members["type"], members["sequence_number"] = name, s.sequence
	s.sequence++
	return serverEvent{name, members}
}

// inPart is an event inside the only part of the only message.
func (s *responsesSpelling) inPart(a *answered, name string, members map[string]any) serverEvent {
	members["item_id"], members["output_index"], members["content_index"] = "msg_"+a.id, 0, 0
	return s.event(name, members)
}

func (s *responsesSpelling) begin(a *answered) []serverEvent {
	const status = "in_progress"
	return []serverEvent{
		s.event("response.created", map[string]any{"response": s.response(a, status, []any{})}),
		s.event("response.in_progress", map[string]any{"response": s.response(a, status, []any{})}),
		s.event("response.output_item.added", map[string]any{"output_index": 0, "item": s.message(a, status, []any{})}),
		s.inPart(a, "response.content_part.added", map[string]any{"part": s.part("")}),
	}
}

func (s *responsesSpelling) piece(a *answered, text string) []serverEvent {
	return []serverEvent{s.inPart(a, "response.output_text.delta", map[string]any{"delta": text, "logprobs": []any{}})}
}

func (s *responsesSpelling) end(a *answered, text string, took Generation) []serverEvent {
	response := s.ended(a, text, took)
	status := response["status"].(string)
	return []serverEvent{
		s.inPart(a, "response.output_text.done", map[string]any{"text": text, "logprobs": []any{}}),
		s.inPart(a, "response.content_part.done", map[string]any{"part": s.part(text)}),
		s.event("response.output_item.done", map[string]any{"output_index": 0, "item": s.message(a, status, []any{s.part(text)})}),
		s.event("response."+status, map[string]any{"response": response}),
	}
}

// messagesSpelling is that of Anthropic's Messages. A stop text is not told from the model's own end.
type messagesSpelling struct{}

func (messagesSpelling) message(a *answered, content []any, took Generation) map[string]any {
	var reason any
	switch took.FinishReason {
	case finishLength:
		reason = "max_tokens"
	case finishStop:
		reason = "end_turn"
	}
	return map[string]any{
		"id": a.id, "type": "message", "role": "assistant", "model": a.model, "content": content, "stop_reason": reason, "stop_sequence": nil,
		"usage": map[string]any{
			"input_tokens": cmp.Or(took.PromptTokens, a.prompt), "output_tokens": took.CompletionTokens,
			"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
		},
	}
}

func (s messagesSpelling) whole(a *answered, text string, took Generation) any {
	return s.message(a, []any{map[string]any{"type": "text", "text": text}}, took)
}

func (messagesSpelling) event(name string, members map[string]any) serverEvent {
	members["type"] = name
	return serverEvent{name, members}
}

func (s messagesSpelling) begin(a *answered) []serverEvent {
	return []serverEvent{
		s.event("message_start", map[string]any{"message": s.message(a, []any{}, Generation{})}),
		s.event("content_block_start", map[string]any{"index": 0, "content_block": map[string]any{"type": "text", "text": ""}}),
	}
}

func (s messagesSpelling) piece(_ *answered, text string) []serverEvent {
	return []serverEvent{s.event("content_block_delta", map[string]any{"index": 0, "delta": map[string]any{"type": "text_delta", "text": text}})}
}

func (s messagesSpelling) end(a *answered, _ string, took Generation) []serverEvent {
	ended := s.message(a, nil, took)
	return []serverEvent{
		s.event("content_block_stop", map[string]any{"index": 0}),
		s.event("message_delta", map[string]any{
			"delta": map[string]any{"stop_reason": ended["stop_reason"], "stop_sequence": nil}, "usage": ended["usage"],
		}),
		s.event("message_stop", map[string]any{}),
	}
}
