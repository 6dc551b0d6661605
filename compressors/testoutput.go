package compressors

import "strings"

// testOutput appends the segments of what a test run prints: each titled part (a line between rules, such as "=== FAILURES
// ===" or "____ test_a ____") is a heading and the parent of its lines; a failure with its trace stays together as far as
// it fits, and the lines of tests that passed are grouped.
func (c *cutter) testOutput() {
	section, title := -1, ""
	part := -1 // the open title of level 1
	for first := 0; first < c.lines(); {
		if end, name, level := c.testTitle(first); level > 0 {
			title = shorten(name)
			if level == 1 {
				part = -1
			}
			section = c.add(c.start(first), c.start(end), KindHeading, title, part)
			if level == 1 {
				part = section
			}
			first = end
			continue
		}
		if endsTest(c.content(first)) {
			section, title = part, ""
		}
		end, passed := first+1, passes(c.content(first))
		for end < c.lines() {
			line := c.content(end)
			if _, _, level := c.testTitle(end); level > 0 || passes(line) != passed || section != part && endsTest(line) ||
				c.size(first, end+1) > c.testGroup(passed) || !passed && opensResult(line) {
				break
			}
			end++
		}
		for end < c.lines() && c.blank(end) {
			end++
		}
		c.entry(first, end, KindLines, title, section)
		first = end
	}
}

// testTitle returns the title that opens at line i with the rules above and below it, the line after it, and its level:
// 1 for a part of the run, 2 for one test; level 0 if none opens there.
func (c *cutter) testTitle(i int) (end int, title string, level int) {
	if isRule(c.content(i)) {
		i++
	}
	if i >= c.lines() {
		return 0, "", 0
	}
	if title, level = testTitle(c.content(i)); level == 0 {
		return 0, "", 0
	}
	end = i + 1
	if end < c.lines() && isRule(c.content(end)) {
		end++
	}
	return c.skipBlank(end), title, level
}

// isRule reports whether line is a row of the signs that frame titles.
func isRule(line string) bool {
	line = strings.TrimRight(line, " \t\r")
	return len(line) >= 10 && (strings.Trim(line, "=") == "" || strings.Trim(line, "-") == "")
}

// endsTest reports whether a line belongs to no single test: a result of Go's runner or a count at the end.
func endsTest(line string) bool {
	line = strings.TrimRight(line, " \t\r")
	return isRule(line) || line == "FAIL" || line == "PASS" || hasAnyPrefix(line, "=== RUN ", "--- PASS: ", "ok  \t", "FAIL\t", "Ran ")
}

// testGroup is how many tokens of lines share a segment.
func (c *cutter) testGroup(passed bool) int {
	if passed {
		return 2 * c.GroupTokens
	}
	return c.GroupTokens
}

// testTitle returns the title of a line that opens a part of a test run's output, and its level: 1 for a part of the run,
// 2 for one test; 0 if the line is none.
func testTitle(line string) (title string, level int) {
	line = strings.TrimRight(line, " \t\r")
	switch {
	case len(line) >= 10 && hasAnyPrefix(line, "=====", "== ") && strings.HasSuffix(line, "=="):
		if title = strings.Trim(line, "= "); title != "" {
			return title, 1
		}
	case len(line) >= 8 && strings.HasPrefix(line, "__") && strings.HasSuffix(line, "__"):
		if title = strings.Trim(line, "_ "); title != "" && strings.Contains(line, " ") {
			return title, 2
		}
	case hasAnyPrefix(line, "FAIL: ", "ERROR: ", "--- FAIL: ", "  ● "):
		return strings.TrimLeft(line, " -●"), 2
	}
	return "", 0
}

// passes reports whether a line says only that a test passed.
func passes(line string) bool {
	line = strings.TrimRight(line, " \t\r")
	if strings.HasSuffix(line, " ... ok") || strings.HasSuffix(line, " PASSED") || strings.HasSuffix(line, " ok") ||
		strings.Contains(line, " PASSED ") || hasAnyPrefix(strings.TrimLeft(line, " "), "--- PASS: ", "=== RUN ", "=== PAUSE ", "=== CONT ", "PASSED ", "ok  ", "✓ ") {
		return true
	}
	// pytest's dots: a path and a row of them.
	path, dots, found := strings.Cut(line, " ")
	dots, _, _ = strings.Cut(dots, " ")
	return found && isPath(path) && onlyOf(dots, ".sx")
}

// opensResult reports whether a line is the result of one test that did not pass, as a summary lists them.
func opensResult(line string) bool {
	return hasAnyPrefix(line, "FAILED ", "ERROR ", "not ok ") || strings.HasSuffix(line, " ... FAIL") || strings.HasSuffix(line, " ... ERROR") ||
		strings.Contains(line, " FAILED ")
}
