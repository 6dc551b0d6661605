package proxy

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
	brotli "github.com/molecule-man/go-brrr"
	"github.com/valyala/fasthttp"
)

// maxEncodings bounds how often a body may be encoded over.
const maxEncodings = 4

var (
	errUnknownEncoding = errors.New("body has an encoding that is not known")
	errCorrupt         = errors.New("body is not what its encoding says")
)

// contentEncodings lists the encodings of a request's body in the order in which they were applied, over all headers that
// name some; identity is none.
func contentEncodings(h *fasthttp.RequestHeader) []string {
	var all []string
	for key, value := range h.All() {
		if !strings.EqualFold(string(key), "Content-Encoding") {
			continue
		}
		for name := range strings.SplitSeq(string(value), ",") {
			if name = strings.ToLower(strings.TrimSpace(name)); name != "" && name != "identity" {
				all = append(all, name)
			}
		}
	}
	return all
}

// decodeBody undoes the encodings of a body. No step may yield more than limit bytes, whatever the others are: past it
// the error is errBodyTooLarge. Bytes after the end of the encoded data are errCorrupt too: servers differ on them.
func decodeBody(body []byte, encodings []string, limit int) ([]byte, error) {
	if len(encodings) > maxEncodings {
		return nil, errUnknownEncoding
	}
	for _, name := range slices.Backward(encodings) {
		switch name {
		case "gzip", "x-gzip", "deflate", "br", "zstd":
		default:
			return nil, errUnknownEncoding
		}
	}
	for _, name := range slices.Backward(encodings) {
		var err error
		if body, err = decodeOnce(body, name, limit); err != nil {
			return nil, err
		}
	}
	return body, nil
}

// decodeOnce undoes one known encoding.
func decodeOnce(body []byte, name string, limit int) ([]byte, error) {
	source := bytes.NewReader(body)
	var r io.Reader
	switch name {
	case "br":
		r = brotli.NewReader(source)
	case "zstd":
		decoder, err := zstd.NewReader(source, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			return nil, errCorrupt
		}
		defer decoder.Close()
		r = decoder
	case "deflate":
		// The name means zlib's format, but some clients send the bare one.
		if inflater, err := zlib.NewReader(source); err == nil {
			r = inflater
		} else {
			source.Reset(body)
			r = flate.NewReader(source)
		}
	default:
		inflater, err := gzip.NewReader(source)
		if err != nil {
			return nil, errCorrupt
		}
		r = inflater
	}
	var out bytes.Buffer
	n, err := out.ReadFrom(io.LimitReader(r, int64(limit)+1))
	switch {
	case n > int64(limit):
		return nil, errBodyTooLarge
	case err != nil, name == "deflate" && source.Len() > 0:
		return nil, errCorrupt
	}
	return out.Bytes(), nil
}
