package proxy

import (
	"strings"
	"unicode/utf8"

	"github.com/pith-llm/pith/compressors"
)

// Bounds of a query's parts, in bytes: a longer query costs more than it says.
const (
	maxTask  = 2000
	maxWords = 600
	maxCall  = 400
)

// span is a text that pith may shorten: bytes [start, end) of one text of a message.
type span struct {
	at         textAt
	start, end int
	text       compressors.Text
}

// turn is the run of non-assistant messages that one reply answers.
type turn struct {
	query string
	spans []span
}

// findTurns cuts the conversation into turns with the query and the spans of each. What it finds in a turn depends on
// the messages up to the turn's end alone, and of these on their texts, not on ids, marks or list form.
func findTurns(c conversation, p policy, fileReads bool) []turn {
	var turns []turn
	task := ""       // the user's last question
	var said message // the assistant's last message
	calls := map[string]call{}
	for at := 0; at < len(c.messages); {
		if c.messages[at].role == roleAssistant {
			said = c.messages[at]
			for _, call := range said.calls {
				calls[call.id] = call
			}
			at++
			continue
		}
		first := at
		for at < len(c.messages) && c.messages[at].role != roleAssistant {
			at++
		}
		var t turn
		var words []string
		tools := false
		for _, m := range c.messages[first:at] {
			switch m.role {
			case roleUser:
				for _, text := range m.texts {
					regions, question := material(text.text)
					if question != "" {
						words = append(words, question)
					}
					for _, r := range regions {
						t.add(text, r)
					}
				}
			case roleTool:
				tools = true
				called := answered(m, calls)
				if !fileReads && readsFile(called) {
					continue
				}
				for _, text := range m.texts {
					name := argument(called.arguments, pathArguments...)
					if name == "" {
						name = called.name
					}
					t.add(text, region{end: len(text.text), name: name})
				}
			case roleOther, roleSystem, roleAssistant, rolePrompt:
			}
		}
		if question := strings.Join(words, "\n"); question != "" {
			task = question
		}
		switch {
		case p.query != "":
			t.query = p.query
		case tools:
			t.query = toolQuery(task, said)
		default:
			t.query = ends(task, maxTask)
		}
		turns = append(turns, t)
	}
	return turns
}

func (t *turn) add(at textAt, r region) {
	if r.end-r.start < minRegion {
		return
	}
	content := at.text[r.start:r.end]
	t.spans = append(t.spans, span{at, r.start, r.end, compressors.Text{Name: r.name, Language: r.language, Content: content}})
}

// toolQuery is what a tool's result is read for: the user's task, the assistant's last words and the calls.
func toolQuery(task string, said message) string {
	parts := []string{ends(task, maxTask)}
	var words []string
	for _, text := range said.texts {
		words = append(words, text.text)
	}
	parts = append(parts, tailOf(strings.TrimSpace(strings.Join(words, "\n")), maxWords))
	for _, call := range said.calls {
		parts = append(parts, strings.TrimSpace(call.name+" "+headOf(call.arguments, maxCall)))
	}
	var query []string
	for _, part := range parts {
		if part != "" {
			query = append(query, part)
		}
	}
	return headOf(strings.Join(query, "\n"), 2*maxTask)
}

// ends keeps the first quarter and the last three quarters of a text that is longer than limit bytes: people ask first
// or last.
func ends(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return headOf(text, limit/4) + "\n" + tailOf(text, limit-limit/4-1)
}

func headOf(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

func tailOf(text string, limit int) string {
	at := max(0, len(text)-limit)
	for at < len(text) && !utf8.RuneStart(text[at]) {
		at++
	}
	return text[at:]
}

// answered returns the call that a tool message answers; of a function result in the older form only the name is known.
func answered(m message, calls map[string]call) call {
	if called, ok := calls[m.callID]; ok && m.callID != "" {
		return called
	}
	return call{name: m.name}
}

// readsFile reports whether a call reads a file that an edit may quote: what it returned must stay exact.
func readsFile(c call) bool {
	name := strings.ToLower(c.name)
	if at := strings.LastIndexAny(name, ".:/"); at >= 0 {
		name = name[at+1:] // a server's prefix
	}
	if at := strings.LastIndex(name, "__"); at >= 0 {
		name = name[at+2:]
	}
	switch strings.NewReplacer("_", "", "-", "").Replace(name) {
	case "read", "readfile", "readfiles", "readmanyfiles", "readmultiplefiles", "readtextfile", "fileread", "filereader", "view", "viewfile", "viewsource",
		"cat", "open", "openfile", "getfile", "getfilecontent", "getfilecontents", "loadfile", "showfile", "notebookread", "readnotebook":
		return true
	case "strreplaceeditor", "strreplacebasededittool", "texteditor", "editor", "edit":
		return true
	case "bash", "shell", "sh", "exec", "execcommand", "executebash", "executecommand", "runcommand", "runshellcommand", "runterminalcmd", "runinterminal", "terminal", "localshell":
		return printsFile(argument(c.arguments, "command", "cmd", "script", "input"))
	}
	return false
}

// printsFile reports whether a shell command prints a file.
func printsFile(command string) bool {
	// The directory change that agents put first says nothing.
	if rest, ok := strings.CutPrefix(strings.TrimSpace(command), "cd "); ok {
		if _, after, found := strings.Cut(rest, "&&"); found {
			command = after
		}
	}
	words := strings.Fields(command)
	if len(words) == 0 || strings.Contains(command, "|") {
		return false
	}
	switch words[0][strings.LastIndexByte(words[0], '/')+1:] {
	case "cat", "sed", "head", "tail", "nl", "less", "more", "bat", "type":
		return true
	}
	return false
}

// pathArguments are the names under which calls pass a path.
var pathArguments = []string{"path", "file_path", "filePath", "filename", "file", "target_file", "absolute_path", "url"}

// argument returns the first of the named string members of a call's arguments, "" if there is none.
func argument(arguments string, names ...string) string {
	values := map[string]string{}
	s := scanner{data: []byte(arguments)}
	err := s.object(func(key string) error {
		value, err := s.text(1)
		values[key] = value
		return err
	})
	if err != nil {
		return ""
	}
	for _, name := range names {
		if value := values[name]; value != "" {
			return value
		}
	}
	return ""
}
