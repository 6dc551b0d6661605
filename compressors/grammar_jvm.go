package compressors

import (
	"strings"

	"github.com/smacker/go-tree-sitter/java"
	"github.com/smacker/go-tree-sitter/kotlin"
	"github.com/smacker/go-tree-sitter/scala"
)

var javaGrammar = &grammar{
	language:  java.GetLanguage,
	separator: ".",
	roles: map[string]role{
		"package_declaration": roleImport, "import_declaration": roleImport, "ERROR": roleError,
		"line_comment": roleComment, "block_comment": roleComment,
		"class_declaration": roleClass, "interface_declaration": roleClass, "enum_declaration": roleClass,
		"record_declaration": roleClass, "annotation_type_declaration": roleClass, "enum_body_declarations": roleScope,
		"method_declaration": roleFunction, "constructor_declaration": roleFunction,
		"compact_constructor_declaration": roleFunction, "static_initializer": roleFunction,
	},
	symbols: compile(java.GetLanguage, `
(package_declaration) @skip
(import_declaration) @import @clause

(class_declaration name: (identifier) @define)
(interface_declaration name: (identifier) @define)
(enum_declaration name: (identifier) @define)
(record_declaration name: (identifier) @define)
(record_declaration parameters: (formal_parameters (formal_parameter name: (identifier) @define)))
(annotation_type_declaration name: (identifier) @define)
(method_declaration name: (identifier) @define)
(constructor_declaration name: (identifier) @define)
(enum_constant name: (identifier) @define)
(field_declaration declarator: (variable_declarator name: (identifier) @define))
(constant_declaration declarator: (variable_declarator name: (identifier) @define))

(formal_parameter name: (identifier) @local)
(spread_parameter (variable_declarator name: (identifier) @local))
(catch_formal_parameter name: (identifier) @local)
(local_variable_declaration declarator: (variable_declarator name: (identifier) @local))
(enhanced_for_statement name: (identifier) @local)
(lambda_expression parameters: (identifier) @local)
(inferred_parameters (identifier) @local)
(resource name: (identifier) @local)
(type_parameter (type_identifier) @local)

(field_access field: (identifier) @member)
(method_invocation object: (_) name: (identifier) @member)
(identifier) @use
(type_identifier) @use
`),
}

var kotlinGrammar = &grammar{
	language:  kotlin.GetLanguage,
	separator: ".",
	roles: map[string]role{
		"package_header": roleImport, "import_list": roleImport, "import_header": roleImport, "ERROR": roleError,
		"line_comment": roleComment, "multiline_comment": roleComment,
		"class_declaration": roleClass, "object_declaration": roleClass, "companion_object": roleClass,
		"function_declaration": roleFunction, "secondary_constructor": roleFunction, "anonymous_initializer": roleFunction,
	},
	symbols: compile(kotlin.GetLanguage, `
(package_header) @skip
(import_header) @import @clause

(class_declaration (type_identifier) @define)
(object_declaration (type_identifier) @define)
(function_declaration (simple_identifier) @define)
(type_alias (type_identifier) @define)
(enum_entry (simple_identifier) @define)
(source_file (property_declaration (variable_declaration (simple_identifier) @define)))
(class_body (property_declaration (variable_declaration (simple_identifier) @define)))
(class_parameter (binding_pattern_kind) (simple_identifier) @define)

(class_parameter (simple_identifier) @local)
(parameter (simple_identifier) @local)
(variable_declaration (simple_identifier) @local)
(type_parameter (type_identifier) @local)

(navigation_suffix (simple_identifier) @member)
(simple_identifier) @use
(type_identifier) @use
`),
	// Its scanner stops the process at 1,024 strings that are open inside one another, as templates can be.
	safe: func(text string) bool { return strings.Count(text, "${") < 500 },
}

var scalaGrammar = &grammar{
	language:  scala.GetLanguage,
	maxBytes:  40 << 10,
	separator: ".",
	roles: map[string]role{
		"package_clause": roleImport, "import_declaration": roleImport, "ERROR": roleError,
		"comment": roleComment, "block_comment": roleComment,
		"class_definition": roleClass, "object_definition": roleClass, "trait_definition": roleClass, "enum_definition": roleClass,
		"function_definition": roleFunction,
	},
	symbols: compile(scala.GetLanguage, `
(package_clause name: (_) @skip)
(import_declaration) @import @clause

(class_definition name: (identifier) @define)
(object_definition name: (identifier) @define)
(trait_definition name: (identifier) @define)
(enum_definition name: (identifier) @define)
(type_definition name: (type_identifier) @define)
(function_definition name: (identifier) @define)
(function_declaration name: (identifier) @define)
(template_body (val_definition pattern: (identifier) @define))
(template_body (var_definition pattern: (identifier) @define))
(val_declaration name: (identifier) @define)
(class_parameter name: (identifier) @define)

(parameter name: (identifier) @local)
(binding name: (identifier) @local)
(val_definition pattern: (identifier) @local)
(var_definition pattern: (identifier) @local)
(type_parameters name: (identifier) @local)
(lambda_expression parameters: (identifier) @local)

(field_expression field: (identifier) @member)
(identifier) @use
(type_identifier) @use
`),
}
