package compressors

import (
	"github.com/smacker/go-tree-sitter/typescript/tsx"
	"github.com/smacker/go-tree-sitter/typescript/typescript"
)

// TSX's grammar reads JavaScript and JSX as well; TypeScript's own reads casts in angle brackets instead.
var (
	typescriptGrammar = &grammar{
		language: typescript.GetLanguage, roles: typescriptRoles, symbols: compile(typescript.GetLanguage, typescriptSymbols),
	}
	tsxGrammar = &grammar{language: tsx.GetLanguage, roles: typescriptRoles, symbols: compile(tsx.GetLanguage, typescriptSymbols)}
)

var typescriptRoles = map[string]role{
	"import_statement": roleImport, "comment": roleComment, "decorator": roleDecorator, "ERROR": roleError,
	"function_declaration": roleFunction, "generator_function_declaration": roleFunction,
	"method_definition": roleFunction, "class_declaration": roleClass, "abstract_class_declaration": roleClass,
	"interface_declaration": roleType, "type_alias_declaration": roleType, "enum_declaration": roleType,
	"export_statement": roleWrapper, "lexical_declaration": roleWrapper, "variable_declaration": roleWrapper,
	"expression_statement": roleWrapper, "ambient_declaration": roleWrapper, "internal_module": roleScope, "module": roleScope,
}

const typescriptSymbols = `
(import_statement source: (string) @path) @import
(import_statement (import_clause (identifier) @name) source: (string) @path) @import
(import_statement (import_clause (named_imports (import_specifier name: (identifier) @name))) source: (string) @path) @import
(import_statement (import_clause (named_imports (import_specifier alias: (identifier) @alias))) source: (string) @path) @import
(import_statement (import_clause (namespace_import (identifier) @alias)) source: (string) @path) @import
(export_statement source: (string) @path) @import
(export_statement (export_clause (export_specifier name: (identifier) @name)) source: (string) @path) @import
(variable_declarator name: (identifier) @name value: (call_expression
  function: (identifier) @require arguments: (arguments . (string) @path))) @import
(variable_declarator name: (object_pattern (shorthand_property_identifier_pattern) @name) value: (call_expression
  function: (identifier) @require arguments: (arguments . (string) @path))) @import
(variable_declarator name: (object_pattern (pair_pattern key: (property_identifier) @name value: (identifier) @alias))
  value: (call_expression function: (identifier) @require arguments: (arguments . (string) @path))) @import
(call_expression function: (identifier) @require arguments: (arguments . (string) @path)) @import
(call_expression function: (import) arguments: (arguments . (string) @path)) @import

(function_declaration name: (identifier) @define)
(generator_function_declaration name: (identifier) @define)
(class_declaration name: (type_identifier) @define)
(abstract_class_declaration name: (type_identifier) @define)
(interface_declaration name: (type_identifier) @define)
(type_alias_declaration name: (type_identifier) @define)
(enum_declaration name: (identifier) @define)
(enum_body name: (property_identifier) @define)
(enum_assignment name: (property_identifier) @define)
(internal_module name: (identifier) @define)
(method_definition name: (property_identifier) @define)
(method_signature name: (property_identifier) @define)
(abstract_method_signature name: (property_identifier) @define)
(property_signature name: (property_identifier) @define)
(public_field_definition name: (property_identifier) @define)
(program (lexical_declaration (variable_declarator name: (identifier) @define)))
(program (variable_declaration (variable_declarator name: (identifier) @define)))
(export_statement declaration: (lexical_declaration (variable_declarator name: (identifier) @define)))
(program (expression_statement (assignment_expression left: (member_expression property: (property_identifier) @define))))

(variable_declarator name: (identifier) @local)
(shorthand_property_identifier_pattern) @local
(pair_pattern value: (identifier) @local)
(array_pattern (identifier) @local)
(rest_pattern (identifier) @local)
(assignment_pattern left: (identifier) @local)
(required_parameter pattern: (identifier) @local)
(optional_parameter pattern: (identifier) @local)
(arrow_function parameter: (identifier) @local)
(for_in_statement left: (identifier) @local)
(catch_clause parameter: (identifier) @local)
(type_parameter name: (type_identifier) @local)

(identifier) @use
(type_identifier) @use
(shorthand_property_identifier) @use
(property_identifier) @member
`
