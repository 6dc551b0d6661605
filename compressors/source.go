package compressors

import (
	"sort"
	"strings"
)

// source is a text with its lines. A line ends after "\n"; its content is what precedes "\n" or "\r\n".
type source struct {
	text   string
	starts []int32 // start of each line
	// solid[i] is the first line at or after i that is not blank, len(starts) without one; one entry more than lines.
	solid []int32
}

func newSource(text string) *source {
	n := strings.Count(text, "\n")
	if text != "" && text[len(text)-1] != '\n' {
		n++
	}
	s := &source{text: text, starts: make([]int32, n), solid: make([]int32, n+1)}
	for i, at := 0, 0; i < n; i++ {
		s.starts[i] = int32(at)
		at += strings.IndexByte(text[at:], '\n') + 1
	}
	s.solid[n] = int32(n)
	for i := n - 1; i >= 0; i-- {
		s.solid[i] = s.solid[i+1]
		if strings.TrimLeft(s.content(i), " \t\r\v\f") != "" {
			s.solid[i] = int32(i)
		}
	}
	return s
}

func (s *source) lines() int { return len(s.starts) }

// start returns the offset of line i; start(lines()) is the end of the text.
func (s *source) start(i int) int {
	if i < len(s.starts) {
		return int(s.starts[i])
	}
	return len(s.text)
}

// contentEnd returns the end of line i without its terminator.
func (s *source) contentEnd(i int) int {
	return s.start(i+1) - len(terminator(s.line(i)))
}

// line returns line i with its terminator, content without.
func (s *source) line(i int) string    { return s.text[s.start(i):s.start(i+1)] }
func (s *source) content(i int) string { return s.text[s.start(i):s.contentEnd(i)] }

func (s *source) blank(i int) bool { return int(s.solid[i]) != i }

// lineAt returns the line that holds offset; lines() for the end of the text.
func (s *source) lineAt(offset int) int {
	if offset >= len(s.text) {
		return len(s.starts)
	}
	return sort.Search(len(s.starts), func(i int) bool { return int(s.starts[i]) > offset }) - 1
}

// indentation returns the white space that opens the first line at or after i that is not blank; empty without one.
func (s *source) indentation(i int) string {
	i = int(s.solid[i])
	if i == len(s.starts) {
		return ""
	}
	return indentation(s.line(i))
}

func indentation(line string) string {
	return line[:len(line)-len(strings.TrimLeft(line, " \t"))]
}

// terminator returns how line ends: "\n", "\r\n" or "" at the end of a text.
func terminator(line string) string {
	switch {
	case strings.HasSuffix(line, "\r\n"):
		return "\r\n"
	case strings.HasSuffix(line, "\n"):
		return "\n"
	}
	return ""
}

// estimate guesses the tokens of text from its bytes, well within a factor of two for code and prose. It decides where
// segments are cut; what they cost is counted.
func estimate(text string) int {
	const (
		space = iota
		letter
		digit
		punct
		other
	)
	tokens, run, class := 0, 0, space
	flush := func() {
		switch class {
		case letter:
			tokens += 1 + (run-1)/8
		case digit:
			tokens += (run + 2) / 3
		case punct, other:
			tokens += (run + 1) / 2
		}
	}
	for i := range len(text) {
		next := other
		switch c := text[i]; {
		case c >= 'a' && c <= 'z':
			next = letter
		case c >= 'A' && c <= 'Z':
			next = letter
			if i > 0 && text[i-1] >= 'a' && text[i-1] <= 'z' {
				flush()
				run = 0
			}
		case c >= '0' && c <= '9':
			next = digit
		case c == '\n':
			next = space
			tokens++
		case c == ' ' || c == '\t' || c == '\r':
			next = space
		case c < 0x80:
			next = punct
		}
		if next != class {
			flush()
			class, run = next, 0
		}
		run++
	}
	flush()
	return tokens
}
