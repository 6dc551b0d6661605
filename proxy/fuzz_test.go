package proxy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pith-llm/pith/compressors"
)

// checkForwarded reports what may not happen to a body: either not a byte changed, or it is still JSON, the bytes between
// the texts are the client's own, and a text that differs is a shorter one of a user or a tool.
func checkForwarded(t *testing.T, d dialect, sent, got []byte) (changed bool) {
	t.Helper()
	if bytes.Equal(sent, got) {
		return false
	}
	if !json.Valid(got) {
		t.Fatalf("forwarded what is not JSON: %.300q", got)
	}
	before, err := d.parse(sent)
	if err != nil {
		t.Fatalf("changed a body that cannot be read: %v", err)
	}
	after, err := d.parse(got)
	if err != nil {
		t.Fatalf("forwarded what cannot be read: %v", err)
	}
	type spoken struct {
		textAt
		role role
	}
	inOrder := func(c conversation) []spoken {
		var all []spoken
		for _, m := range c.messages {
			for _, text := range m.texts {
				all = append(all, spoken{text, m.role})
			}
		}
		slices.SortFunc(all, func(a, b spoken) int { return cmp.Compare(a.raw.start, b.raw.start) })
		return all
	}
	texts, now := inOrder(before), inOrder(after)
	if len(texts) != len(now) {
		t.Fatalf("%d texts of %d", len(now), len(texts))
	}
	at, to := 0, 0
	for i, text := range texts {
		if !bytes.Equal(sent[at:text.raw.start], got[to:now[i].raw.start]) {
			t.Fatalf("the bytes before text %d changed", i)
		}
		at, to = text.raw.end, now[i].raw.end
		if text.text == now[i].text {
			continue
		}
		switch {
		case text.role == roleAssistant, text.role == roleOther, len(now[i].text) >= len(text.text):
			t.Fatalf("text %d of role %d changed from %d to %d bytes", i, text.role, len(text.text), len(now[i].text))
		case text.role == roleSystem && !strings.Contains(text.text, "<doc"):
			t.Fatalf("system text %d changed and holds no documents", i)
		}
	}
	if !bytes.Equal(sent[at:], got[to:]) {
		t.Fatal("the bytes behind the last text changed")
	}
	return true
}

// bodies makes request bodies of all kinds from a seed.
type bodies struct{ *rand.Rand }

func (b bodies) pick(options ...string) string { return options[b.IntN(len(options))] }

// text is a JSON string, long ones among them.
func (b bodies) text() string {
	var s strings.Builder
	s.WriteByte('"')
	if b.IntN(2) == 0 {
		s.WriteString(b.pick(`<document>\n`, "```go\\n", `Document [1](Title: a) `, ``, `Question?\n\n`, `<a><b>\n<c>\n`))
	}
	for range b.IntN(150) * b.IntN(2) {
		s.WriteString(b.pick(
			`The treasure of captain Wren lies under the mill.\n`, `Nothing of the kind is said here, and at some length.\n\n`, `\ud83d alone `, `\uD83D\uDE00 pair `,
			`\u0000\/\b\f\t\"\\`, "é…\u2028 ", `func f() { return }\n`, `</document>\n`, "```\\n", `…12 lines…\n`, `\udc00\ud800`, `word word word word word word word word word word. `))
	}
	s.WriteString(b.pick(``, `</document>`, "```\\n", `\n\nWhere is the treasure?`))
	s.WriteByte('"')
	return s.String()
}

func (b bodies) value(depth int) string {
	switch n := b.IntN(9); {
	case depth > 3 || n < 3:
		return b.pick(`1`, `-0.0e+99999`, `1`+strings.Repeat("0", 400), `true`, `null`, `"x"`, `[]`, `{}`)
	case n < 5:
		return `[` + b.value(depth+1) + b.pick(`,`, ` , `) + b.value(depth+1) + `]`
	case n < 7:
		return `{"` + b.pick(`a`, `content`, `text`, `messages`) + `":` + b.value(depth+1) + `}`
	default:
		return b.text()
	}
}

// content is what a message says: a text, a list of parts of which some are texts, or anything.
func (b bodies) content(kind string) string {
	switch b.IntN(5) {
	case 0:
		return `[{"type":"` + kind + `","text":` + b.text() + `,"cache_control":{}},{"type":"image_url","image_url":{"url":"x"}}]`
	case 1:
		return b.value(0)
	}
	return b.text()
}

// shuffled is an object of members, of which one is now and then given twice.
func (b bodies) shuffled(members ...string) string {
	if b.IntN(10) == 0 {
		members = append(members, b.pick(`"content":"twice"`, `"Content":1`, `"cont\u0065nt":null`, `"role":"user"`, `"type":"text"`, `"output":""`))
	}
	b.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return `{` + strings.Join(members, b.pick(`,`, ", ", "\n\t,")) + `}`
}

// message is an element of the list of messages.
func (b bodies) message(d dialect) string {
	role := `"role":"` + b.pick("user", "user", "tool", "assistant", "system", "odd") + `"`
	switch d {
	case dialectChat:
		members := []string{role, `"content":` + b.content("text")}
		if b.IntN(4) == 0 {
			members = append(members, `"tool_calls":[{"id":"c","function":{"name":"`+b.pick("search", "read_file")+`","arguments":`+b.text()+`}}]`, `"tool_call_id":"c"`)
		}
		return b.shuffled(members...)
	case dialectMessages:
		if b.IntN(2) == 0 {
			return b.shuffled(role, `"content":`+b.content("text"))
		}
		var blocks []string
		for range b.IntN(4) {
			blocks = append(blocks, b.block())
		}
		return b.shuffled(role, `"content":[`+strings.Join(blocks, ",")+`]`)
	case dialectResponses:
		switch b.IntN(6) {
		case 0:
			return b.shuffled(`"type":"function_call"`, `"call_id":"c"`, `"name":"`+b.pick("exec_command", "read_file")+`"`, `"arguments":`+b.text())
		case 1, 2:
			return b.shuffled(`"type":"`+b.pick("function_call_output", "custom_tool_call_output", "local_shell_call_output", "shell_call_output")+`"`, `"call_id":"c"`,
				`"output":`+b.pick(b.content("input_text"), `[{"stdout":`+b.text()+`,"stderr":`+b.text()+`}]`))
		case 3:
			return b.shuffled(`"type":"`+b.pick("reasoning", "item_reference", "compaction", "odd")+`"`, `"id":"r"`, `"encrypted_content":`+b.text(), `"content":`+b.content("text"))
		}
		return b.shuffled(role, `"type":"message"`, `"content":`+b.content(b.pick("input_text", "output_text")))
	case dialectNone, dialectCompletions:
	}
	return b.text()
}

// block is a content block of Anthropic's API.
func (b bodies) block() string {
	switch b.IntN(6) {
	case 0:
		return b.shuffled(`"type":"tool_use"`, `"id":"c"`, `"name":"`+b.pick("Grep", "Read")+`"`, `"input":`+b.value(0))
	case 1, 2:
		return b.shuffled(`"type":"tool_result"`, `"tool_use_id":"c"`, `"content":`+b.content("text"))
	case 3:
		return b.shuffled(`"type":"thinking"`, `"thinking":`+b.text(), `"signature":`+b.text())
	case 4:
		return b.shuffled(`"type":"document"`, `"title":"t"`, `"source":{"type":"`+b.pick("text", "base64")+`","data":`+b.text()+`}`, `"citations":{"enabled":`+b.pick("true", "false")+`}`)
	}
	return b.shuffled(`"type":"text"`, `"text":`+b.text())
}

// body is a request that is mostly sound, and then often damaged.
func (b bodies) body(d dialect) []byte {
	list := map[dialect]string{dialectChat: "messages", dialectMessages: "messages", dialectResponses: "input", dialectCompletions: "prompt"}[d]
	var messages []string
	for range b.IntN(5) {
		messages = append(messages, b.message(d))
	}
	members := []string{`"model":"m"`, `"` + list + `":[` + strings.Join(messages, ",") + `]`, `"x":` + b.value(0)}
	if b.IntN(4) == 0 {
		members = append(members, b.pick(`"system":`, `"instructions":`, `"suffix":`)+b.content("text"))
	}
	if d != dialectChat && b.IntN(5) == 0 {
		members[1] = `"` + list + `":` + b.text()
	}
	if b.IntN(12) == 0 {
		members = append(members, `"`+list+`":[]`)
	}
	b.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	body := []byte(`{` + strings.Join(members, ",") + `}`)
	switch b.IntN(8) {
	case 0:
		body = body[:b.IntN(len(body)+1)]
	case 1:
		for range 1 + b.IntN(4) {
			body[b.IntN(len(body))] = byte(b.IntN(256))
		}
	case 2:
		at := b.IntN(len(body))
		junk := b.pick("\xff", "\xed\xa0\x80", "\xc0\x80", "\\ud800", "\x00", "[", "}", `"`, `,`, `\`, "\xef\xbb\xbf")
		body = append(body[:at:at], append([]byte(junk), body[at:]...)...)
	case 3:
		n := b.IntN(2000)
		body = []byte(`{"` + list + `":[` + b.message(d) + `],"deep":` + strings.Repeat(b.pick(`[`, `{"a":`), n) + `1` + strings.Repeat(b.pick(`]`, `}`), n) + `}`)
	case 4:
		body = make([]byte, b.IntN(100))
		for i := range body {
			body[i] = `{}[]",:\ntrue0-1.e"messages"`[b.IntN(28)]
		}
	}
	return body
}

// paths is where requests of a dialect go.
var paths = map[dialect]string{
	dialectChat: chatPath, dialectCompletions: "/v1/completions", dialectResponses: "/v1/responses", dialectMessages: "/v1/messages",
}

func TestFuzzedBodies(t *testing.T) {
	up := newRecorder(t)
	base := startProxy(t, Options{Upstream: up.URL, Compressor: realCompressor(t), CountTokens: countTokens})
	send := func(t *testing.T, d dialect, body []byte) bool {
		t.Helper()
		resp, answer := postTo(t, base+paths[d], body)
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%d %s to %.300q", resp.StatusCode, answer, body)
		}
		changed := checkForwarded(t, d, body, up.last())
		if saved := header(t, resp, "X-Pith-Tokens-Saved"); changed != (saved > 0) {
			t.Fatalf("changed is %v, saved %d: %.300q", changed, saved, body)
		}
		up.mu.Lock()
		up.bodies, up.requests = up.bodies[:0], up.requests[:0]
		up.mu.Unlock()
		return changed
	}
	s, err := NewServer(Options{Upstream: up.URL, Compressor: realCompressor(t), CountTokens: countTokens})
	if err != nil {
		t.Fatal(err)
	}
	for d := range paths {
		t.Run(d.String(), func(t *testing.T) {
			changed := 0
			const count = 10_000
			for seed := range count {
				b := bodies{rand.New(rand.NewPCG(uint64(seed), 7))} //nolint:gosec // repeatable on purpose
				body := b.body(d)
				if seed%10 != 0 { // over HTTP now and then: that costs most of the time
					if checkForwarded(t, d, body, s.shorten(t.Context(), s.upstreams[0].shortener, d, body, policy{}).body) {
						changed++
					}
				} else if send(t, d, body) {
					changed++
				}
			}
			t.Logf("%d of %d bodies were changed", changed, count)
			if changed < count/100 {
				t.Errorf("%d of %d bodies were changed: the generator tests nothing", changed, count)
			}
		})
	}
	seeds := bodies{rand.New(rand.NewPCG(1, 7))} //nolint:gosec // repeatable on purpose
	for name, body := range map[string][]byte{
		"nothing":                {},
		"32 MiB of brackets":     bytes.Repeat([]byte("["), 32<<20),
		"32 MiB of objects":      bytes.Repeat([]byte(`{"messages":`), 32<<20/12),
		"32 MiB of backslashes":  bytes.Repeat([]byte(`\`), 32<<20),
		"a huge number":          []byte(`{"messages":[],"n":` + strings.Repeat("9", 8<<20) + `}`),
		"a million messages":     []byte(`{"messages":[` + strings.Repeat(`{"role":"user","content":"a"},`, 1<<18) + `{}]}`),
		"a million unknown keys": []byte(`{` + manyKeys(1<<18) + `"messages":[]}`),
		"many unclosed tags":     []byte(`{"messages":[{"role":"user","content":"` + manyTags(1<<16) + `"}]}`),
		"many unclosed fences":   []byte(`{"messages":[{"role":"user","content":"` + strings.Repeat("```a`\\n~~~\\n````\\n", 1<<16) + `"}]}`),
		"many documents":         []byte(`{"messages":[{"role":"user","content":"` + strings.Repeat(`Document [x\nDocument [1](\n`, 1<<16) + `"}]}`),
		"many introductions":     []byte(`{"messages":[{"role":"user","content":"` + strings.Repeat(`Answer from the following context\n`, 1<<16) + `"}]}`),
		"one long introduction":  []byte(`{"messages":[{"role":"system","content":"` + strings.Repeat(`following context answer `, 1<<16) + `"},{"role":"user","content":"Where is the treasure now?"}]}`),
	} {
		t.Run(name, func(t *testing.T) { send(t, []dialect{dialectChat, dialectMessages}[seeds.IntN(2)], body) })
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"k%d":0,`, i)
	}
	return b.String()
}

func manyTags(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `<a%d>\n`, i)
	}
	return b.String()
}

func FuzzChat(f *testing.F)        { fuzzBody(f, dialectChat) }
func FuzzCompletions(f *testing.F) { fuzzBody(f, dialectCompletions) }
func FuzzResponses(f *testing.F)   { fuzzBody(f, dialectResponses) }
func FuzzMessages(f *testing.F)    { fuzzBody(f, dialectMessages) }

func fuzzBody(f *testing.F, d dialect) {
	for seed := range uint64(50) {
		f.Add(bodies{rand.New(rand.NewPCG(seed, 1))}.body(d)) //nolint:gosec // repeatable on purpose
	}
	var servers [2]*Server // of which neither knows what the other has done
	for i := range servers {
		var err error
		if servers[i], err = NewServer(Options{Upstream: "http://127.0.0.1:1", Compressor: realCompressor(f), CountTokens: countTokens, Deadline: time.Hour}); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if (validate(body) == nil) != (json.Valid(body) && bytes.Equal(body, bytes.ToValidUTF8(body, nil))) && validate(body) != errTooDeep { //nolint:errorlint // never wrapped
			t.Fatalf("validate says %v, encoding/json %v", validate(body), json.Valid(body))
		}
		var outs [2]shortened
		for i, s := range servers {
			outs[i] = s.shorten(t.Context(), s.upstreams[0].shortener, d, body, policy{budget: compressors.Budget{Rate: 0.3}})
		}
		out := outs[0]
		if checkForwarded(t, d, body, out.body) != out.edited {
			t.Fatalf("edited is %v", out.edited)
		}
		for _, turn := range out.report.Turns { // what is not proved, too
			if turn.Err != nil {
				t.Fatalf("a compression failed: %v", turn.Err)
			}
		}
		if !bytes.Equal(out.body, outs[1].body) {
			t.Fatal("another server forwards another body")
		}
	})
}

func FuzzString(f *testing.F) {
	for _, text := range []string{`a`, `\ud83d\ude00`, `\ud83d`, `\ud83d\u0041`, `\udc00\ud800`, `é\n\"`, `\u00`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, inside []byte) {
		body := append(append([]byte{'"'}, inside...), '"')
		s := scanner{data: body}
		raw, err := s.str()
		if err != nil || s.pos != len(body) || validate(body) != nil {
			return
		}
		var want string
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatal(err)
		}
		if got := raw.decode(body); got != want {
			t.Fatalf("%q decodes to %q, want %q", body, got, want)
		}
	})
}
