package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/pith-llm/pith/compressors"
)

// checkForwarded reports what may not happen to a body: either not a byte changed, or it is still JSON, the bytes between
// the texts are the client's own, and a text that differs is a shorter one of a user or a tool.
func checkForwarded(t *testing.T, sent, got []byte) (changed bool) {
	t.Helper()
	if bytes.Equal(sent, got) {
		return false
	}
	if !json.Valid(got) {
		t.Fatalf("forwarded what is not JSON: %.300q", got)
	}
	before, err := parseChat(sent)
	if err != nil {
		t.Fatalf("changed a body that cannot be read: %v", err)
	}
	after, err := parseChat(got)
	if err != nil {
		t.Fatalf("forwarded what cannot be read: %v", err)
	}
	if len(before.messages) != len(after.messages) {
		t.Fatalf("%d messages of %d", len(after.messages), len(before.messages))
	}
	at, to := 0, 0
	for i, m := range before.messages {
		if len(m.texts) != len(after.messages[i].texts) {
			t.Fatalf("message %d: %d texts of %d", i, len(after.messages[i].texts), len(m.texts))
		}
		for j, text := range m.texts {
			now := after.messages[i].texts[j]
			if !bytes.Equal(sent[at:text.raw.start], got[to:now.raw.start]) {
				t.Fatalf("the bytes before text %d of message %d changed", j, i)
			}
			at, to = text.raw.end, now.raw.end
			if text.text != now.text && (m.role != roleUser && m.role != roleTool || len(now.text) >= len(text.text)) {
				t.Fatalf("text %d of message %d, role %d, changed from %d to %d bytes", j, i, m.role, len(text.text), len(now.text))
			}
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

func (b bodies) message() string {
	members := []string{`"role":"` + b.pick("user", "user", "tool", "assistant", "system", "odd") + `"`}
	switch b.IntN(5) {
	case 0:
		members = append(members, `"content":[{"type":"text","text":`+b.text()+`,"cache_control":{}},{"type":"image_url","image_url":{"url":"x"}}]`)
	case 1:
		members = append(members, `"content":`+b.value(0))
	default:
		members = append(members, `"content":`+b.text())
	}
	if b.IntN(4) == 0 {
		members = append(members, `"tool_calls":[{"id":"c","function":{"name":"`+b.pick("search", "read_file")+`","arguments":`+b.text()+`}}]`, `"tool_call_id":"c"`)
	}
	if b.IntN(10) == 0 {
		members = append(members, b.pick(`"content":"twice"`, `"Content":1`, `"cont\u0065nt":null`, `"role":"user"`))
	}
	b.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return `{` + strings.Join(members, b.pick(`,`, ", ", "\n\t,")) + `}`
}

// body is a request that is mostly sound, and then often damaged.
func (b bodies) body() []byte {
	var messages []string
	for range b.IntN(5) {
		messages = append(messages, b.message())
	}
	members := []string{`"model":"m"`, `"messages":[` + strings.Join(messages, ",") + `]`, `"x":` + b.value(0)}
	if b.IntN(12) == 0 {
		members = append(members, `"messages":[]`)
	}
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
		body = []byte(`{"messages":[` + b.message() + `],"deep":` + strings.Repeat(b.pick(`[`, `{"a":`), n) + `1` + strings.Repeat(b.pick(`]`, `}`), n) + `}`)
	case 4:
		body = make([]byte, b.IntN(100))
		for i := range body {
			body[i] = `{}[]",:\ntrue0-1.e"messages"`[b.IntN(28)]
		}
	}
	return body
}

func TestFuzzedBodies(t *testing.T) {
	up := newRecorder(t)
	base := startProxy(t, Options{Upstream: up.URL, Compressor: realCompressor(t), CountTokens: countTokens})
	send := func(body []byte) bool {
		t.Helper()
		resp, answer := post(t, base, body)
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%d %s to %.300q", resp.StatusCode, answer, body)
		}
		changed := checkForwarded(t, body, up.last())
		if saved := header(t, resp, "X-Pith-Tokens-Saved"); changed != (saved > 0) {
			t.Fatalf("changed is %v, saved %d: %.300q", changed, saved, body)
		}
		up.mu.Lock()
		up.bodies, up.requests = up.bodies[:0], up.requests[:0]
		up.mu.Unlock()
		return changed
	}
	changed := 0
	const count = 10_000
	for seed := range count {
		b := bodies{rand.New(rand.NewPCG(uint64(seed), 7))} //nolint:gosec // repeatable on purpose
		if send(b.body()) {
			changed++
		}
	}
	t.Logf("%d of %d bodies were changed", changed, count)
	if changed < count/50 {
		t.Errorf("%d of %d bodies were changed: the generator tests nothing", changed, count)
	}
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
	} {
		t.Run(name, func(*testing.T) { send(body) })
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

func FuzzBody(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(bodies{rand.New(rand.NewPCG(seed, 1))}.body()) //nolint:gosec // repeatable on purpose
	}
	s, err := NewServer(Options{Upstream: "http://127.0.0.1:1", Compressor: realCompressor(f), CountTokens: countTokens})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if (validate(body) == nil) != (json.Valid(body) && bytes.Equal(body, bytes.ToValidUTF8(body, nil))) && validate(body) != errTooDeep { //nolint:errorlint // never wrapped
			t.Fatalf("validate says %v, encoding/json %v", validate(body), json.Valid(body))
		}
		out := s.shorten(t.Context(), dialectChat, body, policy{budget: compressors.Budget{Rate: 0.3}})
		if checkForwarded(t, body, out.body) != out.edited {
			t.Fatalf("edited is %v", out.edited)
		}
		again := s.shorten(t.Context(), dialectChat, body, policy{budget: compressors.Budget{Rate: 0.3}})
		if !bytes.Equal(out.body, again.body) {
			t.Fatal("the second time differs")
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
