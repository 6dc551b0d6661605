package proxy

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pith-llm/pith/compressors"
)

// startWithReceipts serves a proxy that keeps receipts, and returns what fetches the one of an answer.
func startWithReceipts(t *testing.T, o Options) (base string, fetch func(resp *http.Response) []byte) {
	t.Helper()
	o.Receipts, o.Deadline = 4<<20, time.Minute
	s, err := NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	admin := httptest.NewServer(s.Admin(func() error { return nil }))
	t.Cleanup(admin.Close)
	return serve(t, s), func(resp *http.Response) []byte {
		t.Helper()
		status, body := get(t, admin.URL+"/receipts/"+resp.Header.Get("X-Pith-Request-Id"))
		if status != http.StatusOK {
			t.Fatalf("receipt: status %d: %s", status, body)
		}
		return body
	}
}

func get(t *testing.T, url string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

func parseReceipt(t *testing.T, data []byte) Receipt {
	t.Helper()
	r, err := ParseReceipt(data)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// twoQuestions is a body with escapes of every kind, two turns, a document that is too small to be cut and two that are not.
func twoQuestions(t *testing.T) []byte {
	first := strings.ReplaceAll(encode(t, asking(essay(60, "old mill"))), "tides", `t\u0069des \ud83d\ude00 \ud83d caf\u00e9 café`)
	second := encode(t, "<document>\n"+essay(50, "chapel")+"</document>\n\n<document>\n"+essay(2, "pier")+"</document>\n\nAnd which treasure did captain Hook bury?")
	return []byte("{\"model\" : \"m\", \"x\":1e0 ,\"messages\":[{\"role\":\"user\",\"content\":" + first +
		"},{\"role\":\"assistant\",\"content\":\"Under the mill.\"},\n{\"role\":\"user\",\"content\":" + second + "}]}")
}

func TestReceiptReplaysToTheForwardedBody(t *testing.T) {
	gzipped := func(body []byte) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(body)
		_ = w.Close()
		return b.Bytes()
	}
	short := []byte(`{"model":"m","messages":[{"role":"user","content":"is it raining?"}]}`)
	for _, c := range []struct {
		name       string
		body       []byte
		headers    []string
		options    Options
		status     func(int) int
		edited     bool
		replayed   bool
		skip       string
		failed     string
		shortened  int
		forwarding int // which request of the upstream's the receipt is about
	}{
		{name: "shortened", body: twoQuestions(t), edited: true, shortened: 2},
		{name: "shortened, and came encoded", body: gzipped(twoQuestions(t)), headers: []string{"Content-Encoding", "gzip"}, edited: true, shortened: 2},
		{name: "nothing long", body: short, skip: "no_span"},
		{name: "not JSON", body: []byte("how is the weather?"), skip: "not_json"},
		{name: "no body", body: []byte{}, skip: "not_json"},
		{name: "off", body: twoQuestions(t), headers: []string{"X-Pith-Mode", "off"}, skip: "off"},
		{name: "observed", body: gzipped(twoQuestions(t)), headers: []string{"X-Pith-Mode", "observe", "Content-Encoding", "gzip"}, shortened: 2},
		{name: "a budget that no text fits", body: twoQuestions(t), headers: []string{"X-Pith-Budget", "1"}, edited: true, shortened: 3},
		{
			name: "refused", body: twoQuestions(t), shortened: 2, replayed: true, forwarding: 1,
			status: func(n int) int { return []int{http.StatusBadRequest, http.StatusOK}[min(n, 1)] },
		},
		{name: "failed open", body: twoQuestions(t), options: Options{Compressor: failing(nil, func() bool { return true })}, failed: "failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := newRecorder(t)
			up.status = c.status
			c.options.Upstream, c.options.CountTokens = up.URL, countTokens
			if c.options.Compressor == nil {
				c.options.Compressor = realCompressor(t)
			}
			base, fetch := startWithReceipts(t, c.options)
			resp, _ := post(t, base, c.body, c.headers...)
			data := fetch(resp)
			r := parseReceipt(t, data)
			forwarded, err := r.Verify(c.body, countTokens)
			if err != nil {
				t.Fatalf("%v: %s", err, data)
			}
			if !bytes.Equal(forwarded, up.received()[c.forwarding]) {
				t.Errorf("the replayed body is not the one that the upstream saw")
			}
			shortened := 0
			for _, text := range r.Texts {
				if text.Shortened {
					shortened++
				}
				if text.Failed != c.failed {
					t.Errorf("a text failed: %q", text.Failed)
				}
			}
			if r.Edited != c.edited || r.Replayed != c.replayed || r.Skip != c.skip || shortened != c.shortened || r.Status != http.StatusOK {
				t.Errorf("receipt: %s", data)
			}
			if in, out := header(t, resp, "X-Pith-Tokens-In"), header(t, resp, "X-Pith-Tokens-Out"); in != r.TokensIn || out != r.TokensOut {
				t.Errorf("%d tokens in and %d out: the receipt says %d and %d", in, out, r.TokensIn, r.TokensOut)
			}
			if _, ok := r.TimingsMS["upstream"]; !ok || r.TimingsMS["overhead"] <= 0 {
				t.Errorf("timings: %v", r.TimingsMS)
			}
			for _, secret := range []string{"Paragraph", "treasure", "mill", "weather"} {
				if bytes.Contains(data, []byte(secret)) {
					t.Errorf("the receipt holds %q of the prompt", secret)
				}
			}
		})
	}
}

func TestReceiptOfARequestThatTheUpstreamDidNotAnswer(t *testing.T) {
	up := newRecorder(t)
	up.Close()
	base, fetch := startWithReceipts(t, Options{Upstream: up.URL, Compressor: realCompressor(t), CountTokens: countTokens})
	resp, _ := post(t, base, twoQuestions(t))
	if r := parseReceipt(t, fetch(resp)); r.Status != 0 || !r.Edited {
		t.Errorf("receipt: %+v", r)
	}
}

func TestReceiptHoldsTheScoresByTerm(t *testing.T) {
	base, fetch := startWithReceipts(t, Options{Upstream: newRecorder(t).URL, Compressor: realCompressor(t), CountTokens: countTokens})
	body := twoQuestions(t)
	resp, _ := post(t, base, body)
	best := ReceiptSegment{}
	r := parseReceipt(t, fetch(resp))
	for _, s := range r.Texts[0].Segments {
		if len(s.Terms) != 1 || s.Terms[0].Name != "overlap" || s.Terms[0].Value != s.Score {
			t.Fatalf("segment %+v", s)
		}
		if s.Score > best.Score {
			best = s
		}
	}
	if got := string(body[best.Start:best.End]); !best.Kept || !strings.Contains(got, "old mill") {
		t.Errorf("the best segment, kept: %t, is %q", best.Kept, got)
	}
}

// stated are the members of a receipt that no body can prove: a digest made anew covers up their change. stayed are more of
// them, of texts that stayed whole.
var stayed = map[string]bool{"texts": true, "texts.skip": true, "texts.segments": true}

var stated = map[string]bool{
	"id": true, "time": true, "dialect": true, "model": true, "mode": true, "skip": true, "status": true, "prompt_cache": true,
	"texts.turn": true, "texts.cached": true, "texts.segments.tokens": true, "texts.segments.score": true,
}

func TestVerifyNoticesEveryChange(t *testing.T) {
	t.Run("all texts shortened", func(t *testing.T) {
		noticesEveryChange(t, []byte(`{"messages":[{"role":"user","content":`+encode(t, asking(essay(60, "old mill")))+`}]}`), nil)
	})
	t.Run("a text stays whole", func(t *testing.T) { noticesEveryChange(t, twoQuestions(t), stayed) })
}

func noticesEveryChange(t *testing.T, body []byte, passing map[string]bool) {
	base, fetch := startWithReceipts(t, Options{Upstream: newRecorder(t).URL, Compressor: realCompressor(t), CountTokens: countTokens, Cache: CachePaid})
	resp, _ := post(t, base, body)
	data := fetch(resp)
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	tried := map[string]bool{}
	// tamper changes one leaf at a time, has the changed receipt checked, and puts the leaf back.
	var tamper func(path string, value any, set func(any))
	try := func(path string) {
		changed, err := json.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		r, err := ParseReceipt(changed)
		if err != nil {
			return // refused already
		}
		tried[path] = true
		if _, err := r.Verify(body, countTokens); err == nil {
			t.Errorf("a changed %s passed", path)
		}
		if stated[path] || passing[path] || strings.HasPrefix(path, "timings_ms") || strings.HasPrefix(path, "texts.worth_millitokens") || strings.HasPrefix(path, "texts.segments.terms") || path == "digest" {
			return
		}
		if r, err = r.seal(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Verify(body, countTokens); err == nil {
			t.Errorf("a changed %s passed with a digest made anew", path)
		}
	}
	tamper = func(path string, value any, set func(any)) {
		switch value := value.(type) {
		case map[string]any:
			for key, inner := range value {
				tamper(strings.TrimPrefix(path+"."+key, "."), inner, func(v any) { value[key] = v })
			}
		case []any:
			for i := range value {
				if i < 3 || i == len(value)-1 { // of long lists the ends
					tamper(path, value[i], func(v any) { value[i] = v })
				}
			}
			set(append([]any{}, value[:max(0, len(value)-1)]...))
			if len(value) > 0 {
				try(path)
			}
			set(value)
		case bool:
			set(!value)
			try(path)
			set(value)
		case float64:
			for _, by := range []float64{1, -1} {
				set(value + by)
				try(path)
			}
			set(value)
		case string:
			set(value + "x")
			try(path)
			set(strings.Replace(value, "1", "2", 1))
			if strings.Contains(value, "1") {
				try(path)
			}
			set(value)
		}
	}
	tamper("", tree, nil)
	for _, path := range []string{
		"in.bytes", "in.sha256", "out.bytes", "out.sha256", "untouched", "edited", "replayed", "tokens_in", "tokens_out", "digest",
		"texts", "texts.start", "texts.end", "texts.skip", "texts.failed", "texts.shortened", "texts.tokens_in", "texts.tokens_out", "texts.tokens_kept", "texts.parts",
		"texts.parts.start", "texts.parts.end", "texts.parts.marker", "texts.segments", "texts.segments.start", "texts.segments.end",
		"texts.segments.kept", "texts.segments.tokens_kept", "texts.segments.terms.overlap", "timings_ms.overhead", "texts.worth_millitokens.saved",
	} {
		if !tried[path] {
			t.Errorf("no %s was changed", path)
		}
	}
	r := parseReceipt(t, data)
	for name, changed := range map[string][]byte{
		"a byte of the body": bytes.Replace(body, []byte("number is 1."), []byte("number is 7."), 1),
		"the body's end":     body[:len(body)-1],
	} {
		if _, err := r.Verify(changed, countTokens); err == nil || bytes.Equal(changed, body) {
			t.Errorf("%s changed, and the receipt passed", name)
		}
	}
}

func TestVerifyFindsWhatWasInvented(t *testing.T) {
	base, fetch := startWithReceipts(t, Options{Upstream: newRecorder(t).URL, Compressor: realCompressor(t), CountTokens: countTokens})
	body := twoQuestions(t)
	resp, _ := post(t, base, body)
	// A forger who invents a line has the hash of what it makes of the body.
	r := parseReceipt(t, fetch(resp))
	for i, part := range r.Texts[0].Parts {
		if part.Marker != "" {
			r.Texts[0].Parts[i].Marker = "The treasure is yours.\n"
			break
		}
	}
	v := replay{body: body}
	if _, err := v.text(r.Texts[0]); err == nil || !strings.Contains(err.Error(), "does not follow from its source") {
		t.Errorf("an invented line: %v", err)
	}
}

func TestReceiptsAreBounded(t *testing.T) {
	store := newReceipts(40_000)
	for i := range 100 {
		store.put(&Receipt{ID: fmt.Sprint(i), Texts: []ReceiptText{{Segments: make([]ReceiptSegment, 50)}}})
	}
	kept := 0
	for i := range 100 {
		if _, ok := store.get(fmt.Sprint(i)); ok {
			kept++
		}
	}
	_, latest := store.get("99")
	if store.bytes > store.limit || kept < 2 || kept > 20 || kept != store.order.Len() || !latest {
		t.Errorf("%d receipts in %d bytes, the latest kept: %t", kept, store.bytes, latest)
	}
	store.put(&Receipt{ID: "huge", Untouched: make([]Range, 10_000)})
	if _, ok := store.get("huge"); ok || store.order.Len() != kept {
		t.Error("a receipt beyond the bound was kept")
	}
	if _, ok := newReceipts(0).get("1"); ok {
		t.Error("a receipt was found where none are kept")
	}
}

func TestNoReceiptIsAnAnswer(t *testing.T) {
	s, err := NewServer(Options{Upstream: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	admin := httptest.NewServer(s.Admin(func() error { return nil }))
	defer admin.Close()
	if status, body := get(t, admin.URL+"/receipts/00ff"); status != http.StatusNotFound || !strings.Contains(string(body), "receipts_mib") {
		t.Errorf("%d %s", status, body)
	}
}

// TestReceiptsOfManyTextsReplay sends texts of every kind with budgets of every size.
func TestReceiptsOfManyTextsReplay(t *testing.T) {
	base, fetch := startWithReceipts(t, Options{Upstream: newRecorder(t).URL, Compressor: realCompressor(t), CountTokens: countTokens})
	random := rand.New(rand.NewPCG(1, 2))
	code := strings.Repeat("// Treasure counts.\nfunc Treasure(n int) int {\n\tif n < 0 {\n\t\treturn 0\n\t}\n\treturn n * \"\\u00e9\"\n}\n\n", 12)
	log := strings.Repeat("2026-11-02 10:00:00 INFO tide is low\n2026-11-02 10:00:01 ERROR treasure lost\n\tat cave\n\n", 30)
	list := `[` + strings.Repeat(`{"id":1,"name":"wren, the captain"},`+"\n", 60) + `{"id":2}]`
	shortened := 0
	for i := range 40 {
		var messages []string
		for range 1 + random.IntN(3) {
			text := []string{code, log, list, essay(40, "mill"), strings.ReplaceAll(essay(20, "mill"), "\n\n", " ")}[random.IntN(5)]
			messages = append(messages, `{"role":"user","content":`+encode(t, "<document>\n"+text+"</document>\n\n"+question)+`}`)
		}
		body := []byte(`{"messages":[` + strings.Join(messages, `,{"role":"assistant","content":"yes"},`) + `]}`)
		resp, _ := post(t, base, body, "X-Pith-Budget", fmt.Sprint(1+random.IntN(900)))
		r := parseReceipt(t, fetch(resp))
		if _, err := r.Verify(body, countTokens); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		for _, text := range r.Texts {
			if text.Shortened {
				shortened++
			}
			if text.Failed != "" {
				t.Errorf("request %d failed open: %s", i, text.Failed)
			}
		}
	}
	if shortened < 40 {
		t.Errorf("%d texts were shortened", shortened)
	}
}

// FuzzReplay feeds Verify receipts that nobody wrote: it must refuse or agree, never panic.
func FuzzReplay(f *testing.F) {
	body := []byte(`{"messages":[{"role":"user","content":"a\u00e9\n\ud83d\ude00 b\nc\n"}]}`)
	f.Add(body, 41, 66, 50, "…1 lines…\n")
	f.Add(body, 40, 41, 40, "")
	f.Fuzz(func(t *testing.T, body []byte, start, end, cut int, marker string) {
		if validate(body) != nil {
			return
		}
		v := replay{body: body}
		text := ReceiptText{Start: start, End: end, Shortened: true, TokensIn: 2, TokensOut: 1, Parts: []ReceiptPart{{Start: start, End: cut}, {Start: cut, End: end, Marker: marker}}}
		replacement, err := v.text(text)
		if err != nil {
			return
		}
		source := rawString{start, end, true}.decode(body)
		if err := compressors.Verify(source, rawString{0, len(replacement), true}.decode(replacement)); err != nil {
			t.Error(err)
		}
		if err := validate(splice(body, []edit{{start, end, replacement}})); err != nil {
			t.Errorf("the replayed body: %v", err)
		}
	})
}
