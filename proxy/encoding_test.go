package proxy

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	brotli "github.com/molecule-man/go-brrr"
)

// encodeAs applies one encoding; "raw deflate" is what some clients call deflate.
func encodeAs(t testing.TB, name string, body []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch name {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "deflate":
		w = zlib.NewWriter(&out)
	case "raw deflate":
		w, err = flate.NewWriter(&out, 6)
	case "br":
		w, err = brotli.NewWriter(&out, 5)
	case "zstd":
		w, err = zstd.NewWriter(&out)
	default:
		t.Fatalf("encoding %q", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestEncodedBodiesAreReadAndElseUntouched(t *testing.T) {
	up := newRecorder(t)
	base := startProxy(t, Options{Upstream: up.URL, Compressor: realCompressor(t), MaxBody: 1 << 20})
	long, short := longBody(t), []byte(`{"messages":[{"role":"user","content":"hello"}]}`)
	_, _ = post(t, base, long)
	shortened := up.last()
	if bytes.Equal(shortened, long) {
		t.Fatal("the plain body was not shortened")
	}
	gone := func(body []byte, encodings ...string) []byte {
		for _, name := range encodings {
			body = encodeAs(t, name, body)
		}
		return body
	}
	bomb := bytes.Repeat([]byte(" "), 2<<20)
	gzipped, zipped := gone(long, "gzip"), gone(long, "zstd")
	for name, c := range map[string]struct {
		header string
		body   []byte
		status int
		edited bool
	}{
		"gzip":                      {"gzip", gzipped, 200, true},
		"its old name, and case":    {"X-GZip", gzipped, 200, true},
		"gzip of two members":       {"gzip", append(gone(long[:100], "gzip"), gone(long[100:], "gzip")...), 200, true},
		"deflate":                   {"deflate", gone(long, "deflate"), 200, true},
		"deflate without its frame": {"deflate", gone(long, "raw deflate"), 200, true},
		"br":                        {"br", gone(long, "br"), 200, true},
		"zstd":                      {"zstd", zipped, 200, true},
		"one over the other":        {"br, identity ,gzip", gone(long, "br", "gzip"), 200, true},
		"identity":                  {"identity", long, 200, true},
		"nothing to shorten":        {"gzip", gone(short, "gzip"), 200, false},
		"an unknown encoding":       {"compress", long, 200, false},
		"an unknown one inside":     {"aws-chunked,gzip", gzipped, 200, false},
		"too many":                  {"gzip,gzip,gzip,gzip,gzip", gzipped, 200, false},
		"not what it says":          {"gzip", long, 400, false},
		"another than it says":      {"br", gzipped, 400, false},
		"truncated gzip":            {"gzip", gzipped[:len(gzipped)-5], 400, false},
		"truncated zstd":            {"zstd", zipped[:len(zipped)-5], 400, false},
		"bytes after the end":       {"gzip", append(bytes.Clone(gzipped), "more"...), 400, false},
		"an empty body":             {"gzip", []byte{}, 400, false},
		"a bomb":                    {"gzip", gone(bomb, "gzip"), 413, false},
		"a bomb of br":              {"br", gone(bomb, "br"), 413, false},
		"a bomb of zstd":            {"zstd", gone(bomb, "zstd"), 413, false},
		"a bomb in a bomb":          {"gzip,gzip", gone(bomb, "gzip", "gzip"), 413, false},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(up.received())
			resp, answer := post(t, base, c.body, "Content-Encoding", c.header)
			if resp.StatusCode != c.status {
				t.Fatalf("%d %s", resp.StatusCode, answer)
			}
			if c.status != http.StatusOK {
				if len(up.received()) != before {
					t.Error("the request went up")
				}
				return
			}
			up.mu.Lock()
			encoding := up.requests[len(up.requests)-1].Header.Get("Content-Encoding")
			up.mu.Unlock()
			switch {
			case c.edited && (!bytes.Equal(up.last(), shortened) || encoding != ""):
				t.Errorf("sent up as %q, %d bytes", encoding, len(up.last()))
			case !c.edited && (!bytes.Equal(up.last(), c.body) || encoding != c.header):
				t.Errorf("sent up as %q, changed", encoding)
			}
		})
	}
	t.Run("in two headers", func(t *testing.T) {
		post(t, base, gone(long, "br", "gzip"), "Content-Encoding", "br", "Content-Encoding", "gzip")
		if !bytes.Equal(up.last(), shortened) {
			t.Error("not shortened")
		}
	})
	t.Run("a refused one is sent again as it came", func(t *testing.T) {
		other := bytes.ReplaceAll(long, []byte("old mill"), []byte("new mill"))
		up.status = func(n int) int {
			if bytes.Contains(up.bodies[n], []byte("new mill")) {
				return http.StatusBadRequest
			}
			return http.StatusOK
		}
		body := gone(other, "gzip")
		resp, _ := post(t, base, body, "Content-Encoding", "gzip")
		up.mu.Lock()
		defer up.mu.Unlock()
		if last := up.requests[len(up.requests)-1]; resp.StatusCode != http.StatusOK || !bytes.Equal(up.bodies[len(up.bodies)-1], body) || last.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%d, %v", resp.StatusCode, last.Header)
		}
	})
}

// FuzzDecodeBody checks that decoding keeps its bound, returns what was encoded, once and twice over, and reads as gzip what the
// standard library does.
func FuzzDecodeBody(f *testing.F) {
	for _, name := range []string{"gzip", "deflate", "br", "zstd"} {
		f.Add(encodeAs(f, name, []byte(strings.Repeat("a body ", 100))), name)
	}
	f.Fuzz(func(t *testing.T, body []byte, encodings string) {
		const limit = 1 << 16
		names := strings.Split(encodings, ",")
		if out, err := decodeBody(body, names, limit); err == nil && len(names) > 0 && len(out) > limit {
			t.Fatalf("%d bytes", len(out))
		}
		if inflater, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
			want, err := io.ReadAll(io.LimitReader(inflater, limit+1))
			got, failed := decodeBody(body, []string{"gzip"}, limit)
			if good := err == nil && len(want) <= limit; good != (failed == nil) || good && !bytes.Equal(got, want) {
				t.Fatalf("decoded %d bytes, %v; the standard library %d, %v", len(got), failed, len(want), err)
			}
		}
		if len(body) > limit {
			return
		}
		for _, name := range []string{"gzip", "deflate", "br", "zstd"} {
			if out, err := decodeBody(encodeAs(t, name, body), []string{name}, limit); err != nil || !bytes.Equal(out, body) {
				t.Fatalf("%s: %v", name, err)
			}
			over := []string{name, "gzip"}
			if out, err := decodeBody(encodeAs(t, "gzip", encodeAs(t, name, body)), over, 2*limit); err != nil || !bytes.Equal(out, body) {
				t.Fatalf("%v: %v", over, err)
			}
		}
	})
}
