package compressors

import "strings"

// maxBlockDepth is how many blocks within blocks of a long body are cut.
const maxBlockDepth = 8

// body appends lines [first, end), statements side by side in a body or a block, as segments of about limit tokens. A
// statement that is longer and holds a block becomes its opening, which is the parent of what stands in the block, and its
// closings: the line that ends it, and lines such as "} else {" between two blocks. So no segment opens what only a
// segment beside it closes.
func (c *cutter) body(first, end, limit int, kind SegmentKind, name string, parent, depth int) {
	for first < end {
		next := c.statement(first, end)
		for next < end && c.size(first, next) < limit {
			after := c.statement(next, end)
			if c.size(first, after) > limit {
				break
			}
			next = after
		}
		if size := c.size(first, next); size > limit && size <= c.MaxTokens && c.holdsString(first, next) {
			c.add(c.start(first), c.start(next), kind, name, parent)
		} else if size <= limit || depth >= maxBlockDepth || !c.blockIn(first, next, limit, kind, name, parent, depth) {
			c.parts(first, next, limit, kind, name, parent)
		}
		first = next
	}
}

// statement returns the line after the statement that starts at line first, with the blank lines that follow it: the next
// line as little indented that neither stands inside brackets nor goes on with what precedes it.
func (c *cutter) statement(first, end int) int {
	base := c.indentationWidth(first)
	open, quoted := 0, ""
	for i := first; i < end; i++ {
		if c.blank(i) {
			continue
		}
		line := c.content(i)
		inside := quoted != ""
		if quoted = inString(line, quoted); inside {
			continue
		}
		if i > first && open <= 0 && c.indentationWidth(i) <= base && !goesOn(strings.TrimLeft(line, " \t")) {
			return i
		}
		open += c.brackets(line)
	}
	return end
}

// brackets returns how many brackets a line opens more than it closes outside strings and comments.
func (c *cutter) brackets(line string) int {
	n := 0
	for i := 0; i < len(line); i++ {
		switch ch := line[i]; ch {
		case '(', '[', '{':
			n++
		case ')', ']', '}':
			n--
		case '"', '\'', '`':
			for j := i + 1; j < len(line); j++ {
				if line[j] == '\\' {
					j++
				} else if line[j] == ch {
					i = j
					break
				}
			}
		default:
			if c.comment != "" && strings.HasPrefix(line[i:], c.comment) {
				return n
			}
		}
	}
	return n
}

// inString returns the quotes of the string over several lines that is open after line, given those open before it.
func inString(line, open string) string {
	for {
		if open != "" {
			_, rest, closed := strings.Cut(line, open)
			if !closed {
				return open
			}
			line = rest
		}
		i := strings.Index(line, `"""`)
		if j := strings.Index(line, "'''"); j >= 0 && (i < 0 || j < i) {
			i = j
		}
		if i < 0 {
			return ""
		}
		open, line = line[i:i+3], line[i+3:]
	}
}

// holdsString reports whether a string over several lines stands in lines [first, end).
func (c *cutter) holdsString(first, end int) bool {
	quoted := ""
	for i := first; i < end; i++ {
		if quoted = inString(c.content(i), quoted); quoted != "" {
			return true
		}
	}
	return false
}

// indentationWidth counts a tab as four columns.
func (c *cutter) indentationWidth(i int) int {
	in := c.indentation(i)
	return len(in) + 3*strings.Count(in, "\t")
}

// blockIn appends the statement of lines [first, end) as an opening, what stands in its blocks, and its closings. It
// returns false, with nothing appended, if the statement has no opening of a few lines.
func (c *cutter) blockIn(first, end, limit int, kind SegmentKind, name string, parent, depth int) bool {
	base := c.indentationWidth(first)
	inner := first
	for i := first; i < end && i < first+maxOpeningLines; i++ {
		if line := strings.TrimRight(c.content(i), " \t\r"); line != "" && strings.IndexByte("{:([", line[len(line)-1]) >= 0 || hasAnyPrefix(strings.TrimLeft(line, " \t"), "do ", "then") {
			inner = i + 1
			break
		}
	}
	if inner == first || inner >= end {
		return false
	}
	if strings.HasSuffix(strings.TrimRight(c.content(inner-1), " \t\r"), ":") {
		// In Python the opening is nothing without its own block, whichever other block is kept.
		for i := inner; i < end; i++ {
			if !c.blank(i) && c.indentationWidth(i) <= base {
				if c.size(first, end) > c.MaxTokens {
					return false
				}
				c.add(c.start(first), c.start(end), kind, name, parent)
				return true
			}
		}
	}
	header := c.add(c.start(first), c.start(inner), KindHeader, name, parent)
	for inner < end {
		// The block goes on to a line that stands as the opening does and goes on with it or closes it.
		next := inner
		for next < end && (c.blank(next) || c.indentationWidth(next) > base || !goesOn(strings.TrimLeft(c.content(next), " \t"))) {
			next++
		}
		c.body(inner, next, limit, kind, name, header, depth+1)
		if next < end {
			after := min(c.skipBlank(next+1), end)
			c.add(c.start(next), c.start(after), KindClosing, name, header)
			next = after
		}
		inner = next
	}
	return true
}

// maxOpeningLines is the most lines of a statement before its block.
const maxOpeningLines = 8

// goesOn reports whether a line goes on with the statement before it, or closes it.
func goesOn(line string) bool {
	return strings.ContainsRune("}])", rune(line[0])) || hasAnyPrefix(line, "else", "elif", "except", "finally", "catch", ".", "&&", "||", "and ", "or ", "end", "?", ":")
}
