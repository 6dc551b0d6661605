package proxy

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/valyala/fasthttp"
)

// TestRawRequestsGoByModel sends bodies of paths that are only forwarded to upstreams by the models that they name.
func TestRawRequestsGoByModel(t *testing.T) {
	small, all := newRecorder(t), newRecorder(t)
	base := startProxy(t, Options{Upstreams: []Upstream{{Name: "small", URL: small.URL, Models: []string{"embed-*"}}, {Name: "all", URL: all.URL}}})
	part := func(name, value string) string {
		return "--x\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
	}
	file := func(size int) string {
		return "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n" + strings.Repeat("\x00\xff", size/2) + "\r\n"
	}
	form := func(parts ...string) string { return strings.Join(parts, "") + "--x--\r\n" }
	texts := strings.Repeat(`"a text \" of {many}",`, 20_000)
	for name, c := range map[string]struct {
		path, kind, encoding, body string
		want                       *recorder
	}{
		"embeddings":                  {"/v1/embeddings", "application/json", "", `{"model":"embed-1","input":[` + texts + `""]}`, small},
		"a rerank behind other texts": {"/v1/rerank", "application/json; charset=utf-8", "", `{"query":{"model":"x"},"documents":["` + strings.Repeat("a", 30_000) + `"],"mod\u0065l" : "embed-\u0032"}`, small},
		"no stated type":              {"/v1/moderations", "", "", `{"model":"embed-1"}`, small},
		"another model":               {"/v1/audio/speech", "application/json", "", `{"model":"voice"}`, all},
		"a model further down":        {"/v1/embeddings", "application/json", "", `{"input":[` + texts + `""],"model":"embed-1"}`, all},
		"a form":                      {"/v1/audio/transcriptions", "multipart/form-data; boundary=x", "", form(part("language", "en"), part("model", "embed-1"), file(300_000)), small},
		"a form's model at the end":   {"/v1/images/edits", `multipart/form-data; boundary="x"`, "", form(file(20_000), part("model", "embed-1")), small},
		"a form's model further down": {"/v1/images/edits", "multipart/form-data; boundary=x", "", form(file(70_000), part("model", "embed-1")), all},
		"a form with another model":   {"/v1/audio/transcriptions", "multipart/form-data; boundary=x", "", form(part("model", "voice"), file(10)), all},
		"a file called model":         {"/v1/audio/transcriptions", "multipart/form-data; boundary=x", "", strings.ReplaceAll(form(file(10)), `name="file"`, `name="model"`), all},
		"a form without a boundary":   {"/v1/audio/transcriptions", "multipart/form-data", "", form(part("model", "embed-1")), all},
		"a form that is JSON":         {"/v1/audio/transcriptions", "multipart/form-data; boundary=x", "", `{"model":"embed-1"}`, all},
		"another kind of parts":       {"/v1/audio/transcriptions", "multipart/mixed; boundary=x", "", form(part("model", "embed-1")), all},
		"an encoded body":             {"/v1/embeddings", "application/json", "identity, unknown", `{"model":"embed-1"}`, all},
		"a model in a list":           {"/v1/embeddings", "application/json", "", `[{"model":"embed-1"}]`, all},
		"a broken body":               {"/v1/embeddings", "application/json", "", `{"input":"x","mod`, all},
		"no body":                     {"/v1/unknown", "application/json", "", "", all},
	} {
		for _, chunked := range []bool{false, true} {
			before := len(c.want.received())
			var body io.Reader = strings.NewReader(c.body)
			if chunked {
				body = iotest.HalfReader(iotest.OneByteReader(strings.NewReader(c.body[:min(50, len(c.body))])))
				body = io.MultiReader(body, strings.NewReader(c.body[min(50, len(c.body)):]))
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+c.path, body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header["Content-Type"] = nil
			if c.kind != "" {
				req.Header.Set("Content-Type", c.kind)
			}
			if c.encoding != "" {
				req.Header.Set("Content-Encoding", c.encoding)
			}
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if got := c.want.received(); resp.StatusCode != http.StatusOK || len(got) != before+1 || string(got[before]) != c.body {
				t.Errorf("%s, chunked %t: status %d, %d requests there, want %d with the client's bytes", name, chunked, resp.StatusCode, len(got), before+1)
			}
		}
	}
}

// countedReader counts what is read of it.
type countedReader struct {
	io.Reader
	read int
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += n
	return n, err
}

func TestLookingForAModelReadsABoundedPrefix(t *testing.T) {
	cut := errors.New("cut")
	const field = "--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm"
	for name, c := range map[string]struct {
		body  io.Reader
		model string
		most  int
		err   error
	}{
		"in front":           {io.MultiReader(strings.NewReader(`{"model":"m",`), strings.NewReader(strings.Repeat(" ", 1<<20))), "m", 13, nil},
		"nowhere":            {strings.NewReader(`{"a":"` + strings.Repeat("x", 1<<20)), "", maxPeek, nil},
		"byte by byte":       {iotest.OneByteReader(strings.NewReader(`{"a":1,"model":"m","b":"` + strings.Repeat("x", 1000))), "m", 64, nil},
		"in front of a form": {io.MultiReader(strings.NewReader(field+"\r\n--x\r\nA: b\r\n\r\n"), strings.NewReader(strings.Repeat(" ", 1<<20))), "m", len(field) + 17, nil},
		"lines of a form":    {iotest.OneByteReader(strings.NewReader(field + "\r\n--xy\r\n--x--\r\n")), "m\r\n--xy", 100, nil},
		"nowhere in a form":  {strings.NewReader("--x\r\n\r\n" + strings.Repeat("x", 1<<20)), "", maxPeek, nil},
		"cut in a form":      {io.MultiReader(strings.NewReader(field), iotest.ErrReader(cut)), "", len(field), cut},
		"cut in the model":   {io.MultiReader(strings.NewReader(`{"model":"m`), iotest.ErrReader(cut)), "", 11, cut},
	} {
		counted := &countedReader{Reader: c.body}
		h := &fasthttp.RequestHeader{}
		if strings.Contains(name, "form") {
			h.SetContentType("multipart/form-data; boundary=x")
		}
		model, whole := peekModel(h, counted)
		if model != c.model || counted.read > c.most {
			t.Errorf("%s: model %q after %d bytes, want %q after at most %d", name, model, counted.read, c.model, c.most)
		}
		got, err := io.ReadAll(whole)
		if len(got) != counted.read || !errors.Is(err, c.err) {
			t.Errorf("%s: %d of %d bytes come again, %v", name, len(got), counted.read, err)
		}
	}
}
