package tokenizer

import (
	"cmp"
	"strings"
	"unicode/utf8"
)

// A splitter returns the end of the word that starts at text[i:], i < len(text): the first match of the model's regular
// expression there. Each one reads every character a bounded number of times, whatever the text.
type splitter func(text string, i int) int

// splitSmol cuts as the GGUF pre-tokenizer "smollm" does: every numeric character is a word; the rest follows GPT-2's
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// where a numeric character ends the text that the expression sees.
func splitSmol(text string, i int) int {
	c, n := classAt(text, i)
	switch {
	case c&classNumber != 0:
		return i + n
	case c&classLetter != 0:
		return run(text, i+n, classLetter)
	case c&classSpace == 0:
		if text[i] == '\'' {
			if end := contraction(text, i, false); end > i {
				return end
			}
		}
		return punctuationEnd(text, i+n)
	}
	end := run(text, i+n, classSpace)
	if end == len(text) {
		return end
	}
	next, _ := classAt(text, end)
	switch {
	case next&classNumber != 0:
		return end
	case end > i+n:
		return lastStart(text, end) // the last space belongs to what follows
	case text[i] != ' ':
		return end
	case next&classLetter != 0:
		return run(text, end, classLetter)
	default:
		return punctuationEnd(text, end)
	}
}

// splitCL100K cuts as cl100k_base does:
//
//	(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
func splitCL100K(text string, i int) int {
	c, n := classAt(text, i)
	if c&classLetter != 0 {
		return run(text, i+n, classLetter)
	}
	if c&classNumber != 0 {
		return digits(text, i+n)
	}
	if text[i] == '\'' {
		if end := contraction(text, i, true); end > i {
			return end
		}
	}
	if c&classNewline == 0 {
		if end := run(text, i+n, classLetter); end > i+n {
			return end
		}
	}
	if start := punctuation(text, i, c); start > i {
		end := punctuationEnd(text, start)
		for end < len(text) && (text[end] == '\n' || text[end] == '\r') {
			end++
		}
		return end
	}
	return spaces(text, i)
}

// splitQwen2 cuts as the GGUF pre-tokenizer "qwen2" does: as cl100k_base, but every numeric character is a word.
func splitQwen2(text string, i int) int {
	if c, n := classAt(text, i); c&classNumber != 0 {
		return i + n
	}
	return splitCL100K(text, i)
}

// splitO200K cuts as o200k_base does:
//
//	[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|
//	[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|
//	\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
func splitO200K(text string, i int) int {
	c, n := classAt(text, i)
	if c&classNumber != 0 {
		return digits(text, i+n)
	}
	// The first alternative with its leading character and then without, then the second one likewise. Only a mark can
	// be both the leading character and part of a word, and alone it matches the first alternative.
	mixed, upper := -1, -1
	switch {
	case c&classLetter != 0:
		mixed, upper = word(text, i)
	case c&classNewline == 0:
		mixed, upper = word(text, i+n)
		if mixed < 0 && c&classMark != 0 {
			mixed, _ = word(text, i)
		}
	}
	if end := cmp.Or(max(mixed, 0), max(upper, 0)); end > 0 {
		return contraction(text, end, true)
	}
	if start := punctuation(text, i, c); start > i {
		end := punctuationEnd(text, start)
		for end < len(text) && (text[end] == '\n' || text[end] == '\r' || text[end] == '/') {
			end++
		}
		return end
	}
	return spaces(text, i)
}

// word matches o200k's two kinds of word at i, without leading character or contraction. mixed is the end of
// [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+, upper that of the first set alone, one or more; -1 if
// there is none.
func word(text string, i int) (mixed, upper int) {
	mixed, upper = -1, -1
	j := i
	for j < len(text) {
		c, n := classAt(text, j)
		if c&(classUpper|classOther|classMark) == 0 {
			if c&classLower != 0 {
				return run(text, j+n, classLower|classOther|classMark), upper
			}
			break
		}
		j += n
		upper = j
		if c&classUpper == 0 {
			mixed = j // where backtracking ends if no lower-case letter follows
		}
	}
	return mixed, upper
}

// contraction returns the end of an English contraction ('s 't 're 've 'm 'll 'd) at i, or i without one. fold also
// takes upper case, and the long s that Unicode folds to s.
func contraction(text string, i int, fold bool) int {
	if i+1 >= len(text) || text[i] != '\'' {
		return i
	}
	lower := func(b byte) byte {
		if fold && 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		return b
	}
	var second byte
	if i+2 < len(text) {
		second = lower(text[i+2])
	}
	switch first := lower(text[i+1]); {
	case first == 's' || first == 't' || first == 'm' || first == 'd':
		return i + 2
	case (first == 'r' || first == 'v') && second == 'e', first == 'l' && second == 'l':
		return i + 3
	case fold && strings.HasPrefix(text[i+1:], "ſ"):
		return i + 1 + len("ſ")
	}
	return i
}

// digits returns the end of a number of up to three characters, of which one ends at i.
func digits(text string, i int) int {
	for range 2 {
		if i == len(text) {
			break
		}
		c, n := classAt(text, i)
		if c&classNumber == 0 {
			break
		}
		i += n
	}
	return i
}

// punctuation returns where the run of an expression ` ?[^\s\p{L}\p{N}]+` at i goes on after its first character, or i
// if it does not match; c is the class of the character at i.
func punctuation(text string, i int, c class) int {
	if text[i] == ' ' {
		i++
		if i == len(text) {
			return i - 1
		}
		next, n := classAt(text, i)
		if next&(classSpace|classLetter|classNumber) != 0 {
			return i - 1
		}
		return i + n
	}
	if c&(classSpace|classLetter|classNumber) != 0 {
		return i
	}
	_, n := classAt(text, i)
	return i + n
}

// spaces matches `\s*[\r\n]+|\s+(?!\S)|\s+` at i, which is a space.
func spaces(text string, i int) int {
	end, newline := i, -1
	last := i
	for end < len(text) {
		c, n := classAt(text, end)
		if c&classSpace == 0 {
			break
		}
		last = end
		end += n
		if c&classNewline != 0 {
			newline = end
		}
	}
	switch {
	case newline > 0:
		return newline
	case end == len(text) || last == i:
		return end
	default:
		return last
	}
}

// lastStart returns where the last character of text[:end] starts.
func lastStart(text string, end int) int {
	_, n := utf8.DecodeLastRuneInString(text[:end])
	return end - n
}
