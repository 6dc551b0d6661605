package compressors

import (
	"slices"
	"strings"
	"sync"

	sitter "github.com/smacker/go-tree-sitter"
)

// capture is what a grammar's symbol query says of a node.
type capture uint8

// The captures, by the names that queries give them. Of the captures on one node the first in this list counts.
const (
	captureSkip    capture = iota // nothing in it counts
	captureImport                 // a whole import statement
	captureDefine                 // a name that others may use
	captureLocal                  // a name bound inside a definition
	captureMember                 // a name after a dot, which no local can shadow
	captureUse                    // any other identifier
	captureClause                 // what is imported, in one notation with separators and braces
	capturePath                   // the module of an import
	captureName                   // a name taken from it
	captureAlias                  // what that is called here
	captureRequire                // the function of a call that imports
)

var captureByName = map[string]capture{
	"skip": captureSkip, "import": captureImport, "define": captureDefine, "local": captureLocal, "member": captureMember,
	"use": captureUse, "clause": captureClause, "path": capturePath, "name": captureName, "alias": captureAlias,
	"require": captureRequire,
}

// requires are the functions whose call imports what its argument names.
var requires = map[string]bool{
	"require": true, "require_relative": true, "load": true, "source": true, ".": true,
}

// compiledQuery is a grammar's symbol query; tree-sitter's form of it may be used concurrently.
type compiledQuery struct {
	query    *sitter.Query
	captures []capture // by tree-sitter's index
}

// compile returns a function that compiles source once; the tests compile every grammar's.
func compile(language func() *sitter.Language, source string) func() (*compiledQuery, error) {
	return sync.OnceValues(func() (*compiledQuery, error) {
		q, err := sitter.NewQuery([]byte(source), language())
		if err != nil {
			return nil, err
		}
		c := &compiledQuery{query: q}
		for i := range q.CaptureCount() {
			c.captures = append(c.captures, captureByName[q.CaptureNameForId(i)])
		}
		return c, nil
	})
}

// occurrence is one name at one place of a text.
type occurrence struct {
	start, end int
	what       capture
}

// importAt is an import with the place of its statement.
type importAt struct {
	start int
	Import
}

// symbolTable is all names of one text in the order of their places.
type symbolTable struct {
	names   []occurrence
	imports []importAt
}

// readSymbols walks the tree under root once.
func (g *grammar) readSymbols(root *sitter.Node, text string) (*symbolTable, error) {
	if g.symbols == nil {
		return &symbolTable{}, nil
	}
	compiled, err := g.symbols()
	if err != nil {
		return nil, err
	}
	cursor := sitter.NewQueryCursor()
	defer cursor.Close()
	cursor.Exec(compiled.query, root)
	t := &symbolTable{}
	byPath := map[uint32]int{} // the import of the path that starts there
	var ranges []occurrence    // in which no name counts
	for match, ok := cursor.NextMatch(); ok; match, ok = cursor.NextMatch() {
		var statement, path, name, alias, clause *sitter.Node
		isImport := true
		for _, c := range match.Captures {
			node := c.Node
			switch what := compiled.captures[c.Index]; what {
			case captureSkip:
				ranges = append(ranges, occurrence{start: int(node.StartByte()), end: int(node.EndByte())})
			case captureDefine, captureLocal, captureMember, captureUse:
				t.names = append(t.names, occurrence{int(node.StartByte()), int(node.EndByte()), what})
			case captureImport:
				statement = node
			case captureClause:
				clause = node
			case capturePath:
				path = node
			case captureName:
				name = node
			case captureAlias:
				alias = node
			case captureRequire:
				isImport = requires[text[node.StartByte():node.EndByte()]]
			}
		}
		if statement == nil || !isImport {
			continue
		}
		start := int(statement.StartByte())
		ranges = append(ranges, occurrence{start: start, end: int(statement.EndByte())})
		if clause != nil {
			for _, i := range parseImport(text[clause.StartByte():clause.EndByte()], g.separator, g.wholeImports) {
				t.imports = append(t.imports, importAt{start, i})
			}
			continue
		}
		if path == nil {
			continue
		}
		at, known := byPath[path.StartByte()]
		if !known {
			at = len(t.imports)
			byPath[path.StartByte()] = at
			t.imports = append(t.imports, importAt{start, Import{Path: modulePath(text[path.StartByte():path.EndByte()])}})
		}
		for _, node := range []*sitter.Node{name, alias} {
			if node != nil {
				if s := text[node.StartByte():node.EndByte()]; !slices.Contains(t.imports[at].Names, s) {
					t.imports[at].Names = append(t.imports[at].Names, s)
				}
			}
		}
	}
	slices.SortStableFunc(t.imports, func(a, b importAt) int { return a.start - b.start })
	t.settle(ranges)
	return t, nil
}

// modulePath takes off what encloses a path in the source.
func modulePath(s string) string {
	return strings.TrimRight(strings.Trim(s, "\"'`<> \t"), `\`)
}

// settle sorts the names, keeps the strongest capture of each place and drops those within ranges.
func (t *symbolTable) settle(ranges []occurrence) {
	byPlace := func(a, b occurrence) int {
		if a.start != b.start {
			return a.start - b.start
		}
		return int(a.what) - int(b.what)
	}
	slices.SortFunc(t.names, byPlace)
	slices.SortFunc(ranges, byPlace)
	kept, covered, next := t.names[:0], 0, 0
	for i, o := range t.names {
		for next < len(ranges) && ranges[next].start <= o.start {
			covered = max(covered, ranges[next].end)
			next++
		}
		if o.start >= covered && (i == 0 || len(kept) == 0 || kept[len(kept)-1].start != o.start) {
			kept = append(kept, o)
		}
	}
	t.names = kept
}

// assign gives each segment the names that stand in it. The segments of one long definition, which share its name and
// parent or are its header, share their local names.
func (t *symbolTable) assign(segments []Segment, text string) {
	names, imports := t.names, t.imports
	definition := make([]int, len(segments)) // the first segment of the definition that holds the segment
	bound := map[int]map[string]bool{}       // what the segments of a definition bind together
	used := make([][]occurrence, len(segments))
	for i := range segments {
		s := &segments[i]
		definition[i] = i
		if p := s.Parent; p >= 0 && segments[p].Kind == KindHeader && segments[p].Name == s.Name {
			definition[i] = definition[p]
		}
		locals := bound[definition[i]]
		if locals == nil {
			locals = map[string]bool{}
			bound[definition[i]] = locals
		}
		defines, here := map[string]bool{}, map[string]bool{}
		n := 0
		for ; n < len(names) && names[n].start < s.End; n++ {
			switch name := text[names[n].start:names[n].end]; names[n].what {
			case captureDefine:
				appendOnce(&s.Defines, defines, name)
				if s.Signature != nil && s.Signature.holds(names[n].start) && !slices.Contains(s.Signature.Defines, name) {
					s.Signature.Defines = append(s.Signature.Defines, name)
				}
			case captureLocal:
				appendOnce(&s.Locals, here, name)
				locals[name] = true
			default: // used, below
			}
		}
		used[i], names = names[:n], names[n:]
		for len(imports) > 0 && imports[0].start < s.End {
			s.Imports = append(s.Imports, imports[0].Import)
			imports = imports[1:]
		}
	}
	for i := range segments {
		s := &segments[i]
		locals := bound[definition[i]]
		seen, seenLocals := map[string]bool{}, map[string]bool{}
		for _, name := range s.Defines {
			seen[name] = true
		}
		for _, name := range s.Locals {
			seenLocals[name] = true
		}
		for _, o := range used[i] {
			name := text[o.start:o.end]
			switch {
			case o.what == captureUse && locals[name]:
				appendOnce(&s.LocalUses, seenLocals, name)
			case o.what == captureUse || o.what == captureMember:
				appendOnce(&s.Uses, seen, name)
				if s.Signature != nil && s.Signature.holds(o.start) && !slices.Contains(s.Signature.Uses, name) {
					s.Signature.Uses = append(s.Signature.Uses, name)
				}
			}
		}
	}
}

// holds reports whether an offset of the segment lies outside the body.
func (s *Signature) holds(offset int) bool { return offset < s.BodyStart || offset >= s.BodyEnd }

func appendOnce(list *[]string, seen map[string]bool, name string) {
	if !seen[name] {
		seen[name] = true
		*list = append(*list, name)
	}
}
