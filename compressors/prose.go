package compressors

import "strings"

// paragraphTokens is the most tokens of a paragraph, or of a line of data, that stays one segment.
const paragraphTokens = 200

// prose appends the segments of prose, markdown, logs and plain lines: the whole text.
func (c *cutter) prose(headings bool) {
	var open [7]int // open[n] is the segment of the open heading of level n or less, -1 without one
	for i := range open {
		open[i] = -1
	}
	section, title := -1, ""
	group := 0 // first line of the paragraphs not yet appended
	flush := func(end int) {
		if group < end {
			c.add(c.start(group), c.start(end), KindText, title, section)
		}
		group = end
	}
	for first := 0; first < c.lines(); {
		if headings {
			if level, length := c.heading(first); level > 0 {
				flush(first)
				end := c.skipBlank(first + length)
				title = shorten(strings.Trim(c.content(first), "# \t\r"))
				section = c.add(c.start(first), c.start(end), KindHeading, title, open[level-1])
				for i := level; i < len(open); i++ {
					open[i] = section
				}
				first, group = end, end
				continue
			}
		}
		end := c.paragraph(first, headings)
		if headings {
			if end = c.tableIn(first, end); c.tableHead(first) > 0 && c.size(first, end) > c.GroupTokens {
				flush(first)
				head := c.add(c.start(first), c.start(first+2), KindHeader, title, section)
				c.rows(first+2, end, title, head)
				first, group = end, end
				continue
			}
		}
		size := c.size(first, end)
		if c.size(group, end) > c.GroupTokens {
			flush(first)
		}
		if size > paragraphTokens {
			c.longParagraph(first, end, title, section)
			group = end
		}
		first = end
	}
	flush(c.lines())
}

// longParagraph appends lines [first, end) as groups of lines, and of sentences where a line is long.
func (c *cutter) longParagraph(first, end int, title string, parent int) {
	for first < end {
		next := first
		for next < end && c.size(next, next+1) <= paragraphTokens {
			next++
		}
		c.parts(first, next, c.GroupTokens, KindLines, title, parent)
		if first = next; first < end {
			after := min(c.skipBlank(first+1), end)
			c.sentences(first, after, title, parent)
			first = after
		}
	}
}

// sentences appends line first, with the blank lines up to end, as groups of sentences; a sentence of more than
// paragraphTokens in pieces.
func (c *cutter) sentences(first, end int, title string, parent int) {
	content, base := c.content(first), c.start(first)
	start, size := 0, 0
	atom := func(from, to int) {
		n := estimate(content[from:to])
		if size > 0 && size+n > c.GroupTokens {
			c.add(base+start, base+from, KindSentence, title, parent)
			start, size = from, 0
		}
		size += n
	}
	clause := clauses(content)
	for from := 0; from < len(content); {
		to := clause(content, from)
		if to-from > longSentence && estimate(content[from:to]) > paragraphTokens {
			starts := appendPieces(nil, content, from, to)
			for i, piece := range starts[1:] {
				atom(starts[i], piece)
			}
			from = starts[len(starts)-1]
		}
		atom(from, to)
		from = to
	}
	c.add(base+start, c.start(end), KindSentence, title, parent)
}

// paragraph returns the line after the paragraph that starts at first and the blank lines that follow it. A fence
// is one paragraph whatever stands in it.
func (c *cutter) paragraph(first int, fences bool) int {
	i := first
	if mark := fence(c.content(first)); fences && mark != "" {
		for i++; i < c.lines() && !strings.HasPrefix(strings.TrimLeft(c.content(i), " "), mark); i++ {
		}
		return c.skipBlank(min(i+1, c.lines()))
	}
	for i < c.lines() && c.blank(i) { // at the start of a text
		i++
	}
	for ; i < c.lines() && !c.blank(i); i++ {
		if level, _ := c.heading(i); fences && i > first && (level > 0 || fence(c.content(i)) != "") {
			return i
		}
	}
	return c.skipBlank(i)
}

func (c *cutter) skipBlank(i int) int {
	if i >= c.lines() {
		return c.lines()
	}
	return int(c.solid[i])
}

// fence returns the characters that open a fenced block on this line, and close it; empty without one.
func fence(line string) string {
	line = strings.TrimLeft(line, " ")
	for _, mark := range []string{"```", "~~~"} {
		if strings.HasPrefix(line, mark) {
			return mark
		}
	}
	return ""
}

// heading returns the level of the markdown heading at line i, from 1 to 6, and how many lines it takes; 0 if line i is
// none.
func (c *cutter) heading(i int) (level, length int) {
	line := strings.TrimRight(c.content(i), " \t\r")
	text := strings.TrimLeft(line, "#")
	if n := len(line) - len(text); n >= 1 && n <= 6 && (text == "" || isSpace(text[0])) {
		return n, 1
	}
	// A line underlined with = or -, after a blank line.
	if line == "" || i+1 >= c.lines() || i > 0 && !c.blank(i-1) || fence(line) != "" || len(line) > longSentence {
		return 0, 0
	}
	under := strings.TrimRight(c.content(i+1), " \t\r")
	switch {
	case len(under) >= 3 && strings.Trim(under, "=") == "":
		return 1, 2
	case len(under) >= 3 && strings.Trim(under, "-") == "" && !strings.ContainsAny(line[:1], "-|"):
		return 2, 2
	}
	return 0, 0
}
