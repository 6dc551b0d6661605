package proxy

import (
	"bytes"
	"io"
	"mime"
	"strings"

	"github.com/valyala/fasthttp"
)

// maxPeek is how much of a body that is only forwarded is read ahead to find the model that it names, in bytes.
const maxPeek = 64 << 10

// peekModel reads ahead in the body of a request of no dialect, if it is JSON, until it has seen the model that the body names at its
// top level, and returns that and the whole body again. It returns "" if the body is encoded, or names no model in its first maxPeek
// bytes. An error of the body shows again when the rest is read.
func peekModel(h *fasthttp.RequestHeader, body io.Reader) (model string, whole io.Reader) {
	if !isJSON(h) || len(contentEncodings(h)) > 0 {
		return "", body
	}
	head := make([]byte, 0, 4096)
	tried := 0
	for {
		n, err := body.Read(head[len(head):cap(head)])
		head = head[:len(head)+n]
		over := err != nil || len(head) == maxPeek
		// Reading a prefix anew only once it has doubled costs no more than reading the whole of it twice, however small its parts.
		if over || tried == 0 || len(head) >= 2*tried {
			var found bool
			if model, found = modelIn(head); found || over {
				rest := body
				if err != nil {
					rest = failed{err}
				}
				return model, io.MultiReader(bytes.NewReader(head), rest)
			}
			tried = len(head)
		}
		if len(head) == cap(head) {
			head = append(make([]byte, 0, min(2*cap(head), maxPeek)), head...)
		}
	}
}

// failed is a reader that has ended with an error.
type failed struct{ err error }

func (f failed) Read([]byte) (int, error) { return 0, f.err }

// isJSON reports whether a body is JSON by its type, or may be since none is stated.
func isJSON(h *fasthttp.RequestHeader) bool {
	stated := string(headerValue(h, "Content-Type"))
	kind, _, err := mime.ParseMediaType(stated)
	return stated == "" || err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}

// modelIn returns the model that an object names, of which only a beginning may be there, and whether it was found.
func modelIn(prefix []byte) (model string, found bool) {
	s := scanner{data: prefix}
	_ = s.object(func(key string) error {
		if key != "model" || s.peek() != '"' {
			return s.skip(1)
		}
		var err error
		if model, err = s.text(1); err == nil {
			found = true
			err = io.EOF // the rest need not be there
		}
		return err
	})
	return model, found
}
