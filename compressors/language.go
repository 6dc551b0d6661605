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
	kind    TextKind
	// grammar is nil where no parser is built in.
	grammar *grammar
}

// family returns the family of texts in the language.
func (l *language) family() Family { return l.kind.Family() }

var (
	plainText  = &language{name: "text"}
	markdown   = &language{name: "markdown", kind: MarkdownText}
	goLang     = &language{name: "go", comment: "//", kind: CodeText, grammar: goGrammar}
	pythonLang = &language{name: "python", comment: "#", kind: CodeText, grammar: pythonGrammar}
	tsLang     = &language{name: "typescript", comment: "//", kind: CodeText, grammar: typescriptGrammar}
	// TSX's grammar reads JavaScript and JSX as well; TypeScript's own reads casts in angle brackets instead.
	tsxLang    = &language{name: "tsx", comment: "//", kind: CodeText, grammar: tsxGrammar}
	javaLang   = &language{name: "java", comment: "//", kind: CodeText, grammar: javaGrammar}
	kotlinLang = &language{name: "kotlin", comment: "//", kind: CodeText, grammar: kotlinGrammar}
	scalaLang  = &language{name: "scala", comment: "//", kind: CodeText, grammar: scalaGrammar}
	cLang      = &language{name: "c", comment: "//", kind: CodeText, grammar: cGrammar}
	cppLang    = &language{name: "cpp", comment: "//", kind: CodeText, grammar: cppGrammar}
	csharpLang = &language{name: "csharp", comment: "//", kind: CodeText, grammar: csharpGrammar}
	rustLang   = &language{name: "rust", comment: "//", kind: CodeText, grammar: rustGrammar}
	swiftLang  = &language{name: "swift", comment: "//", kind: CodeText, grammar: swiftGrammar}
	rubyLang   = &language{name: "ruby", comment: "#", kind: CodeText, grammar: rubyGrammar}
	phpLang    = &language{name: "php", comment: "//", kind: CodeText, grammar: phpGrammar}
	shell      = &language{name: "bash", comment: "#", kind: CodeText, grammar: bashGrammar}
	cssLang    = &language{name: "css", kind: CodeText, grammar: cssGrammar}
	tomlLang   = &language{name: "toml", comment: "#", kind: CodeText, grammar: tomlGrammar}
	slashCode  = &language{name: "code", comment: "//", kind: CodeText}
	hashCode   = &language{name: "code", comment: "#", kind: CodeText}
	dashCode   = &language{name: "code", comment: "--", kind: CodeText}
	jsonLang   = &language{name: "json", kind: JSONText}
	logLang    = &language{name: "log", kind: LogText}
	searchLang = &language{name: "search", kind: SearchText}
	diffLang   = &language{name: "diff", kind: DiffText}
	testLang   = &language{name: "test", kind: TestText}
	htmlLang   = &language{name: "html", kind: HTMLText}
	tableLang  = &language{name: "csv", kind: TableText}
)

var languageByName = map[string]*language{
	"text": plainText, "txt": plainText, "plain": plainText, "prose": plainText, "en": plainText,
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
	"json": jsonLang, "jsonl": jsonLang, "ndjson": jsonLang, "log": logLang, "grep": searchLang, "search": searchLang,
	"diff": diffLang, "patch": diffLang, "test": testLang, "html": htmlLang, "xml": htmlLang, "svg": htmlLang,
	"csv": tableLang, "tsv": tableLang,
}

var languageByExtension = map[string]*language{
	".txt": plainText, ".md": markdown, ".markdown": markdown, ".mdx": markdown, ".go": goLang,
	".py": pythonLang, ".pyi": pythonLang, ".pyx": pythonLang, ".ts": tsLang, ".mts": tsLang, ".cts": tsLang, ".tsx": tsxLang, ".js": tsxLang,
	".mjs": tsxLang, ".cjs": tsxLang, ".jsx": tsxLang, ".java": javaLang, ".kt": kotlinLang, ".kts": kotlinLang, ".scala": scalaLang, ".sc": scalaLang,
	".c": cLang, ".h": cppLang, ".cc": cppLang, ".cpp": cppLang, ".cxx": cppLang, ".hh": cppLang, ".hpp": cppLang, ".hxx": cppLang, ".inl": cppLang, ".cu": cppLang,
	".m": slashCode, ".mm": slashCode, ".cs": csharpLang, ".rs": rustLang, ".swift": swiftLang, ".rb": rubyLang, ".rake": rubyLang, ".gemspec": rubyLang,
	".php": phpLang, ".sh": shell, ".bash": shell, ".zsh": shell, ".css": cssLang, ".scss": slashCode, ".less": slashCode,
	".toml": tomlLang, ".proto": slashCode, ".dart": slashCode, ".groovy": slashCode, ".gradle": slashCode, ".zig": slashCode,
	".sol": slashCode, ".glsl": slashCode, ".yaml": hashCode, ".yml": hashCode, ".pl": hashCode, ".pm": hashCode, ".r": hashCode,
	".ex": hashCode, ".exs": hashCode, ".jl": hashCode, ".mk": hashCode, ".cmake": hashCode, ".ps1": hashCode, ".nix": hashCode,
	".tf": hashCode, ".hcl": hashCode, ".graphql": hashCode, ".sql": dashCode, ".lua": dashCode, ".hs": dashCode, ".elm": dashCode,
	".html": htmlLang, ".htm": htmlLang, ".xml": htmlLang, ".svg": htmlLang, ".json": jsonLang, ".jsonl": jsonLang,
	".ndjson": jsonLang, ".ipynb": jsonLang, ".log": logLang, ".diff": diffLang, ".patch": diffLang, ".csv": tableLang, ".tsv": tableLang,
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
	declared := strings.ToLower(text.Language)
	switch l := languageByName[declared]; {
	case l == logLang: // people call everything a log that a program prints
		if l := listOfContent(text.Content); l != nil {
			return l
		}
		return logLang
	case l != nil:
		return l
	case declared == "code":
		if l := languageOfContent(text.Content); l.kind == CodeText {
			return l
		}
		return slashCode
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
