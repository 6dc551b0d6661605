package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/pith-llm/pith/compressors"
)

// decode returns the string's text. A surrogate without its partner becomes U+FFFD, as in encoding/json; splice never
// writes that back, it copies the raw bytes.
func (r rawString) decode(body []byte) string {
	raw := body[r.start:r.end]
	if !r.escaped {
		return string(raw)
	}
	text := make([]byte, 0, len(raw))
	for {
		plain := bytes.IndexByte(raw, '\\')
		if plain < 0 {
			return string(append(text, raw...))
		}
		text = append(text, raw[:plain]...)
		c, n := unescape(raw[plain:])
		text = utf8.AppendRune(text, c)
		raw = raw[plain+n:]
	}
}

// unescape reads the escape that raw begins with, both halves of a surrogate pair as one, and returns its rune and how
// many bytes of raw it takes. The scanner has checked the escape's form.
func unescape(raw []byte) (rune, int) {
	switch c := raw[1]; c {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		first := unit(raw[2:6])
		if !utf16.IsSurrogate(first) {
			return first, 6
		}
		if len(raw) >= 12 && raw[6] == '\\' && raw[7] == 'u' {
			if pair := utf16.DecodeRune(first, unit(raw[8:12])); pair != utf8.RuneError {
				return pair, 12
			}
		}
		return utf8.RuneError, 6
	default:
		return rune(c), 2
	}
}

// unit reads four hexadecimal digits.
func unit(digits []byte) rune {
	var u rune
	for _, c := range digits {
		v, _ := hexValue(c)
		u = u<<4 | v
	}
	return u
}

// cursor maps offsets of a string's text to offsets of its raw bytes, going forward only.
type cursor struct {
	raw       []byte
	rawAt, at int // the same place in raw bytes and in text
}

var errInsideRune = errors.New("a kept range begins or ends inside a character")

// to moves to the text offset at and returns the raw offset there.
func (c *cursor) to(at int) (int, error) {
	for c.at < at && c.rawAt < len(c.raw) {
		if c.raw[c.rawAt] != '\\' {
			c.at++
			c.rawAt++
			continue
		}
		r, n := unescape(c.raw[c.rawAt:])
		c.at += utf8.RuneLen(r)
		c.rawAt += n
	}
	if c.at != at {
		return 0, errInsideRune
	}
	// Between two bytes of a character that stands unescaped.
	if c.rawAt < len(c.raw) && !utf8.RuneStart(c.raw[c.rawAt]) {
		return 0, errInsideRune
	}
	return c.rawAt, nil
}

// appendSpliced appends the raw bytes of the text range [start, end), kept ranges copied from the raw bytes and markers
// escaped. The parts' offsets count from start; they must tile the range and spell the result's output.
func (c *cursor) appendSpliced(dst []byte, start, end int, source string, result compressors.TextResult) ([]byte, error) {
	at := 0
	var spelled []byte
	for _, part := range result.Parts {
		if part.Start != at || part.End < part.Start || part.End > end-start {
			return nil, fmt.Errorf("part [%d, %d) does not follow byte %d of %d", part.Start, part.End, at, end-start)
		}
		at = part.End
		from, err := c.to(start + part.Start)
		if err != nil {
			return nil, err
		}
		to, err := c.to(start + part.End)
		if err != nil {
			return nil, err
		}
		if part.Dropped {
			continue
		}
		if part.Marker == "" {
			dst = append(dst, c.raw[from:to]...)
			spelled = append(spelled, source[part.Start:part.End]...)
			continue
		}
		dst = appendEscaped(dst, part.Marker)
		spelled = append(spelled, part.Marker...)
	}
	if at != end-start {
		return nil, fmt.Errorf("parts end at byte %d of %d", at, end-start)
	}
	if string(spelled) != result.Output {
		return nil, errors.New("parts do not spell the output")
	}
	return dst, nil
}

// appendEscaped appends text as the inside of a JSON string.
func appendEscaped(dst []byte, text string) []byte {
	const hex = "0123456789abcdef"
	for i := range len(text) {
		switch c := text[i]; c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			if c < 0x20 {
				dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
				continue
			}
			dst = append(dst, c)
		}
	}
	return dst
}
