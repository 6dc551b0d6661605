package compressors

import (
	"strings"

	sitter "github.com/smacker/go-tree-sitter"
)

// role is what a node of a syntax tree means to segmentation.
type role uint8

const (
	roleStatement role = iota
	roleImport
	roleFunction
	roleClass // with members in its body
	roleScope // a namespace, a module, what a preprocessor condition holds: its members stand as if outside
	roleType  // without members
	roleComment
	roleDecorator
	roleWrapper // may stand for a definition inside it
	roleError
)

// grammar is a parser's language and what its nodes mean.
type grammar struct {
	language func() *sitter.Language
	// roles are those of the nodes by type; nodes that it does not name are statements.
	roles map[string]role
	// symbols returns the query that finds names and imports; nil without one.
	symbols func() (*compiledQuery, error)
	// separator stands between the names of an import's clause; wholeImports says that the last of them is part of the
	// module's path.
	separator    string
	wholeImports bool
	// safe reports whether the grammar's scanner can read a text; nil means any. Scanners keep their state in a buffer of
	// fixed size, and some stop the process where it overflows.
	safe func(text string) bool
	// maxBytes is the longest text to parse if that is less than for other grammars: one whose time grows faster.
	maxBytes int
}

// definition returns the definition that a wrapper holds with its role; node itself and roleStatement without one.
func (g *grammar) definition(node *sitter.Node, text string) (*sitter.Node, role) {
	switch node.Type() {
	case "lexical_declaration", "variable_declaration":
		// const f = (…) => {…}: a function if it is all that the declaration declares.
		if node.NamedChildCount() == 1 {
			declarator := node.NamedChild(0)
			if r := valueRole(declarator.ChildByFieldName("value"), text); r != roleStatement {
				return declarator, r
			}
		}
		return node, roleStatement
	case "expression_statement":
		if node.NamedChildCount() == 1 {
			switch child := node.NamedChild(0); child.Type() {
			case "assignment_expression":
				// exports.f = function () {…}
				if r := valueRole(child.ChildByFieldName("right"), text); r == roleFunction || r == roleClass {
					return child, r
				}
			case "internal_module":
				return child, roleScope
			}
		}
		return node, roleStatement
	case "call", "command":
		if callsRequire(node, text) {
			return node, roleImport
		}
		return node, roleStatement
	default:
		for i := range int(min(node.NamedChildCount(), 16)) {
			child := node.NamedChild(i)
			switch r := g.roles[child.Type()]; r {
			case roleFunction, roleClass, roleScope, roleType:
				return child, r
			case roleWrapper:
				return g.definition(child, text)
			default: // the word "export", a decorator, a comment
			}
		}
		return node, roleStatement
	}
}

// valueRole is the role of a declaration with this value.
func valueRole(value *sitter.Node, text string) role {
	if value == nil {
		return roleStatement
	}
	switch value.Type() {
	case "arrow_function", "function", "function_expression", "generator_function":
		return roleFunction
	case "class":
		return roleClass
	case "call_expression":
		if callsRequire(value, text) {
			return roleImport
		}
	}
	return roleStatement
}

// callsRequire reports whether node calls a function that imports.
func callsRequire(node *sitter.Node, text string) bool {
	for _, field := range []string{"function", "method", "name"} {
		if called := node.ChildByFieldName(field); called != nil {
			return requires[text[called.StartByte():called.EndByte()]]
		}
	}
	return false
}

// bodyTypes are the nodes that hold a body where a grammar has no field for it.
var bodyTypes = map[string]bool{
	"class_body": true, "enum_class_body": true, "function_body": true, "block": true,
}

// body returns the node that holds what a definition defines, nil without one.
func body(definition *sitter.Node) *sitter.Node {
	for _, field := range []string{"value", "right"} {
		if value := definition.ChildByFieldName(field); value != nil {
			definition = value
			break
		}
	}
	if b := definition.ChildByFieldName("body"); b != nil {
		return b
	}
	if strings.HasPrefix(definition.Type(), "preproc_") {
		return definition
	}
	for i := int(definition.NamedChildCount()) - 1; i >= 0 && i >= int(definition.NamedChildCount())-4; i-- {
		if child := definition.NamedChild(i); bodyTypes[child.Type()] {
			return child
		}
	}
	return nil
}

// symbol returns the name that a definition defines, with the receiver's type for a Go method; empty without one.
func symbol(definition *sitter.Node, text string) string {
	source := func(n *sitter.Node) string { return text[n.StartByte():n.EndByte()] }
	switch definition.Type() {
	case "type_declaration":
		if definition.NamedChildCount() == 1 {
			definition = definition.NamedChild(0)
		}
	case "impl_item":
		if t := definition.ChildByFieldName("type"); t != nil {
			return shorten(plainType(source(t)))
		}
	case "assignment_expression":
		if left := definition.ChildByFieldName("left"); left != nil {
			return shorten(source(left))
		}
	case "init_declaration":
		return "init"
	case "companion_object":
		return "companion"
	}
	if name := definition.ChildByFieldName("name"); name != nil {
		s := shorten(source(name))
		if receiver := definition.ChildByFieldName("receiver"); receiver != nil {
			r := strings.Trim(source(receiver), "() ")
			r, _, _ = strings.Cut(r, "[")
			r = r[strings.LastIndexAny(r, " *")+1:]
			s = shorten(r) + "." + s
		}
		return s
	}
	// In C a name stands inside the declarators that surround it.
	for range maxNesting {
		d := definition.ChildByFieldName("declarator")
		if d == nil {
			break
		}
		if definition = d; d.ChildByFieldName("declarator") == nil {
			if d.Type() == "reference_declarator" && d.NamedChildCount() > 0 {
				d = d.NamedChild(0)
				definition = d
				continue
			}
			return shorten(strings.ReplaceAll(plainType(source(d)), "::", "."))
		}
	}
	for i := range int(min(definition.NamedChildCount(), 8)) {
		switch child := definition.NamedChild(i); child.Type() {
		case "simple_identifier", "type_identifier", "bare_key", "dotted_key", "keyframes_name", "feature_query":
			return shorten(source(child))
		}
	}
	return ""
}

// plainType takes the arguments off a type or a qualified name.
func plainType(s string) string {
	if !strings.Contains(s, "<") || strings.Contains(s, "operator") {
		return s
	}
	var b strings.Builder
	depth := 0
	for _, r := range s {
		switch {
		case r == '<':
			depth++
		case r == '>':
			depth--
		case depth == 0:
			b.WriteRune(r)
		}
	}
	return strings.TrimLeft(b.String(), "&* ")
}

// shorten keeps names that come from a text to a size that a log line or a report can hold.
func shorten(name string) string {
	const limit = 80
	name = strings.Join(strings.Fields(name), " ")
	if len(name) <= limit {
		return name
	}
	return strings.ToValidUTF8(name[:limit], "")
}
