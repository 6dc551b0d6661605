package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// clientMessage is a message as a client holds it.
type clientMessage struct {
	role, text, callID string
	calls              string // raw JSON of tool_calls, or ""
}

// talk is the messages of 30 turns: pasted documents, pasted code, long texts without marks, small talk, and a
// tool loop.
func talk() []clientMessage {
	var messages []clientMessage
	say := func(role, text string) { messages = append(messages, clientMessage{role: role, text: text}) }
	say("system", essay(10, "cellar"))
	for turn := range 30 {
		place := fmt.Sprintf("mill number %d", turn)
		switch turn % 5 {
		case 0:
			say("user", asking(essay(20, place)))
		case 1:
			say("user", "What does the function treasure"+fmt.Sprint(turn)+" return?\n\n```python\n"+code(turn)+"```\n")
		case 2:
			say("user", question+"\n\n"+essay(25, place))
		case 3:
			say("user", "Thanks, go on: where is the treasure?")
		case 4:
			id := fmt.Sprintf("call_%d", turn)
			messages = append(messages, clientMessage{
				role: "assistant", text: "I look for captain Wren.",
				calls: `[{"id":"` + id + `","type":"function","function":{"name":"search","arguments":"{\"q\":\"treasure ` + fmt.Sprint(turn) + `\"}"}}]`,
			})
			messages = append(messages, clientMessage{role: "tool", text: essay(22, place), callID: id})
		}
		say("assistant", fmt.Sprintf("It lies there, says answer %d.", turn))
	}
	return messages
}

// code is Python with one function worth asking about.
func code(seed int) string {
	var b strings.Builder
	for i := range 30 {
		name := fmt.Sprintf("ballast_%d", i)
		if i == 17 {
			name = fmt.Sprintf("treasure%d", seed)
		}
		fmt.Fprintf(&b, "def %s(x):\n    \"\"\"Weigh the ballast of hold %d.\"\"\"\n    y = x * %d\n    return y + %d\n\n\n", name, i, i+2, i*seed)
	}
	return b.String()
}

// render writes the first n messages as a request. marked puts a cache mark on the last message, which makes its content
// a list; ids are spelled by the salt.
func render(t *testing.T, messages []clientMessage, n int, marked bool, salt string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(`{"model":"m","messages":[`)
	for i, m := range messages[:n] {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"role":%q,"content":`, m.role)
		switch {
		case marked && i == n-1:
			fmt.Fprintf(&b, `[{"type":"text","text":%s,"cache_control":{"type":"ephemeral"}}]`, encode(t, m.text))
		case marked && i%3 == 0:
			fmt.Fprintf(&b, `[{"type":"text","text":%s}]`, encode(t, m.text))
		default:
			b.WriteString(encode(t, m.text))
		}
		if m.callID != "" {
			fmt.Fprintf(&b, `,"tool_call_id":"%s%s"`, salt, m.callID)
		}
		if m.calls != "" {
			b.WriteString(`,"tool_calls":` + strings.ReplaceAll(m.calls, `"call_`, `"`+salt+`call_`))
		}
		b.WriteByte('}')
	}
	b.WriteString(`],"stream":false}`)
	return b.String()
}

// textsOf returns the texts of a request's messages.
func textsOf(t *testing.T, body []byte) []string {
	t.Helper()
	c, err := parseChat(body)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, m := range c.messages {
		for _, text := range m.texts {
			texts = append(texts, text.text)
		}
	}
	return texts
}

func TestPrefixPurity(t *testing.T) {
	messages := talk()
	var ends []int // of the requests: behind each run of messages that an assistant answers
	for i, m := range messages {
		if m.role != "assistant" && messages[i+1].role == "assistant" {
			ends = append(ends, i+1)
		}
	}
	// send forwards the request of each turn, as body builds it, through the proxy that base names for it.
	send := func(t *testing.T, base func(turn int) string, up *recorder, body func(turn, n int) string) [][]byte {
		t.Helper()
		for turn, n := range ends {
			if resp, answer := post(t, base(turn), []byte(body(turn, n))); resp.StatusCode != http.StatusOK {
				t.Fatalf("turn %d: %d %s", turn, resp.StatusCode, answer)
			}
		}
		return up.received()
	}
	plain := func(_, n int) string { return render(t, messages, n, false, "") }
	start := func(t *testing.T) (*recorder, func() string) {
		up := newRecorder(t)
		return up, func() string {
			base := startProxy(t, Options{Upstream: up.URL, Compressor: realCompressor(t), Deadline: time.Minute})
			return base
		}
	}

	var warm [][]byte
	t.Run("warm", func(t *testing.T) {
		up, fresh := start(t)
		base := fresh()
		warm = send(t, func(int) string { return base }, up, plain)
		for i := 1; i < len(warm); i++ {
			prefix := strings.TrimSuffix(string(warm[i-1]), `],"stream":false}`)
			if !strings.HasPrefix(string(warm[i]), prefix) {
				t.Fatalf("request %d does not begin with request %d", i, i-1)
			}
		}
		last := len(warm) - 1
		if sent, full := len(warm[last]), len(plain(last, ends[last])); sent > full*7/10 {
			t.Errorf("%d of %d bytes were sent: too little was compressed for this test to mean anything", sent, full)
		}
	})
	same := func(t *testing.T, got [][]byte) {
		t.Helper()
		for i := range warm {
			if string(got[i]) != string(warm[i]) {
				t.Fatalf("request %d differs from the one of the warm proxy", i)
			}
		}
	}
	t.Run("cold", func(t *testing.T) {
		up, fresh := start(t)
		same(t, send(t, func(int) string { return fresh() }, up, plain))
	})
	t.Run("restarted", func(t *testing.T) {
		up, fresh := start(t)
		base := fresh()
		same(t, send(t, func(turn int) string {
			if turn == 15 {
				base = fresh()
			}
			return base
		}, up, plain))
	})
	t.Run("marks, lists and ids that change", func(t *testing.T) {
		up, fresh := start(t)
		base := fresh()
		got := send(t, func(int) string { return base }, up, func(turn, n int) string {
			return render(t, messages, n, turn%2 == 0, fmt.Sprintf("fresh%d_", turn))
		})
		for i := range warm {
			want, texts := textsOf(t, warm[i]), textsOf(t, got[i])
			if len(want) != len(texts) {
				t.Fatalf("request %d: %d texts, want %d", i, len(texts), len(want))
			}
			for j := range want {
				if texts[j] != want[j] {
					t.Fatalf("request %d, text %d:\n%q\nwant\n%q", i, j, texts[j], want[j])
				}
			}
		}
	})
	t.Run("a turn that failed stays as it was", func(t *testing.T) {
		up := newRecorder(t)
		real, calls := realCompressor(t), 0
		base := startProxy(t, Options{Upstream: up.URL, Concurrency: 1, Deadline: time.Minute, Compressor: failing(real, func() bool {
			calls++
			return calls == 3
		})})
		got := send(t, func(int) string { return base }, up, plain)
		for i := 1; i < len(got); i++ {
			prefix := strings.TrimSuffix(string(got[i-1]), `],"stream":false}`)
			if !strings.HasPrefix(string(got[i]), prefix) {
				t.Fatalf("request %d does not begin with request %d", i, i-1)
			}
		}
		if string(got[len(got)-1]) == string(warm[len(warm)-1]) {
			t.Error("nothing failed")
		}
	})
}
