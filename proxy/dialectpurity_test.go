package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// rendered spells the first n messages of talk as a client of a dialect does at the turn-th request: everything up to the
// end of the list's last element, which the next request repeats, and the rest. churn changes between requests what real
// clients change: where marks of caching stand, whether one text is a list, the ids of items.
func rendered(t *testing.T, d dialect, messages []clientMessage, n, turn int, churn bool) (list, rest string) {
	t.Helper()
	salt := ""
	if churn {
		salt = fmt.Sprintf("%d_", turn)
	}
	var items []string
	for i, m := range messages[:n] {
		text := encode(t, m.text)
		last := churn && i == n-1
		switch {
		case m.role == "system":
			continue
		case d == dialectMessages:
			content := text
			switch {
			case m.callID != "" && last:
				content = `[{"tool_use_id":"` + m.callID + `","type":"tool_result","content":` + text + `,"cache_control":{"type":"ephemeral"}}]`
			case m.callID != "" && churn && turn%2 == 0:
				content = `[{"tool_use_id":"` + m.callID + `","type":"tool_result","content":[{"type":"text","text":` + text + `}]}]`
			case m.callID != "":
				content = `[{"tool_use_id":"` + m.callID + `","type":"tool_result","content":` + text + `}]`
			case m.calls != "":
				content = fmt.Sprintf(`[{"type":"text","text":%s},{"type":"tool_use","id":"call_%d","name":"search","input":{"q":"treasure"}}]`, text, turnOf(messages, i))
			case last:
				content = `[{"type":"text","text":` + text + `,"cache_control":{"type":"ephemeral"}}]`
			}
			role := m.role
			if role == "tool" {
				role = "user"
			}
			items = append(items, `{"role":"`+role+`","content":`+content+`}`)
		case m.callID != "":
			items = append(items, `{"type":"function_call_output","id":"fco_`+salt+m.callID+`","call_id":"`+m.callID+`","output":`+text+`}`)
		default:
			kind := "input_text"
			if m.role == "assistant" {
				kind = "output_text"
			}
			items = append(items, `{"type":"message","role":"`+m.role+`","content":[{"type":"`+kind+`","text":`+text+`}]}`)
			if m.calls != "" {
				items = append(items,
					`{"type":"reasoning","id":"rs_`+salt+`","encrypted_content":`+text+`}`,
					fmt.Sprintf(`{"type":"function_call","name":"search","arguments":"{\"q\":\"treasure\"}","call_id":"call_%d"}`, turnOf(messages, i)))
			}
		}
	}
	system := encode(t, "Answer from these.\n<documents>\n"+messages[0].text+"</documents>")
	if d == dialectMessages {
		mark := ""
		if churn && turn%3 == 0 {
			mark = `,"cache_control":{"type":"ephemeral"}`
		}
		return `{"model":"m","messages":[` + strings.Join(items, ","), `],"system":[{"type":"text","text":` + system + mark + `}],"metadata":{"user_id":"` + salt + `"}}`
	}
	return `{"model":"m","instructions":` + system + `,"input":[` + strings.Join(items, ","), `],"client_metadata":{"` + salt + `a":1}}`
}

// turnOf returns the number in the id of the call that message i makes.
func turnOf(messages []clientMessage, i int) int {
	n := 0
	_, _ = fmt.Sscanf(messages[i+1].callID, "call_%d", &n)
	return n
}

func TestEveryDialectKeepsThePrefix(t *testing.T) {
	messages := talk()
	var ends []int
	for i, m := range messages {
		if m.role != "assistant" && messages[i+1].role == "assistant" {
			ends = append(ends, i+1)
		}
	}
	for _, d := range []dialect{dialectMessages, dialectResponses} {
		t.Run(d.String(), func(t *testing.T) {
			up := newRecorder(t)
			start := func() string {
				return startProxy(t, Options{Upstream: up.URL, Compressor: realCompressor(t), CountTokens: countTokens, Deadline: time.Minute}) + paths[d]
			}
			send := func(url, body string) string {
				if resp, answer := postTo(t, url, []byte(body)); resp.StatusCode != http.StatusOK {
					t.Fatalf("%d %s", resp.StatusCode, answer)
				}
				got := up.last()
				checkForwarded(t, d, []byte(body), got)
				return string(got)
			}
			texts := func(body string) []string {
				c, err := d.parse([]byte(body))
				if err != nil {
					t.Fatal(err)
				}
				var all []string
				for _, m := range c.messages {
					for _, text := range m.texts {
						all = append(all, text.text)
					}
				}
				return all
			}
			url := start()
			restarted := url
			before, shortened := "", 0
			for turn, n := range ends {
				list, rest := rendered(t, d, messages, n, turn, false)
				got := send(url, list+rest)
				if len(got) < (len(list)+len(rest))*7/10 {
					shortened++
				}
				if !strings.HasPrefix(got, before) {
					t.Fatalf("request %d does not begin with the one before it", turn)
				}
				c, err := d.parse([]byte(got))
				if err != nil {
					t.Fatal(err)
				}
				last := 0
				for _, m := range c.messages {
					if m.role == roleSystem {
						continue
					}
					for _, text := range m.texts {
						last = max(last, text.raw.end)
					}
				}
				before = got[:last]

				if turn == len(ends)/2 {
					restarted = start()
				}
				list, rest = rendered(t, d, messages, n, turn, true)
				churned := send(restarted, list+rest)
				want, have := texts(got), texts(churned)
				if len(want) != len(have) {
					t.Fatalf("request %d: %d texts, want %d", turn, len(have), len(want))
				}
				for i := range want {
					if want[i] != have[i] {
						t.Fatalf("request %d, text %d depends on marks, ids or form:\n%q\nwant\n%q", turn, i, have[i], want[i])
					}
				}
			}
			if shortened < len(ends)*2/3 {
				t.Errorf("%d of %d requests were shortened much: too few for this test to mean anything", shortened, len(ends))
			}
		})
	}
}
