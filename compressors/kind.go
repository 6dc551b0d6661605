package compressors

import "fmt"

// TextKind says what a text is, and so how it is cut.
type TextKind uint8

// The kinds of text.
const (
	PlainText TextKind = iota
	MarkdownText
	CodeText
	JSONText   // records, tool schemas, JSON Lines
	LogText    // entries that open with a time or a level
	SearchText // hits of a search: path, line number, line
	DiffText
	TestText // what a test run prints
	HTMLText // and XML
	TableText
)

var textKindNames = [...]string{"plain", "markdown", "code", "json", "log", "search", "diff", "test", "html", "table"}

// String returns the kind in lower case, such as "log".
func (k TextKind) String() string {
	if int(k) < len(textKindNames) {
		return textKindNames[k]
	}
	return fmt.Sprintf("TextKind(%d)", uint8(k))
}

// Family returns the family that k belongs to.
func (k TextKind) Family() Family {
	switch k {
	case CodeText:
		return Code
	case PlainText, MarkdownText:
		return Prose
	case JSONText, LogText, SearchText, DiffText, TestText, HTMLText, TableText:
		return Records
	}
	return Prose
}

// KindOf returns what text is taken for: by the language that its owner names, then by its name, then by its content.
func KindOf(text Text) TextKind { return languageOf(text).kind }
