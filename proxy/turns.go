package proxy

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pith-llm/pith/compressors"
)

// Bounds of a query's parts, in bytes: a longer query costs more than it says.
const (
	maxTask  = 6000
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
	kind  turnKind
	// talked is how much was said up to its end, system texts aside, in bytes: with previous_response_id they come again.
	talked int
}

// turnKind says what a turn is made of.
type turnKind uint8

const (
	turnQuestion turnKind = iota // of a user
	turnTools                    // what tools returned
	turnPrompt                   // a text to be completed
)

// findTurns cuts the conversation into turns with the query and the spans of each. What it finds in a turn depends on
// the messages up to the turn's end alone, and of these on their texts, not on ids, marks or list form. A system message
// belongs to the turn that it opens: its documents are read for the first question. It returns also what was said up to
// the end.
func findTurns(c conversation, p policy, fileReads bool, rules []DocumentRule) ([]turn, dialogue) {
	var turns []turn
	var so dialogue
	if p.before != nil {
		so = p.before.clone()
	}
	if so.calls == nil {
		so.calls = map[string]call{}
	}
	for at := 0; at < len(c.messages); {
		switch first := c.messages[at]; first.role {
		case roleAssistant:
			for ; at < len(c.messages) && c.messages[at].role == roleAssistant; at++ {
				so.say(c.messages[at])
			}
			continue
		case rolePrompt:
			at++
			for _, text := range first.texts {
				turns = append(turns, promptTurn(text, p, rules))
			}
			continue
		case roleOther, roleSystem, roleUser, roleTool:
		}
		so.answering = false
		var t turn
		var words, edges []string
		var standing []textAt // of system messages
		for ; at < len(c.messages) && c.messages[at].role != roleAssistant; at++ {
			m := c.messages[at]
			switch m.role {
			case roleSystem:
				standing = append(standing, m.texts...)
			case roleUser:
				so.listen(m)
				var result told
				for _, text := range m.texts {
					if start, ok := result.read(text.text); ok {
						t.kind = turnTools
						t.addResult(text, start, result.call, fileReads)
						continue
					}
					switch said, edge := t.addUser(text, rules); {
					case said == "":
					case edge:
						edges = append(edges, said)
					default:
						words = append(words, said)
					}
				}
			case roleTool:
				t.kind = turnTools
				so.listen(m)
				called, known := so.answered(m)
				if !fileReads && so.partial && !known {
					continue
				}
				for _, text := range m.texts {
					t.addResult(text, 0, called, fileReads)
				}
			case roleOther, roleAssistant, rolePrompt:
			}
		}
		question := strings.Join(words, "\n")
		if len(question) <= maxStub {
			question = strings.Join(append(edges, words...), "\n")
		}
		if question != "" {
			so.task = question
		}
		switch {
		case p.query != "":
			t.query = p.query
		case t.kind == turnTools:
			t.query = toolQuery(so.task, so.said)
		default:
			t.query = ends(so.task, maxTask)
		}
		if len(t.query) > maxStub { // a greeting says nothing about documents that stay for the whole talk
			for _, text := range standing {
				for _, r := range systemDocuments(text.text, rules) {
					t.add(text, r)
				}
			}
		}
		t.talked = so.talked
		turns = append(turns, t)
	}
	return turns, so
}

// dialogue is what was said up to some point, as far as later turns refer to it.
type dialogue struct {
	task  string          // the user's last question
	said  message         // what the assistant said last, in however many messages
	calls map[string]call // of the assistant, by id
	// talked is how much was said, in bytes.
	talked int
	// answering says that the assistant spoke last: what it says next belongs to the same answer.
	answering bool
	// partial says that something was said before that is not known.
	partial bool
}

// clone returns a copy that may be added to.
func (d *dialogue) clone() dialogue {
	c := *d
	c.calls = maps.Clone(d.calls)
	c.said.texts, c.said.calls = slices.Clip(d.said.texts), slices.Clip(d.said.calls)
	return c
}

// say adds a message of the assistant.
func (d *dialogue) say(m message) {
	if !d.answering {
		d.said, d.answering = message{}, true
	}
	d.partial = d.partial || m.reference
	d.listen(m)
	d.said.texts = append(d.said.texts, m.texts...)
	d.said.calls = append(d.said.calls, m.calls...)
	for _, call := range m.calls {
		d.calls[call.id] = call
	}
}

// listen counts what a message says.
func (d *dialogue) listen(m message) {
	for _, text := range m.texts {
		d.talked += len(text.text)
	}
	for _, call := range m.calls {
		d.talked += len(call.arguments)
	}
}

// promptTurn is the turn of a text to be completed.
func promptTurn(text textAt, p policy, rules []DocumentRule) turn {
	regions, query := completionMaterial(text.text, rules)
	t := turn{query: query, kind: turnPrompt, talked: len(text.text)}
	if p.query != "" {
		t.query = p.query
	}
	for _, r := range regions {
		t.add(text, r)
	}
	return t
}

// addUser adds the material of a user's text and returns the user's own words. edge says that they are only where a text that is
// material throughout begins and ends, and ask nothing: they give way to what is said beside it.
func (t *turn) addUser(text textAt, rules []DocumentRule) (words string, edge bool) {
	if text.document {
		t.add(text, region{end: len(text.text), name: text.title})
		return "", false
	}
	if isClientNote(text.text) {
		return "", false
	}
	regions, words, marked := markedMaterial(text.text, rules)
	if !marked {
		regions, words = around(text.text)
	}
	for _, r := range regions {
		t.add(text, r)
	}
	return words, !marked && len(regions) > 0 && !asks(words)
}

// clientNotes begin texts that a client says in the user's name: instructions of the project, the state of the session,
// files that an edit will quote. They are neither cut nor asked about.
var clientNotes = [...]string{
	"# AGENTS.md instructions for ", "<user_instructions>", "<environment_context>", "<permissions instructions>", "<system-reminder>",
	"<environment_details>",
	"I have *added these files to the chat*", "Here are some READ ONLY files", "Here are summaries of some files present in my git repository",
	"Here is the current content of the files", "I am not sharing any files that you can edit yet", "I am not sharing the full contents of any files",
}

// isClientNote reports whether a text is nothing but a client's note. A text under a tag may go on behind it.
func isClientNote(text string) bool {
	text = strings.TrimSpace(text)
	for _, note := range clientNotes {
		if !strings.HasPrefix(text, note) {
			continue
		}
		if name, _, ok := strings.Cut(note[1:], ">"); ok && note[0] == '<' {
			return strings.HasSuffix(text, "</"+name+">") && strings.Count(text, note) == 1
		}
		return true
	}
	return false
}

// addResult adds what a call returned, which begins at start; not of a file that an edit may quote unless fileReads is set.
func (t *turn) addResult(text textAt, start int, called call, fileReads bool) {
	if isClientNote(text.text) || !fileReads && readsFile(called) {
		return
	}
	name := cmp.Or(text.title, argument(called.arguments, pathArguments...), called.name)
	t.add(text, region{start: start, end: len(text.text), name: name})
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
func (d *dialogue) answered(m message) (called call, known bool) {
	if called, ok := d.calls[m.callID]; ok && m.callID != "" {
		return called, true
	}
	return call{name: m.name}, m.name != ""
}

// readsFile reports whether a call returns a file, or a part of one, that an edit may quote: that must stay exact.
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
	case "strreplaceeditor", "strreplacebasededittool", "texteditor", "editor", "edit", "editfile", "multiedit", "write", "writefile", "writetofile", "createfile",
		"replaceinfile", "searchandreplace", "searchreplace", "insertcontent", "applydiff", "applypatch": // they tell what became of the file
		return true
	case "bash", "shell", "sh", "exec", "execcommand", "executebash", "executecommand", "runcommand", "runshellcommand", "runterminalcmd", "runinterminal", "terminal", "localshell":
		return printsFile(argument(c.arguments, "command", "cmd", "script", "input", "commands"))
	}
	return false
}

// printsFile reports whether a shell command prints a file: whether one of its commands is a pipe of nothing but printers.
func printsFile(command string) bool {
	for _, separator := range [...]string{"&&", "||", ";"} {
		command = strings.ReplaceAll(command, separator, "\n")
	}
	for line := range strings.SplitSeq(command, "\n") {
		prints := strings.TrimSpace(line) != ""
		for stage := range strings.SplitSeq(line, "|") {
			words := strings.Fields(stage)
			prints = prints && len(words) > 0 && isPrinter(words[0])
		}
		if prints {
			return true
		}
	}
	return false
}

// isPrinter reports whether a command prints the lines that it reads.
func isPrinter(command string) bool {
	switch strings.TrimLeft(command[strings.LastIndexByte(command, '/')+1:], `"'(`) {
	case "cat", "sed", "head", "tail", "nl", "less", "more", "bat", "batcat", "type", "tac":
		return true
	}
	return false
}

// pathArguments are the names under which calls pass a path.
var pathArguments = []string{"path", "file_path", "filePath", "filename", "file", "target_file", "absolute_path", "url"}

// argument returns the first of the named members of a call's arguments that is a string, or the words of a command, ""
// if there is none.
func argument(arguments string, names ...string) string {
	values := map[string]string{}
	s := scanner{data: []byte(arguments)}
	err := s.object(func(key string) error {
		if s.peek() != '[' {
			value, err := s.text(1)
			values[key] = value
			return err
		}
		var words []string
		err := s.array(func() error {
			word, err := s.text(2)
			words = append(words, word)
			return err
		})
		if len(words) == 3 && strings.HasPrefix(words[1], "-") && strings.HasSuffix(words[1], "c") {
			words = words[2:] // what a shell is asked to run
		}
		values[key] = strings.Join(words, " ")
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
