package compressors

import "strings"

// maxEntryTokens is the most tokens of a log entry, with what continues it, that stays one segment.
const maxEntryTokens = 200

// entry appends lines [first, end) as one segment, or in parts if they are long.
func (c *cutter) entry(first, end int, kind SegmentKind, name string, parent int) {
	if c.size(first, end) <= maxEntryTokens {
		c.add(c.start(first), c.start(end), kind, name, parent)
		return
	}
	c.parts(first, end, c.GroupTokens, kind, name, parent)
}

// log appends the segments of a log: each entry with the lines that go on with it, such as a stack trace. Lines of a few
// tokens share a segment.
func (c *cutter) log() {
	stamped, loose := 0, 0
	for i := range c.lines() {
		switch line := c.content(i); {
		case opensEntry(line):
			stamped++
		case !continues(line):
			loose++
		}
	}
	for first := 0; first < c.lines(); {
		end := c.logEntry(first, stamped > loose)
		for end < c.lines() && c.size(first, end) < smallTokens {
			next := c.logEntry(end, stamped > loose)
			if c.size(first, next) > smallTokens+smallTokens/2 {
				break
			}
			end = next
		}
		c.entry(first, end, KindRecord, "", -1)
		first = end
	}
}

// logEntry returns the line after the entry that starts at line first. Where most entries open with a time or a level,
// any other line goes on with the one before it, else those that are indented do.
func (c *cutter) logEntry(first int, stamped bool) int {
	i := first + 1
	for i < c.lines() && (c.blank(i) || (stamped || continues(c.content(i))) && !opensEntry(c.content(i))) {
		i++
	}
	return i
}

// search appends the segments of search results: each run of hits and context on consecutive lines of one file. Their
// name is the file's path.
func (c *cutter) search() {
	path := ""
	for first := 0; first < c.lines(); {
		hit, number := c.hit(first, path)
		end := first + 1
		for end < c.lines() && c.size(first, end) <= c.GroupTokens {
			next, n := c.hit(end, hit)
			if next != hit || n != number+1 || hit == "" {
				break
			}
			number = n
			end++
		}
		for end < c.lines() && (c.blank(end) || strings.TrimRight(c.content(end), " \t\r") == "--") {
			end++
		}
		path = hit
		c.entry(first, end, KindRecord, shorten(hit), -1)
		first = end
	}
}

// hit returns the path and the line number of the hit on line i; an empty path if it is none.
func (c *cutter) hit(i int, lastPath string) (path string, number int) {
	line := c.content(i)
	path, ok := searchHit(line, lastPath)
	if !ok {
		return "", 0
	}
	for _, d := range []byte(line[len(path)+1:]) {
		if d < '0' || d > '9' || number > 1<<28 {
			break
		}
		number = number*10 + int(d-'0')
	}
	return path, number
}
