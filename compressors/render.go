package compressors

import (
	"strconv"
	"strings"
)

// The parts of a marker: "…12 lines…" alone on its line, or "…" between the sentences of a line.
const (
	ellipsis  = "…"
	linesText = " lines" + ellipsis
)

// appendGap appends to dst the parts that stand for the elided bytes [start, end) of src, both segment boundaries: at
// the start of a line or of one of its units.
//
// Whole lines are one marker on a line of its own. What is elided of a line that is kept in part is one marker in that
// line, with a space on each side where text stands and has none; that line's terminator is kept.
func appendGap(dst []Part, src *source, comment string, start, end int) []Part {
	if start == 0 && end == len(src.text) && src.lines() == 1 {
		return append(dst, Part{Start: 0, End: end, Marker: ellipsis + terminator(src.text)})
	}
	if first := src.lineAt(start); start > src.start(first) {
		marker, to := inlineMarker(src.text[start-1]), src.contentEnd(first)
		if end < to {
			return append(dst, Part{Start: start, End: end, Marker: marker + " "})
		}
		dst = append(dst, Part{Start: start, End: to, Marker: marker})
		if start = src.start(first + 1); to < start {
			dst = append(dst, Part{Start: to, End: start})
		}
		if start >= end {
			return dst
		}
	}
	last := src.lineAt(end)
	if whole := src.start(last); start < whole {
		marker := lineMarker(src, comment, src.lineAt(start), last)
		dst = append(dst, Part{Start: start, End: whole, Marker: marker})
		start = whole
	}
	if start < end {
		dst = append(dst, Part{Start: start, End: end, Marker: ellipsis + " "})
	}
	return dst
}

// inlineMarker returns the marker inside a line after a kept byte.
func inlineMarker(before byte) string {
	if isSpace(before) {
		return ellipsis
	}
	return " " + ellipsis
}

// lineMarker returns the marker for lines [first, end) of src, with its terminator, which is that of the last of them.
func lineMarker(src *source, comment string, first, end int) string {
	indent := src.indentation(end)
	if comment != "" {
		indent += comment + " "
	}
	return indent + ellipsis + strconv.Itoa(end-first) + linesText + terminator(src.line(end-1))
}

// render returns the output for the items that are kept, and its parts, which tile src. A text of which nothing is
// kept becomes one marker, or an empty output if drop is set.
func render(src *source, comment string, items []item, kept bitset, drop bool) (string, []Part) {
	if drop && src.text != "" {
		return "", []Part{{Start: 0, End: len(src.text), Dropped: true}}
	}
	var parts []Part
	add := func(p Part) {
		if n := len(parts); n > 0 && p.Marker == "" && parts[n-1].Marker == "" {
			parts[n-1].End = p.End
			return
		}
		parts = append(parts, p)
	}
	var gap []Part
	for i := 0; i < len(items); {
		j := i + 1
		for j < len(items) && kept.has(j) == kept.has(i) {
			j++
		}
		start, end := items[i].Start, items[j-1].End
		if kept.has(i) {
			add(Part{Start: start, End: end})
		} else {
			gap = appendGap(gap[:0], src, comment, start, end)
			for _, p := range gap {
				add(p)
			}
		}
		i = j
	}
	var out strings.Builder
	for _, p := range parts {
		if p.Marker != "" {
			out.WriteString(p.Marker)
		} else {
			out.WriteString(src.text[p.Start:p.End])
		}
	}
	return out.String(), parts
}
