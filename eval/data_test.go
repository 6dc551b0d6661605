package eval

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeData writes lines to a file of its own and returns its path.
func writeData(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cases.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadReadsPlainAndGzipAlike(t *testing.T) {
	// U+2028 ends a line for some readers; here it is a character of a string.
	const line = "{\"id\":\"a\",\"task\":\"t\",\"query\":\"q\u2028r\",\"context\":[{\"name\":\"n.go\",\"text\":\"x\u2028y\\nz\",\"lang\":\"go\"}]}"
	plain := writeData(t, line, "", strings.Replace(line, `"a"`, `"b"`, 1))
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	content, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	gz := filepath.Join(t.TempDir(), "cases")
	if err := os.WriteFile(gz, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{plain, gz} {
		cases, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(cases) != 2 || cases[0].ID != "a" || cases[1].ID != "b" {
			t.Fatalf("%s: got %+v", path, cases)
		}
		text := cases[0].Texts[0]
		if cases[0].Query != "q\u2028r" || text.Content != "x\u2028y\nz" || text.Name != "n.go" || text.Language != "go" {
			t.Errorf("%s: got %+v", path, cases[0])
		}
	}
	truncated := filepath.Join(t.TempDir(), "short.gz")
	if err := os.WriteFile(truncated, packed.Bytes()[:packed.Len()-9], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(truncated); err == nil || !strings.Contains(err.Error(), "short.gz:") {
		t.Errorf("truncated gzip: error %v", err)
	}
}

func TestLoadNamesFileAndLineOfWhatIsWrong(t *testing.T) {
	const good = `{"id":"good","task":"t","query":"q","context":[{"name":"n","text":"one\ntwo"}]}`
	caseWith := func(rest string) string {
		return `{"id":"bad","task":"t","query":"q","context":[{"name":"n","text":"one\ntwo"},{"name":"m","text":"äb"}],` + rest + `}`
	}
	tests := []struct{ name, line, want string }{
		{"not JSON", `{"id":`, "not a case"},
		{"two values on a line", good + good, "not a case"},
		{"wrong type", `{"id":7,"task":"t"}`, "not a case"},
		{"invalid UTF-8", "{\"id\":\"\xff\"}", "not UTF-8"},
		{"no id", `{"task":"t"}`, "no id"},
		{"no task", `{"id":"bad"}`, "bad has no task"},
		{"no texts", `{"id":"bad","task":"t"}`, "neither context nor messages"},
		{"both kinds", caseWith(`"messages":[{"role":"tool"}]`), "both context and messages"},
		{"id twice", good, `"good" is also on line 1`},
		{"gold segment out of range", caseWith(`"gold_segments":[2]`), "gold segment 2"},
		{"negative gold segment", caseWith(`"gold_segments":[-1]`), "gold segment -1"},
		{"line out of range", caseWith(`"gold_segments":[0],"meta":{"gold_lines":[[0,2,3]]}`), "the segment has 2 lines"},
		{"line zero", caseWith(`"gold_segments":[0],"meta":{"gold_lines":[[0,0,1]]}`), "the segment has 2 lines"},
		{"lines elsewhere", caseWith(`"gold_segments":[0],"meta":{"gold_lines":[[1,1,1]]}`), "in no gold segment"},
		{"span out of range", caseWith(`"gold_segments":[1],"meta":{"gold_spans":[[1,0,3]]}`), "the segment has 2 characters"},
		{"empty span", caseWith(`"gold_segments":[1],"meta":{"gold_spans":[[1,1,1]]}`), "gold span"},
		{"text elsewhere", caseWith(`"gold_segments":[1],"meta":{"gold_text":["two"]}`), `"two" is in no gold segment`},
		{
			"needed string in no tool result",
			`{"id":"bad","task":"t","messages":[{"role":"user","content":"x"},{"role":"tool","content":"y"}],"gold_segments":[1],"meta":{"needed":["x"]}}`,
			`"x" is in no tool result`,
		},
		{"chat without tool results", `{"id":"bad","task":"t","messages":[{"role":"user","content":"x"}]}`, "no message is a tool result"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := writeData(t, good, test.line)
			_, err := Load(path)
			if err == nil || !strings.HasPrefix(err.Error(), path+":2: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %s:2: … %s", err, path, test.want)
			}
		})
	}
	empty := writeData(t)
	if _, err := Load(empty); err == nil || !strings.HasPrefix(err.Error(), empty+": ") {
		t.Errorf("empty file: error %v", err)
	}
	if _, err := Load(filepath.Join(t.TempDir(), "missing.jsonl")); err == nil || !strings.Contains(err.Error(), "missing.jsonl") {
		t.Errorf("missing file: error %v", err)
	}
}

// goldOf loads one case and returns the source text of every place of every part.
func goldOf(t *testing.T, line string) (Case, [][]string) {
	t.Helper()
	cases, err := Load(writeData(t, line))
	if err != nil {
		t.Fatal(err)
	}
	c := cases[0]
	var parts [][]string
	for _, p := range c.Gold.Parts {
		var places []string
		for _, at := range p.Places {
			places = append(places, c.Texts[at.Text].Content[at.Start:at.End])
		}
		parts = append(parts, places)
	}
	return c, parts
}

func TestLoadLocatesGold(t *testing.T) {
	check := func(name, line string, texts []int, want [][]string) {
		t.Helper()
		c, got := goldOf(t, line)
		if len(c.Gold.Texts) != len(texts) {
			t.Errorf("%s: gold texts %v, want %v", name, c.Gold.Texts, texts)
		}
		for i, at := range texts {
			if i < len(c.Gold.Texts) && c.Gold.Texts[i] != at {
				t.Errorf("%s: gold texts %v, want %v", name, c.Gold.Texts, texts)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%s: parts %q, want %q", name, got, want)
		}
		for i := range want {
			if strings.Join(got[i], "|") != strings.Join(want[i], "|") {
				t.Errorf("%s: parts %q, want %q", name, got, want)
			}
		}
	}
	const open = `{"id":"a","task":"t","query":"q","context":[{"name":"n","text":"ä one\n\n  two\nthree"},{"name":"m","text":"49 and 9; 9"}],`
	check("lines, without blank ones and indentation", open+`"gold_segments":[0],"meta":{"gold_lines":[[0,1,3]],"gold_text":["three"]}}`,
		[]int{0}, [][]string{{"ä one"}, {"two"}})
	check("a blank line, where something was inserted", open+`"gold_segments":[0],"meta":{"gold_lines":[[0,2,2]],"gold_text":["three"]}}`,
		[]int{0}, [][]string{{"\n"}})
	check("spans count characters", open+`"gold_segments":[0],"meta":{"gold_spans":[[0,2,6]],"gold_text":["three"]}}`,
		[]int{0}, [][]string{{"one"}})
	check("a string may survive at any of its places", open+`"gold_segments":[0],"meta":{"gold_text":["t"]}}`,
		[]int{0}, [][]string{{"t", "t"}})
	check("a number inside another is not it", open+`"gold_segments":[1],"answers":["9"]}`,
		[]int{1}, [][]string{{"9", "9"}})
	check("an answer in other words is no label", open+`"gold_segments":[1,1,0],"answers":["nine"]}`,
		[]int{0, 1}, nil)
	check("answers count only in gold segments", open+`"gold_segments":[0],"answers":["9","three"]}`,
		[]int{0}, [][]string{{"three"}})
	check("identifiers before answers", open+`"gold_segments":[0],"answers":["three"],"meta":{"gold_identifiers":["one","nine"]}}`,
		[]int{0}, [][]string{{"one"}})
	check("answers where no identifier is there", open+`"gold_segments":[0],"answers":["three"],"meta":{"gold_identifiers":["nine"]}}`,
		[]int{0}, [][]string{{"three"}})
	check("not labelled", open+`"gold_segments":[],"answers":["9"]}`, nil, nil)
	check("tool results of a chat", `{"id":"a","task":"t","query":"q","messages":[{"role":"user","content":"k1"},`+
		`{"role":"assistant","content":null},{"role":"tool","content":"a k1"},{"role":"tool","content":"k2 k1"}],`+
		`"gold_segments":[0,3],"meta":{"needed":["k1","k2"]}}`, []int{1}, [][]string{{"k1", "k1"}, {"k2"}})
}

func TestSampleOfAFile(t *testing.T) {
	cases := make([]Case, 50)
	for i := range cases {
		cases[i].ID = string(rune('a' + i))
	}
	ids := func(cases []Case) string {
		var b strings.Builder
		for _, c := range cases {
			b.WriteString(c.ID)
		}
		return b.String()
	}
	if got := ids(sample(cases, 5, 0)); got != "abcde" {
		t.Errorf("without a seed: %q, want the first five", got)
	}
	one, two := ids(sample(cases, 5, 1)), ids(sample(cases, 5, 2))
	if one == two || one == "abcde" || len([]rune(one)) != 5 {
		t.Errorf("seed 1 %q, seed 2 %q: want different draws of five", one, two)
	}
	if again := ids(sample(cases, 5, 1)); again != one {
		t.Errorf("seed 1 again %q, want %q", again, one)
	}
	for _, n := range []int{0, 50, 99} {
		if got := len(sample(cases, n, 3)); got != 50 {
			t.Errorf("limit %d: %d cases, want all 50", n, got)
		}
	}
}
