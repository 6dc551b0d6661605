package compressors

import (
	"strings"

	sitter "github.com/smacker/go-tree-sitter"
	"github.com/smacker/go-tree-sitter/golang"
	tspython "github.com/smacker/go-tree-sitter/python"
	tstsx "github.com/smacker/go-tree-sitter/typescript/tsx"
	"github.com/smacker/go-tree-sitter/typescript/typescript"
)

// role is what a node of a syntax tree means to segmentation.
type role uint8

const (
	roleStatement role = iota
	roleImport
	roleFunction
	roleClass // with members in its body
	roleType  // without
	roleComment
	roleDecorator
	roleWrapper // stands for the definition inside it
	roleError
)

// grammar is a parser's language and the roles of its nodes; those it does not name are statements.
type grammar struct {
	language func() *sitter.Language
	roles    map[string]role
}

var goGrammar = &grammar{golang.GetLanguage, map[string]role{
	"package_clause": roleImport, "import_declaration": roleImport, "comment": roleComment, "ERROR": roleError,
	"function_declaration": roleFunction, "method_declaration": roleFunction, "type_declaration": roleType,
}}

var pythonGrammar = &grammar{tspython.GetLanguage, map[string]role{
	"import_statement": roleImport, "import_from_statement": roleImport, "future_import_statement": roleImport,
	"comment": roleComment, "ERROR": roleError, "function_definition": roleFunction, "class_definition": roleClass,
	"decorated_definition": roleWrapper,
}}

var typescriptRoles = map[string]role{
	"import_statement": roleImport, "comment": roleComment, "decorator": roleDecorator, "ERROR": roleError,
	"function_declaration": roleFunction, "generator_function_declaration": roleFunction,
	"method_definition": roleFunction, "class_declaration": roleClass, "abstract_class_declaration": roleClass,
	"interface_declaration": roleType, "type_alias_declaration": roleType, "enum_declaration": roleType,
	"export_statement": roleWrapper, "lexical_declaration": roleWrapper, "ambient_declaration": roleWrapper,
}

var (
	typescriptGrammar = &grammar{typescript.GetLanguage, typescriptRoles}
	tsxGrammar        = &grammar{tstsx.GetLanguage, typescriptRoles}
)

// definition returns the definition that a wrapper holds with its role; node itself and roleStatement without one.
func (g *grammar) definition(node *sitter.Node) (*sitter.Node, role) {
	switch node.Type() {
	case "lexical_declaration":
		// const f = (…) => {…}: a function if it is all that the declaration declares.
		if node.NamedChildCount() == 1 {
			declarator := node.NamedChild(0)
			if value := declarator.ChildByFieldName("value"); value != nil {
				switch value.Type() {
				case "arrow_function", "function", "function_expression":
					return declarator, roleFunction
				case "class":
					return declarator, roleClass
				}
			}
		}
		return node, roleStatement
	default:
		for i := range int(min(node.NamedChildCount(), 16)) {
			child := node.NamedChild(i)
			switch r := g.roles[child.Type()]; r {
			case roleFunction, roleClass, roleType:
				return child, r
			case roleWrapper:
				return g.definition(child)
			default: // the word "export", a decorator, a comment
			}
		}
		return node, roleStatement
	}
}

// body returns the node that holds what a definition defines, nil without one.
func body(definition *sitter.Node) *sitter.Node {
	if value := definition.ChildByFieldName("value"); value != nil {
		definition = value
	}
	return definition.ChildByFieldName("body")
}

// symbol returns the name that a definition defines, with the receiver's type for a Go method; empty without one.
func symbol(definition *sitter.Node, text string) string {
	named := definition
	if definition.Type() == "type_declaration" && definition.NamedChildCount() == 1 {
		named = definition.NamedChild(0)
	}
	name := named.ChildByFieldName("name")
	if name == nil {
		return ""
	}
	s := shorten(text[name.StartByte():name.EndByte()])
	if receiver := definition.ChildByFieldName("receiver"); receiver != nil {
		r := strings.Trim(text[receiver.StartByte():receiver.EndByte()], "() ")
		r, _, _ = strings.Cut(r, "[")
		r = r[strings.LastIndexAny(r, " *")+1:]
		s = shorten(r) + "." + s
	}
	return s
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
