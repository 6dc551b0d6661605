package scoring

import (
	"encoding/binary"
	"strings"

	"github.com/pith-llm/pith/cache"
	"github.com/pith-llm/pith/scoring/tokenizer"
)

const (
	// maxQueryTokens is how much of the query the decoder reads: the cost of a score grows with it, and what a long query
	// asks for is near its beginning, or in code before a cursor near its end.
	maxQueryTokens = 96
	// maxQueryBytes does the same for the encoder and before tokens are counted.
	maxQueryBytes = 1024

	// questionStart comes between segment and question. LongLLMLingua (Jiang et al. 2023) also puts "We can get the answer
	// to this question in the given documents." after the question, and counts it. With SmolLM2-135M that made things
	// worse: on the first 24 cases of nq_multidoc the mean reciprocal rank of the gold segment is 0.49 without and 0.39
	// with it, on commit_localize, HotpotQA and MuSiQue (31 cases) there is no difference beyond noise; and for a short
	// question it is half of the cost.
	questionStart = "\n\nQuestion:"
	// answerStart comes after a question, so that the next token is the answer's first.
	answerStart = "\nAnswer:"
)

// query is what is asked, in the forms that the terms read.
type query struct {
	text  string
	focus string // text without the instruction before it
	short string // the beginning of focus, or the end of code
	// headline is the first line of short where more follow and it says something of its own, as in the message of a commit
	// or in an issue; else short.
	headline string
	code     bool
}

func newQuery(text string) query {
	q := query{text: text, focus: text, code: isCode(text)}
	if q.code {
		q.short = strings.Trim(text, "\n")
		if cut := len(q.short) - maxQueryBytes; cut > 0 {
			q.short = q.short[cut:]
			if line := strings.IndexByte(q.short, '\n'); line >= 0 {
				q.short = q.short[line+1:]
			}
			q.short = strings.ToValidUTF8(q.short, "")
		}
		q.headline = q.short
		return q
	}
	q.focus = focus(text)
	q.short = q.focus
	if len(q.short) > maxQueryBytes {
		q.short = strings.ToValidUTF8(q.short[:maxQueryBytes], "")
	}
	q.headline = q.short
	if line, rest, _ := strings.Cut(q.short, "\n"); strings.TrimSpace(rest) != "" && len(strings.Fields(line)) >= minHeadlineWords {
		q.headline = line
	}
	return q
}

// minHeadlineWords is how many words a first line has that says what a query is about.
const minHeadlineWords = 3

// labels open the part of a query that says what is looked for; what precedes them tells what to do with it.
var labels = wordSet("description question query task issue request problem")

// focus returns what stands behind the last line that is such a label, alone or with the text on the same line; all of the
// text without one.
func focus(text string) string {
	at := 0
	end := 0
	for line := range strings.Lines(text) {
		word, rest, found := strings.Cut(strings.TrimSpace(strings.TrimLeft(line, "#* ")), ":")
		if found && labels[strings.ToLower(strings.TrimRight(word, "* "))] {
			at = end + strings.IndexByte(line, ':') + 1
			if strings.Trim(rest, "* ") == "" {
				at = end + len(line)
			}
		}
		end += len(line)
	}
	if focused := strings.TrimSpace(text[at:]); focused != "" {
		return focused
	}
	return strings.TrimSpace(text)
}

// isCode tells the code before a cursor from a question, an issue or a commit's message, which may hold code too: it does
// not begin with prose, and most of its lines look like code or comments.
func isCode(text string) bool {
	lines, code := 0, 0
	begun := false
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		if trimmed == "" {
			continue
		}
		lines++
		if !begun && len(strings.Fields(line)) >= minHeadlineWords { // what is shorter, such as a tag or a brace, tells nothing
			begun = true
			if isProse(line) {
				return false
			}
		}
		if looksLikeCode(line, trimmed) {
			code++
		}
	}
	return lines >= 3 && 3*code >= 2*lines
}

func looksLikeCode(line, trimmed string) bool {
	switch trimmed[0] {
	case '#', '*', '/', '@', '}':
		return true
	}
	return line[0] == ' ' || line[0] == '\t' || strings.ContainsRune("{}();,:=", rune(trimmed[len(trimmed)-1])) ||
		strings.ContainsAny(trimmed, "{};<>=") || strings.Contains(trimmed, "::")
}

// isProse tells a line of some words of a text for people: not indented, not begun by a keyword, and at least half of it plain words.
func isProse(line string) bool {
	if line[0] == ' ' || line[0] == '\t' {
		return false
	}
	line = strings.TrimSpace(line)
	if strings.Contains(line, " = ") || strings.ContainsRune("{};", rune(line[len(line)-1])) || !isWordRune(rune(line[0])) && line[0] != '(' && line[0] != '[' {
		return false
	}
	fields := strings.Fields(line)
	if keywords[fields[0]] {
		return false
	}
	words := 0
	for _, field := range fields {
		if isPlainWord(strings.Trim(field, ".,:;!?\"'`()[]")) {
			words++
		}
	}
	return 2*words >= len(fields)
}

// isPlainWord reports whether a word is of letters alone, but for hyphens and apostrophes, and not a single consonant.
func isPlainWord(word string) bool {
	for i := range len(word) {
		if c := word[i]; c < 0x80 && c != '-' && c != '\'' && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return len(word) > 1 || word == "a" || word == "A" || word == "I"
}

// prompt is a query as the decoder reads it after a segment.
type prompt struct {
	tokens []int32
	from   int // the first token that counts: what comes before is the same for all queries
	to     int // and behind the last: what comes after asks for an answer
}

func (q query) prompt(bpe *tokenizer.BPE) prompt {
	var p prompt
	if q.code {
		p.tokens = bpe.Encode(nil, "\n\n")
		p.from = len(p.tokens)
		own := bpe.Encode(nil, q.short)
		p.tokens = append(p.tokens, own[max(0, len(own)-maxQueryTokens):]...)
		p.to = len(p.tokens)
	} else {
		p.tokens = bpe.Encode(nil, questionStart)
		p.from = len(p.tokens)
		own := bpe.Encode(nil, " "+q.short)
		p.tokens = append(p.tokens, own[:min(len(own), maxQueryTokens)]...)
		p.to = len(p.tokens)
		p.tokens = bpe.Encode(p.tokens, answerStart)
	}
	return p
}

func (p prompt) key() cache.Key {
	raw := make([]byte, 0, 4*len(p.tokens))
	for _, id := range p.tokens {
		raw = binary.LittleEndian.AppendUint32(raw, uint32(id))
	}
	return cache.NewKey("prompt").Text("tokens", string(raw)).Int("from", p.from).Int("to", p.to).Sum()
}
