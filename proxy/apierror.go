package proxy

import (
	"encoding/json"

	"github.com/valyala/fasthttp"
)

// apiError is an error of pith's own, to be written in the shape of the client's API. kind is OpenAI's type, of which
// Anthropic's follows, but for what only its statuses tell.
type apiError struct {
	status            int
	kind, code, param string
	message           string
}

// write makes the response of e in OpenAI's shape.
func (e apiError) write(response *fasthttp.Response) { e.writeAs(response, false, "") }

// writeAs makes the response of e in either shape; id is the request's, "" if it has none.
func (e apiError) writeAs(response *fasthttp.Response, anthropic bool, id string) {
	response.ResetBody()
	response.SetStatusCode(e.status)
	response.Header.SetContentType("application/json")
	response.SetBodyRaw(e.body(anthropic, id))
}

// body is e as JSON. OpenAI's is {"error":{"message","type","param","code"}} with null for what is not known, Anthropic's
// {"type":"error","error":{"type","message"},"request_id"}.
func (e apiError) body(anthropic bool, id string) []byte {
	optional := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	shape := map[string]any{"error": map[string]any{
		"message": e.message, "type": e.kind, "param": optional(e.param), "code": optional(e.code),
	}}
	if anthropic {
		shape = map[string]any{
			"type": "error", "request_id": optional(id),
			"error": map[string]any{"type": e.anthropicKind(), "message": e.message + " (" + e.code + ")"},
		}
	}
	body, err := json.Marshal(shape)
	if err != nil {
		panic("proxy: an error of strings does not marshal: " + err.Error())
	}
	return append(body, '\n')
}

// anthropicKind is the type that Anthropic's API gives to the error.
func (e apiError) anthropicKind() string {
	switch e.status {
	case fasthttp.StatusRequestEntityTooLarge:
		return "request_too_large"
	case fasthttp.StatusGatewayTimeout:
		return "timeout_error"
	case fasthttp.StatusInternalServerError:
		return "api_error"
	}
	return e.kind
}

func invalidRequest(status int, code, param, message string) apiError {
	return apiError{status: status, kind: "invalid_request_error", code: code, param: param, message: message}
}

func upstreamFailed(status int, code, message string) apiError {
	return apiError{status: status, kind: "api_error", code: code, message: message}
}
