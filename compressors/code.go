package compressors

import "strings"

// partTokens is about how many tokens a part of a long function or of a long block of other code holds.
const partTokens = 240

// level appends the segments of lines [first, end), which hold units side by side: all of a text or a class's body.
func (c *cutter) level(units []unit, first, end, parent int) {
	units = tile(units, first, end)
	for i := 0; i < len(units); {
		u := units[i]
		// Imports make one segment, small statements share one.
		if u.kind == KindImport || u.kind == KindStatement {
			limit := c.GroupTokens
			if u.kind == KindImport {
				limit = c.MaxTokens
			}
			j := i + 1
			for j < len(units) && units[j].kind == u.kind && c.size(u.first, units[j].end) <= limit {
				j++
			}
			u.end = units[j-1].end
			i = j
		} else {
			i++
		}
		c.unit(u, parent)
	}
}

// tile stretches units over the blank lines between them, so that together they cover [first, end).
func tile(units []unit, first, end int) []unit {
	if len(units) == 0 {
		if first < end {
			units = []unit{{first: first, end: end, kind: KindStatement}}
		}
		return units
	}
	units[0].first = first
	for i := range units[1:] {
		units[i].end = units[i+1].first
	}
	units[len(units)-1].end = end
	return units
}

// unit appends the segments of one unit.
func (c *cutter) unit(u unit, parent int) {
	if u.method {
		u.kind = KindMethod
	}
	size := c.size(u.first, u.end)
	end := u.end
	if u.closing > 0 {
		end = u.closing
	}
	if len(u.members) > 0 && size > c.GroupTokens {
		opening := c.opening(&u)
		header := c.add(c.start(u.first), c.start(opening), KindHeader, u.name, parent)
		c.level(u.members, opening, end, header)
		c.close(u, header)
		return
	}
	if size <= c.MaxTokens {
		if u.scope {
			u.kind = KindStatement
		}
		c.add(c.start(u.first), c.start(u.end), u.kind, u.name, parent)
		if last := &c.segments[len(c.segments)-1]; last.Start == c.start(u.first) {
			last.Signature = c.signature(u)
		}
		return
	}
	first := u.first + 1
	if u.bodyFirst > u.first && u.bodyFirst < u.end {
		first = u.bodyFirst
	}
	if first >= end || u.kind == KindImport {
		c.parts(u.first, u.end, partTokens, u.kind, u.name, parent)
		return
	}
	header := c.add(c.start(u.first), c.start(first), KindHeader, u.name, parent)
	c.body(first, end, partTokens, u.kind, u.name, header, 0)
	c.close(u, header)
}

// minElided is the fewest tokens of a body and the comments before it that are worth a marker in their place.
const minElided = 24

// signature returns how u can be kept without its body, nil if it cannot or if that saves too little.
func (c *cutter) signature(u unit) *Signature {
	end := u.end
	if u.closing > 0 {
		end = u.closing
	}
	if !u.elidable || c.size(u.first, u.definition)+c.size(u.bodyFirst, end) < minElided {
		return nil
	}
	return &Signature{Start: c.start(u.definition), BodyStart: c.start(u.bodyFirst), BodyEnd: c.start(end)}
}

// opening returns the line after the opening of a class or scope and leaves the members after it: fields and the
// documentation stand in the opening of a class unless they are long.
func (c *cutter) opening(u *unit) int {
	opening := u.members[0].first
	if u.scope {
		return opening
	}
	for i, m := range u.members {
		if m.kind == KindFunction || m.kind == KindClass {
			if c.size(u.first, m.first) <= 2*c.GroupTokens {
				opening, u.members = m.first, u.members[i:]
			}
			break
		}
	}
	return opening
}

// close appends the line that closes u, if it has one of its own.
func (c *cutter) close(u unit, header int) {
	if u.closing > 0 {
		c.add(c.start(u.closing), c.start(u.end), KindClosing, u.name, header)
	}
}

// parts appends lines [first, end) as segments of about limit tokens, cut where the indentation is lowest.
func (c *cutter) parts(first, end, limit int, kind SegmentKind, name string, parent int) {
	for first < end {
		next := c.cut(first, end, limit)
		if next == first+1 && c.size(first, next) > max(limit, paragraphTokens) {
			c.sentences(first, next, name, parent)
		} else {
			c.add(c.start(first), c.start(next), kind, name, parent)
		}
		first = next
	}
}

// cut returns the line before which the lines from first on are best cut, so that about limit tokens precede it.
func (c *cutter) cut(first, end, limit int) int {
	if c.size(first, end) <= limit {
		return end
	}
	best, least := first+1, int(^uint(0)>>1)
	for i := first + 1; i < end && c.size(first, i) <= limit; i++ {
		if c.size(first, i) < limit/3 {
			best = i
			continue
		}
		if cost := c.cutCost(i); cost <= least {
			best, least = i, cost
		}
	}
	return best
}

// cutCost rates a cut before line i, lower is better: at little indentation, after a blank line, never before one and
// not before what closes or continues a block.
func (c *cutter) cutCost(i int) int {
	if c.blank(i) {
		return 1000
	}
	line := c.content(i)
	cost := 0
	for _, b := range []byte(indentation(line)) {
		if cost++; b == '\t' {
			cost += 3
		}
	}
	if before := strings.TrimRight(c.content(i-1), " \t\r"); before == "" {
		cost -= 6
	} else if c.kind != CodeText && strings.ContainsRune(".!?:", rune(before[len(before)-1])) {
		cost -= 4
	}
	switch word := strings.TrimLeft(line, " \t"); {
	case strings.ContainsRune("}])", rune(word[0])):
		cost += 100
	case hasAnyPrefix(word, "else", "elif", "except", "finally", "catch", "case ", "default:", "end"):
		cost += 20
	}
	return cost
}

func hasAnyPrefix(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// indented appends the segments of code that no grammar reads: blocks that open without indentation after a blank
// line, small ones grouped.
func (c *cutter) indented(first, end int) {
	for first < end {
		next := c.block(first, end)
		size := c.size(first, next)
		for next < end && size < c.GroupTokens {
			after := c.block(next, end)
			if size = c.size(first, after); size > c.GroupTokens {
				break
			}
			next = after
		}
		limit := partTokens
		if c.size(first, next) <= c.MaxTokens {
			limit = c.MaxTokens
		}
		c.parts(first, next, limit, KindLines, "", -1)
		first = next
	}
}

// block returns the end of the block that starts at line first.
func (c *cutter) block(first, end int) int {
	for i := first + 1; i < end; i++ {
		if c.blank(i) || !c.blank(i-1) {
			continue
		}
		line := c.line(i)
		if indentation(line) == "" && !strings.ContainsRune("}])", rune(line[0])) {
			return i
		}
	}
	return end
}
