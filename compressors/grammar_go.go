package compressors

import "github.com/smacker/go-tree-sitter/golang"

var goGrammar = &grammar{
	language: golang.GetLanguage,
	roles: map[string]role{
		"package_clause": roleImport, "import_declaration": roleImport, "comment": roleComment, "ERROR": roleError,
		"function_declaration": roleFunction, "method_declaration": roleFunction, "type_declaration": roleType,
	},
	symbols: compile(golang.GetLanguage, `
(package_clause) @skip
(import_spec path: (_) @path) @import
(import_spec name: (_) @alias path: (_) @path) @import

(function_declaration name: (identifier) @define)
(method_declaration name: (field_identifier) @define)
(type_spec name: (type_identifier) @define)
(type_alias name: (type_identifier) @define)
(source_file (const_declaration (const_spec (identifier) @define)))
(source_file (var_declaration (var_spec (identifier) @define)))
(field_declaration name: (field_identifier) @define)
(method_elem name: (field_identifier) @define)

(parameter_declaration (identifier) @local)
(variadic_parameter_declaration name: (identifier) @local)
(type_parameter_declaration (identifier) @local)
(short_var_declaration left: (expression_list (identifier) @local))
(range_clause left: (expression_list (identifier) @local))
(receive_statement left: (expression_list (identifier) @local))
(type_switch_statement alias: (expression_list (identifier) @local))
(const_spec (identifier) @local)
(var_spec (identifier) @local)

(identifier) @use
(type_identifier) @use
(package_identifier) @use
(field_identifier) @member
`),
}
