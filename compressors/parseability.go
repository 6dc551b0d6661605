package compressors

import (
	"slices"

	sitter "github.com/smacker/go-tree-sitter"
)

// SyntaxErrors counts the places where text does not follow its language's grammar: what tree-sitter skips, and what it
// had to add. It returns false where no grammar reads the text or the text is not parsed at all. Kept code stays as
// parseable as it was if its output has no more of them than its source: a marker is a comment.
func SyntaxErrors(text Text) (count int, parsed bool) {
	return syntaxErrors(languageOf(text).grammar, text.Content)
}

func syntaxErrors(g *grammar, text string) (count int, parsed bool) {
	if g == nil || !parsable(g, text) {
		return 0, false
	}
	parser := sitter.NewParser()
	defer parser.Close()
	parser.SetLanguage(g.language())
	tree, err := parse(parser, newSource(text))
	if err != nil || tree == nil {
		return 0, false
	}
	defer tree.Close()
	return faults(tree.RootNode(), 0), true
}

// faults counts the errors and the missing nodes under node.
func faults(node *sitter.Node, depth int) int {
	if node.IsMissing() {
		return 1
	}
	if !node.HasError() || depth > maxDepth {
		return 0
	}
	total := 0
	if node.IsError() {
		total = 1
	}
	cursor := sitter.NewTreeCursor(node)
	defer cursor.Close()
	for ok := cursor.GoToFirstChild(); ok; ok = cursor.GoToNextSibling() {
		total += faults(cursor.CurrentNode(), depth+1)
	}
	return total
}

// Undefined returns the names that kept segments use and that only segments which are not kept define: in any of texts for
// a name that others may use, in the same definition for a local one. It goes by names alone, so that a name with two
// meanings may be missed or found in vain. Texts that were left whole have no segments here.
func Undefined(texts []TextResult) []string {
	kept, gone := map[string]bool{}, map[string]bool{}
	for _, text := range texts {
		for _, s := range text.Segments {
			defines := s.Defines
			if s.SignatureOnly {
				for _, name := range s.Defines {
					gone[name] = true
				}
				defines = s.Signature.Defines
			}
			for _, name := range defines {
				if s.Kept {
					kept[name] = true
				} else {
					gone[name] = true
				}
			}
		}
	}
	var names []string
	found := map[string]bool{}
	add := func(name string) {
		if !found[name] {
			found[name] = true
			names = append(names, name)
		}
	}
	for _, text := range texts {
		for i, s := range text.Segments {
			if !s.Kept {
				continue
			}
			uses := s.Uses
			if s.SignatureOnly {
				uses = s.Signature.Uses
			}
			for _, name := range uses {
				if gone[name] && !kept[name] {
					add(name)
				}
			}
			if s.SignatureOnly {
				continue
			}
			for _, name := range s.LocalUses {
				if !boundInKept(text.Segments, i, name) {
					add(name)
				}
			}
		}
	}
	return names
}

// boundInKept reports whether a kept segment of the definition that holds segment i binds name.
func boundInKept(segments []SegmentResult, i int, name string) bool {
	same := func(j int) bool {
		return j >= 0 && j < len(segments) && segments[j].Name == segments[i].Name &&
			(j == segments[i].Parent || segments[j].Parent == segments[i].Parent || segments[j].Parent == i)
	}
	for j := i - 1; same(j); j-- {
		if segments[j].Kept && slices.Contains(segments[j].Locals, name) {
			return true
		}
	}
	for j := i + 1; same(j); j++ {
		if segments[j].Kept && slices.Contains(segments[j].Locals, name) {
			return true
		}
	}
	return false
}
