package compressors

import "github.com/smacker/go-tree-sitter/swift"

var swiftGrammar = &grammar{
	language:     swift.GetLanguage,
	maxBytes:     64 << 10,
	separator:    ".",
	wholeImports: true,
	roles: map[string]role{
		"import_declaration": roleImport, "comment": roleComment, "multiline_comment": roleComment, "ERROR": roleError,
		"class_declaration": roleClass, "protocol_declaration": roleClass,
		"function_declaration": roleFunction, "init_declaration": roleFunction, "deinit_declaration": roleFunction,
		"subscript_declaration": roleFunction, "typealias_declaration": roleType,
	},
	symbols: compile(swift.GetLanguage, `
(import_declaration) @import @clause

(class_declaration name: (type_identifier) @define)
(protocol_declaration name: (type_identifier) @define)
(typealias_declaration name: (type_identifier) @define)
(function_declaration name: (simple_identifier) @define)
(protocol_function_declaration name: (simple_identifier) @define)
(enum_entry name: (simple_identifier) @define)
(source_file (property_declaration name: (pattern bound_identifier: (simple_identifier) @define)))
(class_body (property_declaration name: (pattern bound_identifier: (simple_identifier) @define)))

(parameter name: (simple_identifier) @local)
(pattern bound_identifier: (simple_identifier) @local)
(guard_statement bound_identifier: (simple_identifier) @local)
(if_statement bound_identifier: (simple_identifier) @local)
(type_parameter (type_identifier) @local)

(navigation_suffix suffix: (simple_identifier) @member)
(simple_identifier) @use
(type_identifier) @use
`),
}
