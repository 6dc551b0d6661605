package proxy

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a body that pith reads; a deeper one is forwarded as it is. Servers stop near 1000.
const maxDepth = 512

var (
	errTooDeep   = fmt.Errorf("body nests deeper than %d levels", maxDepth)
	errDuplicate = errors.New("body repeats a key on the way to a text")
	errNotJSON   = errors.New("body is not JSON")
)

// scanner walks JSON bytes without building values and without recursion, so that no body can exhaust the stack.
// Structure that pith needs is read by object and array, everything else is checked and passed by skip.
type scanner struct {
	data []byte
	pos  int
}

// validate reports whether data is one JSON value of bounded depth in valid UTF-8.
func validate(data []byte) error {
	if !utf8.Valid(data) {
		return errNotJSON
	}
	s := scanner{data: data}
	if err := s.skip(0); err != nil {
		return err
	}
	return s.end()
}

// end reports anything but white space after the value.
func (s *scanner) end() error {
	s.space()
	if s.pos != len(s.data) {
		return errNotJSON
	}
	return nil
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the next byte that is not white space, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.pos == len(s.data) {
		return 0
	}
	return s.data[s.pos]
}

// rawString is a JSON string by its place in the body: [start, end) lies between the quotes.
type rawString struct {
	start, end int
	escaped    bool
}

// str reads a string and checks its escapes.
func (s *scanner) str() (rawString, error) {
	if s.peek() != '"' {
		return rawString{}, errNotJSON
	}
	s.pos++
	raw := rawString{start: s.pos}
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == '"':
			raw.end = s.pos
			s.pos++
			return raw, nil
		case c < 0x20:
			return raw, errNotJSON
		case c != '\\':
			s.pos++
		default:
			raw.escaped = true
			n, err := escapeLength(s.data[s.pos:])
			if err != nil {
				return raw, err
			}
			s.pos += n
		}
	}
	return raw, errNotJSON
}

// escapeLength returns the bytes of the single escape that raw begins with.
func escapeLength(raw []byte) (int, error) {
	if len(raw) < 2 {
		return 0, errNotJSON
	}
	switch raw[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, nil
	case 'u':
		if len(raw) < 6 {
			return 0, errNotJSON
		}
		for _, c := range raw[2:6] {
			if _, ok := hexValue(c); !ok {
				return 0, errNotJSON
			}
		}
		return 6, nil
	}
	return 0, errNotJSON
}

// skip checks and passes one value that sits depth levels deep.
func (s *scanner) skip(depth int) error {
	var open []byte // the closing brackets that are due
	for {
		// A value is due here.
		var err error
		switch c := s.peek(); c {
		case '{', '[':
			s.pos++
			if depth+len(open) >= maxDepth {
				return errTooDeep
			}
			open = append(open, c+2) // '{' and '}', '[' and ']' lie two apart
			if s.peek() == c+2 {
				break // empty: closed below
			}
			if c == '{' {
				err = s.key()
			}
			if err != nil {
				return err
			}
			continue
		case '"':
			_, err = s.str()
		default:
			err = s.scalar()
		}
		if err != nil {
			return err
		}
		// A value has ended: close what closes, or go on after a comma.
		for {
			if len(open) == 0 {
				return nil
			}
			c := s.peek()
			if c == open[len(open)-1] {
				s.pos++
				open = open[:len(open)-1]
				continue
			}
			if c != ',' {
				return errNotJSON
			}
			s.pos++
			if open[len(open)-1] == '}' {
				if err := s.key(); err != nil {
					return err
				}
			}
			break
		}
	}
}

// key passes a member's name and its colon.
func (s *scanner) key() error {
	if _, err := s.str(); err != nil {
		return err
	}
	if s.peek() != ':' {
		return errNotJSON
	}
	s.pos++
	return nil
}

// scalar passes a number, true, false or null.
func (s *scanner) scalar() error {
	for _, word := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(string(s.data[s.pos:min(s.pos+5, len(s.data))]), word) {
			s.pos += len(word)
			return nil
		}
	}
	digits := func() bool {
		from := s.pos
		for s.pos < len(s.data) && s.data[s.pos]-'0' <= 9 {
			s.pos++
		}
		return s.pos > from
	}
	at := func(set string) bool {
		if s.pos < len(s.data) && strings.IndexByte(set, s.data[s.pos]) >= 0 {
			s.pos++
			return true
		}
		return false
	}
	at("-")
	if !at("0") && !digits() {
		return errNotJSON
	}
	if at(".") && !digits() {
		return errNotJSON
	}
	if at("eE") {
		at("+-")
		if !digits() {
			return errNotJSON
		}
	}
	return nil
}

// object visits the members of the object that is due. visit must consume the value. Keys are decoded and their ASCII
// letters lowered, since some servers match keys whatever their case: two that differ in case only are duplicates too.
func (s *scanner) object(visit func(key string) error) error {
	if s.peek() != '{' {
		return errNotJSON
	}
	s.pos++
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	seen := map[string]bool{}
	for {
		raw, err := s.str()
		if err != nil {
			return err
		}
		key := raw.decode(s.data)
		folded := strings.ToLower(key)
		if seen[folded] {
			return errDuplicate
		}
		seen[folded] = true
		if s.peek() != ':' {
			return errNotJSON
		}
		s.pos++
		s.space()
		if err := visit(key); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			return nil
		default:
			return errNotJSON
		}
	}
}

// array visits the elements of the array that is due. visit must consume the value.
func (s *scanner) array(visit func() error) error {
	if s.peek() != '[' {
		return errNotJSON
	}
	s.pos++
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for {
		s.space()
		if err := visit(); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return nil
		default:
			return errNotJSON
		}
	}
}

func hexValue(c byte) (rune, bool) {
	switch {
	case c >= '0' && c <= '9':
		return rune(c - '0'), true
	case c >= 'a' && c <= 'f':
		return rune(c-'a') + 10, true
	case c >= 'A' && c <= 'F':
		return rune(c-'A') + 10, true
	}
	return 0, false
}
