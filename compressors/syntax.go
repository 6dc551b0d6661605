package compressors

import (
	"context"
	"fmt"
	"runtime"
	"strings"

	sitter "github.com/smacker/go-tree-sitter"
)

// What is parsed is capped by size, nesting and errors: a time limit would make the outcome depend on the machine.
// Tree-sitter's time is linear in text that follows the grammar, but quadratic in errors: 32 KB of quotation marks
// take seconds. So a text is parsed as it grows, parseStep bytes at a time, and given up once it has maxErrors. What is
// parsed is reused: on real code this costs no more than parsing it at once, and gives the same tree. What cannot be
// reused, such as one endless chain of operators, is parsed at every step, which is why the steps grow and size is capped.
const (
	maxParseBytes    = 128 << 10
	maxNesting       = 100
	maxLineBytes     = 10_000
	maxChainBytes    = 2_000
	maxContinuations = 100
	maxOpenComments  = 50
	parseStep        = 8 << 10
	maxErrors        = 1000
	maxDepth         = 500
	maxClassDepth    = 8
)

// unit is a range of lines that belong together: a definition with its comments and decorators, or a statement.
type unit struct {
	first, end int // lines [first, end)
	kind       SegmentKind
	name       string
	bodyFirst  int    // first line of the body, 0 without one
	closing    int    // the line that closes the body, 0 without one of its own
	definition int    // the first line behind the comments that lead it
	elidable   bool   // what is left without the lines of the body follows the grammar
	members    []unit // of a class or scope
	scope      bool   // members stand as if outside
	method     bool   // a function in a class
	// leads is set for comments and decorators, which join the unit on the line after them.
	leads bool
}

// parsable reports whether text may be handed to tree-sitter: safe for the grammar's scanner, small enough, no line so
// long that cutting at lines is no use, brackets nested to a bounded depth (counted wherever they stand, in strings and
// comments too, angle ones within a statement), no endless chain of names and dots, and few lines that are nothing but a
// backslash: Python's scanner reads on over all of them at each. Comments that open and never close are read to the end of
// the text, each of them, and a zero byte is the end for some scanners and not for others.
func parsable(g *grammar, text string) bool {
	if len(text) > maxParseBytes || g.maxBytes > 0 && len(text) > g.maxBytes || g.safe != nil && !g.safe(text) {
		return false
	}
	if n := strings.Count(text, "\\"); n > maxContinuations {
		n = 0
		for line := range strings.Lines(text) {
			if strings.TrimSpace(line) == "\\" {
				n++
			}
		}
		if n > maxContinuations {
			return false
		}
	}
	if strings.Count(text, "/*")-strings.Count(text, "*/") > maxOpenComments || strings.Contains(text, "\x00") {
		return false
	}
	depth, angles, line, chain := 0, 0, 0, 0
	for i := range len(text) {
		switch text[i] {
		case '(', '[', '{':
			if depth++; depth > maxNesting {
				return false
			}
		case ')', ']', '}':
			depth = max(depth-1, 0)
		case '<': // it may open type arguments: each is a fork for the parser
			if angles++; angles > maxNesting {
				return false
			}
		case '>':
			angles = max(angles-1, 0)
		case '\n':
			line = i
		}
		if text[i] == ';' || text[i] == '{' || text[i] == '}' {
			angles = 0
		}
		switch c := text[i]; {
		case c|0x20 >= 'a' && c|0x20 <= 'z', c >= '0' && c <= '9', c == '.', c == '_', c == '\n':
			chain++
		default:
			chain = 0
		}
		if i-line > maxLineBytes || chain > maxChainBytes {
			return false
		}
	}
	return true
}

// parsers keeps idle parsers of each grammar, as many as can run at once. Parsers beyond that are closed.
type parsers struct {
	idle map[*grammar]chan *sitter.Parser
}

func newParsers() *parsers {
	p := &parsers{idle: map[*grammar]chan *sitter.Parser{}}
	for _, l := range languageByName {
		if g := l.grammar; g != nil && p.idle[g] == nil {
			p.idle[g] = make(chan *sitter.Parser, runtime.GOMAXPROCS(0))
		}
	}
	return p
}

// syntax is what a tree says of a text.
type syntax struct {
	units   []unit // of the top level, in order
	symbols *symbolTable
}

// read parses src; nil if the text does not follow the grammar.
func (p *parsers) read(g *grammar, src *source) (*syntax, error) {
	tree, err := p.parse(g, src)
	if err != nil || tree == nil {
		return nil, err
	}
	defer tree.Close()
	w := walker{grammar: g, src: src}
	units := w.units(tree.RootNode(), nil, 0)
	// A text of another language parses as one error after the other.
	if w.errorBytes*2 > len(src.text) {
		return nil, nil //nolint:nilnil // documented
	}
	symbols, err := g.readSymbols(tree.RootNode(), src.text)
	if err != nil {
		return nil, fmt.Errorf("symbols: %w", err)
	}
	return &syntax{units, symbols}, nil
}

// parse parses src with an idle parser or a new one; nil if the text does not follow the grammar.
func (p *parsers) parse(g *grammar, src *source) (*sitter.Tree, error) {
	var parser *sitter.Parser
	select {
	case parser = <-p.idle[g]:
	default:
		parser = sitter.NewParser()
		parser.SetLanguage(g.language())
	}
	tree, err := parse(parser, src)
	if err != nil {
		parser.Close()
		return nil, fmt.Errorf("parse: %w", err)
	}
	select {
	case p.idle[g] <- parser:
	default:
		parser.Close()
	}
	return tree, nil
}

// parse returns the tree of src, nil if it has more than maxErrors or is empty.
func parse(parser *sitter.Parser, src *source) (*sitter.Tree, error) {
	text := []byte(src.text)
	var tree *sitter.Tree
	for start := 0; start < len(text); {
		end := min(start+max(parseStep, start/2), len(text))
		if tree != nil {
			at := src.point(start)
			tree.Edit(sitter.EditInput{
				StartIndex: uint32(start), OldEndIndex: uint32(start), NewEndIndex: uint32(end),
				StartPoint: at, OldEndPoint: at, NewEndPoint: src.point(end),
			})
		}
		// A context that can end would cost a goroutine; a text of this size needs none.
		next, err := parser.ParseCtx(context.Background(), tree, text[:end])
		if tree != nil {
			tree.Close()
		}
		if err != nil {
			return nil, err
		}
		tree = next
		if limit := min(maxErrors, 60+end/64); countErrors(tree.RootNode(), 0, limit) > limit {
			tree.Close()
			return nil, nil //nolint:nilnil // no tree and no error: the text is not of this grammar
		}
		start = end
	}
	return tree, nil
}

// point returns tree-sitter's form of an offset.
func (s *source) point(offset int) sitter.Point {
	line := s.lineAt(offset)
	return sitter.Point{Row: uint32(line), Column: uint32(offset - s.start(line))}
}

// countErrors counts the errors under node, with what tree-sitter skipped there, up to about limit; an error below
// maxDepth is as bad as too many.
func countErrors(node *sitter.Node, depth, limit int) int {
	if !node.HasError() {
		return 0
	}
	if depth > maxDepth {
		return limit + 1
	}
	total := 0
	if node.IsError() {
		total = 1 + int(node.ChildCount())
	}
	cursor := sitter.NewTreeCursor(node)
	defer cursor.Close()
	for ok := cursor.GoToFirstChild(); ok && total <= limit; ok = cursor.GoToNextSibling() {
		total += countErrors(cursor.CurrentNode(), depth+1, limit-total)
	}
	return total
}

// walker turns nodes into units.
type walker struct {
	grammar    *grammar
	src        *source
	errorBytes int
}

// units returns the units among the children of node, which is the body of owner; nil for the top level.
func (w *walker) units(node *sitter.Node, owner *unit, depth int) []unit {
	cursor := sitter.NewTreeCursor(node)
	defer cursor.Close()
	var units []unit
	for ok := cursor.GoToFirstChild(); ok; ok = cursor.GoToNextSibling() {
		child := cursor.CurrentNode()
		if !child.IsNamed() {
			continue
		}
		if w.grammar.roles[child.Type()] == roleError {
			w.errorBytes += int(child.EndByte() - child.StartByte())
			if depth < maxClassDepth && child.NamedChildCount() > 0 {
				before := w.errorBytes
				for _, u := range w.units(child, owner, depth+1) {
					if u.kind == KindFunction || u.kind == KindClass {
						w.errorBytes -= min(w.src.start(u.end)-w.src.start(u.first), w.errorBytes)
					}
					units = w.join(units, u)
				}
				w.errorBytes = min(w.errorBytes, before) // an error inside an error counts once
				continue
			}
		}
		units = w.join(units, w.unit(child, owner, depth))
	}
	return units
}

// join appends u to units. Units that share a line become one, so that every boundary is the start of a line; comments
// join what follows them on the next line.
func (w *walker) join(units []unit, u unit) []unit {
	if len(units) == 0 {
		return append(units, u)
	}
	last := &units[len(units)-1]
	switch {
	case last.leads && u.first <= last.end:
		u.first = last.first
		if u.end < last.end {
			u.end, u.elidable = last.end, false
		}
		*last = u
	case u.first < last.end:
		if u.end > last.end {
			last.end, last.closing, last.elidable = u.end, 0, false
		}
	default:
		return append(units, u)
	}
	return units
}

func (w *walker) unit(node *sitter.Node, owner *unit, depth int) unit {
	r := w.grammar.roles[node.Type()]
	definition := node
	if r == roleWrapper {
		definition, r = w.grammar.definition(node, w.src.text)
	}
	u := unit{first: int(node.StartPoint().Row), end: endLine(node), kind: KindStatement}
	u.definition = u.first
	switch r {
	case roleImport:
		u.kind = KindImport
	case roleComment, roleDecorator:
		u.leads = true
	case roleFunction:
		u.kind = KindFunction
	case roleClass, roleType:
		u.kind = KindClass
	case roleScope:
		u.scope = true
	case roleStatement, roleWrapper, roleError:
		return u
	}
	if u.kind != KindFunction && u.kind != KindClass && !u.scope {
		return u
	}
	u.name = symbol(definition, w.src.text)
	if owner != nil {
		u.method = u.kind == KindFunction && !owner.scope
		if owner.name != "" && u.name != "" {
			u.name = owner.name + "." + u.name
		}
	}
	b := body(definition)
	if b == nil {
		if u.scope { // it names a file or says where the rest of this one belongs
			u.kind, u.name, u.scope = KindImport, "", false
		}
		return u
	}
	u.bodyFirst = int(b.StartPoint().Row)
	if strings.HasPrefix(w.src.text[b.StartByte():], "{") {
		u.bodyFirst++
	}
	if last := u.end - 1; last >= u.bodyFirst && last > u.first && closes(w.src.content(last)) {
		u.closing = last
	}
	u.elidable = !u.scope && w.elidable(b, u)
	if (r == roleClass || r == roleScope) && depth < maxClassDepth {
		for _, m := range w.units(b, &u, depth+1) {
			// A member that shares a line with the class's own first or last line cannot be cut off.
			if m.first > u.first && m.end <= u.end {
				u.members = append(u.members, m)
			}
		}
		if n := len(u.members); n > 0 && u.members[n-1].end > u.closing {
			u.closing = 0
		}
	}
	return u
}

// elidable reports whether the lines of the body b of u are nothing but its body: they follow an opening bracket or stand
// alone, and what closes them has a line of its own. Python's need nothing that closes them.
func (w *walker) elidable(b *sitter.Node, u unit) bool {
	if u.bodyFirst <= u.first || u.bodyFirst >= u.end || u.closing == 0 && w.grammar != pythonGrammar {
		return false
	}
	row, at := int(b.StartPoint().Row), int(b.StartByte())
	if strings.HasPrefix(w.src.text[at:], "{") {
		rest := strings.TrimSpace(w.src.text[at+1 : w.src.contentEnd(row)])
		return rest == "" || strings.HasPrefix(rest, "//")
	}
	return strings.TrimSpace(w.src.text[w.src.start(row):at]) == ""
}

// closes reports whether a line holds nothing but what closes a body: a bracket or a word for it, and a comment.
func closes(line string) bool {
	line = strings.TrimLeft(line, " \t")
	if strings.HasPrefix(line, "#endif") {
		return true
	}
	rest, found := strings.CutPrefix(line, "}")
	if !found {
		rest, found = strings.CutPrefix(line, "end")
	}
	rest = strings.TrimLeft(rest, " \t\r;,)")
	return found && (rest == "" || hasAnyPrefix(rest, "//", "/*", "#"))
}

// endLine returns the line after the last one that node stands on.
func endLine(node *sitter.Node) int {
	end := node.EndPoint()
	if end.Column == 0 && end.Row > node.StartPoint().Row {
		return int(end.Row)
	}
	return int(end.Row) + 1
}
