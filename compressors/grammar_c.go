package compressors

import (
	"maps"

	"github.com/smacker/go-tree-sitter/c"
	"github.com/smacker/go-tree-sitter/cpp"
	"github.com/smacker/go-tree-sitter/csharp"
)

var cRoles = map[string]role{
	"preproc_include": roleImport, "comment": roleComment, "ERROR": roleError,
	"function_definition": roleFunction, "preproc_function_def": roleType, "type_definition": roleType,
	"struct_specifier": roleType, "union_specifier": roleType, "enum_specifier": roleType,
	"linkage_specification": roleScope, "preproc_ifdef": roleScope, "preproc_if": roleScope,
	"preproc_else": roleScope, "preproc_elif": roleScope,
}

const cSymbols = `
(preproc_include path: (_) @path) @import

(function_declarator declarator: (identifier) @define)
(function_declarator declarator: (field_identifier) @define)
(struct_specifier name: (type_identifier) @define body: (_))
(union_specifier name: (type_identifier) @define body: (_))
(enum_specifier name: (type_identifier) @define body: (_))
(enumerator name: (identifier) @define)
(type_definition declarator: (type_identifier) @define)
(field_declaration declarator: (field_identifier) @define)
(field_declaration declarator: (_ declarator: (field_identifier) @define))
(field_declaration declarator: (_ declarator: (_ declarator: (field_identifier) @define)))
(preproc_def name: (identifier) @define)
(preproc_function_def name: (identifier) @define)
(translation_unit (declaration declarator: (identifier) @define))
(translation_unit (declaration declarator: (_ declarator: (identifier) @define)))
(declaration_list (declaration declarator: (identifier) @define))
(declaration_list (declaration declarator: (_ declarator: (identifier) @define)))
(preproc_ifdef (declaration declarator: (identifier) @define))
(preproc_ifdef (declaration declarator: (_ declarator: (identifier) @define)))

(parameter_declaration declarator: (identifier) @local)
(parameter_declaration declarator: (_ declarator: (identifier) @local))
(parameter_declaration declarator: (_ declarator: (_ declarator: (identifier) @local)))
(preproc_params (identifier) @local)
(declaration declarator: (identifier) @local)
(declaration declarator: (_ declarator: (identifier) @local))
(declaration declarator: (_ declarator: (_ declarator: (identifier) @local)))

(identifier) @use
(type_identifier) @use
(field_identifier) @member
`

var cGrammar = &grammar{language: c.GetLanguage, roles: cRoles, symbols: compile(c.GetLanguage, cSymbols)}

var cppGrammar = &grammar{
	language: cpp.GetLanguage,
	roles: func() map[string]role {
		roles := maps.Clone(cRoles)
		maps.Copy(roles, map[string]role{
			"class_specifier": roleClass, "struct_specifier": roleClass, "namespace_definition": roleScope,
			"template_declaration": roleWrapper, "alias_declaration": roleType, "access_specifier": roleDecorator,
		})
		return roles
	}(),
	symbols: compile(cpp.GetLanguage, cSymbols+`
(class_specifier name: (type_identifier) @define body: (_))
(class_specifier name: (template_type name: (type_identifier) @define) body: (_))
(alias_declaration name: (type_identifier) @define)
(function_declarator declarator: (qualified_identifier name: (identifier) @define))
(function_declarator declarator: (qualified_identifier name: (qualified_identifier name: (identifier) @define)))

(parameter_declaration declarator: (reference_declarator (identifier) @local))
(optional_parameter_declaration declarator: (identifier) @local)
(optional_parameter_declaration declarator: (reference_declarator (identifier) @local))
(declaration declarator: (init_declarator declarator: (reference_declarator (identifier) @local)))
(for_range_loop declarator: (identifier) @local)
(for_range_loop declarator: (reference_declarator (identifier) @local))
(type_parameter_declaration (type_identifier) @local)

(namespace_definition name: (namespace_identifier) @skip)
(namespace_identifier) @use
`),
}

var csharpGrammar = &grammar{
	language:     csharp.GetLanguage,
	maxBytes:     64 << 10,
	separator:    ".",
	wholeImports: true,
	roles: map[string]role{
		"using_directive": roleImport, "extern_alias_directive": roleImport, "file_scoped_namespace_declaration": roleImport,
		"comment": roleComment, "ERROR": roleError, "namespace_declaration": roleScope,
		"class_declaration": roleClass, "interface_declaration": roleClass, "struct_declaration": roleClass,
		"record_declaration": roleClass, "record_struct_declaration": roleClass, "enum_declaration": roleType,
		"delegate_declaration": roleType, "method_declaration": roleFunction, "constructor_declaration": roleFunction,
		"destructor_declaration": roleFunction, "operator_declaration": roleFunction, "local_function_statement": roleFunction,
	},
	symbols: compile(csharp.GetLanguage, `
(using_directive) @import @clause
(namespace_declaration name: (_) @skip)
(file_scoped_namespace_declaration name: (_) @skip)

(class_declaration name: (identifier) @define)
(interface_declaration name: (identifier) @define)
(struct_declaration name: (identifier) @define)
(record_declaration name: (identifier) @define)
(record_declaration (parameter_list (parameter name: (identifier) @define)))
(enum_declaration name: (identifier) @define)
(enum_member_declaration name: (identifier) @define)
(delegate_declaration name: (identifier) @define)
(method_declaration name: (identifier) @define)
(constructor_declaration name: (identifier) @define)
(property_declaration name: (identifier) @define)
(field_declaration (variable_declaration (variable_declarator name: (identifier) @define)))
(event_field_declaration (variable_declaration (variable_declarator name: (identifier) @define)))
(local_function_statement name: (identifier) @define)

(parameter name: (identifier) @local)
(variable_declarator name: (identifier) @local)
(foreach_statement left: (identifier) @local)
(declaration_expression name: (identifier) @local)
(catch_declaration name: (identifier) @local)
(type_parameter name: (identifier) @local)

(member_access_expression name: (identifier) @member)
(identifier) @use
`),
}
