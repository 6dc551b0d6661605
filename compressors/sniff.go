package compressors

import (
	"regexp"
	"strings"
)

// sniffLines is how many lines languageOfContent reads, sniffBytes how many bytes at most.
const (
	sniffLines = 200
	sniffBytes = 16 << 10
)

// interpreters are the languages of the first line of a script, by a word in it.
var interpreters = []struct {
	word string
	lang *language
}{
	{"python", pythonLang},
	{"node", tsxLang},
	{"deno", tsxLang},
	{"bun", tsxLang},
	{"ruby", rubyLang},
	{"php", phpLang},
	{"perl", hashCode},
	{"Rscript", hashCode},
	{"lua", dashCode},
	{"sh", shell},
}

// tell is what the lines of a language look like that few others write.
type tell struct {
	lang *language
	line *regexp.Regexp
}

// tells are in the order that breaks ties.
var tells = []tell{
	{goLang, regexp.MustCompile(`^(package \w+$|func [\w(]|import \($|type \w+ (struct|interface|func|map|\[\])|var \w+ |\t+(if err|if .*; .* \{$|return .*nil|defer |go func|for .* := |[\w, ]+ := ))`)},
	{pythonLang, regexp.MustCompile(`^\s*((async )?def \w+\(.*|class \w+(\(.*\))?:|from [\w.]+ import .*|import [\w.]+( as \w+)?(, [\w.]+)*|(if|elif|for|while|with|except|try|else|finally)\b[^{;]*:|self\.\w+ = .*|@\w+[\w.]*(\(.*\))?|raise \w+.*|return [^;{]*|if __name__ == .*|"""|assert [^;(]*)$`)},
	{rustLang, regexp.MustCompile(`^\s*(use [\w:]+(::\{.*|::\w+;|::\*;)|(pub(\(\w+\))? )?(async )?(unsafe )?(fn|mod|struct|enum|trait) \w+|impl\b.* \{$|#!?\[\w+|let (mut )?\w+.* = .*;$|match .* \{$|\w[\w:(){}, ]* => .*,?$|macro_rules!|&?(mut )?self[.,)])`)},
	{javaLang, regexp.MustCompile(`^\s*(package [\w.]+;$|import (static )?[a-z][\w.]*(\.\*|\.[A-Z]\w*(\.\w+)?|\.\w+);$|@(Override|Test|Nullable|Inject|Autowired|Deprecated|SuppressWarnings)|(public|private|protected)( static| final| abstract| synchronized| default)* [\w<>\[\], ?.]+[({;=]|(public |final |abstract )*(class|interface|enum) \w+.*\{$|throw new \w+\(|final \w+.* = )`)},
	{csharpLang, regexp.MustCompile(`^\s*(using (static )?[A-Z][\w.]*;$|namespace [A-Z][\w.]*[;{]?$|(public|private|protected|internal)( static| readonly| override| virtual| async| sealed| abstract| partial)+ .*|.*\{ get; .*\}|\[(Fact|Test|Theory|Serializable|Obsolete|HttpGet)|/// <summary>|foreach \(|var \w+ = .*;$)`)},
	{cppLang, regexp.MustCompile(`^\s*(#\s*(include [<"]|define \w|ifn?def \w|endif|pragma )|namespace [\w:]*\s*\{|template ?<|(public|private|protected):$|using (namespace )?[\w:]+( = .*)?;|std::|typedef |(static |const |inline |virtual |extern )*(void|int|bool|char|float|double|size_t|auto|unsigned|struct \w+|std::\w+)\b[\s*&]+\w+(\(.*|\[.*| =.*;|;)$|.*\w->\w+.*;$|.*\w::\w+\()`)},
	{tsxLang, regexp.MustCompile(`^\s*(import .* from ['"].*|import ['"].*['"];?$|import \{.*|export (default |const |class |function |interface |type |async |abstract |enum |\{|\*).*|(export )?(const|let|var) [\w{\[][^:=]*(: .*)?= .*|(async )?function\*? ?\w*\(.*|.*=> ?[{(].*|.*\brequire\(['"].*|(describe|it|test)\(['"].*|module\.exports.*|\}\);?|interface \w+.*\{|.* === .*|(private|public|protected|readonly) (readonly |async |static )*\w+[?!]?[:(].*|return [^;]*;|constructor\(.*|this\.\w+ = .*;)$`)},
	{kotlinLang, regexp.MustCompile(`^\s*(package [\w.]+$|import [\w.]+(\.\*| as \w+)?$|(private |public |internal |override |suspend |inline |open |protected )*fun [<\w.]|(private |override |lateinit |const |internal )*va[lr] \w+(: [\w<>?, ]+)?( =|$| by )|(data |sealed |open |abstract |enum )*class \w+|companion object|object \w+|when \(?.*\{$|@\w+$)`)},
	{scalaLang, regexp.MustCompile(`^\s*(package [\w.]+$|import [\w.]+(\._|\.\{.*\}|\.\w+)$|(private |override |final |implicit |protected )*def \w+.*=|(case |final |sealed |abstract |implicit )*(class|object|trait) \w+.*|(private |implicit |lazy |override )*va[lr] \w+.* = |case .* =>)`)},
	{swiftLang, regexp.MustCompile(`^\s*(import (Foundation|UIKit|SwiftUI|Combine|XCTest|\w+Kit|\w+)$|(public |private |internal |fileprivate |static |override |mutating |open |@\w+ )*func \w+.*\{$|guard (let )?.*|if let .*\{$|(public |private |static |lazy |weak )*(let|var) \w+(: [\w\[\]:?<>., ]+)?( = .*[^;]$| \{$|$)|(public |final |private )*(class|struct|enum|protocol|extension) \w+.*\{$|init\(.*\{$|@available.*)`)},
	{rubyLang, regexp.MustCompile(`^\s*(require(_relative)? ['"].*|def [\w.]+[?!]?(\(.*\)| \w.*)?$|end$|class \w+( < [\w:]+)?$|module [\w:]+$|.* do( \|.*\|)?$|attr_(reader|writer|accessor) :.*|include \w+$|(private|protected)$|elsif .*|unless .*|@\w+ (\|\|)?= .*|puts .*|it ['"].* do$)`)},
	{shell, regexp.MustCompile(`^\s*(fi|done|esac|then|do|if \[.*|for \w+ in .*|while .*; do|case .* in|\w+\(\) \{|function \w+( \{)?|echo .*|export \w+=.*|set -\w+.*|local \w+.*|source .*|[A-Z_]+=("|\$|'|\w|/).*|exit \d+|elif \[.*|return \d+|\w+=\$\(.*|cd .*|\[ .* \] (&&|\|\|) .*)$`)},
	{phpLang, regexp.MustCompile(`^\s*(<\?php|namespace [\w\\]+;$|use [\w\\]+( as \w+)?;$|(public|private|protected)( static)? function \w+|\$\w+ = .*|\$this->|return \$.*)`)},
	{dashCode, regexp.MustCompile(`^\s*(CREATE (OR REPLACE )?(UNIQUE )?(TABLE|VIEW|INDEX|FUNCTION|PROCEDURE|TRIGGER)\b|SELECT\b|INSERT INTO\b|UPDATE \w+ SET|DELETE FROM\b|ALTER TABLE\b|DROP TABLE\b|FROM \w+|WHERE \w+|(LEFT |INNER |OUTER )*JOIN \w+|GROUP BY\b|ORDER BY\b|PRIMARY KEY|VALUES\b)`)},
	{cssLang, regexp.MustCompile(`^\s*([.#]?[\w-]+([ >+~:,.#][\w.#:>+~ ()-]*)? \{$|[a-z-]+: [^;{}]+;$|@(media|import|keyframes|font-face).*)`)},
}

// languageOfContent guesses the language of a text from its lines alone.
func languageOfContent(content string) *language {
	if rest, found := strings.CutPrefix(content, "#!"); found {
		first, _, _ := strings.Cut(rest, "\n")
		for _, i := range interpreters {
			if strings.Contains(first, i.word) {
				return i.lang
			}
		}
	}
	if strings.HasPrefix(content, "<?php") {
		return phpLang
	}
	if l := listOfContent(content); l != nil {
		return l
	}
	content = content[:min(len(content), sniffBytes)]
	if l := codeOfContent(content); l != nil {
		return l
	}
	if isMarkdown(content) {
		return markdown
	}
	return plainText
}

// codeOfContent returns the language that the most lines tell of: at least three of them, and one in eight of those that
// are no comment.
func codeOfContent(content string) *language {
	counts := make([]int, len(tells))
	solid, comments, prose := 0, 0, 0
	for line := range strings.Lines(content) {
		line = strings.TrimRight(line, " \t\r\n")
		text := strings.TrimLeft(line, " \t")
		if text == "" {
			continue
		}
		if solid++; solid > sniffLines {
			break
		}
		if hasAnyPrefix(text, "//", "/*", "*", "# ", "-- ", "<!--", "```") || len(line) > 400 {
			comments++
			continue
		}
		if readsAsProse(text) {
			prose++
			continue
		}
		for i, t := range tells {
			if t.line.MatchString(line) {
				counts[i]++
			}
		}
	}
	best := 0
	for i, n := range counts {
		if n > counts[best] {
			best = i
		}
	}
	if n := counts[best]; n < 3 || n*8 < solid-comments || n < 2*prose {
		return nil
	}
	if tells[best].lang == tsxLang && counts[best] > 0 && !strings.Contains(content, "/>") && !strings.Contains(content, "</") {
		return tsLang
	}
	return tells[best].lang
}

// readsAsProse reports whether a line is a sentence: words, few signs, a full stop or a comma where sentences have them.
func readsAsProse(line string) bool {
	words := strings.Fields(line)
	if len(words) < 6 || strings.ContainsAny(line, "{};=<>") || strings.Contains(line, "()") {
		return false
	}
	plain := 0
	for _, w := range words {
		if strings.Trim(strings.ToLower(w), "abcdefghijklmnopqrstuvwxyz.,'\u2019-") == "" {
			plain++
		}
	}
	return plain*10 >= len(words)*9
}

// isMarkdown reports whether a text has headings with a blank line on one side, or fences with text around them.
func isMarkdown(content string) bool {
	headings, fences, lists := 0, 0, 0
	blank := true
	for line := range strings.Lines(content) {
		line = strings.TrimRight(line, " \t\r\n")
		switch {
		case fence(line) != "":
			fences++
		case strings.HasPrefix(line, "#"):
			if text := strings.TrimLeft(line, "#"); blank && len(line)-len(text) <= 6 && strings.HasPrefix(text, " ") {
				headings++
			}
		case hasAnyPrefix(line, "- ", "* ", "| ", "1. "):
			lists++
		}
		blank = line == ""
	}
	return headings >= 2 || headings == 1 && (fences >= 2 || lists >= 2) || fences >= 2 || headings == 1 && strings.HasPrefix(content, "#")
}
