package eval

import (
	"fmt"
	"strings"
)

// promptOf writes a case as the data's rule says: instruction, texts in order, query. texts are the contents, compressed
// or not, one each of the case's; an empty one is left out with its name. A completion ends at the cursor, on a line of its
// own.
func promptOf(c Case, texts []string) string {
	var b strings.Builder
	if c.Instruction != "" {
		b.WriteString(c.Instruction + "\n\n")
	}
	for i, text := range texts {
		switch t := c.Texts[i]; {
		case text == "":
			continue
		case t.Language == "en":
			fmt.Fprintf(&b, "Document [%d](Title: %s) %s", i+1, t.Name, text)
		default:
			if t.Name != "" {
				b.WriteString(t.Name + "\n")
			}
			b.WriteString(text)
		}
		endLine(&b, text)
	}
	if !isCompletion(c) {
		b.WriteString("\n" + c.Query)
		return b.String()
	}
	b.WriteString(c.Query)
	endLine(&b, c.Query)
	return b.String()
}

func endLine(b *strings.Builder, text string) {
	if !strings.HasSuffix(text, "\n") {
		b.WriteByte('\n')
	}
}
