package proxy

import (
	"fmt"
	"strings"
	"testing"
)

func TestFilesUnderPaths(t *testing.T) {
	python := "import os\n\n\n" + strings.Repeat("def run(path):\n    \"\"\"Run what is at path.\n\n    Nothing is returned.\n    \"\"\"\n    return os.system(path)\n\n\n", 20)
	rust := strings.Repeat("fn add(a: u32, b: u32) -> u32 {\n    a + b\n}\n\n", 40)
	files := "src/run.py\n" + python + "lib/add.rs\n" + rust
	both := []string{"src/run.py|" + python, "lib/add.rs|" + rust}
	issue := "Running a directory fails\nWhen the path is a directory, `run` returns an error:\n\n```\n>>> run('/tmp')\n32256\n```\n\n" +
		"    a quoted line\n\nIt should list what is there, or say what is wrong.\n"
	near := strings.TrimSuffix(strings.Repeat("    x = 1\n", 2*queryLines), "\n")
	for _, c := range []struct {
		name, text, question string
		files                []string
	}{
		{"a question behind", files + "\nWhere are two numbers added, and why so?", "Where are two numbers added, and why so?", both},
		{"a question before", "Where are two numbers added?\n\n" + files, "Where are two numbers added?", both},
		{"an issue with code behind", "Which lines of these files must be changed?\n\n" + files + "\n" + issue, strings.TrimSpace(issue), both},
		{"a title that ends like code", "Which lines of these files must be changed?\n\n" + files + "\nFix a regression in adding numbers (#4819)\n\nReverts #4795;", "Fix a regression in adding numbers (#4819)\n\nReverts #4795;", both},
		{"a question and a remark", "Where are two numbers added?\n\n" + files + "\nThe files are from our own repository.", "The files are from our own repository.\nWhere are two numbers added?", both},
		{"a text to be continued", "Write the next line of code.\n\n" + files + "main.py\n" + python + near, strings.Trim(near, "\n"), append(both, "main.py|"+python)},
		{"an order before", "Explain the second file.\n\n" + files, "Explain the second file.", both},
	} {
		t.Run(c.name, func(t *testing.T) {
			regions, question := material(c.text, nil)
			if question != c.question {
				t.Errorf("question %.300q\nwant     %.300q", question, c.question)
			}
			var got, want []string
			for _, r := range regions {
				got = append(got, r.name+"|"+strings.TrimSpace(c.text[r.start:r.end]))
			}
			for _, f := range c.files {
				want = append(want, strings.TrimSpace(f))
			}
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
				t.Errorf("files %.400q\nwant  %.400q", got, want)
			}
		})
	}
}

func TestWhatIsNotUnderPaths(t *testing.T) {
	code := strings.Repeat("def f(x):\n    return x\n\n", 200)
	for name, text := range map[string]string{
		"fences under paths": "Fix it.\n\nsrc/a.py\n```\n" + code + "```\n",
		"a list of files":    strings.Repeat("src/a.py\nsrc/b.py\n", 300) + "\nWhich of these are tests?",
		"a tag first":        "<file>\nsrc/a.py\n" + code + "</file>\nWhy?",
		"little code":        "src/a.py\n" + code[:400] + "\nWhy is that so?",
		"calls and lists":    "Why?\n\n" + strings.Repeat("self.go\nthis.run(a.py)\n- src/a.py\n", 200),
	} {
		if files, _, ok := underPaths(text); ok {
			t.Errorf("%s: %d files were found", name, len(files))
		}
	}
}

func TestPathLine(t *testing.T) {
	for line, want := range map[string]string{
		"src/a.py\n": "src/a.py", "go.mod\n": "", "setup.py": "setup.py", "a.c": "", "x/a.c": "x/a.c", "print(a.py)": "", "//a.py": "", "a b.py": "",
		"http.Get": "", "README.md\r\n": "README.md", "": "",
	} {
		if got := pathLine(line); got != want {
			t.Errorf("%q is the path %q, want %q", line, got, want)
		}
	}
}
