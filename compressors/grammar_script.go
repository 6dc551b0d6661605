package compressors

import (
	"strings"

	"github.com/smacker/go-tree-sitter/bash"
	"github.com/smacker/go-tree-sitter/php"
	"github.com/smacker/go-tree-sitter/ruby"
)

var rubyGrammar = &grammar{
	language: ruby.GetLanguage,
	maxBytes: 64 << 10,
	roles: map[string]role{
		"comment": roleComment, "ERROR": roleError, "call": roleWrapper,
		"class": roleClass, "module": roleClass, "singleton_class": roleClass,
		"method": roleFunction, "singleton_method": roleFunction,
	},
	symbols: compile(ruby.GetLanguage, `
(call method: (identifier) @require arguments: (argument_list . (string (string_content) @path))) @import

(method name: (_) @define)
(singleton_method name: (_) @define)
(class name: (constant) @define)
(class name: (scope_resolution name: (constant) @define))
(module name: (constant) @define)
(module name: (scope_resolution name: (constant) @define))
(assignment left: (constant) @define)

(method_parameters (identifier) @local)
(optional_parameter name: (identifier) @local)
(keyword_parameter name: (identifier) @local)
(splat_parameter name: (identifier) @local)
(block_parameter name: (identifier) @local)
(block_parameters (identifier) @local)
(assignment left: (identifier) @local)
(left_assignment_list (identifier) @local)
(exception_variable (identifier) @local)

(call receiver: (_) method: (identifier) @member)
(identifier) @use
(constant) @use
`),
	safe: func(text string) bool { return heredocsFit(text, true) },
}

var phpGrammar = &grammar{
	language:  php.GetLanguage,
	maxBytes:  64 << 10,
	separator: `\`,
	roles: map[string]role{
		"php_tag": roleImport, "namespace_use_declaration": roleImport, "comment": roleComment, "ERROR": roleError,
		"namespace_definition": roleScope, "class_declaration": roleClass, "interface_declaration": roleClass,
		"trait_declaration": roleClass, "enum_declaration": roleClass,
		"method_declaration": roleFunction, "function_definition": roleFunction,
	},
	symbols: compile(php.GetLanguage, `
(namespace_definition name: (_) @skip)
(namespace_use_declaration) @import @clause
(include_expression (string (string_content) @path)) @import
(include_once_expression (string (string_content) @path)) @import
(require_expression (string (string_content) @path)) @import
(require_once_expression (string (string_content) @path)) @import

(class_declaration name: (name) @define)
(interface_declaration name: (name) @define)
(trait_declaration name: (name) @define)
(enum_declaration name: (name) @define)
(enum_case name: (name) @define)
(method_declaration name: (name) @define)
(function_definition name: (name) @define)
(const_element (name) @define)
(property_element (variable_name (name) @define))
(property_promotion_parameter name: (variable_name (name) @define))

(simple_parameter name: (variable_name (name) @local))
(assignment_expression left: (variable_name (name) @local))
(foreach_statement (variable_name (name) @local))
(catch_clause name: (variable_name (name) @local))

(member_access_expression name: (name) @member)
(member_call_expression name: (name) @member)
(scoped_call_expression name: (name) @member)
(name) @use
`),
}

var bashGrammar = &grammar{
	language: bash.GetLanguage,
	maxBytes: 64 << 10,
	roles: map[string]role{
		"comment": roleComment, "ERROR": roleError, "command": roleWrapper, "function_definition": roleFunction,
	},
	symbols: compile(bash.GetLanguage, `
(command name: (command_name (word) @require) argument: (word) @path) @import

(function_definition name: (word) @define)
(program (variable_assignment name: (variable_name) @define))
(program (declaration_command (variable_assignment name: (variable_name) @define)))
(variable_assignment name: (variable_name) @local)
(for_statement variable: (variable_name) @local)

(command_name (word) @use)
(variable_name) @use
`),
	safe: func(text string) bool { return heredocsFit(text, false) },
}

// heredocsFit reports whether the words that end here-documents fit the buffer of 1,024 bytes that a scanner keeps open
// ones in, all of them taken as open at once. Ruby's also stops the process at a word of 256 bytes. With an operator of
// the same spelling only what cannot be one counts.
func heredocsFit(text string, operator bool) bool {
	const buffer, overhead, longest = 1000, 8, 200
	total := 0
	for {
		_, rest, found := strings.Cut(text, "<<")
		if !found {
			return true
		}
		text = rest
		word := strings.TrimLeft(rest, "-~")
		if !operator {
			word = strings.TrimLeft(word, " \t\\")
		}
		if word == "" || operator && !opensWord(word[0]) {
			continue
		}
		end := strings.IndexAny(word, " \t\r\n")
		if strings.IndexByte("\"'`", word[0]) >= 0 { // which may hold spaces and line ends
			if end = strings.IndexByte(word[1:], word[0]); end >= 0 {
				end += 2
			}
		}
		if end < 0 {
			end = len(word)
		}
		total += end + overhead
		if end > longest || total > buffer {
			return false
		}
	}
}

// opensWord reports whether the word that ends a here-document may start with c, right after the operator.
func opensWord(c byte) bool {
	return c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= 0x80 || strings.IndexByte("\"'`", c) >= 0
}
