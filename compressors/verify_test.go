package compressors_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pith-llm/pith/compressors"
)

func TestVerify(t *testing.T) {
	const code = "a := 1\n\tb := 2\n\n\tc := 3\nd := 4\n"
	const prose = "One is here. Two is there.  Three is gone! Four stays.\nAnother line. It ends.\n"
	long := `{"rows":[` + strings.Repeat(`{"id":1,"name":"a"},`, 60) + `{}]}`
	hash := compressors.TextHash(code)
	for _, c := range []struct {
		name, source, output string
		ok                   bool
	}{
		{"source itself", code, code, true},
		{"gap in the middle", code, "a := 1\n…2 lines…\n\tc := 3\nd := 4\n", false},
		{"gap indented like the next line", code, "a := 1\n\t…2 lines…\n\tc := 3\nd := 4\n", true},
		{"gap before a blank line takes the line after it", code, "a := 1\n\t…1 lines…\n\n\tc := 3\nd := 4\n", true},
		{"comment marker", code, "a := 1\n// …3 lines…\nd := 4\n", true},
		{"comment of another language", code, "a := 1\n# …3 lines…\nd := 4\n", true},
		{"no such comment", code, "a := 1\n; …3 lines…\nd := 4\n", false},
		{"gap to the end", code, "a := 1\n…4 lines…\n", true},
		{"gap without its terminator", code, "a := 1\n…4 lines…", false},
		{"everything is a gap", code, "…5 lines…\n", true},
		{"nothing at all", code, "", true},
		{"one line too many", code, "…6 lines…\n", false},
		{"one line too few", code, "…4 lines…\n", false},
		{"leading zero", code, "…05 lines…\n", false},
		{"no number", code, "… lines…\n", false},
		{"overflowing number", code, "…99999999999999999999 lines…\n", false},
		{"negative number", code, "…-5 lines…\n", false},
		{"two gaps in a row", code, "a := 1\n\t…1 lines…\n…3 lines…\n", false},
		{"lines out of order", code, "d := 4\n…4 lines…\n", false},
		{"line changed", code, "a := 2\n…4 lines…\n", false},
		{"indentation lost", code, "a := 1\nb := 2\n\n\tc := 3\nd := 4\n", false},
		{"line repeated", code, "a := 1\na := 1\n…3 lines…\n", false},
		{"text after the end", code, code + "e := 5\n", false},
		{"line cut short", code, "a := 1\n…3 lines…\nd :=\n", false},
		{"line feed for carriage return and line feed", "a\r\nb\r\nc\r\n", "a\n…2 lines…\r\n", false},
		{"carriage returns", "a\r\nb\r\nc\r\n", "a\r\n…2 lines…\r\n", true},
		{"marker without carriage return", "a\r\nb\r\nc\r\n", "a\r\n…2 lines…\n", false},
		{"no terminator at the end", "a\nb\nc", "a\n…2 lines…", true},
		{"terminator added at the end", "a\nb\nc", "a\n…2 lines…\n", false},
		{"empty source", "", "", true},
		{"something from nothing", "", "…1 lines…\n", false},

		{"sentence left out", prose, "One is here. … Three is gone! Four stays.\nAnother line. It ends.\n", true},
		{"two sentences left out", prose, "One is here. … Four stays.\nAnother line. It ends.\n", true},
		{"first sentence left out", prose, "… Two is there.  Three is gone! Four stays.\nAnother line. It ends.\n", true},
		{"last sentences left out", prose, "One is here. Two is there.  …\nAnother line. It ends.\n", true},
		{"sentences left out everywhere", prose, "… Two is there.  … Four stays.\n… It ends.\n", true},
		{"nothing left out at the mark", prose, "One is here. … Two is there.  Three is gone! Four stays.\nAnother line. It ends.\n", false},
		{"words left out", prose, "One … here. Two is there.  Three is gone! Four stays.\nAnother line. It ends.\n", false},
		{"sentences swapped", prose, "Two is there.  … Four stays.\nAnother line. It ends.\n", false},
		{"all sentences left out", prose, "…\nAnother line. It ends.\n", false},
		{"sentences joined over lines", prose, "One is here. … It ends.\n", false},
		{"one line as a whole", "One is here. Two is there.", "…", true},
		{"one line as a whole with its terminator", "One is here.\n", "…\n", true},
		{"one line as a whole without it", "One is here.\n", "…", false},
		{"abbreviations end no sentence", "See Mr. Lund and A. Berg at 3.5 m. Then go.", "See Mr. … Then go.", false},
		{"records of a long line", long, `{"rows":[` + strings.Repeat(`{"id":1,"name":"a"},`, 12) + " … {}]}", true},
		{"inside a value of a long line", long, `{"rows":[` + strings.Repeat(`{"id":1,"name":"a"},`, 12) + `{"id": … {}]}`, false},

		{"source that looks like a marker", "a\n…3 lines…\nb\n", "a\n…3 lines…\nb\n", true},
		{"marker for what looks like one", "a\n…3 lines…\nb\n", "a\n…1 lines…\nb\n", true},
		{"true marker beside a false one", "…2 lines…\nx\ny\nz\n", "…2 lines…\n…2 lines…\nz\n", true},
		{"false marker kept, then text gone", "…2 lines…\nx\ny\nz\n", "…2 lines…\nz\n", false},
		{"dots of the source", "A … b. C … d. E.\nx\n", "A … b. … E.\nx\n", true},

		{"receipt", code, "a := 1\n…4 lines…\n[pith kept 1 of 5 lines; full text hash=" + hash + "]", true},
		{"receipt after no terminator", "a\nb\nc", "a\n…2 lines…\n[pith kept 1 of 3 lines; full text hash=" + compressors.TextHash("a\nb\nc") + "]", true},
		{"receipt counts a line kept in part", prose, "… Two is there.  … Four stays.\n…1 lines…\n[pith kept 1 of 2 lines; full text hash=" + compressors.TextHash(prose) + "]", true},
		{"receipt with a wrong number kept", code, "a := 1\n…4 lines…\n[pith kept 2 of 5 lines; full text hash=" + hash + "]", false},
		{"receipt with a wrong number of lines", code, "a := 1\n…4 lines…\n[pith kept 1 of 6 lines; full text hash=" + hash + "]", false},
		{"receipt with another hash", code, "a := 1\n…4 lines…\n[pith kept 1 of 5 lines; full text hash=" + compressors.TextHash(prose) + "]", false},
		{"receipt in the middle", code, "[pith kept 1 of 5 lines; full text hash=" + hash + "]\n…5 lines…\n", false},
		{"receipt that is the source's own", "a\n[pith kept 1 of 9 lines; full text hash=" + hash + "]", "a\n[pith kept 1 of 9 lines; full text hash=" + hash + "]", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := compressors.Verify(c.source, c.output); (err == nil) != c.ok {
				t.Errorf("Verify of %q: %v, want ok %v", c.output, err, c.ok)
			}
		})
	}
}

// Sources full of markers have many readings. Verify finds one or gives up, in bounded time.
func TestVerifyTime(t *testing.T) {
	marker := strings.Repeat("…2 lines…\n", 30_000)
	dots := strings.Repeat("A … b. ", 20_000)
	for name, c := range map[string]struct{ source, output string }{
		"markers": {marker, strings.Repeat("…2 lines…\n", 20_000)},
		"dots":    {dots + "end", strings.Repeat("A … b. … ", 7_000) + "End"},
		"blank":   {strings.Repeat("\n", 1_000_000), strings.Repeat("\n", 500_000) + "…500000 lines…\n"},
		"spaces":  {strings.Repeat(" ", 1_000_000), strings.Repeat(" ", 500_000) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			err := compressors.Verify(c.source, c.output)
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("took %v (%v)", d, err)
			}
		})
	}
}

// FuzzVerify changes true outputs for a source without repetitions: no change may pass.
func FuzzVerify(f *testing.F) {
	f.Add(uint64(1), 3, 0)
	f.Add(uint64(2), 40, 1)
	f.Add(uint64(3), 90, 2)
	f.Add(uint64(4), 20, 3)
	f.Add(uint64(5), 7, 4)
	var source strings.Builder
	for i := range 60 {
		fmt.Fprintf(&source, "%sLine %d begins. Its %d words go on (%d)! The end of %d.\n", strings.Repeat(" ", i%3), i, i, i, i)
		if i%7 == 0 {
			source.WriteString("\n")
		}
	}
	compressor, err := compressors.New(compressors.Options{
		Scorer: byHash, CountTokens: countTokens, MinTokens: 1, MinSaving: 1, Segmenter: bySentence,
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, seed uint64, place, change int) {
		input := compressors.Input{
			Query:  fmt.Sprint(seed),
			Texts:  []compressors.Text{{Content: source.String()}},
			Budget: compressors.Budget{Rate: 0.05 + 0.9*float64(seed%64)/64},
		}
		r, err := compressor.Compress(t.Context(), input)
		if err != nil {
			t.Fatal(err)
		}
		output := r.Texts[0].Output
		if err := compressors.Verify(source.String(), output); err != nil {
			t.Fatal(err)
		}
		at := int(uint(place) % uint(len(output)))
		lines := strings.SplitAfter(output, "\n")
		line := int(uint(place) % uint(len(lines)-1))
		changed := output
		switch uint(change) % 5 {
		case 0: // a byte
			changed = output[:at] + "\x01" + output[at+1:]
		case 1: // a byte more
			changed = output[:at] + "x" + output[at:]
		case 2: // two lines swapped; those that are equal are blank
			other := (line + 1) % (len(lines) - 1)
			if strings.TrimSpace(lines[line]+lines[other]) == "" || line == other {
				return
			}
			lines[line], lines[other] = lines[other], lines[line]
			changed = strings.Join(lines, "")
		case 3: // a count
			changed = strings.Replace(output, " lines…", "1 lines…", 1)
		case 4: // a line less
			lines[line] = ""
			changed = strings.Join(lines, "")
		}
		if changed != output && changed != "" && compressors.Verify(source.String(), changed) == nil {
			t.Fatalf("accepted %q\nfor %q", changed, output)
		}
	})
}

// bySentence makes a segment of every sentence that ends in ". " or "! ", and of every end of a line.
var bySentence = segmenterFunc(func(text compressors.Text) ([]compressors.Segment, error) {
	var segments []compressors.Segment
	start := 0
	for i := range len(text.Content) {
		end := i + 1
		if c := text.Content[i]; c == '\n' || c == ' ' && i > 0 && strings.ContainsRune(".!", rune(text.Content[i-1])) {
			segments = append(segments, compressors.Segment{Start: start, End: end, Kind: compressors.KindSentence, Parent: -1})
			start = end
		}
	}
	return segments, nil
})

type segmenterFunc func(compressors.Text) ([]compressors.Segment, error)

func (f segmenterFunc) Segments(text compressors.Text) ([]compressors.Segment, error) { return f(text) }
