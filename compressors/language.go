package compressors

import (
	"path"
	"strings"
)

// language is what the package knows of a syntax.
type language struct {
	name string
	// comment opens a line comment; empty where markers stand without one.
	comment string
	// code is cut by indentation, other text by paragraphs.
	code bool
	// grammar is nil where no parser is built in.
	grammar *grammar
}

// family returns the family of texts in the language.
func (l *language) family() Family {
	switch {
	case !l.code:
		return Prose
	case l.grammar == nil && l.comment == "":
		return Records
	}
	return Code
}

var (
	plainText = &language{name: "text"}
	markdown  = &language{name: "markdown"}
	goLang    = &language{name: "go", comment: "//", code: true, grammar: goGrammar}
	python    = &language{name: "python", comment: "#", code: true, grammar: pythonGrammar}
	tsLang    = &language{name: "typescript", comment: "//", code: true, grammar: typescriptGrammar}
	// TSX's grammar reads JavaScript and JSX as well; TypeScript's own reads casts in angle brackets instead.
	tsx       = &language{name: "tsx", comment: "//", code: true, grammar: tsxGrammar}
	slashCode = &language{name: "code", comment: "//", code: true}
	hashCode  = &language{name: "code", comment: "#", code: true}
	dashCode  = &language{name: "code", comment: "--", code: true}
	markup    = &language{name: "markup", code: true}
)

var languageByName = map[string]*language{
	"text": plainText, "txt": plainText, "plain": plainText, "prose": plainText, "en": plainText, "log": plainText,
	"markdown": markdown, "md": markdown, "go": goLang, "golang": goLang, "python": python, "py": python,
	"typescript": tsLang, "ts": tsLang, "tsx": tsx, "javascript": tsx, "js": tsx, "jsx": tsx,
	"java": slashCode, "rust": slashCode, "c": slashCode, "cpp": slashCode, "c++": slashCode, "csharp": slashCode,
	"kotlin": slashCode, "swift": slashCode, "scala": slashCode, "php": slashCode, "ruby": hashCode, "shell": hashCode,
	"bash": hashCode, "yaml": hashCode, "toml": hashCode, "sql": dashCode, "lua": dashCode, "haskell": dashCode,
	"html": markup, "xml": markup, "css": markup, "json": markup,
}

var languageByExtension = map[string]*language{
	".txt": plainText, ".log": plainText, ".md": markdown, ".markdown": markdown, ".go": goLang, ".py": python,
	".pyi": python, ".ts": tsLang, ".mts": tsLang, ".cts": tsLang, ".tsx": tsx, ".js": tsx, ".mjs": tsx, ".cjs": tsx,
	".jsx": tsx, ".java": slashCode, ".rs": slashCode, ".c": slashCode, ".h": slashCode, ".cc": slashCode,
	".cpp": slashCode, ".hpp": slashCode, ".cs": slashCode, ".kt": slashCode, ".swift": slashCode, ".scala": slashCode,
	".php": slashCode, ".proto": slashCode, ".rb": hashCode, ".sh": hashCode, ".bash": hashCode, ".yaml": hashCode,
	".yml": hashCode, ".toml": hashCode, ".sql": dashCode, ".lua": dashCode, ".hs": dashCode, ".html": markup,
	".xml": markup, ".css": markup, ".json": markup, ".jsonl": markup,
}

// comments are the line comments that a marker may follow.
var comments = []string{"//", "#", "--"}

// languageOf finds a text's language from what its owner says, then from the extension of its name, then from its
// first lines.
func languageOf(text Text) *language {
	if l := languageByName[strings.ToLower(text.Language)]; l != nil {
		return l
	}
	// A title may end in something like ".js"; a path holds no space.
	if !strings.ContainsAny(text.Name, " \t\n") {
		if l := languageByExtension[strings.ToLower(path.Ext(text.Name))]; l != nil {
			return l
		}
	}
	return languageOfContent(text.Content)
}

// sniffLines is how many lines languageOfContent reads, sniffBytes how many bytes at most.
const (
	sniffLines = 200
	sniffBytes = 16 << 10
)

// languageOfContent guesses from lines that only one language writes: at least three of them and one in ten.
func languageOfContent(content string) *language {
	content = content[:min(len(content), sniffBytes)]
	if strings.HasPrefix(content, "#!") {
		first, _, _ := strings.Cut(content, "\n")
		switch {
		case strings.Contains(first, "python"):
			return python
		case strings.Contains(first, "node"), strings.Contains(first, "deno"):
			return tsx
		case strings.HasSuffix(first, "sh"):
			return hashCode
		}
	}
	switch opening := strings.TrimLeft(content, " \t\r\n"); {
	case hasAnyPrefix(opening, "{", "<!DOCTYPE", "<html", "<?xml"):
		return markup
	case strings.HasPrefix(opening, "["):
		// A log line may open with a bracket; a list of records or strings goes on like this.
		if hasAnyPrefix(strings.TrimLeft(opening[1:], " \t\r\n"), "{", "[", `"`) {
			return markup
		}
	}
	var solid, goLines, pythonLines, tsLines, headings, fences int
	for line := range strings.Lines(content) {
		line = strings.TrimRight(line, " \t\r\n")
		if line == "" {
			continue
		}
		if solid++; solid > sniffLines {
			break
		}
		first, rest, _ := strings.Cut(line, " ")
		switch first {
		case "package":
			if solid <= 3 && rest != "" && !strings.ContainsAny(rest, " ;.") {
				goLines += 3
			}
		case "func":
			goLines++
		case "type":
			switch {
			case strings.HasSuffix(line, " struct {"), strings.HasSuffix(line, " interface {"):
				goLines++
			case strings.Contains(line, " = "):
				tsLines++
			}
		case "def", "class", "async":
			if strings.HasSuffix(line, ":") {
				pythonLines++
			} else if strings.HasSuffix(line, "{") {
				tsLines++
			}
		case "from":
			if strings.Contains(rest, " import ") {
				pythonLines++
			}
		case "import":
			switch {
			case strings.HasSuffix(line, ";"), strings.Contains(rest, " from '"), strings.Contains(rest, ` from "`):
				if !strings.Contains(rest, ".*") && strings.ContainsAny(rest, `'"`) {
					tsLines++
				}
			case strings.HasPrefix(rest, "(") || strings.HasPrefix(rest, `"`):
				goLines++
			case !strings.Contains(strings.ReplaceAll(rest, ", ", ","), " ") || strings.Contains(rest, " as "):
				pythonLines++
			}
		case "export", "const", "function", "interface":
			if strings.HasSuffix(line, "{") || strings.HasSuffix(line, ";") {
				tsLines++
			}
		case "#", "##", "###", "####":
			if rest != "" {
				headings++
			}
		default:
			if strings.HasPrefix(line, "```") {
				fences++
			}
			if t := strings.TrimLeft(line, " "); strings.HasSuffix(t, ":") &&
				(strings.HasPrefix(t, "def ") || strings.HasPrefix(t, "elif ") || strings.HasPrefix(t, "except")) {
				pythonLines++
			}
		}
	}
	if fences >= 2 && headings > 0 {
		return markdown
	}
	need := max(3, solid/10)
	switch best := max(goLines, pythonLines, tsLines); {
	case best < need:
	case best == goLines:
		return goLang
	case best == pythonLines:
		return python
	default:
		return tsx
	}
	if headings > 0 || fences >= 2 {
		return markdown
	}
	return plainText
}
