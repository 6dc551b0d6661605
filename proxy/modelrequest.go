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

// modelRequest is what the model server reads of a request, in whatever dialect.
type modelRequest struct {
	GenerateRequest

	stream bool
	// includeUsage asks for the counts of tokens at the end of a stream, where the dialect does not always send them.
	includeUsage bool
}

// requestReader is a request as its dialect spells it.
type requestReader interface {
	// read checks the request and returns what it asks for.
	read() (modelRequest, *apiError)
}

// requestForm is an empty request of a dialect.
func requestForm(d dialect) requestReader {
	switch d {
	case dialectCompletions:
		return &textRequest{}
	case dialectResponses:
		return &responsesRequest{}
	case dialectMessages:
		return &messagesRequest{}
	case dialectNone, dialectChat:
	}
	return &chatRequest{}
}

func refusal(code, param, format string, args ...any) *apiError {
	e := invalidRequest(fasthttp.StatusBadRequest, code, param, fmt.Sprintf(format, args...))
	return &e
}

// atLeastOne refuses a bound on the answer that leaves no room for one.
func atLeastOne(param string, value *int) *apiError {
	if value != nil && *value < 1 {
		return refusal("invalid_value", param, "%s is %d: it must be at least 1", param, *value)
	}
	return nil
}

// oneAnswer refuses to give several.
func oneAnswer(param string, value *int) *apiError {
	if value != nil && *value != 1 {
		return refusal("unsupported_value", param, "%s is %d: there is only one answer", param, *value)
	}
	return nil
}

// fewStops refuses more stop texts than the API takes.
func fewStops(stop []string) *apiError {
	if len(stop) > maxStops {
		return refusal("invalid_value", "stop", "there are %d stop texts, the limit is %d", len(stop), maxStops)
	}
	return nil
}

// streamOptions are what OpenAI's APIs call stream_options.
type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// chatRequest is a request of OpenAI's Chat Completions.
type chatRequest struct {
	Messages            []spokenMessage `json:"messages"`
	Stream              bool            `json:"stream"`
	MaxTokens           *int            `json:"max_tokens"`
	MaxCompletionTokens *int            `json:"max_completion_tokens"`
	Stop                stopTexts       `json:"stop"`
	N                   *int            `json:"n"`
	Options             streamOptions   `json:"stream_options"`
}

type spokenMessage struct {
	Role    string      `json:"role"`
	Content contentText `json:"content"`
}

func (r *chatRequest) read() (modelRequest, *apiError) {
	if len(r.Messages) == 0 {
		return modelRequest{}, refusal("missing_required_parameter", "messages", "there must be at least one message")
	}
	refused := cmp.Or(oneAnswer("n", r.N), fewStops(r.Stop), atLeastOne("max_tokens", r.MaxTokens), atLeastOne("max_completion_tokens", r.MaxCompletionTokens))
	if refused != nil {
		return modelRequest{}, refused
	}
	messages, refused := spoken("messages", r.Messages)
	limit := cmp.Or(r.MaxCompletionTokens, r.MaxTokens)
	return modelRequest{GenerateRequest{Messages: messages, MaxTokens: valueOf(limit), Stop: r.Stop}, r.Stream, r.Options.IncludeUsage}, refused
}

// spoken are the messages of a list, each of which must say who speaks.
func spoken(param string, list []spokenMessage) ([]ChatMessage, *apiError) {
	messages := make([]ChatMessage, len(list))
	for i, m := range list {
		if m.Role == "" {
			return nil, refusal("missing_required_parameter", fmt.Sprintf("%s[%d].role", param, i), "message %d has no role", i)
		}
		messages[i] = ChatMessage{m.Role, string(m.Content)}
	}
	return messages, nil
}

// valueOf is what a number says, 0 if it is not there.
func valueOf(number *int) int {
	if number == nil {
		return 0
	}
	return *number
}

// textRequest is a request of OpenAI's Completions.
type textRequest struct {
	Prompt    onePrompt     `json:"prompt"`
	Stream    bool          `json:"stream"`
	MaxTokens *int          `json:"max_tokens"`
	Stop      stopTexts     `json:"stop"`
	N         *int          `json:"n"`
	BestOf    *int          `json:"best_of"`
	Suffix    string        `json:"suffix"`
	Echo      bool          `json:"echo"`
	Options   streamOptions `json:"stream_options"`
}

// textTokens is how long an answer is at most where the request does not say, as in the API.
const textTokens = 16

func (r *textRequest) read() (modelRequest, *apiError) {
	switch {
	case len(r.Prompt) > 1:
		return modelRequest{}, refusal("unsupported_value", "prompt", "there are %d prompts: one is answered at a time", len(r.Prompt))
	case len(r.Prompt) == 0, r.Prompt[0] == "":
		return modelRequest{}, refusal("missing_required_parameter", "prompt", "there must be a prompt of text")
	case r.Suffix != "":
		return modelRequest{}, refusal("unsupported_value", "suffix", "nothing is filled in before a suffix")
	case r.Echo:
		return modelRequest{}, refusal("unsupported_value", "echo", "the prompt is not repeated")
	}
	if refused := cmp.Or(oneAnswer("n", r.N), oneAnswer("best_of", r.BestOf), fewStops(r.Stop), atLeastOne("max_tokens", r.MaxTokens)); refused != nil {
		return modelRequest{}, refused
	}
	limit := cmp.Or(valueOf(r.MaxTokens), textTokens)
	return modelRequest{GenerateRequest{Prompt: r.Prompt[0], MaxTokens: limit, Stop: r.Stop}, r.Stream, r.Options.IncludeUsage}, nil
}

// responsesRequest is a request of OpenAI's Responses. No response is kept, so none can be gone on from.
type responsesRequest struct {
	Input           inputItems `json:"input"`
	Instructions    string     `json:"instructions"`
	Stream          bool       `json:"stream"`
	Background      bool       `json:"background"`
	MaxOutputTokens *int       `json:"max_output_tokens"`
	Previous        string     `json:"previous_response_id"`
	Conversation    any        `json:"conversation"`
}

// inputItem is an element of an input, or a text in its place, which the user says.
type inputItem struct {
	spokenMessage

	Type   string      `json:"type"`
	Output contentText `json:"output"`
}

// inputItems is a text or a list of items.
type inputItems []inputItem

// UnmarshalJSON reads either form.
func (i *inputItems) UnmarshalJSON(data []byte) error {
	if data[0] != '"' {
		return json.Unmarshal(data, (*[]inputItem)(i))
	}
	*i = inputItems{{spokenMessage: spokenMessage{Role: "user"}}}
	return json.Unmarshal(data, &(*i)[0].Content)
}

func (r *responsesRequest) read() (modelRequest, *apiError) {
	switch {
	case r.Previous != "":
		return modelRequest{}, refusal("previous_response_not_found", "previous_response_id", "no response is kept: send the whole conversation")
	case r.Conversation != nil:
		return modelRequest{}, refusal("unsupported_parameter", "conversation", "no conversation is kept: send all of it")
	case r.Background:
		return modelRequest{}, refusal("unsupported_value", "background", "a response comes with the answer to its request")
	case len(r.Input) == 0:
		return modelRequest{}, refusal("missing_required_parameter", "input", "there must be an input")
	}
	if refused := atLeastOne("max_output_tokens", r.MaxOutputTokens); refused != nil {
		return modelRequest{}, refused
	}
	var said []spokenMessage
	if r.Instructions != "" {
		said = append(said, spokenMessage{"system", contentText(r.Instructions)})
	}
	for _, item := range r.Input {
		switch {
		case item.Type == "" || item.Type == "message":
			said = append(said, item.spokenMessage)
		case strings.HasSuffix(item.Type, "_output"):
			said = append(said, spokenMessage{"tool", item.Output})
		}
	}
	messages, refused := spoken("input", said)
	return modelRequest{GenerateRequest{Messages: messages, MaxTokens: valueOf(r.MaxOutputTokens)}, r.Stream, true}, refused
}

// messagesRequest is a request of Anthropic's Messages, or of the count of their tokens.
type messagesRequest struct {
	System   contentText     `json:"system"`
	Messages []spokenMessage `json:"messages"`
	Stream   bool            `json:"stream"`
	// MaxTokens may be missing here, though not in the API, since a request to count has none.
	MaxTokens *int     `json:"max_tokens"`
	Stop      []string `json:"stop_sequences"`
}

func (r *messagesRequest) read() (modelRequest, *apiError) {
	if len(r.Messages) == 0 {
		return modelRequest{}, refusal("missing_required_parameter", "messages", "there must be at least one message")
	}
	if refused := atLeastOne("max_tokens", r.MaxTokens); refused != nil {
		return modelRequest{}, refused
	}
	messages, refused := spoken("messages", r.Messages)
	if r.System != "" {
		messages = append([]ChatMessage{{"system", string(r.System)}}, messages...)
	}
	return modelRequest{GenerateRequest{Messages: messages, MaxTokens: valueOf(r.MaxTokens), Stop: r.Stop}, r.Stream, true}, refused
}

// maxStops bounds the stop texts of a request, as in OpenAI's API.
const maxStops = 4

// stopTexts is a text, a list of texts, or null.
type stopTexts []string

// UnmarshalJSON reads any of the three forms.
func (s *stopTexts) UnmarshalJSON(data []byte) error { return oneOrMore(data, (*[]string)(s)) }

// onePrompt is a text, or a list with one.
type onePrompt []string

// UnmarshalJSON reads either form.
func (p *onePrompt) UnmarshalJSON(data []byte) error { return oneOrMore(data, (*[]string)(p)) }

func oneOrMore(data []byte, texts *[]string) error {
	if data[0] == '"' {
		*texts = make([]string, 1)
		return json.Unmarshal(data, &(*texts)[0])
	}
	return json.Unmarshal(data, texts)
}

// contentText is a text, a list of parts of which the texts count, or null. A tool's result among the parts counts with its
// own content, and a document with its data if that is text.
type contentText string

// UnmarshalJSON reads any of the three forms.
func (c *contentText) UnmarshalJSON(data []byte) error {
	if data[0] != '[' {
		return json.Unmarshal(data, (*string)(c))
	}
	var parts []struct {
		Type    string      `json:"type"`
		Text    string      `json:"text"`
		Content contentText `json:"content"`
		Source  struct {
			Type string `json:"type"`
			Data string `json:"data"`
		} `json:"source"`
	}
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	var text strings.Builder
	for _, part := range parts {
		switch part.Type {
		case "text", "input_text", "output_text":
			text.WriteString(part.Text)
		case "tool_result":
			text.WriteString(string(part.Content))
		case "document":
			if part.Source.Type == "text" {
				text.WriteString(part.Source.Data)
			}
		}
	}
	*c = contentText(text.String())
	return nil
}

// read reads and checks a request of dialect d.
func (s *ModelServer) read(ctx *fasthttp.RequestCtx, d dialect) (modelRequest, *apiError) {
	var body []byte
	if stream := ctx.RequestBodyStream(); stream != nil {
		var err error
		if body, err = io.ReadAll(io.LimitReader(stream, int64(s.options.MaxBody)+1)); err != nil {
			ctx.Response.SetConnectionClose()
			return modelRequest{}, refusal("incomplete_body", "", "the request's body ended early")
		}
	}
	if len(body) > s.options.MaxBody {
		drain(ctx, s.options.MaxBody)
		e := invalidRequest(fasthttp.StatusRequestEntityTooLarge, "request_too_large", "", fmt.Sprintf("the request's body is larger than the limit of %d bytes", s.options.MaxBody))
		return modelRequest{}, &e
	}
	if err := validate(body); err != nil {
		return modelRequest{}, refusal("invalid_json", "", "%v", err)
	}
	form := requestForm(d)
	if err := json.Unmarshal(body, form); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return modelRequest{}, refusal("invalid_type", wrong.Field, "the request's %s must not be a JSON %s", cmp.Or(wrong.Field, "value"), wrong.Value)
		}
		return modelRequest{}, refusal("invalid_json", "", "the request's body is not a JSON object of the API's form")
	}
	return form.read()
}
