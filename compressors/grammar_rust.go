package compressors

import (
	"strings"

	"github.com/smacker/go-tree-sitter/rust"
)

var rustGrammar = &grammar{
	language:  rust.GetLanguage,
	separator: "::",
	roles: map[string]role{
		"use_declaration": roleImport, "extern_crate_declaration": roleImport, "ERROR": roleError,
		"line_comment": roleComment, "block_comment": roleComment, "attribute_item": roleDecorator,
		"function_item": roleFunction, "macro_definition": roleFunction,
		"impl_item": roleClass, "trait_item": roleClass, "mod_item": roleScope, "foreign_mod_item": roleScope,
		"struct_item": roleType, "enum_item": roleType, "union_item": roleType, "type_item": roleType,
	},
	symbols: compile(rust.GetLanguage, `
(use_declaration argument: (_) @clause) @import
(mod_item name: (identifier) @path !body) @import
(extern_crate_declaration name: (identifier) @path) @import

(function_item name: (identifier) @define)
(function_signature_item name: (identifier) @define)
(struct_item name: (type_identifier) @define)
(enum_item name: (type_identifier) @define)
(union_item name: (type_identifier) @define)
(trait_item name: (type_identifier) @define)
(type_item name: (type_identifier) @define)
(const_item name: (identifier) @define)
(static_item name: (identifier) @define)
(mod_item name: (identifier) @define body: (_))
(macro_definition name: (identifier) @define)
(enum_variant name: (identifier) @define)
(field_declaration name: (field_identifier) @define)
(associated_type name: (type_identifier) @define)

(parameter pattern: (identifier) @local)
(parameter pattern: (mut_pattern (identifier) @local))
(closure_parameters (identifier) @local)
(let_declaration pattern: (identifier) @local)
(let_declaration pattern: (mut_pattern (identifier) @local))
(tuple_pattern (identifier) @local)
(tuple_struct_pattern (identifier) @local .)
(ref_pattern (identifier) @local)
(mut_pattern (identifier) @local)
(for_expression pattern: (identifier) @local)
(type_parameters (type_identifier) @local)
(constrained_type_parameter left: (type_identifier) @local)

(identifier) @use
(type_identifier) @use
(shorthand_field_identifier) @use
(field_identifier) @member
`),
	// A raw string that never closes is read to the end of the text at every try.
	safe: func(text string) bool { return strings.Count(text, `#"`)-strings.Count(text, `"#`) < maxOpenComments },
}
