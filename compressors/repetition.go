package compressors

import (
	"slices"
	"strings"
)

// What is kept of texts without a query: all but what repeats, and no less than about cautiousFloor of the tokens, less by
// a segment at most.
const (
	cautiousFloor = 0.6
	// repeatedFrom is the fewest bytes of a segment that counts as a repetition: less may stand anywhere.
	repeatedFrom = 40
	// window is how many consecutive lines must have stood together before. One changed line makes the lines around it new.
	window = 3
	// logCopies is how many lines of a log of one form are kept, whatever their numbers.
	logCopies = 2
	// newFrom is the least value of a segment that is no repetition.
	newFrom = 0.5
)

// repetitions says of the segments of a turn, in order, how far they repeat what precedes them.
type repetitions struct {
	seen  map[string]bool // runs of 1 to window lines
	forms map[string]int  // lines of logs by form
}

// scoreRepetitions scores each segment of docs without a query: 0 for one that repeats what precedes it, wherever that stands
// in the turn, else from newFrom to 1, more for what gives structure (headings, signatures, imports, errors, how a text
// begins), for what is new and for what stands early in its text.
//
// A segment repeats if all its runs of three lines stood together before, white space aside; of logs and test output, if
// lines of the same form, numbers aside, stood there twice and none tells of an error. A change of one word is news: what
// differs between two nearly equal texts may be all that matters.
func scoreRepetitions(docs []*document) {
	r := repetitions{seen: map[string]bool{}, forms: map[string]int{}}
	for _, d := range docs {
		d.scores = make([]Score, len(d.segments))
		var before []string // the last lines of the text, up to the segment
		for i, s := range d.segments {
			text := d.text[s.Start:s.End]
			var lines []string
			size := 0
			for line := range strings.Lines(text) {
				if line = strings.Join(strings.Fields(line), " "); line != "" {
					lines = append(lines, line)
					size += len(line)
				}
			}
			fresh := r.fresh(d, lines)
			before = r.add(d, before, lines)
			if fresh == 0 && size >= repeatedFrom {
				d.scores[i] = Score{Value: 0, Terms: []Term{{"new", 0}}}
				continue
			}
			structure := 0.0
			if i == 0 || s.Kind == KindHeading || s.Kind == KindHeader || s.Kind == KindImport || tellsError(text) {
				structure = 0.2
			}
			early := 0.1 * (1 - float64(s.Start)/float64(len(d.text)))
			d.scores[i] = Score{
				Value: newFrom + structure + 0.2*fresh + early,
				Terms: []Term{{"new", 0.2 * fresh}, {"structure", structure}, {"early", early}},
			}
		}
	}
}

// fresh returns the share of a segment's lines, or of its runs of lines, that are new.
func (r *repetitions) fresh(d *document, lines []string) float64 {
	if len(lines) == 0 {
		return 0
	}
	known, n := 0, 0
	if d.byForm() {
		for _, line := range lines {
			if n++; r.forms[formOf(line)] >= logCopies && !tellsError(line) {
				known++
			}
		}
	} else {
		size := min(window, len(lines))
		for end := size; end <= len(lines); end++ {
			if n++; r.seen[strings.Join(lines[end-size:end], "\n")] {
				known++
			}
		}
	}
	return 1 - float64(known)/float64(n)
}

// add notes the lines of a segment and returns the last lines of its text.
func (r *repetitions) add(d *document, before, lines []string) []string {
	for _, line := range lines {
		if d.byForm() {
			r.forms[formOf(line)]++
			continue
		}
		before = append(before, line)
		before = before[max(0, len(before)-window):]
		for size := 1; size <= len(before); size++ {
			r.seen[strings.Join(before[len(before)-size:], "\n")] = true
		}
	}
	return before
}

// byForm reports whether lines of d that differ in numbers alone say the same.
func (d *document) byForm() bool { return d.kind == LogText || d.kind == TestText }

// formOf returns a line with every word that holds a digit made a 0.
func formOf(line string) string {
	var b strings.Builder
	start := 0
	flush := func(end int) {
		if word := line[start:end]; strings.ContainsAny(word, "0123456789") {
			b.WriteByte('0')
		} else {
			b.WriteString(word)
		}
	}
	for i := range len(line) {
		c := line[i]
		if c >= 0x80 || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' {
			continue
		}
		flush(i)
		b.WriteByte(c)
		start = i + 1
	}
	flush(len(line))
	return b.String()
}

// errorWords stand in what a reader of a log looks for.
var errorWords = []string{"error", "fatal", "exception", "panic", "fail", "traceback", "critical", "denied", "refused", "warn", "abort", "timed out", "timeout", "severe", "cannot", "can not", "alert", "emerg"}

// errorLevels are levels of one letter, as Android's logs have them.
var errorLevels = []string{" W ", " E ", " F "}

// tellsError reports whether text speaks of something that went wrong.
func tellsError(text string) bool {
	lower := strings.ToLower(text)
	for _, word := range errorWords {
		if strings.Contains(lower, word) {
			return true
		}
	}
	return slices.ContainsFunc(errorLevels, func(level string) bool { return strings.Contains(text, level) })
}
