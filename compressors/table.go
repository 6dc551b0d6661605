package compressors

import "strings"

// table appends the segments of separated values: the first line, which names the columns, is the parent of the rows.
func (c *cutter) table() {
	if c.lines() == 0 {
		return
	}
	first := c.skipBlank(1)
	header := c.add(0, c.start(first), KindHeader, "", -1)
	c.rows(first, c.lines(), "", header)
}

// rows appends lines [first, end) as segments, small ones together.
func (c *cutter) rows(first, end int, name string, parent int) {
	for first < end {
		next := first + 1
		for next < end && (c.blank(next) || c.size(first, next+1) <= smallTokens) {
			next++
		}
		c.entry(first, next, KindRecord, name, parent)
		first = next
	}
}

// tableHead returns how many lines open a markdown table at line i: the names of the columns and the line of dashes below
// them; 0 if none opens there.
func (c *cutter) tableHead(i int) int {
	if i+1 >= c.lines() || strings.Count(c.content(i), "|") < 2 {
		return 0
	}
	under := strings.TrimSpace(c.content(i + 1))
	if strings.Count(under, "-") >= 3 && strings.Contains(under, "|") && strings.Trim(under, "-|: \t") == "" {
		return 2
	}
	return 0
}

// tableIn returns where the paragraph of lines [first, end) is cut by a table in it: before a table that does not open it,
// else after the table that does; end without one.
func (c *cutter) tableIn(first, end int) int {
	inTable := c.tableHead(first) > 0
	for i := first + 1; i < end; i++ {
		switch {
		case !inTable && c.tableHead(i) > 0:
			return i
		case inTable && !c.blank(i) && !strings.Contains(c.content(i), "|"):
			return i
		}
	}
	return end
}
