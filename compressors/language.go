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
	plainText  = &language{name: "text"}
	markdown   = &language{name: "markdown"}
	goLang     = &language{name: "go", comment: "//", code: true, grammar: goGrammar}
	pythonLang = &language{name: "python", comment: "#", code: true, grammar: pythonGrammar}
	tsLang     = &language{name: "typescript", comment: "//", code: true, grammar: typescriptGrammar}
	// TSX's grammar reads JavaScript and JSX as well; TypeScript's own reads casts in angle brackets instead.
	tsxLang    = &language{name: "tsx", comment: "//", code: true, grammar: tsxGrammar}
	javaLang   = &language{name: "java", comment: "//", code: true, grammar: javaGrammar}
	kotlinLang = &language{name: "kotlin", comment: "//", code: true, grammar: kotlinGrammar}
	scalaLang  = &language{name: "scala", comment: "//", code: true, grammar: scalaGrammar}
	cLang      = &language{name: "c", comment: "//", code: true, grammar: cGrammar}
	cppLang    = &language{name: "cpp", comment: "//", code: true, grammar: cppGrammar}
	csharpLang = &language{name: "csharp", comment: "//", code: true, grammar: csharpGrammar}
	rustLang   = &language{name: "rust", comment: "//", code: true, grammar: rustGrammar}
	swiftLang  = &language{name: "swift", comment: "//", code: true, grammar: swiftGrammar}
	rubyLang   = &language{name: "ruby", comment: "#", code: true, grammar: rubyGrammar}
	phpLang    = &language{name: "php", comment: "//", code: true, grammar: phpGrammar}
	shell      = &language{name: "bash", comment: "#", code: true, grammar: bashGrammar}
	cssLang    = &language{name: "css", code: true, grammar: cssGrammar}
	tomlLang   = &language{name: "toml", comment: "#", code: true, grammar: tomlGrammar}
	slashCode  = &language{name: "code", comment: "//", code: true}
	hashCode   = &language{name: "code", comment: "#", code: true}
	dashCode   = &language{name: "code", comment: "--", code: true}
	markup     = &language{name: "markup", code: true}
)

var languageByName = map[string]*language{
	"text": plainText, "txt": plainText, "plain": plainText, "prose": plainText, "en": plainText, "log": plainText,
	"markdown": markdown, "md": markdown, "go": goLang, "golang": goLang, "python": pythonLang, "py": pythonLang,
	"typescript": tsLang, "ts": tsLang, "tsx": tsxLang, "javascript": tsxLang, "js": tsxLang, "jsx": tsxLang,
	"java": javaLang, "kotlin": kotlinLang, "kt": kotlinLang, "scala": scalaLang, "c": cLang, "cpp": cppLang, "c++": cppLang, "cxx": cppLang,
	"objective-c": slashCode, "csharp": csharpLang, "c#": csharpLang, "cs": csharpLang, "rust": rustLang, "rs": rustLang, "swift": swiftLang,
	"ruby": rubyLang, "rb": rubyLang, "php": phpLang, "shell": shell, "bash": shell, "sh": shell, "zsh": shell,
	"css": cssLang, "scss": slashCode, "less": slashCode, "toml": tomlLang, "dart": slashCode, "groovy": slashCode,
	"proto": slashCode, "protobuf": slashCode, "zig": slashCode, "solidity": slashCode, "glsl": slashCode,
	"yaml": hashCode, "yml": hashCode, "perl": hashCode, "r": hashCode, "elixir": hashCode, "julia": hashCode,
	"makefile": hashCode, "dockerfile": hashCode, "cmake": hashCode, "powershell": hashCode, "nix": hashCode,
	"hcl": hashCode, "terraform": hashCode, "graphql": hashCode,
	"sql": dashCode, "lua": dashCode, "haskell": dashCode, "elm": dashCode, "ada": dashCode, "vhdl": dashCode,
	"html": markup, "xml": markup, "json": markup,
}

var languageByExtension = map[string]*language{
	".txt": plainText, ".log": plainText, ".md": markdown, ".markdown": markdown, ".mdx": markdown, ".go": goLang,
	".py": pythonLang, ".pyi": pythonLang, ".pyx": pythonLang, ".ts": tsLang, ".mts": tsLang, ".cts": tsLang, ".tsx": tsxLang, ".js": tsxLang,
	".mjs": tsxLang, ".cjs": tsxLang, ".jsx": tsxLang, ".java": javaLang, ".kt": kotlinLang, ".kts": kotlinLang, ".scala": scalaLang, ".sc": scalaLang,
	".c": cLang, ".h": cppLang, ".cc": cppLang, ".cpp": cppLang, ".cxx": cppLang, ".hh": cppLang, ".hpp": cppLang, ".hxx": cppLang, ".inl": cppLang, ".cu": cppLang,
	".m": slashCode, ".mm": slashCode, ".cs": csharpLang, ".rs": rustLang, ".swift": swiftLang, ".rb": rubyLang, ".rake": rubyLang, ".gemspec": rubyLang,
	".php": phpLang, ".sh": shell, ".bash": shell, ".zsh": shell, ".css": cssLang, ".scss": slashCode, ".less": slashCode,
	".toml": tomlLang, ".proto": slashCode, ".dart": slashCode, ".groovy": slashCode, ".gradle": slashCode, ".zig": slashCode,
	".sol": slashCode, ".glsl": slashCode, ".yaml": hashCode, ".yml": hashCode, ".pl": hashCode, ".pm": hashCode, ".r": hashCode,
	".ex": hashCode, ".exs": hashCode, ".jl": hashCode, ".mk": hashCode, ".cmake": hashCode, ".ps1": hashCode, ".nix": hashCode,
	".tf": hashCode, ".hcl": hashCode, ".graphql": hashCode, ".sql": dashCode, ".lua": dashCode, ".hs": dashCode, ".elm": dashCode,
	".html": markup, ".htm": markup, ".xml": markup, ".json": markup, ".jsonl": markup,
}

// languageByFile names files that have no telling extension.
var languageByFile = map[string]*language{
	"makefile": hashCode, "gnumakefile": hashCode, "dockerfile": hashCode, "cmakelists.txt": hashCode, "gemfile": rubyLang,
	"rakefile": rubyLang, "podfile": rubyLang, "vagrantfile": rubyLang, "cargo.lock": tomlLang, "pipfile": tomlLang, "jenkinsfile": slashCode,
	".bashrc": shell, ".zshrc": shell, ".profile": shell, ".bash_profile": shell, "justfile": hashCode,
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
		if l := languageByFile[strings.ToLower(path.Base(text.Name))]; l != nil {
			return l
		}
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
			return pythonLang
		case strings.Contains(first, "node"), strings.Contains(first, "deno"):
			return tsxLang
		case strings.Contains(first, "ruby"):
			return rubyLang
		case strings.Contains(first, "php"):
			return phpLang
		case strings.Contains(first, "perl"):
			return hashCode
		case strings.HasSuffix(strings.TrimSpace(first), "sh"):
			return shell
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
		return pythonLang
	default:
		return tsxLang
	}
	if headings > 0 || fences >= 2 {
		return markdown
	}
	return plainText
}
