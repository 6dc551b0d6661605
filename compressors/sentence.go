package compressors

import (
	"strings"
	"unicode/utf8"
)

// longSentence is the most bytes of a sentence that is always one unit. A token holds at least one byte, so a unit of
// this size fits any segment.
const longSentence = 256

// appendUnits appends to dst the starts of the units of one line's content, the first of them 0: its clauses, and
// for a clause of more than longSentence bytes (minified code, a long string) its pieces of at most that size. Text
// is elided inside a line only from unit to unit, so a checker can tell a true cut from the source alone.
func appendUnits(dst []int, content string) []int {
	end := clauses(content)
	for from := 0; from < len(content); {
		to := end(content, from)
		dst = appendPieces(dst, content, from, to)
		from = to
	}
	return dst
}

// clauses returns what finds the end of the clause of a line's content that starts at an offset: a clause is a sentence,
// in a long line of JSON a value, in one of markup what stands from tag to tag.
func clauses(content string) func(content string, from int) int {
	switch {
	case len(content) <= longSentence:
		return sentenceEnd
	case isJSONLine(content):
		return jsonUnitEnd
	case isMarkupLine(content):
		return markupUnitEnd
	}
	return sentenceEnd
}

// appendPieces appends the starts of the pieces of the sentence content[from:end].
func appendPieces(dst []int, content string, from, end int) []int {
	for end-from > longSentence {
		dst = append(dst, from)
		from = pieceEnd(content, from)
	}
	return append(dst, from)
}

// pieceEnd returns where the piece that starts at from ends: after the last record of a JSON array that fits, else
// after the last white space, comma or semicolon, else on the last rune boundary.
func pieceEnd(content string, from int) int {
	limit := from + longSentence
	record, word, comma := 0, 0, 0
	for i := from + longSentence/4; i < limit; i++ {
		switch c := content[i]; {
		case (c == ',' || c == ';') && !isSpace(content[i+1]):
			comma = i + 1
			if p := content[i-1]; p == '}' || p == ']' {
				record = i + 1
			}
		case isSpace(c) && !isSpace(content[i+1]):
			word = i + 1
			if content[i-1] == ',' && (content[i-2] == '}' || content[i-2] == ']') {
				record = i + 1
			}
		}
	}
	for _, at := range []int{record, word, comma} {
		if at > 0 {
			return at
		}
	}
	for i := limit; i > limit-utf8.UTFMax; i-- {
		if utf8.RuneStart(content[i]) {
			return i
		}
	}
	return limit
}

// sentenceEnd returns the end, trailing white space included, of the sentence of content that starts at from.
func sentenceEnd(content string, from int) int {
	for i := from; i < len(content); i++ {
		switch c := content[i]; c {
		case '.', '!', '?':
			after := skipClosers(content, i+1)
			next := skipSpace(content, after)
			if next == len(content) {
				return next
			}
			if next == after || opensLower(content[next]) || c == '.' && isAbbreviation(content[from:i]) {
				i = after - 1 // a long run of full stops is read once
				continue
			}
			return next
		case 0xE3, 0xEF: // the lead bytes of the full stops of Chinese and Japanese, which no space follows
			if s := content[i:]; strings.HasPrefix(s, "。") || strings.HasPrefix(s, "！") || strings.HasPrefix(s, "？") {
				return skipSpace(content, skipClosers(content, i+len("。")))
			}
		}
	}
	return len(content)
}

func skipSpace(s string, i int) int {
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	return i
}

func skipClosers(s string, i int) int {
	for i < len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\'' || c == ')' || c == ']' || c == '.' || c == '!' || c == '?':
			i++
		case c == 0xE2 && (strings.HasPrefix(s[i:], "”") || strings.HasPrefix(s[i:], "’")),
			c == 0xE3 && (strings.HasPrefix(s[i:], "」") || strings.HasPrefix(s[i:], "』")):
			i += 3
		case strings.HasPrefix(s[i:], "»"):
			i += 2
		default:
			return i
		}
	}
	return i
}

// isSpace tells the white space that may stand inside a line.
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f' }

func opensLower(c byte) bool { return c >= 'a' && c <= 'z' || c == ',' || c == ';' || c == ')' }

// abbreviations are words whose full stop seldom ends a sentence.
var abbreviations = map[string]bool{
	"mr": true, "mrs": true, "ms": true, "dr": true, "prof": true, "st": true, "jr": true, "sr": true, "gen": true,
	"col": true, "lt": true, "sgt": true, "capt": true, "rev": true, "hon": true, "vs": true, "v": true, "etc": true,
	"al": true, "e.g": true, "i.e": true, "cf": true, "fig": true, "figs": true, "eq": true, "sec": true, "no": true,
	"vol": true, "pp": true, "approx": true, "ca": true, "inc": true, "ltd": true, "co": true, "corp": true,
}

// isAbbreviation reports whether the full stop after before belongs to its last word: an abbreviation, an initial, or
// the number of a list item.
func isAbbreviation(before string) bool {
	word := before[strings.LastIndexAny(before, " \t(\"'")+1:]
	if len(word) > 8 {
		return false
	}
	if len(word) == 1 && word[0] >= 'A' && word[0] <= 'Z' || len(word) == len("U.S") && word[1] == '.' {
		return true
	}
	if strings.Trim(word, "0123456789") == "" && strings.TrimLeft(before, " \t") == word {
		return true
	}
	return abbreviations[strings.ToLower(word)]
}
