package compressors

import "github.com/smacker/go-tree-sitter/python"

var pythonGrammar = &grammar{
	language: python.GetLanguage,
	roles: map[string]role{
		"import_statement": roleImport, "import_from_statement": roleImport, "future_import_statement": roleImport,
		"comment": roleComment, "ERROR": roleError, "function_definition": roleFunction, "class_definition": roleClass,
		"decorated_definition": roleWrapper,
	},
	symbols: compile(python.GetLanguage, `
(future_import_statement) @skip
(import_statement name: (dotted_name) @path) @import
(import_statement name: (aliased_import name: (dotted_name) @path alias: (identifier) @alias)) @import
(import_from_statement module_name: (_) @path) @import
(import_from_statement module_name: (_) @path name: (dotted_name) @name) @import
(import_from_statement module_name: (_) @path name: (aliased_import name: (dotted_name) @name alias: (identifier) @alias)) @import
(import_from_statement module_name: (_) @path (wildcard_import) @name) @import

(function_definition name: (identifier) @define)
(class_definition name: (identifier) @define)
(module (expression_statement (assignment left: (identifier) @define)))
(module (expression_statement (assignment left: (pattern_list (identifier) @define))))
(class_definition body: (block (expression_statement (assignment left: (identifier) @define))))

(parameters (identifier) @local)
(lambda_parameters (identifier) @local)
(default_parameter name: (identifier) @local)
(typed_parameter (identifier) @local)
(typed_default_parameter name: (identifier) @local)
(list_splat_pattern (identifier) @local)
(dictionary_splat_pattern (identifier) @local)
(assignment left: (identifier) @local)
(assignment left: (pattern_list (identifier) @local))
(assignment left: (tuple_pattern (identifier) @local))
(for_statement left: (identifier) @local)
(for_statement left: (pattern_list (identifier) @local))
(for_statement left: (tuple_pattern (identifier) @local))
(for_in_clause left: (identifier) @local)
(for_in_clause left: (pattern_list (identifier) @local))
(for_in_clause left: (tuple_pattern (identifier) @local))
(as_pattern_target (identifier) @local)
(named_expression name: (identifier) @local)

(attribute attribute: (identifier) @member)
(keyword_argument name: (identifier) @member)
(identifier) @use
`),
}
