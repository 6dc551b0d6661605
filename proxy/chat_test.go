package proxy

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/pith-llm/pith/compressors"
)

const question = "Where does the treasure of captain Wren lie?"

// question about an essay, as one user message.
func asking(text string) string { return "<document>\n" + text + "</document>\n\n" + question }

func TestShortensALongTextAndNothingElse(t *testing.T) {
	up := newRecorder(t)
	var report Report
	base := startProxy(t, Options{
		Upstream: up.URL, Compressor: realCompressor(t), CountTokens: countTokens,
		Observe: func(r Report) { report = r },
	})
	text := asking(essay(60, "old mill"))
	// Odd spacing, number spellings, escapes, unknown fields and a pair of equal texts in other places.
	head := "{ \"temperature\" : 1e0,\n\t\"x\\u0079z\":[1.50, -0],\"model\":\"m\", \"messages\" : [ {\"role\":\"system\",\"content\":" +
		encode(t, essay(30, "cellar")) + "},\n{\"content\": [{\"cache_control\":{\"type\":\"ephemeral\"} ,\"type\":\"text\", \"text\":"
	tail := "}], \"role\":\"user\"} ] , \"metadata\":{\"a\":\"\\/\\u00e9\",\"b\":" + encode(t, essay(30, "roof")) + "} }"
	resp, answer := post(t, base, []byte(head+encode(t, text)+tail), "Authorization", "Bearer secret", "X-Other", "kept")
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(answer), "answer 0") {
		t.Fatalf("answer: %d %s", resp.StatusCode, answer)
	}
	got := string(up.last())
	middle, ok := strings.CutPrefix(got, head)
	if !ok {
		t.Fatalf("the bytes before the text changed:\n%s", got)
	}
	if middle, ok = strings.CutSuffix(middle, tail); !ok {
		t.Fatalf("the bytes after the text changed:\n%s", got)
	}
	var kept string
	if err := json.Unmarshal([]byte(middle), &kept); err != nil {
		t.Fatalf("the text is no JSON string any more: %v", err)
	}
	inside, ok := strings.CutPrefix(kept, "<document>\n")
	if !ok {
		t.Fatalf("the opening tag changed: %q", kept)
	}
	if inside, ok = strings.CutSuffix(inside, "</document>\n\n"+question); !ok {
		t.Fatalf("the question changed: %q", kept)
	}
	if err := compressors.Verify(essay(60, "old mill"), inside); err != nil {
		t.Errorf("the kept text is not from the source: %v", err)
	}
	if !strings.Contains(inside, "old mill") {
		t.Errorf("the answer was dropped: %q", inside)
	}
	in, out, saved := header(t, resp, "X-Pith-Tokens-In"), header(t, resp, "X-Pith-Tokens-Out"), header(t, resp, "X-Pith-Tokens-Saved")
	if in-out != saved || saved < len(essay(60, "old mill"))/4/2 {
		t.Errorf("tokens in %d, out %d, saved %d", in, out, saved)
	}
	if report.TokensIn != in || report.TokensOut != out || len(report.Turns) != 1 || report.Turns[0].Query != question {
		t.Errorf("report: %+v", report)
	}
	sent := up.requests[0].Header
	if sent.Get("Authorization") != "Bearer secret" || sent.Get("X-Other") != "kept" {
		t.Errorf("headers that the upstream received: %v", sent)
	}
	if resp.Header.Get("X-Pith-Request-Id") == "" || resp.Header.Get("X-Pith-Overhead-Ms") == "" {
		t.Errorf("headers that the client received: %v", resp.Header)
	}
}

func header(t *testing.T, resp *http.Response, name string) int {
	t.Helper()
	n, err := strconv.Atoi(resp.Header.Get(name))
	if err != nil {
		t.Fatalf("header %s: %v", name, err)
	}
	return n
}

func TestLoneSurrogatesAndEscapesAreCopiedRaw(t *testing.T) {
	up := newRecorder(t)
	base := startProxy(t, Options{Upstream: up.URL, Compressor: realCompressor(t)})
	odd := `A lone \ud83d surrogate, \uD83D\uDE00 a pair, \u0041\/\b\f, captain Wren and the treasure.`
	filler := strings.ReplaceAll(encode(t, essay(40, "well")), "\"Para", "Para")
	text := `"<document>\n` + odd + `\n\n` + strings.Trim(filler, `"`) + `</document>\n` + question + `"`
	post(t, base, []byte(`{"model":"m","messages":[{"role":"user","content":`+text+`}]}`))
	got := string(up.last())
	if !strings.Contains(got, odd) {
		t.Errorf("the odd line was rewritten: %s", got)
	}
	if len(got) > len(text)*2/3 {
		t.Errorf("%d of %d bytes were sent", len(got), len(text))
	}
}

func TestLeavesAlone(t *testing.T) {
	long := asking(essay(60, "mill"))
	user := `{"role":"user","content":` + encode(t, long) + `}`
	read := func(name, arguments string) string {
		return `{"model":"m","messages":[{"role":"user","content":"` + question + `"},` +
			`{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"` + name + `","arguments":` + encode(t, arguments) + `}}]},` +
			`{"role":"tool","tool_call_id":"c1","content":` + encode(t, essay(60, "mill")) + `}]}`
	}
	cases := []struct{ name, body string }{
		{"system and developer text", `{"messages":[{"role":"system","content":` + encode(t, long) + `},{"role":"developer","content":` + encode(t, long) + `},{"role":"user","content":"hi"}]}`},
		{"assistant text", `{"messages":[{"role":"assistant","content":` + encode(t, long) + `},{"role":"user","content":"hi"}]}`},
		{"a small text", `{"messages":[{"role":"user","content":` + encode(t, asking(essay(3, "mill"))) + `}]}`},
		{"messages twice", `{"messages":[` + user + `],"messages":[` + user + `]}`},
		{"messages twice but for case", `{"Messages":[],"messages":[` + user + `]}`},
		{"messages twice, once escaped", `{"mess\u0061ges":[],"messages":[` + user + `]}`},
		{"content twice", `{"messages":[{"role":"user","content":"x","content":` + encode(t, long) + `}]}`},
		{"text twice in a part", `{"messages":[{"role":"user","content":[{"type":"text","text":"x","text":` + encode(t, long) + `}]}]}`},
		{"a file that was read", read("read_file", `{"path":"a.txt"}`)},
		{"a file that was read through a server's tool", read("mcp__files__Read", `{}`)},
		{"a file that a shell printed", read("bash", `{"command":"cd /src && cat a.txt"}`)},
		{"an image", `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":` + encode(t, long) + `}},{"type":"text","text":"` + question + `"}]}]}`},
		{"tool definitions", `{"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"f","description":` + encode(t, long) + `}}]}`},
		{"arguments of a call", `{"messages":[{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":` + encode(t, long) + `}}]},{"role":"tool","tool_call_id":"a","content":"ok"}]}`},
		{"no query at all", `{"messages":[{"role":"user","content":` + encode(t, "<document>\n"+essay(60, "mill")+"</document>") + `}]}`},
		{"invalid JSON", `{"messages":[` + user},
		{"a trailing comma", `{"messages":[` + user + `],}`},
		{"trailing bytes", `{"messages":[` + user + `]} x`},
		{"another shape", `{"messages":{"0":` + user + `}}`},
		{"an array", `[` + user + `]`},
		{"nothing", ``},
	}
	up := newRecorder(t)
	base := startProxy(t, Options{Upstream: up.URL, Compressor: realCompressor(t), CountTokens: countTokens})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			resp, _ := post(t, base, []byte(c.body))
			if resp.StatusCode != http.StatusOK {
				t.Errorf("status %d", resp.StatusCode)
			}
			if !bytes.Equal(up.last(), []byte(c.body)) {
				t.Errorf("the body changed: %s", up.last())
			}
			if saved := resp.Header.Get("X-Pith-Tokens-Saved"); saved != "0" {
				t.Errorf("saved %s", saved)
			}
		})
	}
	t.Run("a compressed body", func(t *testing.T) {
		body := `{"messages":[` + user + `]}`
		post(t, base, []byte(body), "Content-Encoding", "compress")
		if string(up.last()) != body {
			t.Error("the body changed")
		}
	})
	t.Run("file reads where the policy allows them", func(t *testing.T) {
		base := startProxy(t, Options{Upstream: up.URL, Compressor: realCompressor(t), FileReads: true})
		body := read("read_file", `{"path":"a.txt"}`)
		post(t, base, []byte(body))
		if len(up.last()) > len(body)*2/3 {
			t.Error("the body did not change")
		}
	})
}

func TestToolResultIsScoredAgainstTaskWordsAndCall(t *testing.T) {
	up := newRecorder(t)
	var report Report
	base := startProxy(t, Options{Upstream: up.URL, Compressor: realCompressor(t), Observe: func(r Report) { report = r }})
	body := `{"model":"m","messages":[{"role":"user","content":"` + question + `"},` +
		`{"role":"assistant","content":"I search the chronicle.","tool_calls":[{"id":"c1","type":"function","function":{"name":"grep_chronicle","arguments":"{\"pattern\":\"Wren\"}"}}]},` +
		`{"role":"tool","tool_call_id":"c1","content":` + encode(t, essay(60, "lighthouse")) + `}]}`
	post(t, base, []byte(body))
	if got := string(up.last()); !strings.Contains(got, "lighthouse") || len(got) > len(body)*2/3 {
		t.Errorf("%d of %d bytes: %s", len(got), len(body), got)
	}
	want := question + "\nI search the chronicle.\ngrep_chronicle {\"pattern\":\"Wren\"}"
	if len(report.Turns) != 1 || report.Turns[0].Query != want {
		t.Errorf("turns: %+v", report.Turns)
	}
}

// TestCountsWhatWouldBeForwarded asks an API to count a prompt: it must see what it would be sent, in the same process or another.
func TestCountsWhatWouldBeForwarded(t *testing.T) {
	up := newRecorder(t)
	user := `[{"role":"user","content":` + encode(t, asking(essay(60, "mill"))) + `}]`
	for _, c := range []struct{ path, count, body string }{
		{"/v1/messages", "/v1/messages/count_tokens?beta=true", `{"model":"m","messages":` + user + `}`},
		{"/v1/responses", "/v1/responses/input_tokens", `{"model":"m","input":` + user + `}`},
	} {
		var sent []string
		for _, path := range []string{c.count, c.path} {
			postTo(t, startProxy(t, Options{Upstream: up.URL, Compressor: realCompressor(t)})+path, []byte(c.body))
			sent = append(sent, string(up.last()))
		}
		if sent[0] != sent[1] || len(sent[0]) > len(c.body)*2/3 {
			t.Errorf("%s: %d bytes of %d were counted, %d sent", c.path, len(sent[0]), len(c.body), len(sent[1]))
		}
	}
}

func TestHeadersSteer(t *testing.T) {
	up := newRecorder(t)
	base := startProxy(t, Options{Upstream: up.URL, Compressor: realCompressor(t), CountTokens: countTokens})
	body := []byte(`{"model":"m","messages":[{"role":"user","content":` + encode(t, asking(essay(60, "mill"))) + `}]}`)
	resp, _ := post(t, base, body)
	standard := header(t, resp, "X-Pith-Tokens-Saved")

	t.Run("off", func(t *testing.T) {
		resp, _ := post(t, base, body, "x-pith-mode", "off")
		if !bytes.Equal(up.last(), body) || header(t, resp, "X-Pith-Tokens-Saved") != 0 {
			t.Error("the body changed")
		}
	})
	t.Run("observe reports what it would save", func(t *testing.T) {
		resp, _ := post(t, base, body, "X-Pith-Mode", "observe")
		if !bytes.Equal(up.last(), body) {
			t.Error("the body changed")
		}
		if got := header(t, resp, "X-Pith-Tokens-Saved"); got != standard {
			t.Errorf("saved %d, want %d", got, standard)
		}
	})
	t.Run("rate", func(t *testing.T) {
		resp, _ := post(t, base, body, "X-Pith-Rate", "0.1")
		if got := header(t, resp, "X-Pith-Tokens-Saved"); got <= standard {
			t.Errorf("saved %d at a rate of 0.1, %d at 0.4", got, standard)
		}
	})
	t.Run("budget", func(t *testing.T) {
		resp, _ := post(t, base, body, "X-Pith-Budget", "300")
		got := countTokens(essay(60, "mill")) - header(t, resp, "X-Pith-Tokens-Saved")
		if got > 300 || got < 200 {
			t.Errorf("%d tokens kept of a budget of 300", got)
		}
	})
	t.Run("query", func(t *testing.T) {
		for query, want := range map[string]bool{"number 2209": true, "captain Wren": false} {
			post(t, base, body, "X-Pith-Rate", "0.1", "X-Pith-Query", query)
			if got := string(up.last()); strings.Contains(got, "2209") != want {
				t.Errorf("the query %q did not decide: %s", query, got)
			}
		}
	})
	for _, r := range up.requests {
		for name := range r.Header {
			if strings.HasPrefix(strings.ToLower(name), "x-pith") {
				t.Errorf("the upstream received %s", name)
			}
		}
	}
}

func TestBadHeadersAreNamed(t *testing.T) {
	up := newRecorder(t)
	base := startProxy(t, Options{Upstream: up.URL, Compressor: realCompressor(t)})
	for _, headers := range [][]string{
		{"X-Pith-Mode", "maybe"},
		{"X-Pith-Rate", "0"},
		{"X-Pith-Rate", "1.5"},
		{"X-Pith-Rate", "NaN"},
		{"X-Pith-Rate", "half"},
		{"X-Pith-Budget", "-3"},
		{"X-Pith-Budget", "many"},
		{"X-Pith-Budget", "9", "X-Pith-Rate", "0.5"},
		{"X-Pith-Query", strings.Repeat("q", maxQuery+1)},
		{"X-Pith-Query", ""},
		{"X-Pith-Rate", "0.5", "X-Pith-Rate", "0.6"},
	} {
		resp, answer := post(t, base, []byte(`{"messages":[]}`), headers...)
		var shaped struct {
			Error struct{ Message, Type, Param, Code string }
		}
		if err := json.Unmarshal(answer, &shaped); err != nil {
			t.Fatalf("%v: %v in %s", headers, err, answer)
		}
		if resp.StatusCode != http.StatusBadRequest || shaped.Error.Param != headers[0] || shaped.Error.Type != "invalid_request_error" {
			t.Errorf("%v: %d %s", headers[0], resp.StatusCode, answer)
		}
	}
	if n := len(up.received()); n != 0 {
		t.Errorf("the upstream received %d requests", n)
	}
}
