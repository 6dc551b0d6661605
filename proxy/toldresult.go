package proxy

import (
	"encoding/json"
	"strings"
)

// maxToldCall bounds what is read of the line that names a call, in bytes: it may hold a shell's command.
const maxToldCall = 4 << 10

// told is the result of a call that a client tells in the user's name, since its models call tools in words (Cline, Roo Code and
// their kin): a line such as "[read_file for 'src/a.ts'] Result:", and then what came, in the same text or the next ones. aider
// tells what a command that its user ran has printed.
type told struct {
	under bool // such a line came in this message
	call  call
}

// read returns where the result begins in a text of a user's message; ok is false if the text is none, but the user's own.
func (r *told) read(text string) (start int, ok bool) {
	called, behind, isHead := toldCall(text)
	switch {
	case isHead:
		r.under, r.call = true, called
		return behind, true
	case !r.under, speaksForUser(text):
		return 0, false
	}
	return 0, true
}

// speaksForUser reports whether a text under a result is what the user said of it.
func speaksForUser(text string) bool {
	head := headOf(text, maxToldCall)
	for _, tag := range [...]string{"<feedback>", "<answer>", "<user_message>"} {
		if strings.Contains(head, tag) {
			return true
		}
	}
	return false
}

// The words of aider before a command and before what it printed.
const (
	ranCommand   = "I ran this command:\n\n"
	printedThere = "\n\nAnd got this output:\n\n"
)

// toldCall reads the line that names a call: its name, and the argument behind "for", which stands for a path and a command.
func toldCall(text string) (called call, behind int, ok bool) {
	if rest, ok := strings.CutPrefix(text, ranCommand); ok {
		command, _, ok := strings.Cut(headOf(rest, maxToldCall), printedThere)
		return call{name: "shell", arguments: argumentOf(command)}, len(ranCommand) + len(command) + len(printedThere), ok
	}
	if !strings.HasPrefix(text, "[") {
		return call{}, 0, false
	}
	head, _, ok := strings.Cut(headOf(text, maxToldCall), "] Result:")
	if !ok {
		return call{}, 0, false
	}
	behind = len(head) + len("] Result:")
	name, rest, _ := strings.Cut(head[1:], " ")
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return call{}, 0, false
	}
	called.name = name
	if argument, ok := strings.CutPrefix(rest, "for '"); ok {
		argument, _, _ = strings.Cut(argument, "' in '") // where a pattern was searched
		called.arguments = argumentOf(strings.TrimSuffix(argument, "'"))
	}
	return called, behind, true
}

// argumentOf returns arguments in which one is both a path and a command.
func argumentOf(argument string) string {
	arguments, err := json.Marshal(map[string]string{"path": argument, "command": argument})
	if err != nil {
		return ""
	}
	return string(arguments)
}
