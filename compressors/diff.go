package compressors

import "strings"

// diff appends the segments of a diff: what precedes the first file; for each file its header, which is the parent of
// its hunks; a long hunk as its own header line and parts. The name of each is the file's path.
func (c *cutter) diff() {
	first := 0
	for first < c.lines() && !c.opensFile(first) {
		first++
	}
	if first > 0 {
		c.parts(0, first, c.GroupTokens, KindText, "", -1)
	}
	for first < c.lines() {
		body := first + 1
		for body < c.lines() && !isHunk(c.content(body)) && !c.opensFile(body) {
			body++
		}
		name := c.fileName(first, body)
		end := body
		for end < c.lines() && !c.opensFile(end) {
			end++
		}
		header := c.add(c.start(first), c.start(body), KindHeader, name, -1)
		for body < end {
			next := body + 1
			for next < end && !isHunk(c.content(next)) {
				next++
			}
			c.hunk(body, next, name, header)
			body = next
		}
		first = end
	}
}

func (c *cutter) hunk(first, end int, name string, parent int) {
	if c.size(first, end) <= partTokens || end-first < 2 {
		c.add(c.start(first), c.start(end), KindHunk, name, parent)
		return
	}
	header := c.add(c.start(first), c.start(first+1), KindHeader, name, parent)
	c.parts(first+1, end, partTokens, KindHunk, name, header)
}

// opensFile reports whether the header of a file starts at line i: with git's or Subversion's line, or with --- before +++
// where no such line precedes them. A removed line that begins with two dashes looks like ---, but no +++ and hunk follow.
func (c *cutter) opensFile(i int) bool {
	line := c.content(i)
	if hasAnyPrefix(line, "diff --git ", "diff --cc ", "diff --combined ", "Index: ") {
		return true
	}
	if !strings.HasPrefix(line, "--- ") || i+2 >= c.lines() || !strings.HasPrefix(c.content(i+1), "+++ ") || !isHunk(c.content(i+2)) {
		return false
	}
	for j := i - 1; j >= 0 && j >= i-8; j-- {
		switch before := c.content(j); {
		case hasAnyPrefix(before, "diff --git ", "diff --cc ", "diff --combined ", "Index: "):
			return false
		case !hasAnyPrefix(before, "index ", "old mode", "new mode", "similarity ", "rename ", "new file", "deleted file", "====="):
			return true
		}
	}
	return true
}

// fileName reads the path off the header of a file.
func (c *cutter) fileName(first, end int) string {
	name := ""
	for i := first; i < end; i++ {
		line := strings.TrimRight(c.content(i), " \t\r")
		switch {
		case hasAnyPrefix(line, "+++ ", "--- ") && !strings.HasSuffix(line, "/dev/null"):
			path, _, _ := strings.Cut(line[len("+++ "):], "\t")
			name = path
		case strings.HasPrefix(line, "diff --git ") && name == "":
			name = line[strings.LastIndexByte(line, ' ')+1:]
		case strings.HasPrefix(line, "Index: "):
			name = line[len("Index: "):]
		}
	}
	if hasAnyPrefix(name, "a/", "b/") {
		name = name[2:]
	}
	return shorten(name)
}
