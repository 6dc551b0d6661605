package proxy

import (
	"encoding/json"

	"github.com/valyala/fasthttp"
)

// apiError is an error of pith's own, in the shape of OpenAI's API.
type apiError struct {
	status            int
	kind, code, param string
	message           string
}

// write makes the response of e.
func (e apiError) write(response *fasthttp.Response) {
	response.ResetBody()
	response.SetStatusCode(e.status)
	response.Header.SetContentType("application/json")
	response.SetBodyRaw(e.body())
}

// body is e as JSON: {"error":{"message","type","param","code"}}, null for what is not known.
func (e apiError) body() []byte {
	optional := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	body, err := json.Marshal(map[string]any{"error": map[string]any{
		"message": e.message, "type": e.kind, "param": optional(e.param), "code": optional(e.code),
	}})
	if err != nil {
		panic("proxy: an error of strings does not marshal: " + err.Error())
	}
	return append(body, '\n')
}

func invalidRequest(status int, code, param, message string) apiError {
	return apiError{status: status, kind: "invalid_request_error", code: code, param: param, message: message}
}

func upstreamFailed(status int, code, message string) apiError {
	return apiError{status: status, kind: "api_error", code: code, message: message}
}
