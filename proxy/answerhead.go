package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"
)

// answerHead is the head of an upstream's answer as it is spelled. It is read here because what fasthttp reads loses the
// order of the headers, the spelling and the repetition of those that it knows, and interim answers.
type answerHead struct {
	status int
	reason string
	fields []field
	// length is that of the body, inChunks or untilEnd. An answer that has no body may state one all the same.
	length int
	// options are the headers that belong to the connection.
	options []string
	// closes says that the connection ends with the answer.
	closes bool
}

// field is a line of a head or of a trailer: its name, and its value without the space around it.
type field struct{ name, value string }

// The lengths of bodies that state none, as fasthttp numbers them, and of no body.
const (
	inChunks = -1
	untilEnd = -2
	noBody   = -3
)

// maxInterim bounds the interim answers before an answer.
const maxInterim = 100

var (
	errHead         = errors.New("the head of the answer is malformed")
	errHeadTooLarge = errors.New("the head of the answer is larger than the buffer")
)

// readAnswerHead reads the next head. Its error is errHead, errHeadTooLarge or that of the connection.
func readAnswerHead(r *bufio.Reader) (answerHead, error) {
	block, err := peekHead(r)
	if err != nil {
		return answerHead{}, err
	}
	head, err := parseAnswerHead(string(block))
	if err == nil {
		_, err = r.Discard(len(block))
	}
	return head, err
}

// readTrailers reads the fields behind the last chunk of a body, up to the empty line. The body is whole without them, so malformed
// ones are none.
func readTrailers(r *bufio.Reader) ([]field, error) {
	block, err := peekHead(r)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	fields, err := parseFields(string(block))
	if err != nil {
		fields = nil
	}
	_, err = r.Discard(len(block))
	return fields, err
}

// peekHead returns what comes up to the first empty line, and that line.
func peekHead(r *bufio.Reader) ([]byte, error) {
	line := 0 // where it begins
	for {
		block, _ := r.Peek(r.Buffered()) // cannot fail
		for {
			n := bytes.IndexByte(block[line:], '\n')
			if n < 0 {
				break
			}
			empty := n == 0 || n == 1 && block[line] == '\r'
			if line += n + 1; empty {
				return block[:line], nil
			}
		}
		if _, err := r.Peek(len(block) + 1); errors.Is(err, bufio.ErrBufferFull) {
			return nil, errHeadTooLarge
		} else if err != nil {
			return nil, err
		}
	}
}

// parseAnswerHead reads a head that ends with an empty line, and refuses one that clients may take for another than it is.
func parseAnswerHead(block string) (answerHead, error) {
	var h answerHead
	line, rest, _ := strings.Cut(block, "\n")
	version, line, ok := strings.Cut(strings.TrimSuffix(line, "\r"), " ")
	if !ok || version != "HTTP/1.1" && version != "HTTP/1.0" {
		return h, errHead
	}
	code, reason, _ := strings.Cut(strings.TrimLeft(line, " "), " ")
	status, err := strconv.ParseUint(code, 10, 16)
	if err != nil || len(code) != 3 || status < 100 || !isFieldValue(reason) {
		return h, errHead
	}
	h.status, h.reason = int(status), reason
	if h.fields, err = parseFields(rest); err != nil {
		return h, err
	}
	return h, h.readFraming(version == "HTTP/1.1")
}

// parseFields reads header lines up to an empty one. A value that goes on in the next line, as it once was allowed, is joined
// with a space.
func parseFields(block string) ([]field, error) {
	var fields []field
	for line := range strings.SplitSeq(block, "\n") {
		line = strings.TrimSuffix(line, "\r")
		switch {
		case line == "":
			return fields, nil
		case line[0] == ' ' || line[0] == '\t':
			more := strings.Trim(line, " \t")
			if len(fields) == 0 || !isFieldValue(more) {
				return nil, errHead
			}
			last := &fields[len(fields)-1]
			last.value = strings.Trim(last.value+" "+more, " ")
		default:
			name, value, ok := strings.Cut(line, ":")
			f := field{strings.TrimRight(name, " \t"), strings.Trim(value, " \t")}
			if !ok || !isToken(f.name) || !isFieldValue(f.value) {
				return nil, errHead
			}
			fields = append(fields, f)
		}
	}
	return fields, nil
}

// isToken reports whether a text can be the name of a header.
func isToken(text string) bool {
	for i := range len(text) {
		c := text[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return text != ""
}

// isFieldValue reports whether a text can be the value of a header: no byte of it ends a line or a string.
func isFieldValue(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// readFraming finds out where the body ends, and what becomes of the connection then.
func (h *answerHead) readFraming(http11 bool) error {
	h.length, h.closes = untilEnd, !http11
	chunked := false
	for _, f := range h.fields {
		switch {
		case strings.EqualFold(f.name, "Content-Length"):
			length, err := strconv.ParseUint(f.value, 10, strconv.IntSize-1)
			if err != nil || h.length != untilEnd && h.length != int(length) {
				return errHead
			}
			h.length = int(length)
		case strings.EqualFold(f.name, "Transfer-Encoding") && http11:
			if chunked || !strings.EqualFold(f.value, "chunked") {
				return errHead
			}
			chunked = true
		case strings.EqualFold(f.name, "Connection"):
			for option := range strings.SplitSeq(strings.ToLower(f.value), ",") {
				switch option = strings.TrimSpace(option); option {
				case "close":
					h.closes = true
				case "keep-alive":
					h.closes = h.closes && http11
				}
			}
			h.options = append(h.options, connectionOptions([]byte(f.value))...)
		}
	}
	if chunked {
		h.length = inChunks // whatever a Content-Length says
	}
	return nil
}

// value returns the first value of a header, "" if there is none.
func (h *answerHead) value(name string) string {
	for _, f := range h.fields {
		if strings.EqualFold(f.name, name) {
			return f.value
		}
	}
	return ""
}

// interim reports whether another head follows this one.
func (h *answerHead) interim() bool {
	return h.status < fasthttp.StatusOK && h.status != fasthttp.StatusSwitchingProtocols
}

// bodiless reports whether the answer has no body, whatever its headers say.
func (h *answerHead) bodiless(method string) bool {
	return method == fasthttp.MethodHead || h.status < fasthttp.StatusOK || h.status == fasthttp.StatusNoContent || h.status == fasthttp.StatusNotModified
}

// appendTo appends the status line and the headers for a client that is sent a body of a length, inChunks, untilEnd or noBody:
// without those of pith and of the connection, and without the empty line.
func (h *answerHead) appendTo(b []byte, length int) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(h.status), 10)
	b = append(b, ' ')
	b = append(b, h.reason...)
	b = append(b, "\r\n"...)
	framed := false
	for _, f := range h.fields {
		switch {
		case strings.EqualFold(f.name, "Content-Length"):
			if framed || length == inChunks || length == untilEnd || h.interim() || h.status == fasthttp.StatusNoContent {
				continue
			}
			framed = true
		case strings.EqualFold(f.name, "Transfer-Encoding"):
			if length != inChunks || h.length != inChunks {
				continue
			}
			framed = true
		case strings.EqualFold(f.name, "Trailer") && length == inChunks && h.length == inChunks:
		case isOwn([]byte(f.name)) || isHop([]byte(f.name), h.options):
			continue
		}
		b = appendField(b, f.name, f.value)
	}
	if length == inChunks && !framed {
		b = appendField(b, "Transfer-Encoding", "chunked")
	}
	return b
}

// appendField appends a header line.
func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}
