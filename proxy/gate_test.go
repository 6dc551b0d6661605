package proxy

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pith-llm/pith/compressors"
)

// TestGateWeighsSavingsByPrice has spans priced: each row says why its decision is the one to expect.
func TestGateWeighsSavingsByPrice(t *testing.T) {
	const short, long = 4 * 2_000, 4 * 200_000 // bytes of talk
	for _, c := range []struct {
		why     string
		cache   CacheClass
		kind    turnKind
		talked  int
		in, out int
		taken   bool
	}{
		{"nothing is known of prices: what the compressor calls a saving is one", CacheUnpriced, turnQuestion, long, 1000, 984, true},
		{"a large saving pays under every class", CacheNone, turnTools, short, 1000, 400, true},
		{"a large saving pays under every class", CacheImplicit, turnTools, short, 1000, 400, true},
		{"a large saving pays under every class", CachePaid, turnTools, short, 1000, 400, true},
		{"a large saving pays under every class", CacheExplicit, turnTools, short, 1000, 400, true},
		{"a tiny saving is less than pith's own time where reading again is cheap", CachePaid, turnQuestion, short, 1200, 1184, false},
		{"the same saving pays where every request bills it in full", CacheNone, turnQuestion, short, 1200, 1184, true},
		{"it is read ten times, not three: the same saving pays", CachePaid, turnTools, short, 1200, 1184, true},
		{"with a discount on reading it is worth less than without", CacheImplicit, turnQuestion, short, 1400, 1384, false},
		{"with a discount on reading it is worth less than without", CacheNone, turnQuestion, short, 1400, 1384, true},
		{"the written prefix of a long talk may have to be written again", CachePaid, turnQuestion, long, 1000, 900, false},
		{"no cache, no writing again", CacheNone, turnQuestion, long, 1000, 900, true},
		{"to ask again in a long talk bills all of it once more", CacheNone, turnTools, long, 500, 250, false},
		{"reading it once more is cheap", CachePaid, turnTools, long, 500, 200, true},
		{"a completion does not come again and cannot ask", CacheNone, turnPrompt, long, 500, 480, true},
		{"a completion does not come again and cannot ask", CacheNone, turnPrompt, long, 1000, 981, false},
		{"a client that marks nothing pays in full, one that marks pays a tenth: the lower counts", CacheExplicit, turnQuestion, short, 1000, 980, true},
		{"a client that marks nothing pays in full, one that marks pays a tenth: the lower counts", CacheExplicit, turnQuestion, short, 1000, 983, false},
	} {
		text := strings.Repeat("x", c.in)
		result := compressors.Result{TokensIn: c.in, TokensOut: c.out, Texts: []compressors.TextResult{{
			Output: text[:c.out], TokensIn: c.in, TokensOut: c.out, Parts: []compressors.Part{{End: c.out}, {Start: c.out, End: c.in, Dropped: true}},
		}}}
		s := turn{kind: c.kind, talked: c.talked}.stakes()
		passed, worth := gate{cache: c.cache}.pass([]compressors.Text{{Content: text}}, result, compressors.Budget{}, s)
		got := passed.Texts[0]
		name := fmt.Sprintf("%s: %d of %d tokens saved under %v", c.why, c.in-c.out, c.in, c.cache)
		if replaces(got) != c.taken {
			t.Errorf("%s: taken is %t, worth %+v", name, !c.taken, worth)
		}
		if !c.taken && (got.Output != text || got.Skip != compressors.SkipNotWorthIt || got.TokensOut != c.in || passed.TokensOut != c.in || len(got.Parts) != 1) {
			t.Errorf("%s: left as a text of %d tokens, skip %v", name, got.TokensOut, got.Skip)
		}
		if (worth == nil) != (c.cache == CacheUnpriced) || worth != nil && (worth[0].Net() > 0) != c.taken {
			t.Errorf("%s: worth %+v", name, worth)
		}
		if replaces(result.Texts[0]) == false {
			t.Errorf("%s: the remembered result was changed", name)
		}
		if passed, _ := (gate{cache: c.cache}).pass([]compressors.Text{{Content: text}}, result, compressors.Budget{Tokens: 10}, s); !replaces(passed.Texts[0]) {
			t.Errorf("%s: prices broke a stated budget", name)
		}
	}
}

// TestGateIsStatedWhereItDecides sends a text whose saving is not worth its price, and one whose is.
func TestGateIsStatedWhereItDecides(t *testing.T) {
	up := newRecorder(t)
	cut := func(tokens int) Compressor {
		return compressorFunc(func(_ context.Context, in compressors.Input) (compressors.Result, error) {
			r := compressors.Result{}
			for _, text := range in.Texts {
				end := len(text.Content) - 4*tokens
				r.Texts = append(r.Texts, compressors.TextResult{
					Output: text.Content[:end] + "\n…1 lines…", TokensIn: 2000, TokensOut: 2000 - tokens,
					Parts:    []compressors.Part{{End: end}, {Start: end, End: len(text.Content), Marker: "\n…1 lines…"}},
					Segments: []compressors.SegmentResult{{Segment: compressors.Segment{End: len(text.Content)}, Tokens: 2000, Kept: true, KeptTokens: 2000 - tokens}},
				})
			}
			return r, nil
		})
	}
	for _, c := range []struct {
		tokens int
		taken  bool
	}{{20, false}, {400, true}} {
		var log lockedBuffer
		s, err := NewServer(Options{Upstream: up.URL, Compressor: cut(c.tokens), Cache: CachePaid, Receipts: 1 << 20, Logger: logTo(&log)})
		if err != nil {
			t.Fatal(err)
		}
		resp, _ := post(t, serve(t, s), longBody(t))
		if changed := string(up.last()) != string(longBody(t)); changed != c.taken {
			t.Errorf("%d tokens saved: changed is %t", c.tokens, changed)
		}
		receipt, ok := s.receipts.get(resp.Header.Get("X-Pith-Request-Id"))
		if !ok || receipt.PromptCache != "paid" || len(receipt.Texts) != 1 {
			t.Fatalf("receipt: %+v", receipt)
		}
		text := receipt.Texts[0]
		if text.Worth == nil || text.Worth.Saved != c.tokens*(1250+3*100) || text.Worth.Latency != 40_000 || (text.Worth.Net() > 0) != c.taken || (text.Skip == "not_worth_it") == c.taken {
			t.Errorf("receipt of %d tokens saved: %+v", c.tokens, text)
		}
		outcome, line := `pith_texts_total{outcome="not_worth_it"}`, `"texts_not_worth_it":1`
		if c.taken {
			outcome, line = `pith_texts_total{outcome="shortened"}`, fmt.Sprintf(`"worth_millitokens":%d`, text.Worth.Net())
		}
		reaches(t, s, outcome, 1)
		reaches(t, s, `pith_requests_total{dialect="chat",outcome="answered"}`, 1)
		if !strings.Contains(log.String(), line) {
			t.Errorf("log without %s: %s", line, log.String())
		}
	}
}

// TestPricesKeepThePrefix grows a tool loop under each class: what became of a result stays, whatever follows, and however
// marks and list forms move.
func TestPricesKeepThePrefix(t *testing.T) {
	for class := CacheUnpriced; class <= CacheExplicit; class++ {
		t.Run(class.String(), func(t *testing.T) {
			up := newRecorder(t)
			start := func() string {
				return startProxy(t, Options{Upstream: up.URL, Compressor: realCompressor(t), Cache: class, Deadline: time.Minute}) + paths[dialectMessages]
			}
			url := start()
			items := []string{`{"role":"user","content":"Where does captain Wren keep the treasure?"}`}
			known := map[int]string{}
			taken := 0
			for n := range 12 {
				if n == 6 {
					url = start()
				}
				items = append(items,
					fmt.Sprintf(`{"role":"assistant","content":[{"type":"tool_use","id":"t%d","name":"search","input":{"q":"treasure"}}]}`, n),
					fmt.Sprintf(`{"role":"user","content":[{"type":"tool_result","tool_use_id":"t%d","content":%s}]}`, n, encode(t, essay(6+n%3*12, fmt.Sprint("mill ", n)))))
				sent := append([]string{}, items...)
				if last := len(sent) - 1; n%2 == 0 { // the mark moves on, and turns the string into a list
					text := strings.TrimSuffix(strings.SplitN(sent[last], `"content":`, 3)[2], "}]}")
					sent[last] = fmt.Sprintf(`{"role":"user","content":[{"type":"tool_result","tool_use_id":"t%d","content":[{"type":"text","text":%s,"cache_control":{"type":"ephemeral"}}]}]}`, n, text)
				}
				if resp, answer := postTo(t, url, []byte(`{"model":"m","max_tokens":9,"messages":[`+strings.Join(sent, ",")+`]}`)); resp.StatusCode != http.StatusOK {
					t.Fatalf("%d %s", resp.StatusCode, answer)
				}
				c, err := parseMessages(up.last())
				if err != nil {
					t.Fatal(err)
				}
				result := 0
				for _, m := range c.messages {
					if m.role != roleTool {
						continue
					}
					if before, ok := known[result]; ok && before != m.texts[0].text {
						t.Fatalf("request %d changed result %d", n, result)
					}
					known[result] = m.texts[0].text
					result++
				}
				if strings.Contains(known[n], "…") {
					taken++
				}
			}
			if taken < 6 {
				t.Errorf("%d of 12 results were shortened: too few for this test to mean anything", taken)
			}
		})
	}
}
