package compressors

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// TextHash returns the hash by which a marker names a full text: the first 24 hexadecimal digits of its SHA-256.
func TextHash(source string) string {
	sum := sha256.Sum256([]byte(source))
	return hex.EncodeToString(sum[:12])
}

// receipt is the last line of an output whose source is stored.
var receipt = regexp.MustCompile(`^\[pith kept (0|[1-9][0-9]{0,8}) of (0|[1-9][0-9]{0,8}) lines; full text hash=([0-9a-f]{24})\]$`)

// Verify proves from source and output alone that nothing was invented: output is lines of source, in order, where
//
//   - a line "…12 lines…" stands for the 12 lines that are missing there. It is indented like the next line of source
//     that is not blank, may follow a line comment ("//", "#", "--"), and ends like the last line it stands for;
//   - a line that is kept in part keeps sentences, or pieces of sentences of more than 256 bytes, with " … " for those that
//     are missing, "… " at its start and " …" at its end;
//   - a source of one line may be "…" as a whole, and any source may be empty;
//   - one more line may close it, "[pith kept 40 of 900 lines; full text hash=<TextHash>]", if its numbers are right (a
//     line kept in part counts).
//
// Source text that looks like a marker is text like any other. The time is linear in source and output; a source with
// thousands of lines that are markers themselves, so that an output has too many readings, is an error. Errors tell lines
// by number, never by content.
func Verify(source, output string) error {
	src := newSource(source)
	v := verifier{source: src, work: 1<<22 + 16*(len(source)+len(output))}
	err := v.run(output, -1)
	if err == nil {
		return nil
	}
	at := strings.LastIndexByte(output, '\n') + 1
	body := output[:at]
	m := receipt.FindStringSubmatch(output[at:])
	if m == nil {
		return err
	}
	kept, _ := strconv.Atoi(m[1])
	if m[2] != strconv.Itoa(src.lines()) {
		return fmt.Errorf("the output's last line speaks of %s lines: the source has %d", m[2], src.lines())
	}
	if m[3] != TextHash(source) {
		return errors.New("the output's last line has another hash than the source")
	}
	if err = v.run(body, kept); err != nil && terminator(source) == "" {
		// The line before stands at the end of a source without a terminator, so the receipt brought its own.
		err = v.run(strings.TrimSuffix(body, "\n"), kept)
	}
	return err
}

// verifier reads an output line by line and keeps every position in the source that it may stand for so far: more than
// one only after a line that is both in the source and a marker.
type verifier struct {
	*source
	work  int
	units []int
	seen  map[inlineState]struct{}
}

// position is what has been read: the lines of source before line, of which kept are in the output.
type position struct {
	line, kept int
	gap        bool // the last line read is a marker
}

// run checks that output stands for the whole source, and keeps the given number of lines unless that is negative.
func (v *verifier) run(output string, kept int) error {
	if output == "" && kept <= 0 || v.lines() == 1 && kept <= 0 && output == ellipsis+terminator(v.text) {
		return nil
	}
	positions := []position{{}}
	var next []position
	number, furthest := 0, 0
	for line := range strings.Lines(output) {
		number++
		next = next[:0]
		count, indent, isMarker := parseMarker(line)
		end := terminator(line)
		for _, p := range positions {
			v.work -= 16
			if p.line < v.lines() {
				s := v.line(p.line)
				if line == s || end == terminator(s) && strings.Contains(line, ellipsis) && v.inline(p.line, line[:len(line)-len(end)]) {
					next = append(next, position{p.line + 1, p.kept + 1, false})
				}
			}
			if isMarker && !p.gap && p.line+count <= v.lines() && end == terminator(v.line(p.line+count-1)) &&
				indent == v.indentation(p.line+count) {
				next = append(next, position{p.line + count, p.kept, true})
			}
		}
		if v.work < 0 {
			return errors.New("too many readings of lines that look like markers")
		}
		if len(next) == 0 {
			return fmt.Errorf("line %d of the output is neither line %d of the source nor a true marker", number, furthest+1)
		}
		if len(next) > 1 {
			slices.SortFunc(next, comparePositions)
			next = slices.Compact(next)
		}
		positions, next = next, positions
		furthest = positions[len(positions)-1].line
	}
	wrongCount := false
	for _, p := range positions {
		if p.line == v.lines() {
			if kept < 0 || p.kept == kept {
				return nil
			}
			wrongCount = true
		}
	}
	if wrongCount {
		return fmt.Errorf("the output's last line speaks of %d lines kept: that is not their number", kept)
	}
	return fmt.Errorf("the output ends after line %d of %d of the source", furthest, v.lines())
}

func comparePositions(a, b position) int {
	if a.line != b.line {
		return a.line - b.line
	}
	if a.kept != b.kept {
		return a.kept - b.kept
	}
	switch {
	case a.gap == b.gap:
		return 0
	case b.gap:
		return -1
	}
	return 1
}

// parseMarker takes a line apart that reads like a marker for whole lines.
func parseMarker(line string) (count int, indent string, ok bool) {
	line = line[:len(line)-len(terminator(line))]
	indent = indentation(line)
	rest := line[len(indent):]
	for _, c := range comments {
		if after, found := strings.CutPrefix(rest, c+" "); found {
			rest = after
			break
		}
	}
	digits, found := strings.CutSuffix(strings.TrimPrefix(rest, ellipsis), linesText)
	if !found || len(digits) == 0 || len(digits) > 9 || !strings.HasPrefix(rest, ellipsis) || digits[0] == '0' {
		return 0, "", false
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0, "", false
		}
	}
	count, err := strconv.Atoi(digits)
	return count, indent, err == nil
}

// inlineState is a point in reading an output line against the units of a source line: at byte at of the output, before
// unit; after a marker if gap is set.
type inlineState struct {
	at, unit int
	gap      bool
}

// inline reports whether content is source line i kept in part.
func (v *verifier) inline(i int, content string) bool {
	text := v.content(i)
	v.work -= len(text) / 4
	v.units = append(appendUnits(v.units[:0], text), len(text))
	if v.seen == nil {
		v.seen = map[inlineState]struct{}{}
	}
	clear(v.seen)
	n := len(v.units) - 1
	if n < 2 {
		return false
	}
	// Depth first, with the states that failed remembered, so that each is read once.
	stack := []inlineState{{}}
	if strings.HasPrefix(content, ellipsis+" ") {
		stack = append(stack, inlineState{at: len(ellipsis + " "), unit: 1, gap: true})
	}
	for len(stack) > 0 && v.work >= 0 {
		s := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if s.unit == n {
			if s.at == len(content) && !s.gap {
				return true
			}
			continue
		}
		if _, ok := v.seen[s]; ok {
			continue
		}
		v.seen[s] = struct{}{}
		v.work -= 16
		if s.gap { // the unit is missing too
			stack = append(stack, inlineState{s.at, s.unit + 1, true})
		} else if s.unit > 0 {
			marker := inlineMarker(text[v.units[s.unit]-1])
			if after, ok := strings.CutPrefix(content[s.at:], marker); ok {
				if after == "" {
					return true
				}
				if after[0] == ' ' && s.unit+1 < n {
					stack = append(stack, inlineState{len(content) - len(after) + 1, s.unit + 1, true})
				}
			}
		}
		unit := text[v.units[s.unit]:v.units[s.unit+1]]
		v.work -= commonPrefix(unit, content[s.at:])
		if strings.HasPrefix(content[s.at:], unit) {
			stack = append(stack, inlineState{s.at + len(unit), s.unit + 1, false})
		}
	}
	return false
}

func commonPrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
