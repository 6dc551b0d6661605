package compressors

import "strings"

// blockTags are the tags before which markup is cut: rows, items, paragraphs and parts of a page.
var blockTags = map[string]bool{
	"p": true, "tr": true, "li": true, "dt": true, "dd": true, "div": true, "section": true, "article": true, "table": true, "thead": true,
	"tbody": true, "ul": true, "ol": true, "dl": true, "pre": true, "blockquote": true, "figure": true, "nav": true, "header": true,
	"footer": true, "main": true, "aside": true, "form": true, "script": true, "style": true, "head": true, "body": true, "details": true,
	"option": true, "summary": true,
}

// html appends the segments of markup: a heading is a segment and the parent of its section; a table's head is the parent
// of its rows; other blocks are grouped up to GroupTokens and cut, where they are longer, at lines. Markup is read for its
// tags only, so that a torn page is cut like a whole one.
func (c *cutter) html() {
	h := htmlCutter{cutter: c, section: -1, head: -1}
	for i := range h.open {
		h.open[i] = -1
	}
	for i := 0; i < len(c.text); {
		next := strings.IndexByte(c.text[i:], '<')
		if next < 0 {
			break
		}
		i += next
		name, closing := tagAt(c.text, i)
		switch {
		case (name == "script" || name == "style") && !closing:
			h.cut(i)
			if !h.torn {
				end := strings.Index(c.text[i:], "</"+name)
				if h.torn = end < 0; !h.torn {
					i += end - 1
				}
			}
		case len(name) == 2 && name[0] == 'h' && name[1] >= '1' && name[1] <= '6':
			if closing {
				h.heading(i, int(name[1]-'0'))
			} else {
				h.cut(i)
			}
		case name == "table" && !closing:
			h.cut(i)
			h.head, h.inHead = -1, false
		case name == "table":
			h.flush(h.after(i))
			h.head = -1
		case name == "thead" && !closing:
			h.inHead = true
		case name == "thead":
			h.tableHead(i)
		case name == "tr" && !closing && !h.inHead:
			h.row(i)
		case blockTags[name] && !closing:
			h.block(i)
		}
		i++
	}
	h.flush(len(c.text))
}

// htmlCutter is the state of reading markup: what stands before at has been appended.
type htmlCutter struct {
	*cutter
	at      int
	open    [7]int // open[n] is the segment of the open heading of level n or less, -1 without one
	section int
	title   string
	head    int  // the head of the open table, -1 without one
	inRow   bool // the text from at on is a row
	inHead  bool // it is the head of a table
	torn    bool // a script or style has no end: what follows is read for tags
}

// tagAt returns the name of the tag that opens with the bracket at i, in lower case, and whether it closes; an empty name
// for none.
func tagAt(text string, i int) (name string, closing bool) {
	i++
	if i < len(text) && text[i] == '/' {
		closing = true
		i++
	}
	start := i
	for i < len(text) && i-start <= 12 && (text[i]|0x20 >= 'a' && text[i]|0x20 <= 'z' || i > start && text[i] >= '0' && text[i] <= '9') {
		i++
	}
	if i < len(text) && (isSpace(text[i]) || text[i] == '>' || text[i] == '/' || text[i] == '\n') {
		return strings.ToLower(text[start:i]), closing
	}
	return "", false
}

// place moves an offset to where the text may be cut: the start of its line if nothing but white space precedes it there,
// the next tag in a long line of markup, else the next line.
func (h *htmlCutter) place(at int) int {
	line := h.lineAt(at)
	start := h.start(line)
	switch {
	case at >= len(h.text):
		return len(h.text)
	case strings.TrimLeft(h.text[start:at], " \t\r\v\f") == "":
		return start
	case len(h.content(line)) > longSentence && !isJSONLine(h.content(line)) && isMarkupLine(h.content(line)):
		if next := markupUnitEnd(h.content(line), at-start-1); start+next < h.contentEnd(line) {
			return start + next
		}
	}
	return h.start(line + 1)
}

// cut ends the open segment before the tag at i.
func (h *htmlCutter) cut(i int) { h.flush(h.place(i)) }

// block ends the open segment before the tag at i if it is long enough.
func (h *htmlCutter) block(i int) {
	if at := h.place(i); !h.inRow && at > h.at && estimate(h.text[h.at:at]) >= h.GroupTokens/2 {
		h.flush(at)
	}
}

// row ends the open segment before the row that opens at i, unless it is too short to stand alone.
func (h *htmlCutter) row(i int) {
	at := h.place(i)
	tokens := estimate(h.text[h.at:max(at, h.at)])
	if h.inRow && tokens < smallTokens {
		return
	}
	if h.inRow || tokens > smallTokens/2 {
		h.flush(at)
	}
	h.inRow = true
}

// tableHead makes what stands since the table opened the parent of its rows.
func (h *htmlCutter) tableHead(i int) {
	h.inRow, h.inHead = false, false
	if at := h.after(i); at > h.at {
		head := len(h.segments)
		h.flush(at)
		h.head = head
	}
}

// after returns where the text may be cut after the tag that opens at i.
func (h *htmlCutter) after(i int) int {
	if end := strings.IndexByte(h.text[i:], '>'); end >= 0 {
		return h.place(h.boundary(i + end + 1))
	}
	return h.place(i)
}

// heading makes what stands since a heading opened the parent of its section.
func (h *htmlCutter) heading(i, level int) {
	end := h.after(i)
	if end <= h.at {
		return
	}
	h.inRow, h.head = false, -1
	h.title = shorten(stripTags(h.text[h.at:i]))
	h.section = h.add(h.at, end, KindHeading, h.title, h.open[level-1])
	for n := level; n < len(h.open); n++ {
		h.open[n] = h.section
	}
	h.at = end
}

// flush appends the open segment, up to at.
func (h *htmlCutter) flush(at int) {
	if at <= h.at {
		return
	}
	kind, parent := KindText, h.section
	if h.inRow {
		kind, h.inRow = KindRecord, false
	}
	if h.head >= 0 && kind == KindRecord {
		parent = h.head
	}
	if first, last := h.lineAt(h.at), h.lineAt(at); estimate(h.text[h.at:at]) > recordTokens && h.start(first) == h.at && h.start(last) == at {
		h.parts(first, last, h.GroupTokens, kind, h.title, parent)
	} else {
		h.add(h.at, at, kind, h.title, parent)
	}
	h.at = at
}

// stripTags returns the text of a short piece of markup.
func stripTags(s string) string {
	var b strings.Builder
	in := false
	for i := range len(s) {
		switch {
		case s[i] == '<':
			in = true
			b.WriteByte(' ')
		case s[i] == '>':
			in = false
		case !in:
			b.WriteByte(s[i])
		}
	}
	return strings.TrimSpace(b.String())
}

// isMarkupLine reports whether a line opens with a tag, so that its units are those of markup.
func isMarkupLine(content string) bool {
	content = strings.TrimLeft(content, " \t")
	if len(content) < 3 || content[0] != '<' {
		return false
	}
	name, _ := tagAt(content, 0)
	return name != "" || strings.HasPrefix(content, "<!")
}

// markupUnitEnd returns the start of the next tag of a line of markup.
func markupUnitEnd(content string, from int) int {
	for i := from + 1; i < len(content); i++ {
		if content[i] == '<' && i+1 < len(content) && (content[i+1] == '/' || content[i+1]|0x20 >= 'a' && content[i+1]|0x20 <= 'z') {
			return i
		}
	}
	return len(content)
}
