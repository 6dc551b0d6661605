package compressors

import (
	"github.com/smacker/go-tree-sitter/css"
	"github.com/smacker/go-tree-sitter/toml"
)

var cssGrammar = &grammar{
	language: css.GetLanguage,
	roles: map[string]role{
		"import_statement": roleImport, "charset_statement": roleImport, "comment": roleComment, "ERROR": roleError,
		"media_statement": roleType, "keyframes_statement": roleType, "supports_statement": roleType, "at_rule": roleType,
	},
}

var tomlGrammar = &grammar{
	language: toml.GetLanguage,
	roles: map[string]role{
		"comment": roleComment, "ERROR": roleError, "table": roleType, "table_array_element": roleType,
	},
}
