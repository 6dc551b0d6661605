package eval

import (
	"fmt"
	"strings"
)

// promptOf writes a case as the data's rule says: instruction, texts in order, query. texts are the contents, compressed
// or not, one each of the case's; an empty one is left out with its name. A completion ends at the cursor, on a line of its
// own.
func promptOf(c Case, texts []string) string {
	prompt, _ := promptPlaces(c, texts)
	return prompt
}

// promptPlaces is promptOf with the offset of each text in the prompt.
func promptPlaces(c Case, texts []string) (prompt string, places []int) {
	var b strings.Builder
	places = make([]int, len(texts))
	if c.Instruction != "" {
		b.WriteString(c.Instruction + "\n\n")
	}
	for i, text := range texts {
		switch t := c.Texts[i]; {
		case text == "":
			continue
		case t.Language == "en":
			fmt.Fprintf(&b, "Document [%d](Title: %s) ", i+1, t.Name)
		default:
			if t.Name != "" {
				b.WriteString(t.Name + "\n")
			}
		}
		places[i] = b.Len()
		b.WriteString(lineEnded(text))
	}
	if !isCompletion(c) {
		b.WriteString("\n" + c.Query)
		return b.String(), places
	}
	b.WriteString(lineEnded(c.Query))
	return b.String(), places
}

// lineEnded returns text with a line end where it has none at its end.
func lineEnded(text string) string {
	if strings.HasSuffix(text, "\n") {
		return text
	}
	return text + "\n"
}
