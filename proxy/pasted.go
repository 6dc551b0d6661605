package proxy

import (
	"slices"
	"strings"
)

// region is pasted material inside a text: bytes [start, end) and what is known of where they come from.
type region struct {
	start, end     int
	name, language string
}

const (
	// minRegion is the least material, in bytes, worth calling material: below it a marker costs as much.
	minRegion = 200
	// maxParagraph is the longest first or last paragraph that passes for a question around a long text.
	maxParagraph = 600
	// maxAside is the most text, in bytes, that may stand outside marked material before the marks are taken for part
	// of one long text.
	maxAside = 2000
	// maxStub is the longest paragraph, in bytes, that cannot be a question by itself: a greeting, "Answer:".
	maxStub = 16
	// minUnmarked is the least length, in bytes, of a text without marks that is taken for material: shorter ones are
	// mostly somebody's own words.
	minUnmarked = 3000
	// maxTagDepth bounds tags within tags, maxUnclosed the tags of a text that may be searched for in vain, so that a
	// text full of openings stays linear.
	maxTagDepth = 8
	maxUnclosed = 64
)

// material finds the pasted material of a user's text and returns what is left, the user's own words. Marked material
// comes first. A long text without any is material between its short first and last paragraphs. The result depends on the
// text and the rules alone.
func material(text string, rules []DocumentRule) ([]region, string) {
	if regions, question, ok := markedMaterial(text, rules); ok {
		return regions, question
	}
	return around(text)
}

// markedMaterial finds what rules name, fenced code, XML-like tags, documents under a "Document [1](Title: ...)" line, and the
// shapes of prompt templates. ok is false if the text is long and has none of them.
func markedMaterial(text string, rules []DocumentRule) (regions []region, question string, ok bool) {
	if len(text) < minRegion {
		return nil, strings.TrimSpace(text), true
	}
	if regions := ruled(text, rules); len(regions) > 0 {
		return regions, asked(without(text, regions)), true
	}
	if files, question, ok := underPaths(text); ok {
		return files, question, true
	}
	f := finder{text: text, vain: new(int)}
	f.scan(0, len(text), 0)
	inside, aside := 0, 0
	for _, r := range f.regions {
		inside += r.end - r.start
	}
	var words, before, behind strings.Builder
	for _, w := range f.words {
		words.WriteString(text[w.start:w.end])
		if inside > 0 && w.start < f.regions[0].start {
			before.WriteString(text[w.start:w.end])
		} else {
			behind.WriteString(text[w.start:w.end])
		}
		aside += w.end - w.start
	}
	if len(f.marked) > 0 {
		// The question is marked; what stands around it is added if it is short.
		var question strings.Builder
		for _, w := range f.marked {
			question.WriteString(text[w.start:w.end])
		}
		if aside <= maxAside {
			question.WriteString("\n" + strings.TrimSpace(words.String()))
		}
		return f.regions, strings.TrimSpace(question.String()), true
	}
	if inside > 0 && aside <= max(maxAside, inside) {
		return f.regions, asked(thatAsks(words.String(), strings.TrimSpace(before.String()), strings.TrimSpace(behind.String()))), true
	}
	if documents, ok := templated(text); ok {
		documents.end -= questionAtEnd(text, documents)
		if rest := without(text, []region{documents}); documents.end-documents.start >= minRegion {
			return []region{documents}, asked(rest), true
		}
	}
	if len(text) < minUnmarked {
		return nil, asked(words.String()), true
	}
	return nil, "", false
}

// around takes a long text for material between its short first and last paragraphs.
func around(text string) ([]region, string) {
	start := lead(text)
	end := len(text) - tail(text[start:])
	if at := labelled(text[max(start, len(text)-maxTask):]); at >= 0 {
		end = max(start, len(text)-maxTask) + at
	}
	first, last := strings.TrimSpace(text[:start]), strings.TrimSpace(text[end:])
	question := asked(thatAsks(strings.TrimSpace(first+"\n"+last), first, last))
	if end-start < minRegion {
		return nil, question
	}
	return []region{{start: start, end: end}}, question
}

// questionAtEnd returns how many bytes at the end of documents are the question: their last paragraph, if neither what stands
// before them asks nor anything stands behind.
func questionAtEnd(text string, documents region) int {
	before, behind := text[:documents.start], strings.TrimSpace(text[documents.end:])
	if labelled(before) >= 0 || labelled(behind) >= 0 || len(behind) > maxStub {
		return 0
	}
	last := tail(text[documents.start:documents.end])
	if asks(before) && !asks(text[documents.end-last:documents.end]) {
		return 0
	}
	return last
}

// labels begin the line that asks, in prompts made by programs.
var labels = [...]string{
	"Question:", "Query:", "QUESTION:", "Q:", "User question:", "User Question:", "User query:", "User Query:", "USER QUESTION:", "USER QUERY:",
}

// labelled returns where the last line begins that a label marks as the question, -1 if there is none.
func labelled(words string) int {
	found := -1
	for at := 0; at < len(words); {
		next := lineEndAt(words, at, len(words))
		if labelEnd(words[at:next]) > 0 {
			found = at
		}
		at = next
	}
	return found
}

// labelEnd returns how many bytes of a line are a label that marks the question, 0 if it begins with none. The label may be in
// bold, a heading below the first level, or the name of a field in the way of DSPy.
func labelEnd(line string) int {
	marked := strings.HasPrefix(line, "**") || strings.HasPrefix(line, "##") || strings.HasPrefix(line, "[[ ##")
	bare := line
	if marked {
		bare = strings.TrimLeft(line, "#*[ ")
	}
	for _, label := range labels {
		if rest, ok := strings.CutPrefix(bare, label); ok {
			return len(line) - len(strings.TrimLeft(rest, "*"))
		}
		if marked && strings.EqualFold(strings.Trim(bare, "#*]: \t\r\n"), strings.TrimSuffix(label, ":")) {
			return len(line)
		}
	}
	return 0
}

// asked returns the question proper of the user's words: what a label marks, without the label and without the stubs and rules
// behind it that wait for the answer; all of them if nothing is marked.
func asked(words string) string {
	words = strings.TrimSpace(words)
	at := labelled(words)
	if at < 0 {
		return words
	}
	question := strings.TrimSpace(words[at+labelEnd(words[at:lineEndAt(words, at, len(words))]):])
	for {
		before, last, ok := cutLast(question, "\n")
		if !ok || !isRule(last) && (len(last) > maxStub || !strings.HasSuffix(last, ":")) {
			break
		}
		question = strings.TrimSpace(before)
	}
	if question == "" {
		return words
	}
	return question
}

// cutLast is strings.Cut at the last separator.
func cutLast(s, separator string) (before, after string, found bool) {
	if at := strings.LastIndex(s, separator); at >= 0 {
		return s[:at], s[at+len(separator):], true
	}
	return s, "", false
}

// thatAsks returns which of the words before and behind material ask, if only one of them does or the first announce a
// question; else all words.
func thatAsks(all, before, behind string) string {
	switch asksBefore, asksBehind := asks(before), asks(behind); {
	case asksBefore && !asksBehind:
		return before
	case asksBehind && !asksBefore:
		return behind
	case len(behind) > maxStub && !asksBefore && mentions(strings.ToLower(before), announcing[:]):
		return behind // "Answer the question from the documents."
	}
	return all
}

// announcing are words, in lower case, by which instructions speak of the question that follows.
var announcing = [...]string{"question", "query"}

// asks reports whether words hold a question of some length.
func asks(words string) bool {
	return len(words) >= 15 && strings.Contains(words, "?")
}

// lead returns how many bytes of text are its first paragraph with the blank lines behind it, or its first line if the
// text has no paragraphs; 0 if that is too long to be a question. A greeting takes the next paragraph along.
func lead(text string) int {
	at := 0
	for at < len(text) {
		_, behind, ok := paragraphBreak(text[at:])
		if !ok {
			break
		}
		at += behind
		if at > maxParagraph {
			return 0
		}
		if len(strings.TrimSpace(text[:at])) > maxStub {
			return at
		}
	}
	if n := strings.IndexByte(text, '\n'); at == 0 && n >= 0 && n < maxParagraph/2 {
		return n + 1
	}
	return at
}

// tail returns how many bytes at the end of text are its last paragraph, or its last line if the text has no
// paragraphs; 0 if that is too long to be a question. A stub such as "Answer:" takes the paragraph before it along.
func tail(text string) int {
	at := len(text)
	for {
		n, ok := lastParagraph(strings.TrimRight(text[:at], " \t\r\n"))
		if !ok {
			break
		}
		if len(text)-n > maxParagraph {
			return len(text) - at
		}
		at = n
		if len(strings.TrimSpace(text[at:])) > maxStub {
			return len(text) - at
		}
	}
	trimmed := strings.TrimRight(text, " \t\r\n")
	if n := strings.LastIndexByte(trimmed, '\n'); at == len(text) && n >= 0 && len(trimmed)-n < maxParagraph/2 {
		return len(text) - n - 1
	}
	return len(text) - at
}

// paragraphBreak returns where the first run of blank lines begins, behind the line break before it, and where it ends.
func paragraphBreak(text string) (at, behind int, ok bool) {
	for {
		n := strings.IndexByte(text[at:], '\n')
		if n < 0 {
			return 0, 0, false
		}
		at += n + 1
		behind = at
		for behind < len(text) && (text[behind] == '\n' || text[behind] == '\r') {
			behind++
		}
		if behind > at && behind < len(text) {
			return at, behind, true
		}
	}
}

// lastParagraph returns where the last paragraph of text begins, not ok if text is a single one.
func lastParagraph(text string) (int, bool) {
	for at := len(text); ; {
		n := strings.LastIndexByte(text[:at], '\n')
		if n < 0 {
			return 0, false
		}
		if before := strings.TrimSuffix(text[:n], "\r"); strings.HasSuffix(before, "\n") {
			return n + 1, true
		}
		at = n
	}
}

// finder walks the lines of a text and collects marked material and the words outside it.
type finder struct {
	text    string
	regions []region
	words   []region
	marked  []region // the words inside tags that mark the question
	// unclosed holds what was searched for in vain: tag names, and fences by their character. vain counts the tags.
	unclosed map[string]bool
	vain     *int
	// trusted, if set, holds the only tags that count, and nothing else does.
	trusted []string
	// tagsOnly is set inside a record, whose code or prose may hold fences of its own.
	tagsOnly bool
}

func (f *finder) markUnclosed(name string) {
	if f.unclosed == nil {
		f.unclosed = map[string]bool{}
	}
	f.unclosed[name] = true
}

func (f *finder) scan(start, end, depth int) {
	previous := "" // the last line outside, which may name what follows
	for at := start; at < end; {
		lineEnd := lineEndAt(f.text, at, end)
		line := strings.TrimSpace(f.text[at:lineEnd])
		next := 0
		switch {
		case strings.HasPrefix(line, "<"):
			next = f.tag(at, lineEnd, end, line, depth)
		case f.tagsOnly, f.trusted != nil:
		case strings.HasPrefix(line, "```"), strings.HasPrefix(line, "~~~"):
			next = f.fence(lineEnd, end, line, previous)
		case strings.HasPrefix(line, "Document ["):
			next = f.documents(at, end)
		}
		if next > at {
			at, previous = next, ""
			continue
		}
		if open, behind := f.inline(at, lineEnd, end, depth); behind > at {
			f.words = append(f.words, region{start: at, end: open})
			at, previous = behind, ""
			continue
		}
		f.words = append(f.words, region{start: at, end: lineEnd})
		if line != "" {
			previous = line
		}
		at = lineEnd
	}
}

// lineEndAt returns the offset behind the line that holds at.
func lineEndAt(text string, at, end int) int {
	if n := strings.IndexByte(text[at:end], '\n'); n >= 0 {
		return at + n + 1
	}
	return end
}

func (f *finder) add(r region) {
	if r.end-r.start >= minRegion {
		f.regions = append(f.regions, r)
	}
}

// fence takes the fenced code under the opening line that ends at lineEnd and returns the offset behind it, 0 if it
// never closes.
func (f *finder) fence(lineEnd, end int, line, previous string) int {
	mark := line[:1]
	length := len(line) - len(strings.TrimLeft(line, mark))
	info := strings.TrimSpace(line[length:])
	if f.unclosed[mark] || (mark == "`" && strings.Contains(info, "`")) {
		return 0
	}
	for closing := lineEnd; closing < end; {
		next := lineEndAt(f.text, closing, end)
		trimmed := strings.TrimSpace(f.text[closing:next])
		if len(trimmed) >= length && strings.Trim(trimmed, mark) == "" {
			language, _, _ := strings.Cut(info, " ")
			name := ""
			switch before := strings.Trim(previous, "#*`: "); {
			case looksLikePath(info):
				name, language = info, ""
			case looksLikePath(before):
				name = before
			}
			f.add(region{start: lineEnd, end: closing, name: name, language: known(language)})
			return next
		}
		closing = next
	}
	f.markUnclosed(mark)
	return 0
}

// looksLikePath reports whether words can be a file's path.
func looksLikePath(words string) bool {
	return words != "" && len(words) < 200 && !strings.ContainsAny(words, " \t<>\"") && strings.ContainsAny(words, "./")
}

// known returns the compressors' name of a fence's language, "" for one they find by themselves or treat as text.
func known(language string) string {
	switch strings.ToLower(language) {
	case "go", "golang":
		return "go"
	case "py", "python", "python3":
		return "python"
	case "ts", "typescript":
		return "typescript"
	case "tsx":
		return "tsx"
	case "md", "markdown":
		return "markdown"
	}
	return ""
}

// tagClass says what a tag's content is to pith.
type tagClass uint8

const (
	tagUnknown  tagClass = iota // material if the tag stands alone on its line
	tagMaterial                 // material
	tagRecord                   // material, perhaps under further tags next to its name
	tagGroup                    // holds material of any form
	tagWords                    // the user's own words
	tagGuarded                  // instructions of the client: neither cut nor asked about
)

func classOf(name string) tagClass {
	name = strings.ToLower(strings.ReplaceAll(name, "-", "_"))
	if strings.HasSuffix(name, "_description") {
		return tagWords
	}
	switch name {
	case "document_content", "document_contents", "file_content", "file_contents", "content", "source_code", "code", "snippet", "text", "log", "logs",
		"output", "stdout", "stderr", "diff", "transcript", "email", "data", "selection":
		return tagMaterial
	case "document", "file", "page", "article", "passage", "web_page", "result", "search_result", "attachment", "source":
		return tagRecord
	case "documents", "files", "pith", "context", "contexts", "retrieved_context", "retrieved_documents", "results", "search_results", "sources", "attachments", "pages", "articles", "passages":
		return tagGroup
	case "question", "query", "task", "user_query", "request", "instructions", "instruction", "prompt", "issue", "description", "bug_report", "problem", "user_message":
		return tagWords
	case "system_reminder", "environment_context", "environment_details", "user_instructions", "system", "rules", "example", "examples", "format", "output_format":
		return tagGuarded
	}
	return tagUnknown
}

// tag takes the tag that opens on the line [at, lineEnd) with its content and returns the offset behind it, 0 if the
// line opens no tag that is closed again.
func (f *finder) tag(at, lineEnd, end int, line string, depth int) int {
	name, attributes, ok := openingTag(line)
	if !ok || f.unclosed[name] || *f.vain >= maxUnclosed || depth >= maxTagDepth {
		return 0
	}
	open := at + strings.IndexByte(f.text[at:lineEnd], '>') + 1
	alone := strings.TrimSpace(f.text[open:lineEnd]) == ""
	class := classOf(name)
	if f.trusted != nil && !slices.Contains(f.trusted, strings.ToLower(strings.ReplaceAll(name, "-", "_"))) {
		return 0
	}
	if class == tagUnknown && !alone {
		return 0
	}
	closing, behind, ok := closingTag(f.text[open:end], name)
	if !ok {
		f.markUnclosed(name)
		*f.vain++
		return 0
	}
	closing, behind = open+closing, open+behind
	start, stop := open, closing
	if alone {
		start = lineEnd
	}
	// A closing tag alone on its line leaves the line break before it to the content.
	if n := strings.LastIndexByte(f.text[start:stop], '\n'); n >= 0 && strings.TrimSpace(f.text[start+n:stop]) == "" {
		stop = start + n + 1
	}
	if rest := lineEndAt(f.text, behind, end); strings.TrimSpace(f.text[behind:rest]) == "" {
		behind = rest
	}
	switch {
	case start >= stop || class == tagGuarded:
	case class == tagWords:
		f.marked = append(f.marked, region{start: start, end: stop})
	default:
		f.content(start, stop, attributes, class, depth)
	}
	return behind
}

// inline takes the content of a trusted tag that opens within the line [at, lineEnd). It returns where the tag opens and the
// offset behind it, 0 if none holds material: one that is only spoken of holds little, or the tag itself.
func (f *finder) inline(at, lineEnd, end, depth int) (open, behind int) {
	if f.tagsOnly || strings.IndexByte(f.text[at:lineEnd], '<') < 0 {
		return 0, 0
	}
	for _, name := range trustedTags {
		open := strings.Index(f.text[at:lineEnd], "<"+name+">")
		if open < 0 || *f.vain >= maxUnclosed || depth >= maxTagDepth {
			continue
		}
		open += at
		start := open + len(name) + 2
		inside, _, closed := strings.Cut(f.text[start:end], "</"+name+">")
		if !closed || len(inside) < minRegion || strings.Contains(inside, "<"+name+">") {
			*f.vain++
			continue
		}
		stop := start + len(inside)
		f.content(start, stop, "", classOf(name), depth)
		return open, stop + len(name) + 3
	}
	return 0, 0
}

// content takes what stands inside a tag: the material under further tags if that is most of it, else all of it.
func (f *finder) content(start, stop int, name string, class tagClass, depth int) {
	inner := finder{text: f.text, vain: f.vain, tagsOnly: class == tagRecord}
	if class == tagRecord || class == tagGroup {
		inner.scan(start, stop, depth+1)
	}
	inside, aside := 0, 0
	for _, r := range inner.regions {
		inside += r.end - r.start
	}
	for _, w := range inner.words {
		aside += w.end - w.start
	}
	if class == tagRecord { // its tags are its own: none marks a question
		for _, w := range inner.marked {
			aside += w.end - w.start
		}
		inner.marked = nil
	}
	if name == "" {
		name = childName(f.text[start:stop])
	}
	if inside == 0 || inside < aside {
		f.add(region{start: start, end: stop, name: name})
		return
	}
	if len(inner.regions) == 1 && inner.regions[0].name == "" {
		inner.regions[0].name = name
	}
	f.regions = append(f.regions, inner.regions...)
	f.marked = append(f.marked, inner.marked...)
}

// openingTag reads a line that begins with an opening tag: its name, and the attribute that names what it holds.
func openingTag(line string) (name, attribute string, ok bool) {
	inside, _, ok := strings.Cut(line[1:], ">")
	if !ok || inside == "" || strings.HasSuffix(inside, "/") {
		return "", "", false
	}
	name, rest, _ := strings.Cut(inside, " ")
	for i := range len(name) {
		c := name[i] | 0x20
		if (c < 'a' || c > 'z') && (i == 0 || (!strings.ContainsRune("-_.:", rune(name[i])) && (name[i] < '0' || name[i] > '9'))) {
			return "", "", false
		}
	}
	for _, key := range [...]string{"path", "file", "filename", "file_path", "source", "src", "name", "title", "url"} {
		if _, value, found := strings.Cut(" "+rest, " "+key+"=\""); found {
			if value, _, found = strings.Cut(value, "\""); found {
				return name, value, true
			}
		}
	}
	return name, "", true
}

// closingTag returns where the tag of that name closes in text and the offset behind the closing tag; tags of the same
// name may nest.
func closingTag(text, name string) (closing, behind int, ok bool) {
	depth := 1
	for at := 0; ; {
		n := strings.IndexByte(text[at:], '<')
		if n < 0 {
			return 0, 0, false
		}
		at += n
		rest := text[at+1:]
		switch {
		case strings.HasPrefix(rest, "/"+name+">"):
			depth--
			if depth == 0 {
				return at, at + len(name) + 3, true
			}
		case strings.HasPrefix(rest, name) && len(rest) > len(name) && (rest[len(name)] == '>' || rest[len(name)] == ' '):
			depth++
		}
		at++
	}
}

// childName looks for a name that the first lines of a tag's content state as a tag of their own.
func childName(content string) string {
	content = content[:min(len(content), 600)]
	for _, tag := range [...]string{"path", "source", "title", "name", "filename"} {
		if _, value, ok := strings.Cut(content, "<"+tag+">"); ok {
			if value, _, ok = strings.Cut(value, "</"+tag+">"); ok && len(value) < 200 {
				return strings.TrimSpace(value)
			}
		}
	}
	return ""
}

// documents takes a run of documents, each under a line "Document [1](Title: ...)", from at on, and returns the offset
// behind the last. Documents hold no blank line unless one that is followed by another document does.
func (f *finder) documents(at, end int) int {
	type document struct {
		line, body int
		title      string
	}
	var found []document
	loose := false // a document with a blank line inside
	last := at
	for line := at; line < end; {
		next := lineEndAt(f.text, line, end)
		if title, body, ok := documentHeading(f.text[line:next]); ok {
			if n := len(found); n > 0 {
				_, _, blank := paragraphBreak(strings.TrimSpace(f.text[found[n-1].body:line]))
				loose = loose || blank
			}
			found = append(found, document{line, line + body, title})
			last = next
		} else if line == at {
			return 0
		}
		line = next
	}
	// The last document ends at a blank line, or before the short last paragraph if documents hold blank lines.
	stop := end
	if loose {
		stop = max(last, end-tail(f.text[at:end]))
	} else if n, _, ok := paragraphBreak(f.text[last-1 : end]); ok {
		stop = last - 1 + n
	}
	small := region{start: at, end: at} // a run of documents too short to be cut by themselves, headings included
	for i, d := range found {
		until := stop
		if i+1 < len(found) {
			until = found[i+1].line
		}
		if until-d.body < minRegion {
			small.end = until
			continue
		}
		f.add(small)
		f.add(region{start: d.body, end: until, name: d.title})
		small = region{start: until, end: until}
	}
	f.add(small)
	return stop
}

// documentHeading reads a line that begins with "Document [1](Title: ...)": the title, and where the text begins
// behind it.
func documentHeading(line string) (title string, body int, ok bool) {
	rest, ok := strings.CutPrefix(strings.TrimLeft(line, " \t"), "Document [")
	if !ok {
		return "", 0, false
	}
	digits := strings.TrimLeft(rest, "0123456789")
	if len(digits) == len(rest) || !strings.HasPrefix(digits, "]") {
		return "", 0, false
	}
	rest = digits[1:]
	if strings.HasPrefix(rest, "(") {
		depth := 0
		for i := range len(rest) {
			switch rest[i] {
			case '(':
				depth++
			case ')':
				depth--
			}
			if depth == 0 {
				title = strings.TrimSpace(strings.TrimPrefix(rest[1:i], "Title:"))
				rest = rest[i+1:]
				break
			}
		}
	}
	return title, len(line) - len(strings.TrimLeft(rest, " \t:\r\n")), true
}
