package proxy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// DocumentRule says where the prompts of a program hold documents, for templates that pith does not know by itself.
type DocumentRule struct {
	// Open is the literal text in front of the documents, Close that behind them; an empty Close is the end of the text.
	Open, Close string
}

// ParseDocumentRules reads rules as settings spell them, one a line: what stands in front, "...", what stands behind.
func ParseDocumentRules(lines string) ([]DocumentRule, error) {
	var rules []DocumentRule
	for line := range strings.Lines(lines) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		before, behind, found := strings.Cut(line, "...")
		if !found || before == "" {
			return nil, fmt.Errorf("document rule is %q: it must be the text in front of documents, '...', and the text behind them", line)
		}
		rules = append(rules, DocumentRule{Open: before, Close: behind})
	}
	return rules, nil
}

// Validate reports a rule that would match everywhere.
func (r DocumentRule) Validate() error {
	if r.Open == "" {
		return errors.New("the text that stands before documents is empty")
	}
	return nil
}

// ruled returns the regions of text that rules name, in order and apart.
func ruled(text string, rules []DocumentRule) []region {
	var regions []region
	for at := 0; at < len(text); {
		best, behind := region{start: len(text)}, len(text)
		for _, rule := range rules {
			open := strings.Index(text[at:], rule.Open)
			if open < 0 || at+open+len(rule.Open) >= best.start {
				continue
			}
			start := at + open + len(rule.Open)
			end, next := len(text), len(text)
			if rule.Close != "" {
				closing := strings.Index(text[start:], rule.Close)
				if closing < 0 {
					continue
				}
				end, next = start+closing, start+closing+len(rule.Close)
			}
			best, behind = region{start: start, end: end}, next
		}
		if best.start >= len(text) {
			break
		}
		if best.end-best.start >= minRegion {
			regions = append(regions, best)
		}
		at = behind
	}
	return regions
}

// without returns text less regions, which are in order; what stands before and behind one stays apart.
func without(text string, regions []region) string {
	var rest strings.Builder
	at := 0
	for _, r := range regions {
		rest.WriteString(text[at:r.start])
		if r.start > at && text[r.start-1] != '\n' {
			rest.WriteByte('\n')
		}
		at = r.end
	}
	rest.WriteString(text[at:])
	return rest.String()
}

// contextLabels are the lines, in lower case, under which programs put what they have retrieved.
var contextLabels = [...]string{
	"context:", "contexts:", "documents:", "retrieved documents:", "retrieved context:", "search results:", "sources:", "passages:",
	"relevant documents:", "relevant context:", "reference documents:", "knowledge base:", "context information:", "provided context:",
	"context sections:",
}

// maxLabel bounds what of a line is looked at for a label, in bytes.
const maxLabel = 64

// contextWords and answerWords are what a paragraph says, in lower case, that introduces retrieved text without a label.
var (
	contextWords = [...]string{
		"pieces of context", "pieces of retrieved context", "following context", "following documents", "following sources", "following passages",
		"context information is below", "context information below", "context information from multiple sources is below", "context below", "documents below",
		"following information", "provided context", "relevant documents for the context", "numbered sources of information", "here is the knowledge base",
		"portion of a long document",
	}
	answerWords = [...]string{"answer", "question", "query", "assist the user"}
)

// closings begin lines behind the documents in templates that draw no rule there.
var closings = [...]string{"[[ ## ", "Respond with the corresponding output fields", "Instruction: Based on the above documents", "The above is the knowledge base"}

// templated finds the documents of a prompt made by a program that marks them by words alone: a line such as "Context:", or
// a paragraph that says to answer from the context that follows. They end at the line that asks, at the rule that closes
// what a rule opened, or at the end of the text; ok is false if nothing says so.
func templated(text string) (documents region, ok bool) {
	start, ruledOff := introduced(text)
	if start < 0 {
		return region{}, false
	}
	end := len(text)
	for at := start; at < len(text); {
		next := lineEndAt(text, at, len(text))
		line := strings.TrimSpace(text[at:next])
		if ruledOff && isRule(line) || asksUnder(line) || closes(line) || at > start && lastStub(text, at, line) {
			end = at
			break
		}
		at = next
	}
	return region{start: start, end: end}, end-start >= minRegion
}

// introduced returns where the documents begin, -1 if nothing introduces any, and whether a rule is drawn above them. A
// label wins over a paragraph that merely speaks of the context, a rule under a question over both.
func introduced(text string) (start int, ruledOff bool) {
	if start = underQuestion(text); start >= 0 {
		return start, true
	}
	answers := mentions(strings.ToLower(text), answerWords[:])
	paragraph := 0 // where the present paragraph begins
	for at := 0; at < len(text); {
		next := lineEndAt(text, at, len(text))
		line := strings.TrimSpace(text[at:next])
		if line == "" {
			paragraph = next
		}
		bare := strings.ToLower(strings.TrimLeft(headOf(line, maxLabel), "#*[ "))
		for _, label := range contextLabels {
			if !strings.HasPrefix(bare, label) {
				if strings.TrimRight(bare, "#] ")+":" == label && isHeading(line) {
					return afterRule(text, next)
				}
				continue
			}
			if colon := at + strings.IndexByte(text[at:next], ':') + 1; strings.Trim(text[colon:next], "* \t\r\n") != "" {
				return colon, false // the documents begin on the line of the label
			}
			return afterRule(text, next)
		}
		if start < 0 && answers && line != "" && endsParagraph(text, next, line) &&
			mentions(strings.ToLower(text[max(paragraph, next-maxParagraph):next]), contextWords[:]) {
			start, ruledOff = afterRule(text, next)
		}
		at = next
	}
	return start, ruledOff
}

// underQuestion returns where the text begins that stands under a question and a rule, -1 if there is none. Of several it is the
// last: those before it are examples.
func underQuestion(text string) int {
	start, asking := -1, false
	for at := 0; at < len(text); {
		next := lineEndAt(text, at, len(text))
		line := strings.TrimSpace(text[at:next])
		if asking && isRule(line) {
			start = next
		}
		label := labelEnd(line)
		asking = label > 0 && strings.TrimSpace(line[label:]) != ""
		at = next
	}
	return start
}

// endsParagraph reports whether a line, which ends at next, is the last before what it introduces.
func endsParagraph(text string, next int, line string) bool {
	following := strings.TrimSpace(text[next:lineEndAt(text, next, len(text))])
	return next < len(text) && (following == "" || isRule(following) || strings.HasSuffix(line, ":"))
}

// afterRule passes blank lines, and a rule, from at on.
func afterRule(text string, at int) (start int, ruledOff bool) {
	for at < len(text) {
		next := lineEndAt(text, at, len(text))
		line := strings.TrimSpace(text[at:next])
		if line != "" && (ruledOff || !isRule(line)) {
			break
		}
		ruledOff = ruledOff || line != ""
		at = next
	}
	return at, ruledOff
}

// isRule reports whether a line is drawn of one character.
func isRule(line string) bool {
	return len(line) >= 5 && strings.Trim(line, line[:1]) == "" && strings.Contains("-=*_#", line[:1])
}

// isHeading reports whether a line is marked as a heading, or as the name of a field in the way of DSPy: [[ ## context ## ]].
func isHeading(line string) bool {
	return strings.HasPrefix(line, "#") || strings.HasPrefix(line, "[[ ## ")
}

// asksUnder reports whether a line begins with a label that marks the question. Where documents are known to stand, a heading of
// the first level may be one, which elsewhere is a comment in code.
func asksUnder(line string) bool {
	if strings.HasPrefix(line, "# ") {
		line = "#" + line
	}
	return labelEnd(line) > 0
}

// closes reports whether a line stands behind documents.
func closes(line string) bool {
	return slices.ContainsFunc(closings[:], func(closing string) bool { return strings.HasPrefix(line, closing) })
}

// lastStub reports whether a line, which begins at at, is the last of the text and only waits for the answer.
func lastStub(text string, at int, line string) bool {
	return line != "" && len(line) <= maxStub && strings.HasSuffix(line, ":") && strings.TrimSpace(text[at:]) == line
}

func mentions(text string, words []string) bool {
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
}

// trustedTags mark documents even in a system message.
var trustedTags = [...]string{"pith", "documents", "document", "context", "contexts", "retrieved_context", "retrieved_documents", "search_results", "sources", "passages"}

// clientContext opens a section of a client's instructions in a system message: Continue's rules of the user and its git status.
var clientContext = regexp.MustCompile(`<context name="[A-Za-z]+">`)

// systemDocuments finds the documents in a system message: under tags that say so, by the rules, or in the shape of a
// template whose documents are most of the text. All else in a system message is instruction and stays as it is.
func systemDocuments(text string, rules []DocumentRule) []region {
	if len(text) < minRegion {
		return nil
	}
	if regions := ruled(text, rules); len(regions) > 0 {
		return regions
	}
	if clientContext.MatchString(text) {
		return nil
	}
	f := finder{text: text, vain: new(int), trusted: trustedTags[:]}
	f.scan(0, len(text), 0)
	if len(f.regions) > 0 {
		return f.regions
	}
	if documents, ok := templated(text); ok && documents.end-documents.start > len(text)/2 && mentions(strings.ToLower(text[:documents.start]+text[documents.end:]), answerWords[:]) {
		return []region{documents}
	}
	return nil
}
