package proxy

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strings"

	"github.com/valyala/fasthttp"
)

// maxPeek is how much of a body that is only forwarded is read ahead to find the model that it names, in bytes.
const maxPeek = 64 << 10

// peekModel reads ahead in the body of a request of no dialect, if it is JSON or a form with files, until it has seen the model that
// the body names at its top level, and returns that and the whole body again. It returns "" if the body is encoded, or names no model
// in its first maxPeek bytes. An error of the body shows again when the rest is read.
func peekModel(h *fasthttp.RequestHeader, body io.Reader) (model string, whole io.Reader) {
	modelIn := modelFinder(h)
	if modelIn == nil {
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

// modelFinder returns what finds the model in the beginning of a body by its type: the name, and whether it is there in full. It is nil
// for types that name none and for encoded bodies. A body of no stated type may be JSON.
func modelFinder(h *fasthttp.RequestHeader) func(prefix []byte) (model string, found bool) {
	if len(contentEncodings(h)) > 0 {
		return nil
	}
	stated := string(headerValue(h, "Content-Type"))
	kind, params, err := mime.ParseMediaType(stated)
	switch {
	case stated == "", err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json")):
		return modelInObject
	case err == nil && kind == "multipart/form-data" && params["boundary"] != "":
		return func(prefix []byte) (string, bool) { return modelInForm(prefix, params["boundary"]) }
	}
	return nil
}

// modelInObject returns the model that an object names, of which only a beginning may be there, and whether it was found.
func modelInObject(prefix []byte) (model string, found bool) {
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

// modelInForm returns the field of a form that names the model, as modelInObject does.
func modelInForm(prefix []byte, boundary string) (model string, found bool) {
	form := multipart.NewReader(bytes.NewReader(prefix), boundary)
	for {
		part, err := form.NextRawPart()
		if err != nil {
			return "", false
		}
		if part.FormName() != "model" || part.FileName() != "" {
			continue
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return "", false
		}
		// Only what follows the boundary tells that it is one and not the beginning of a longer line of the value.
		_, err = form.NextRawPart()
		return string(value), err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
	}
}
