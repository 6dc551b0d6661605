package compressors

import "strings"

// recordTokens is the most tokens of a JSON value that stays one segment; smallTokens is up to how many tokens of small
// neighbours share one.
const (
	recordTokens = 200
	smallTokens  = 32
)

// record is one element of a JSON array, or one member of an object, with the separator after it.
type record struct {
	start, end int
	scalar     bool
}

// json appends the segments of JSON: the values that are worth a segment of their own, each with the opening of what
// encloses it as parent. An object's leading scalars, which tend to say what it is, stand in its opening.
func (c *cutter) json() {
	var values []record // one, but in JSON Lines
	for start := 0; start < len(c.text); {
		_, end, _ := c.records(start, len(c.text))
		if end = c.boundary(end); end < len(c.text) && c.text[end] == ',' {
			end = c.boundary(end + 1)
		}
		if end = c.snap(end); end <= start {
			end = c.start(c.lineAt(start) + 1)
		}
		values = append(values, record{start: start, end: end})
		start = end
	}
	if len(values) == 1 && c.size(0, c.lines()) <= wholeTokens && !holdsRecords(c.text) {
		// One object without a list of others is one thing, such as the schema of a function: a part of it is of no use.
		c.add(0, len(c.text), KindRecord, recordName(c.text), -1)
		return
	}
	c.values(values, -1, 0)
}

// holdsRecords reports whether a bracket opens a list of objects.
func holdsRecords(text string) bool {
	for i := strings.IndexByte(text, '['); i >= 0; {
		rest := strings.TrimLeft(text[i+1:], " \t\r\n")
		if strings.HasPrefix(rest, "{") {
			return true
		}
		next := strings.IndexByte(rest, '[')
		if next < 0 {
			return false
		}
		i = len(text) - len(rest) + next
	}
	return false
}

// wholeTokens is the most that a text of one object holds and is still one segment.
const wholeTokens = 400

// values appends values side by side; small neighbours share a segment.
func (c *cutter) values(values []record, parent, depth int) {
	for i := 0; i < len(values); {
		j, group := i+1, values[i]
		for j < len(values) && estimate(c.text[group.start:values[j].end]) <= smallTokens {
			group.end, group.scalar = values[j].end, true
			j++
		}
		c.value(group, parent, depth)
		i = j
	}
}

// value appends the segments of one value with its key.
func (c *cutter) value(r record, parent, depth int) {
	name := recordName(c.text[r.start:r.end])
	if r.scalar || depth > maxClassDepth || estimate(c.text[r.start:r.end]) <= recordTokens {
		c.add(r.start, r.end, KindRecord, name, parent)
		return
	}
	children, _, object := c.records(r.start, r.end)
	if len(children) == 0 {
		c.add(r.start, r.end, KindRecord, name, parent)
		return
	}
	lead := 0
	for object && lead < len(children)-1 && children[lead].scalar && estimate(c.text[r.start:children[lead].end]) <= c.GroupTokens {
		lead++
	}
	if children[lead].start <= r.start { // its opening cannot be cut off
		c.add(r.start, r.end, KindRecord, name, parent)
		return
	}
	header := c.add(r.start, children[lead].start, KindHeader, name, parent)
	c.values(children[lead:], header, depth+1)
	if last := children[len(children)-1].end; last < r.end {
		c.add(last, r.end, KindClosing, name, header)
	}
}

// records returns the elements of the first array or object that opens in text[start:limit], where its value ends, and
// whether it is an object. The elements tile what stands between its brackets; those that cannot be cut from the one
// before them are part of it.
func (c *cutter) records(start, limit int) (children []record, end int, object bool) {
	text := c.text[:limit]
	depth, scalar := 0, true
	open := func(at int) {
		at = max(c.snap(at), start)
		if n := len(children); n > 0 {
			last := &children[n-1]
			if at <= last.start {
				last.scalar = false
				return
			}
			last.end, last.scalar = at, last.scalar && scalar
		}
		children = append(children, record{start: at, scalar: true})
		scalar = true
	}
	finish := func(at int) {
		n := len(children)
		if n == 0 {
			return
		}
		last := &children[n-1]
		if last.end, last.scalar = at, last.scalar && scalar; last.end <= last.start { // empty, or a comma before the bracket
			children = children[:n-1]
		}
	}
	for i := start; i < limit; i++ {
		switch text[i] {
		case '"':
			i = stringEnd(text, i)
		case '{', '[':
			if depth++; depth > 1 {
				scalar = false
				break
			}
			object = text[i] == '{'
			open(c.boundary(i + 1))
			scalar = true
		case '}', ']':
			if depth--; depth <= 0 {
				finish(c.snap(i))
				return children, i + 1, object
			}
		case ',':
			if depth == 1 {
				open(c.boundary(i + 1))
			}
		}
	}
	finish(limit) // the value is cut short
	return children, limit, object
}

// snap moves at to the start of its line unless the line may be cut there.
func (c *cutter) snap(at int) int {
	if at >= len(c.text) {
		return len(c.text)
	}
	line := c.lineAt(at)
	start := c.start(line)
	if content := c.content(line); len(content) > longSentence && at < start+len(content) && isJSONLine(content) &&
		strings.TrimLeft(c.text[start:at], " \t\r") != "" {
		return at
	}
	return start
}

// stringEnd returns the offset of the quote that ends the string that opens at i, or of the line's end before it: no
// string of JSON goes on over lines.
func stringEnd(text string, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			if i+1 < len(text) && text[i+1] != '\n' {
				i++
			}
		case '"', '\n':
			return i
		}
	}
	return len(text)
}

// boundary moves at over the spaces after it, and over the line's end if it comes next.
func (c *cutter) boundary(at int) int {
	i := skipSpace(c.text, at)
	if i < len(c.text) && c.text[i] == '\n' {
		return i + 1
	}
	return i
}

// recordName returns what a value is called: its key, or else its first string value, which tends to be a name or an id.
func recordName(text string) string {
	text = text[:min(len(text), 256)]
	quoted := func() (string, bool) {
		i := strings.IndexByte(text, '"')
		if i < 0 {
			return "", false
		}
		end := stringEnd(text, i)
		if end >= len(text) {
			return "", false
		}
		s := text[i+1 : end]
		text = text[end+1:]
		return s, true
	}
	record := strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{")
	name, ok := quoted()
	if !ok {
		return ""
	}
	if value := strings.TrimLeft(text, " \t\r\n:"); record && strings.HasPrefix(value, `"`) {
		if s, ok := quoted(); ok {
			name = s
		}
	}
	return shorten(name)
}

// isJSONLine reports whether a line opens like JSON, so that its units are those of JSON.
func isJSONLine(content string) bool {
	content = strings.TrimLeft(content, " \t")
	return opensJSON(content) || strings.HasPrefix(content, `"`) && opensMember(content)
}

// opensMember reports whether text opens with a key and what it opens: "key": [ or "key": {.
func opensMember(text string) bool {
	end := stringEnd(text, 0)
	if end+1 >= len(text) {
		return false
	}
	rest := strings.TrimLeft(text[end+1:], " \t")
	if !strings.HasPrefix(rest, ":") {
		return false
	}
	return hasAnyPrefix(strings.TrimLeft(rest[1:], " \t"), "{", "[")
}

// jsonUnitEnd returns the end of the unit of a line of JSON that starts at from: after the next comma or opening bracket
// and the spaces behind it, or before or after a closing bracket.
func jsonUnitEnd(content string, from int) int {
	for i := from; i < len(content); i++ {
		switch content[i] {
		case '"':
			i = min(stringEnd(content, i), len(content)-1)
		case ',', '{', '[':
			return skipSpace(content, i+1)
		case '}', ']':
			if i > from {
				return i
			}
			if i = skipSpace(content, i+1); i < len(content) && content[i] != ',' {
				return i
			}
			i--
		}
	}
	return len(content)
}
