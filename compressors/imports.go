package compressors

import "strings"

// maxImportDepth bounds the braces within braces of an import.
const maxImportDepth = 16

// importWords are the words of import statements that name nothing.
var importWords = map[string]bool{
	"import": true, "use": true, "using": true, "static": true, "pub": true, "function": true, "const": true, "global": true,
	"struct": true, "class": true, "enum": true, "protocol": true, "func": true, "let": true, "var": true, "typealias": true, "given": true,
}

// parseImport reads the notation that several languages share: names between separators, the last of them what is
// imported; lists in braces; aliases after "as", "=>" or before "="; "*" or "_" for everything. With whole set the last
// name belongs to the path: the language imports modules, not names.
func parseImport(text, separator string, whole bool) []Import {
	p := importParser{rest: text, separator: separator, whole: whole}
	p.list("", 0)
	return p.imports
}

type importParser struct {
	rest, separator string
	whole           bool
	imports         []Import
}

// list reads items up to a closing brace or the end.
func (p *importParser) list(prefix string, depth int) {
	for {
		p.item(prefix, depth)
		p.space()
		if !strings.HasPrefix(p.rest, ",") {
			return
		}
		p.rest = p.rest[1:]
	}
}

// item reads one path with what is taken from it.
func (p *importParser) item(prefix string, depth int) {
	path, last, alias := prefix, "", ""
	extend := func() {
		if last != "" {
			if path != "" {
				path += p.separator
			}
			path += last
			last = ""
		}
	}
	for {
		p.space()
		switch word := p.word(); {
		case word == "as" || word == "=>":
			p.space()
			alias = p.word()
		case strings.HasPrefix(p.rest, "=>"):
			p.rest = p.rest[2:]
			p.space()
			alias = p.word()
		case strings.HasPrefix(p.rest, "=") && word == "" && last != "":
			alias, last, path = last, "", prefix
			p.rest = p.rest[1:]
		case importWords[word] && last == "":
		case word != "":
			last = word
		case strings.HasPrefix(p.rest, p.separator):
			p.rest = p.rest[len(p.separator):]
			extend()
		case strings.HasPrefix(p.rest, "*"):
			p.rest = p.rest[1:]
			last = "*"
		case strings.HasPrefix(p.rest, "{") && depth < maxImportDepth:
			p.rest = p.rest[1:]
			extend()
			p.list(path, depth+1)
			p.space()
			p.rest = strings.TrimPrefix(p.rest, "}")
			return
		default:
			p.add(path, last, alias)
			return
		}
	}
}

func (p *importParser) add(path, last, alias string) {
	if last == "_" {
		last = "*"
	}
	if path == "" && last == "" {
		return
	}
	if path == "" || p.whole && last != "*" {
		if path != "" && last != "" {
			path += p.separator
		}
		path, last = path+last, ""
	}
	var names []string
	for _, n := range []string{last, alias} {
		if n != "" && n != "_" {
			names = append(names, n)
		}
	}
	if n := len(p.imports); n > 0 && p.imports[n-1].Path == path && len(names) > 0 && len(p.imports[n-1].Names) > 0 {
		p.imports[n-1].Names = append(p.imports[n-1].Names, names...)
		return
	}
	p.imports = append(p.imports, Import{Path: path, Names: names})
}

func (p *importParser) space() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

// word takes a name off the rest; empty if none stands there.
func (p *importParser) word() string {
	i := 0
	for i < len(p.rest) {
		c := p.rest[i]
		if c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c < 0x80 {
			break
		}
		i++
	}
	word := p.rest[:i]
	p.rest = p.rest[i:]
	return word
}
