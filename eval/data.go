package eval

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"unicode/utf8"

	"github.com/pith-llm/pith/compressors"
)

// Case is one query over its texts, with what an answer needs.
type Case struct {
	// ID is unique within a file; Task names what kind of case it is; Source and License say where its texts are from.
	ID, Task, Source, License string
	// Query is a question, a description, an issue, or the code before the cursor.
	Query string
	// Texts are the documents and files, or the tool results of a chat, in prompt order.
	Texts []compressors.Text
	// Answers are the accepted answers.
	Answers []string
	// Gold holds what must survive; its zero value means that the case is not labelled.
	Gold Gold
	// Messages is the chat of which Texts are the tool results, if the case is one.
	Messages []Message
	// Instruction is the task prompt that comes before the texts, Metric how the data says an answer is scored.
	Instruction, Metric string
}

// Gold is what an answer to a case needs.
type Gold struct {
	// Texts are the indices of the gold segments of the data: whole documents, files or tool results.
	Texts []int
	// Parts are the labelled lines, spans, strings or answers within them. A gold text may hold none.
	Parts []Part
}

// Part is one thing that must survive. Each of its places alone is enough.
type Part struct {
	Places []Place
}

// Message is one message of a chat.
type Message struct {
	Role, Content string
	// Raw is the message as the data has it, tool calls and all.
	Raw json.RawMessage
}

// UnmarshalJSON keeps the message as it is beside what is read of it. A content of null is empty.
func (m *Message) UnmarshalJSON(raw []byte) error {
	var fields struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	if err := json.Unmarshal(raw, &fields); err != nil {
		return err
	}
	*m = Message{Role: fields.Role, Content: fields.Content, Raw: bytes.Clone(raw)}
	return nil
}

// Place is the half-open byte range [Start, End) of the text with index Text.
type Place struct {
	Text, Start, End int
}

// record is a case as a line of a file holds it.
type record struct {
	ID      string `json:"id"`
	Task    string `json:"task"`
	Source  string `json:"source"`
	License string `json:"license"`
	Query   string `json:"query"`
	Context []struct {
		Name string `json:"name"`
		Text string `json:"text"`
		Lang string `json:"lang"`
	} `json:"context"`
	Messages     []Message `json:"messages"`
	Answers      []string  `json:"answers"`
	GoldSegments []int     `json:"gold_segments"`
	Meta         labels    `json:"meta"`
}

// labels are the fields of meta that say what must survive.
type labels struct {
	GoldLines [][3]int `json:"gold_lines"`
	GoldSpans [][3]int `json:"gold_spans"`
	GoldText  []string `json:"gold_text"`
	Needed    []string `json:"needed"`
	// GoldIdentifiers are the names that the answer speaks of, in the gold segments or not.
	GoldIdentifiers []string `json:"gold_identifiers"`

	Instruction string `json:"instruction"`
	Metric      string `json:"metric"`
}

// Load reads the cases of a JSON Lines file, plain or gzip, found out from its first bytes. An error names the file and,
// where it is about one case, its line.
func Load(path string) ([]Case, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	cases, err := read(file)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	return cases, nil
}

// read reads cases. Its errors start with the line's number, or with a space where they are about no line.
func read(r io.Reader) ([]Case, error) {
	lines := bufio.NewReaderSize(r, 1<<16)
	if magic, _ := lines.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unpacked, err := gzip.NewReader(lines)
		if err != nil {
			return nil, fmt.Errorf(" %w", err)
		}
		lines = bufio.NewReaderSize(unpacked, 1<<16)
	}
	var cases []Case
	lineOf := map[string]int{}
	for number := 1; ; number++ {
		// Lines end with "\n" alone: strings may hold U+2028 and what else is called a line end.
		line, err := lines.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%d: %w", number, err)
		}
		if len(bytes.TrimSpace(line)) > 0 {
			c, err := parseCase(line)
			if err != nil {
				return nil, fmt.Errorf("%d: %w", number, err)
			}
			if first, ok := lineOf[c.ID]; ok {
				return nil, fmt.Errorf("%d: id %q is also on line %d", number, c.ID, first)
			}
			lineOf[c.ID] = number
			cases = append(cases, c)
		}
		if err != nil {
			break
		}
	}
	if len(cases) == 0 {
		return nil, errors.New(" holds no cases")
	}
	return cases, nil
}

func parseCase(line []byte) (Case, error) {
	if !utf8.Valid(line) {
		return Case{}, errors.New("not UTF-8")
	}
	var r record
	if err := json.Unmarshal(line, &r); err != nil {
		return Case{}, fmt.Errorf("not a case: %w", err)
	}
	switch {
	case r.ID == "":
		return Case{}, errors.New("no id")
	case r.Task == "":
		return Case{}, fmt.Errorf("case %s has no task", r.ID)
	case len(r.Context) == 0 && len(r.Messages) == 0:
		return Case{}, fmt.Errorf("case %s has neither context nor messages", r.ID)
	case len(r.Context) > 0 && len(r.Messages) > 0:
		return Case{}, fmt.Errorf("case %s has both context and messages", r.ID)
	}
	c := Case{
		ID: r.ID, Task: r.Task, Source: r.Source, License: r.License, Query: r.Query, Answers: r.Answers,
		Messages: r.Messages, Instruction: r.Meta.Instruction, Metric: r.Meta.Metric,
	}
	for _, s := range r.Context {
		c.Texts = append(c.Texts, compressors.Text{Name: s.Name, Language: s.Lang, Content: s.Text})
	}
	gold := r.GoldSegments
	if len(r.Messages) > 0 {
		var err error
		if gold, err = c.takeToolResults(r); err != nil {
			return Case{}, fmt.Errorf("case %s: %w", r.ID, err)
		}
	}
	var err error
	if c.Gold, err = locate(c.Texts, gold, r.Meta, r.Answers); err != nil {
		return Case{}, fmt.Errorf("case %s: %w", r.ID, err)
	}
	return c, nil
}

// takeToolResults makes the tool messages of a chat the texts of the case: only they may change. It returns the
// indices of the gold ones.
func (c *Case) takeToolResults(r record) (gold []int, err error) {
	textOf := map[int]int{}
	for i, m := range r.Messages {
		if m.Role == "tool" {
			textOf[i] = len(c.Texts)
			c.Texts = append(c.Texts, compressors.Text{Content: m.Content})
		}
	}
	if len(c.Texts) == 0 {
		return nil, errors.New("no message is a tool result")
	}
	for _, i := range r.GoldSegments {
		if i < 0 || i >= len(r.Messages) {
			return nil, fmt.Errorf("gold segment %d: there are %d messages", i, len(r.Messages))
		}
		// A gold message of another role is never compressed: it cannot be lost.
		if text, ok := textOf[i]; ok {
			gold = append(gold, text)
		}
	}
	return gold, nil
}

// sample returns n of the cases in their order: the first ones if seed is 0, else ones drawn with it. All, if n is 0 or
// there are no more.
func sample(cases []Case, n int, seed uint64) []Case {
	if n <= 0 || n >= len(cases) {
		return cases
	}
	if seed == 0 {
		return cases[:n]
	}
	drawn := rand.New(rand.NewPCG(seed, 0)).Perm(len(cases))[:n]
	slices.Sort(drawn)
	chosen := make([]Case, n)
	for i, at := range drawn {
		chosen[i] = cases[at]
	}
	return chosen
}
