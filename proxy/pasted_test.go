package proxy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestMaterialAndQuestion(t *testing.T) {
	long := strings.TrimSuffix(essay(4, "mill"), "\n") // some 400 bytes, paragraphs
	wide := strings.Repeat("This paragraph is a long one. ", 25) + "\n"
	huge := wide + "\n" + essay(25, "mill") + wide            // more than minUnmarked, between long paragraphs
	line := strings.ReplaceAll(long, "\n", " ")               // the same in one line
	code := strings.Repeat("def f(x):\n    return x\n\n", 20) // with blank lines
	cases := []struct {
		name, text string
		question   string
		regions    []string // the material, each led by "name|language|" where known
	}{
		{"short", "Why is the sky blue?", "Why is the sky blue?", nil},
		{"somebody's own long words", strings.Repeat("Please do this. ", 100), strings.TrimSpace(strings.Repeat("Please do this. ", 100)), nil},
		{"a fence", "Why?\n\n```python\n" + code + "```\n", "Why?", []string{"|python|" + code}},
		{"a fence under a path", "Fix the bug.\n\nsrc/a.py\n```\n" + code + "```\n", "Fix the bug.\n\nsrc/a.py", []string{"src/a.py||" + code}},
		{"a fence that names its file", "Fix the bug.\n```src/a.go\n" + code + "```", "Fix the bug.", []string{"src/a.go||" + code}},
		{"fences within a longer fence", "Why?\n````md\n```\n" + code + "```\n````\n", "Why?", []string{"|markdown|```\n" + code + "```\n"}},
		{"a fence that never closes", "Why?\n```\n" + code, strings.TrimSpace("Why?\n```\n" + code), nil},
		{"a tag", "<document>\n" + long + "</document>\nWhy?", "Why?", []string{"||" + long}},
		{"a tag in one line", "<context>" + line + "</context> Why?", "Why?", []string{"||" + line}},
		{"a tag that names its file", `<file path="a b.py">` + "\n" + code + "</file>\nWhy?", "Why?", []string{"a b.py||" + code}},
		{
			"tags within tags", "<documents>\n<document index=\"1\">\n<source>a.txt</source>\n<document_content>\n" + long + "</document_content>\n</document>\n" +
				"<document index=\"2\">\n<source>b.txt</source>\n<document_content>\n" + long + "</document_content>\n</document>\n</documents>\n\nWhy?",
			"Why?",
			[]string{"a.txt||" + long, "b.txt||" + long},
		},
		{"an unknown tag alone on its line", "<chronicle>\n" + long + "</chronicle>\nWhy?", "Why?", []string{"||" + long}},
		{"an unknown tag inside words", "Is <b>" + line + "</b> bold?", "Is <b>" + line + "</b> bold?", nil},
		{"a tag that never closes", "<document>\n" + long, strings.TrimSpace("<document>\n" + long), nil},
		{"fences inside a file", "<file path=\"a.md\">\n" + long + "```\n" + code + "```\n</file>\nWhy?", "Why?", []string{"a.md||" + long + "```\n" + code + "```\n"}},
		{"a marked question", "<question>\nWhy?\n</question>\n<document>\n" + long + "</document>", "Why?", []string{"||" + long}},
		{"a marked question that is long", "Solve this.\n<issue>\n" + huge + "</issue>\nThanks.", strings.TrimSpace(huge + "\nSolve this.\nThanks."), nil},
		{"a client's instructions", "<system-reminder>\n" + long + "</system-reminder>\n<document>\n" + long + "</document>\nWhy?", "Why?", []string{"||" + long}},
		{
			"numbered documents", "Answer briefly.\n\nDocument [1](Title: One (the first)) " + line + "\nDocument [2](Title: Two) " + line + "\n\nQuestion: why?\nAnswer:",
			"why?",
			[]string{"One (the first)||" + line + "\n", "Two||" + line + "\n"},
		},
		{
			"short numbered documents", "Document [1](Title: A) a\nDocument [2] " + line + "\n" + strings.Repeat("Document [3](Title: B) bcdef\n", 9) + "\nWhy?",
			"Why?",
			[]string{"||" + line + "\n", "||" + strings.Repeat("Document [3](Title: B) bcdef\n", 9)},
		},
		{
			"numbered documents of several paragraphs", "Document [1](Title: A)\n" + long + "\nDocument [2](Title: B)\n" + long + "\nWhy is it so, then?",
			"Why is it so, then?",
			[]string{"A||" + long + "\n", "B||" + long + "\n"},
		},
		{"a long text and a question behind", huge + "\nWhere does the treasure lie?", "Where does the treasure lie?", []string{"||" + huge + "\n"}},
		{"a long text and a question before", "Where does the treasure lie?\n\n" + huge, "Where does the treasure lie?", []string{"||" + huge}},
		{"a greeting and a question", "Hello!\n\nWhere does the treasure lie?\n\n" + huge, "Hello!\n\nWhere does the treasure lie?", []string{"||" + huge}},
		{"a long text between orders", "Summarize the text.\n\n" + huge + "\nBe brief, and name the numbers.", "Summarize the text.\nBe brief, and name the numbers.", []string{"||" + huge + "\n"}},
		{"Windows line ends", strings.ReplaceAll(huge+"\nWhere does the treasure lie?", "\n", "\r\n"), "Where does the treasure lie?", []string{"||" + strings.ReplaceAll(huge+"\n", "\n", "\r\n")}},
		{"lines without paragraphs", wide + strings.ReplaceAll(huge, "\n\n", "\n") + "Which number is the largest?", "Which number is the largest?", []string{
			"||" + wide + strings.ReplaceAll(huge, "\n\n", "\n"),
		}},
		{"a labelled question of several paragraphs", huge + "\nQuestion: Which function\n\ndoes this?\n\nAnswer:", "Which function\n\ndoes this?", []string{"||" + huge + "\n"}},
		{
			"instructions that announce a question", "Answer the question from the documents.\n\nDocument [1](Title: A) " + line + "\nDocument [2](Title: B) " + line + "\n\nwhen was the mill built",
			"when was the mill built",
			[]string{"A||" + line + "\n", "B||" + line + "\n"},
		},
		{"nothing but a long line", strings.Repeat("x", 5000), "", []string{"||" + strings.Repeat("x", 5000)}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			regions, question := material(c.text, nil)
			if question != c.question {
				t.Errorf("question %.200q\nwant     %.200q", question, c.question)
			}
			var got []string
			for _, r := range regions {
				got = append(got, r.name+"|"+r.language+"|"+c.text[r.start:r.end])
			}
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", c.regions) {
				t.Errorf("material %.300q\nwant     %.300q", got, c.regions)
			}
		})
	}
}

// FuzzMaterial divides any text by any rules: the regions are in order, apart, in whole characters and the same each time, and
// what is read as the question is text.
func FuzzMaterial(f *testing.F) {
	f.Add("<document>\n"+essay(30, "mill")+"</document>\n```\nx\n```\nDocument [1](Title: (a) b\n\nQuestion: why?\nAnswer:", "")
	f.Add(strings.Repeat("<a>\n", 100)+strings.Repeat("</a>\n", 100), "<a>...</a>")
	f.Add("Paper: "+essay(10, "mill")+"End. Why is it é?", "Paper: ...End.\nPaper...\n")
	f.Add("<|fim_prefix|>"+essay(40, "mill")+"<|fim_suffix|>x", "")
	f.Fuzz(func(t *testing.T, text, lines string) {
		rules, err := ParseDocumentRules(lines)
		if err != nil || !utf8.ValidString(text) {
			return // a body that is not UTF-8 is forwarded as it is
		}
		for name, divide := range map[string]func(string, []DocumentRule) ([]region, string){"message": material, "prompt": completionMaterial} {
			regions, question := divide(text, rules)
			at := 0
			for _, r := range regions {
				if r.start < at || r.end < r.start || r.end > len(text) {
					t.Fatalf("%s: region [%d, %d) behind %d of %d", name, r.start, r.end, at, len(text))
				}
				if !utf8.ValidString(text[at:r.start]) || !utf8.ValidString(text[r.start:r.end]) {
					t.Fatalf("%s: region [%d, %d) cuts a character", name, r.start, r.end)
				}
				at = r.end
			}
			if !utf8.ValidString(question) {
				t.Fatalf("%s: the question %q cuts a character", name, question)
			}
			if again, asked := divide(text, rules); !slices.Equal(again, regions) || asked != question {
				t.Fatalf("%s: divided otherwise the second time", name)
			}
		}
	})
}
