package proxy

import (
	"path"
	"slices"
	"strings"
	"unicode"
)

// sourceExtensions are those of files that stand under a line with their path.
var sourceExtensions = [...]string{
	"bash", "c", "cc", "cpp", "cs", "css", "cts", "cxx", "go", "h", "hh", "hpp", "html", "java", "js", "json", "jsx", "kt", "kts", "md", "mjs", "mts",
	"php", "proto", "py", "pyi", "rb", "rs", "rst", "scala", "sh", "sql", "svelte", "swift", "toml", "ts", "tsx", "txt", "vue", "xml", "yaml", "yml",
}

// pathLine returns the path that is all of a line, "" without one.
func pathLine(line string) string {
	line = strings.TrimRight(line, " \t\r\n")
	if !looksLikePath(line) || strings.ContainsAny(line, "(){}[];,=*?'`|") || strings.HasPrefix(line, "//") {
		return ""
	}
	extension := strings.TrimPrefix(path.Ext(line), ".")
	if !slices.Contains(sourceExtensions[:], extension) || len(extension) < 2 && !strings.Contains(line, "/") {
		return ""
	}
	return line
}

// underPaths finds source files that stand one after the other, each under a line with its path, and the question around
// them: in front of the first, behind the last, or, where the text is to be continued, the lines before its end. ok is false
// for a text of another shape.
func underPaths(text string) (files []region, question string, ok bool) {
	var found []region
	for at := 0; at < len(text); {
		next := lineEndAt(text, at, len(text))
		line := text[at:next]
		switch name := pathLine(line); {
		case name != "":
			if n := len(found); n > 0 {
				found[n-1].end = at
			}
			found = append(found, region{start: next, end: len(text), name: name})
		case len(found) == 0 && (at > maxParagraph || strings.HasPrefix(line, "```") || strings.HasPrefix(line, "~~~") || strings.HasPrefix(line, "<") || strings.HasPrefix(line, "Document [")):
			return nil, "", false // marked otherwise
		}
		at = next
	}
	if len(found) == 0 {
		return nil, "", false
	}
	last := &found[len(found)-1]
	first := strings.TrimSpace(text[:found[0].start-len(found[0].name)-1])
	behind := wordsAfterCode(text, last.start)
	words := strings.TrimSpace(text[behind:])
	switch {
	case len(words) > maxStub && asks(first) && !asks(words) && !mentions(strings.ToLower(first), pointing[:]):
		question = words + "\n" + first
	case len(words) > maxStub:
		question = asked(words)
	case continues(first):
		behind = last.start + lastLines(text[last.start:], 2*queryLines)
		question = strings.Trim(tailOf(text[behind:], maxTask), "\n")
	default:
		question = asked(first)
	}
	last.end = behind
	inside := 0
	for _, f := range found {
		text := text[f.start:f.end]
		if len(text) >= minRegion && !strings.HasPrefix(text, "```") && !strings.HasPrefix(text, "~~~") {
			files, inside = append(files, f), inside+len(text)
		}
	}
	return files, question, inside >= minUnmarked && 2*inside > behind
}

// continueWords are what a request says, in lower case, whose text is to be continued where it ends.
var continueWords = [...]string{"next line", "complete the", "continue the", "completion", "write the next", "finish the"}

// continues reports whether words ask for a text to be continued.
func continues(words string) bool { return mentions(strings.ToLower(words), continueWords[:]) }

// maxWordsAfter bounds the words behind code that are looked for, in bytes.
const maxWordsAfter = 16 << 10

// maxCodeInWords is by how much, in wordsAfterCode's weight, code may outweigh the prose before it: behind more of it the words
// have not begun.
const maxCodeInWords = 1200

// wordsAfterCode returns where the words begin that stand behind the code in text[from:], len(text) if there are none: the
// paragraphs at the end in which prose outweighs code the most. What is neither (quoted code, lists, headings) weighs
// nothing.
func wordsAfterCode(text string, from int) int {
	from = max(from, len(text)-maxWordsAfter)
	start, best, weight := len(text), 0, 0
	fenced := false
	for end := len(text); end > from; {
		at := paragraphStart(text, from, end)
		paragraph := text[at:end]
		marks := strings.Count("\n"+paragraph, "\n```")
		switch {
		case fenced || marks > 0:
			fenced = fenced != (marks%2 == 1)
			if isProse(paragraph) && !fenced {
				weight += len(paragraph) / 2 // words that lead to a fence
			}
		case isProse(paragraph):
			weight += len(paragraph)
		case isAside(paragraph):
		default:
			weight -= 2 * len(paragraph)
		}
		if weight > best && !fenced {
			start, best = at, weight
		}
		if weight < best-maxCodeInWords {
			break
		}
		end = at
	}
	return start
}

// paragraphStart returns where the last paragraph of text[from:end] begins, blank lines behind it included.
func paragraphStart(text string, from, end int) int {
	at := from + len(strings.TrimRight(text[from:end], " \t\r\n"))
	for at > from {
		n := strings.LastIndexByte(text[from:at], '\n')
		if n < 0 {
			return from
		}
		line := from + n + 1
		if line < at && strings.TrimSpace(text[line:at]) == "" {
			return at + 1
		}
		before := strings.LastIndexByte(text[from:from+n], '\n')
		if strings.TrimSpace(text[from+before+1:from+n]) == "" {
			return line
		}
		at = from + n
	}
	return from
}

// codeStarts begin lines of code that could pass for prose.
var codeStarts = [...]string{
	"//", "/*", "*", "#!", "@media", "import ", "from ", "package ", "func ", "def ", "class ", "var ", "let ", "const ", "use ", "pub ", "fn ",
	"#include", "#define", "export ", "static ", "public ", "private ", "}", "{", ")", "<",
}

// isProse reports whether a paragraph reads as somebody's words: it begins at the margin, has several words a line, and few of
// the characters that code is full of.
func isProse(paragraph string) bool {
	trimmed := strings.TrimSpace(paragraph)
	if trimmed == "" || trimmed[0] == '#' || paragraph[0] == ' ' || paragraph[0] == '\t' || len(strings.Fields(trimmed)) < 3*(1+strings.Count(trimmed, "\n")) {
		return false
	}
	first, _, _ := strings.Cut(trimmed, "\n")
	if first[0] == '@' && !strings.Contains(first, " ") || strings.Contains(first, " = ") || strings.Contains(first, `"""`) || strings.Contains(first, "'''") {
		return false
	}
	for _, start := range codeStarts {
		if strings.HasPrefix(trimmed, start) {
			return false
		}
	}
	letters, marks := 0, 0
	for _, r := range trimmed {
		switch {
		case strings.ContainsRune("{}()[];=<>_&|\\/+", r):
			marks++
		case unicode.IsLetter(r):
			letters++
		}
	}
	return letters > 8 && 8*marks < letters && !strings.HasSuffix(trimmed, "{")
}

// isAside reports whether a paragraph can stand in prose though it is none: indented throughout, a list, a heading, a few
// words.
func isAside(paragraph string) bool {
	trimmed := strings.TrimSpace(paragraph)
	if trimmed == "" || strings.ContainsRune(" \t", rune(paragraph[0])) || strings.ContainsRune("#-*>[", rune(trimmed[0])) {
		return true
	}
	return len(trimmed) <= 60 && !strings.ContainsAny(trimmed, "(){}=")
}

// pointing are words, in lower case, by which a question speaks of what else is said.
var pointing = [...]string{" this", " these", " that ", "following", "below", "above"}
