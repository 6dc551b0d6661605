package compressors

import (
	"regexp"
	"strings"
)

// testBytes is how much of a text is read to tell the output of a test run, whose own words may follow a long build.
const testBytes = 256 << 10

// listOfContent finds texts that are lists by the shapes of their lines; nil for code and prose. What is taken wrongly for
// a list is still cut at whole lines.
func listOfContent(content string) *language {
	opening := strings.TrimLeft(content[:min(len(content), sniffBytes)], "\ufeff \t\r\n")
	switch {
	case opensJSON(opening):
		return jsonLang
	case opensMarkup(opening):
		return htmlLang
	}
	// A test run may print the diff that it tests.
	if isTestOutput(content[:min(len(content), testBytes)]) {
		return testLang
	}
	switch shapes := readShapes(content[:min(len(content), sniffBytes)]); {
	case shapes.diff():
		return diffLang
	case shapes.solid >= 3 && shapes.hits*10 >= shapes.solid*6:
		return searchLang
	case shapes.entries >= 3 && shapes.entries*10 >= (shapes.solid-shapes.indented)*4:
		return logLang
	case isTable(content[:min(len(content), sniffBytes)]):
		return tableLang
	}
	return nil
}

// opensJSON reports whether text opens like JSON: a brace and a key or its end, a bracket and a value.
func opensJSON(text string) bool {
	if text == "" {
		return false
	}
	rest := strings.TrimLeft(text[1:], " \t\r\n")
	switch text[0] {
	case '{':
		return hasAnyPrefix(rest, `"`, "}")
	case '[':
		// A log line may open with a bracket; a list of records or strings goes on like this.
		if strings.HasPrefix(rest, `"`) {
			end := strings.IndexByte(rest[1:], '"')
			return end >= 0 && hasAnyPrefix(strings.TrimLeft(rest[end+2:], " \t\r\n"), ",", "]")
		}
		if strings.HasPrefix(rest, "[") {
			rest = strings.TrimLeft(rest, "[ \t\r\n")
			return rest == "" || strings.IndexByte("{\"-0123456789tfn]", rest[0]) >= 0
		}
		return strings.HasPrefix(rest, "{") && opensJSON(rest)
	}
	return false
}

// opensMarkup reports whether text opens like HTML or XML: with a declaration, or with a tag that HTML has and more that close.
func opensMarkup(text string) bool {
	start := strings.ToLower(text[:min(len(text), 64)])
	if hasAnyPrefix(start, "<!doctype html", "<html", "<?xml", "<svg") {
		return true
	}
	if !strings.HasPrefix(start, "<") {
		return false
	}
	name := strings.TrimLeft(start[1:], "!")
	name = name[:len(name)-len(strings.TrimLeft(name, "abcdefghijklmnopqrstuvwxyz0123456789"))]
	return htmlTags[name] && strings.Count(text, "</") >= 3 && !strings.Contains(text, "import ")
}

// htmlTags are tags that a piece of a page may open with.
var htmlTags = map[string]bool{
	"head": true, "body": true, "div": true, "p": true, "table": true, "thead": true, "tbody": true, "tr": true, "ul": true, "ol": true,
	"li": true, "dl": true, "section": true, "article": true, "main": true, "nav": true, "header": true, "footer": true,
	"h1": true, "h2": true, "h3": true, "h4": true, "h5": true, "h6": true, "a": true, "span": true, "meta": true, "pre": true,
	"form": true, "figure": true, "aside": true, "details": true, "blockquote": true,
}

// shapes counts the lines of a text by what they look like.
type shapes struct {
	solid, indented int // lines that are not blank; that open with white space or go on with a stack trace
	hits            int // of a search
	entries         int // that open a log entry
	hunks, sides    int // of a diff: hunk headers; names of the files compared
}

func readShapes(text string) shapes {
	var s shapes
	path := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		if line == "" {
			continue
		}
		if s.solid++; s.solid > sniffLines {
			break
		}
		if continues(line) {
			s.indented++
		}
		if p, ok := searchHit(line, path); ok {
			path = p
			s.hits++
		}
		if opensEntry(line) {
			s.entries++
		}
		switch {
		case isHunk(line):
			s.hunks++
		case hasAnyPrefix(line, "diff --git ", "--- a/", "+++ b/", "--- /dev/null", "+++ /dev/null", "Index: "):
			s.sides++
		case hasAnyPrefix(line, "--- ", "+++ ") && !strings.HasSuffix(line, "---"):
			s.sides++
		}
	}
	return s
}

func (s shapes) diff() bool { return s.sides >= 2 && (s.hunks >= 1 || s.sides >= 3) }

// isHunk reports whether line is the header of a hunk: @@ -1,2 +3,4 @@.
func isHunk(line string) bool {
	rest, ok := strings.CutPrefix(line, "@@ -")
	if !ok {
		return false
	}
	old, rest, ok := strings.Cut(rest, " +")
	renewed, _, closed := strings.Cut(rest, " @@")
	return ok && closed && onlyOf(old, "0123456789,") && onlyOf(renewed, "0123456789,")
}

func onlyOf(s, set string) bool { return s != "" && strings.Trim(s, set) == "" }

// continues reports whether a line of a log goes on with the entry before it.
func continues(line string) bool {
	if line == "" || isSpace(line[0]) {
		return true
	}
	return hasAnyPrefix(line, "at ", "Caused by", "Traceback ", "... ", "}", ")", "]", "goroutine ", "During handling of", "The above exception")
}

// searchHit reads the path off a line of search results: path:12:text, path:12:5:text, or path-12-text beside hits of the
// same path. A time or an address is no path.
func searchHit(line, lastPath string) (path string, ok bool) {
	start := 0
	if len(line) > 2 && line[1] == ':' && (line[2] == '\\' || line[2] == '/') { // a drive
		start = 2
	}
	end := strings.IndexByte(line[start:], ':')
	if lastPath != "" && strings.HasPrefix(line, lastPath+"-") {
		if digits, _, found := strings.Cut(line[len(lastPath)+1:], "-"); found && onlyOf(digits, "0123456789") {
			return lastPath, true
		}
	}
	if end < 0 {
		return "", false
	}
	path = line[:start+end]
	number, _, found := strings.Cut(line[start+end+1:], ":")
	if !found || !onlyOf(number, "0123456789") || !isPath(path) {
		return "", false
	}
	return path, true
}

// isPath reports whether s looks like a file's path: without spaces, with a folder, an extension of letters or the name
// of a file that has none.
func isPath(s string) bool {
	if s == "" || strings.ContainsAny(s, " \t\"'()[]{}<>=,;") || strings.Contains(s, "//") {
		return false
	}
	base := s[strings.LastIndexAny(s, `/\`)+1:]
	if base == "" {
		return false
	}
	if dot := strings.LastIndexByte(base, '.'); dot >= 0 && dot+1 < len(base) {
		c := base[dot+1] | 0x20
		return c >= 'a' && c <= 'z'
	}
	letter := strings.IndexFunc(base, func(r rune) bool { return r|0x20 >= 'a' && r|0x20 <= 'z' }) >= 0
	return letter && (len(base) < len(s) || languageByFile[strings.ToLower(base)] != nil || strings.ToUpper(base) == base && len(base) > 3)
}

// entryTime finds a time of day near the start of a line, entryDate a date or a counter of seconds at it, and entryLevel
// the word for a level.
var (
	entryTime  = regexp.MustCompile(`(?:^|[^0-9:])\d{1,2}:\d{1,2}:\d{1,2}(?:[^0-9]|$)|T\d{2}:\d{2}:\d{2}`)
	entryDate  = regexp.MustCompile(`^[-\[(<* ]{0,3}(?:\d{4}[-/.]\d{2}[-/.]\d{2}|\d{2}[-/.]\d{2}[-/.]\d{2,4} |\d{6} \d{6} |\d{10}(?:\.\d+|\d{3})? |[A-Z][a-z]{2} [ \d]\d \d{2}:|[IWEF]\d{4} )`)
	entryLevel = regexp.MustCompile(`(?:^|[\s\[(<|:])(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|SEVERE|FATAL|CRITICAL|info|warn|error|debug)(?:[\s\])>|:]|$)|level=[a-z]+`)
)

// opensEntry reports whether line opens an entry of a log.
func opensEntry(line string) bool {
	if line == "" || isSpace(line[0]) {
		return false
	}
	head := line[:min(len(line), 64)]
	return entryDate.MatchString(head) || entryTime.MatchString(head) || entryLevel.MatchString(head)
}

// testMarks are lines that only test runners print, by how they start. One of them is enough.
var testMarks = []string{
	"--- FAIL: ", "--- PASS: ", "=== RUN ", "FAIL: test", "ERROR: test", "test result: ", "not ok 1", "ok 1 ", "TAP version ",
	"Tests:  ", "Test Suites: ", "Failed tests:", "BUILD FAILED", "Tests run: ", "[  FAILED  ]", "[ RUN      ]", "FAILED (failures=", "FAILED (errors=",
}

// isTestOutput reports whether text is what a test run prints.
func isTestOutput(text string) bool {
	results := 0
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		if line == "" {
			continue
		}
		switch line[0] {
		case '=':
			if title := strings.Trim(line, "= "); title != line && (hasAnyPrefix(title, "test session starts", "FAILURES", "ERRORS",
				"short test summary", "test process starts", "tests finished") || strings.Contains(title, " passed") || strings.Contains(title, " failed")) {
				return true
			}
		case 'R':
			if count, found := strings.CutPrefix(line, "Ran "); found {
				if number, rest, _ := strings.Cut(count, " "); onlyOf(number, "0123456789") && strings.HasPrefix(rest, "test") {
					return true
				}
			}
		}
		if hasAnyPrefix(line, testMarks...) {
			return true
		}
		if strings.HasSuffix(line, " ... ok") || strings.HasSuffix(line, " ... FAILED") || strings.HasSuffix(line, " PASSED") || strings.HasSuffix(line, " FAILED") {
			if results++; results >= 5 {
				return true
			}
		}
	}
	return false
}

// isTable reports whether text is a table of separated values: at least three lines, all but a tenth with as many fields
// as the first, which are three or more.
func isTable(text string) bool {
	first, _, _ := strings.Cut(text, "\n")
	for _, separator := range []byte{'\t', ',', ';', '|'} {
		want := fields(first, separator)
		if want < 3 || separator == ',' && strings.Contains(first, ". ") {
			continue
		}
		lines, same := 0, 0
		for line := range strings.Lines(text) {
			if line = strings.TrimRight(line, "\r\n"); line != "" {
				lines++
				if fields(line, separator) == want {
					same++
				}
			}
		}
		if lines >= 4 && same*10 >= lines*9-5 {
			return true
		}
	}
	return false
}

// fields counts the fields of a line, quoted ones as one.
func fields(line string, separator byte) int {
	n, quoted := 1, false
	for i := range len(line) {
		switch {
		case line[i] == '"':
			quoted = !quoted
		case line[i] == separator && !quoted:
			n++
		}
	}
	return n
}
