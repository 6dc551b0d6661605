package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// class is a set of the character classes that the models' regular expressions tell apart.
type class uint8

const (
	classUpper   class = 1 << iota // \p{Lu} \p{Lt}
	classLower                     // \p{Ll}
	classOther                     // \p{Lm} \p{Lo}
	classMark                      // \p{M}
	classNumber                    // \p{N}
	classSpace                     // \s
	classNewline                   // \r \n, which are classSpace too
	classWide                      // in the table of bytes only: part of a longer character

	classLetter = classUpper | classLower | classOther
)

const pageSize = 256

// pages maps a code point to its class, page by page; pages of a single class are shared.
var pages, bytesOf = buildPages()

func buildPages() (pages [(unicode.MaxRune + 1) / pageSize]*[pageSize]class, ascii [256]class) {
	uniform := map[class]*[pageSize]class{0: {}}
	for i := range pages {
		pages[i] = uniform[0]
	}
	own := func(page rune) *[pageSize]class {
		p := pages[page]
		for c, u := range uniform {
			if p == u {
				p = new([pageSize]class)
				for i := range p {
					p[i] = c
				}
				pages[page] = p
			}
		}
		return p
	}
	mark := func(lo, hi, stride rune, c class) {
		for r := lo; r <= hi; r += stride {
			if stride == 1 && r%pageSize == 0 && hi-r >= pageSize-1 && pages[r/pageSize] == uniform[0] {
				if uniform[c] == nil {
					u := new([pageSize]class)
					for i := range u {
						u[i] = c
					}
					uniform[c] = u
				}
				pages[r/pageSize] = uniform[c]
				r += pageSize - 1
				continue
			}
			own(r / pageSize)[r%pageSize] |= c
		}
	}
	for _, t := range []struct {
		c      class
		tables []*unicode.RangeTable
	}{
		{classUpper, []*unicode.RangeTable{unicode.Lu, unicode.Lt}},
		{classLower, []*unicode.RangeTable{unicode.Ll}},
		{classOther, []*unicode.RangeTable{unicode.Lm, unicode.Lo}},
		{classMark, []*unicode.RangeTable{unicode.M}},
		{classNumber, []*unicode.RangeTable{unicode.N}},
		{classSpace, []*unicode.RangeTable{unicode.White_Space}},
	} {
		for _, table := range t.tables {
			for _, r := range table.R16 {
				mark(rune(r.Lo), rune(r.Hi), rune(r.Stride), t.c)
			}
			for _, r := range table.R32 {
				mark(rune(r.Lo), rune(r.Hi), rune(r.Stride), t.c)
			}
		}
	}
	mark('\n', '\n', 1, classNewline)
	mark('\r', '\r', 1, classNewline)
	for b := range ascii {
		ascii[b] = classWide
		if b < utf8.RuneSelf {
			ascii[b] = pages[0][b]
		}
	}
	return pages, ascii
}

// classAt returns the class of the character at text[i:] and its length in bytes. A byte that is not part of valid
// UTF-8 is a character of no class, as U+FFFD is.
func classAt(text string, i int) (class, int) {
	c := bytesOf[text[i]]
	if c != classWide {
		return c, 1
	}
	r, n := utf8.DecodeRuneInString(text[i:])
	return pages[r/pageSize][r%pageSize], n
}

// run returns the end of the longest run from i on of characters that have a class in set.
func run(text string, i int, set class) int {
	for i < len(text) {
		c := bytesOf[text[i]]
		n := 1
		if c == classWide {
			c, n = classAt(text, i)
		}
		if c&set == 0 {
			break
		}
		i += n
	}
	return i
}

// punctuationEnd returns the end of the longest run from i on of characters that are no letter, number or space.
func punctuationEnd(text string, i int) int {
	for i < len(text) {
		c := bytesOf[text[i]]
		n := 1
		if c == classWide {
			c, n = classAt(text, i)
		}
		if c&(classSpace|classLetter|classNumber) != 0 {
			break
		}
		i += n
	}
	return i
}
