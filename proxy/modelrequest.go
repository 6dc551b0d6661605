package proxy

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/valyala/fasthttp"
)

// completionRequest is what the model server reads of a request.
type completionRequest struct {
	Messages            []completionMessage `json:"messages"`
	Stream              bool                `json:"stream"`
	MaxTokens           *int                `json:"max_tokens"`
	MaxCompletionTokens *int                `json:"max_completion_tokens"`
	Stop                stopTexts           `json:"stop"`
	N                   *int                `json:"n"`
	Options             struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`

	messages []ChatMessage
}

type completionMessage struct {
	Role    string      `json:"role"`
	Content contentText `json:"content"`
}

// limit is the most tokens to generate, 0 if the request does not say.
func (r *completionRequest) limit() int {
	switch {
	case r.MaxCompletionTokens != nil:
		return *r.MaxCompletionTokens
	case r.MaxTokens != nil:
		return *r.MaxTokens
	}
	return 0
}

// maxStops bounds the stop texts of a request, as in the API.
const maxStops = 4

// stopTexts is a text, a list of texts, or null.
type stopTexts []string

// UnmarshalJSON reads any of the three forms.
func (s *stopTexts) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		*s = make(stopTexts, 1)
		return json.Unmarshal(data, &(*s)[0])
	}
	return json.Unmarshal(data, (*[]string)(s))
}

// contentText is a text, a list of parts of which the texts count, or null.
type contentText string

// UnmarshalJSON reads any of the three forms.
func (c *contentText) UnmarshalJSON(data []byte) error {
	if data[0] != '[' {
		return json.Unmarshal(data, (*string)(c))
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	var text strings.Builder
	for _, part := range parts {
		if part.Type == "text" {
			text.WriteString(part.Text)
		}
	}
	*c = contentText(text.String())
	return nil
}

// read reads and checks a request.
func (s *ModelServer) read(ctx *fasthttp.RequestCtx) (completionRequest, *apiError) {
	var r completionRequest
	refuse := func(status int, code, param, format string, args ...any) (completionRequest, *apiError) {
		e := invalidRequest(status, code, param, fmt.Sprintf(format, args...))
		return completionRequest{}, &e
	}
	var body []byte
	if stream := ctx.RequestBodyStream(); stream != nil {
		var err error
		if body, err = io.ReadAll(io.LimitReader(stream, int64(s.options.MaxBody)+1)); err != nil {
			ctx.Response.SetConnectionClose()
			return refuse(fasthttp.StatusBadRequest, "incomplete_body", "", "the request's body ended early")
		}
	}
	if len(body) > s.options.MaxBody {
		drain(ctx, s.options.MaxBody)
		return refuse(fasthttp.StatusRequestEntityTooLarge, "request_too_large", "", "the request's body is larger than the limit of %d bytes", s.options.MaxBody)
	}
	if err := validate(body); err != nil {
		return refuse(fasthttp.StatusBadRequest, "invalid_json", "", "%v", err)
	}
	if err := json.Unmarshal(body, &r); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return refuse(fasthttp.StatusBadRequest, "invalid_type", wrong.Field, "the request's %s must not be a JSON %s", cmp.Or(wrong.Field, "value"), wrong.Value)
		}
		return refuse(fasthttp.StatusBadRequest, "invalid_json", "", "the request's body is not a JSON object of the API's form")
	}
	switch {
	case len(r.Messages) == 0:
		return refuse(fasthttp.StatusBadRequest, "missing_required_parameter", "messages", "there must be at least one message")
	case r.N != nil && *r.N != 1:
		return refuse(fasthttp.StatusBadRequest, "unsupported_value", "n", "n is %d: there is only one answer", *r.N)
	case len(r.Stop) > maxStops:
		return refuse(fasthttp.StatusBadRequest, "invalid_value", "stop", "there are %d stop texts, the limit is %d", len(r.Stop), maxStops)
	case r.MaxTokens != nil && *r.MaxTokens < 1:
		return refuse(fasthttp.StatusBadRequest, "invalid_value", "max_tokens", "max_tokens is %d: it must be at least 1", *r.MaxTokens)
	case r.MaxCompletionTokens != nil && *r.MaxCompletionTokens < 1:
		return refuse(fasthttp.StatusBadRequest, "invalid_value", "max_completion_tokens", "max_completion_tokens is %d: it must be at least 1", *r.MaxCompletionTokens)
	}
	for i, m := range r.Messages {
		if m.Role == "" {
			return refuse(fasthttp.StatusBadRequest, "missing_required_parameter", fmt.Sprintf("messages[%d].role", i), "message %d has no role", i)
		}
		r.messages = append(r.messages, ChatMessage{m.Role, string(m.Content)})
	}
	return r, nil
}
