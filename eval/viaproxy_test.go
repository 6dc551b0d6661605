package eval

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/proxy"
)

// proxied is options with a proxy of the same compressor.
func proxied(data string) RunOptions {
	o := options(data)
	o.Scorers, o.Scorer, o.Rates = []string{"bm25"}, lexical, []float64{0.5}
	o.Compressor = func(s compressors.Scorer) (*compressors.Compressor, error) {
		return compressors.New(compressors.Options{Scorer: s, CountTokens: countWords, MinTokens: 1, MinSaving: 1})
	}
	o.Proxy = func(s compressors.Scorer, upstream string, observe func(proxy.Report)) (*proxy.Server, error) {
		compressor, err := o.Compressor(s)
		if err != nil {
			return nil, err
		}
		return proxy.NewServer(proxy.Options{Upstream: upstream, Compressor: compressor, CountTokens: countWords, Observe: observe})
	}
	return o
}

// paragraph is a document of one paragraph about a thing.
func paragraph(thing string) string {
	return strings.Repeat("Of the "+thing+" much has been said and written over the years by many people. ", 5) + "The " + thing + " stands by the river."
}

// TestThroughTheProxy: what the upstream receives of documents in a prompt and of a tool's output is measured, with the
// query that the proxy finds.
func TestThroughTheProxy(t *testing.T) {
	encode := func(v any) string {
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	var documents []string
	for _, thing := range []string{"windmill", "lighthouse", "observatory", "tavern"} {
		documents = append(documents, `{"name":"`+thing+`","lang":"en","text":`+encode(paragraph(thing))+`}`)
	}
	data := writeData(t,
		`{"id":"asked","task":"qa","query":"Where does the observatory stand?","context":[`+strings.Join(documents, ",")+`],"gold_segments":[2],"meta":{"instruction":"Answer from the documents."}}`,
		`{"id":"lost","task":"qa","query":"Where does the observatory stand?","context":[`+strings.Join(documents, ",")+`],"gold_segments":[0],"meta":{"instruction":"Answer from the documents."}}`,
		`{"id":"tool","task":"tool_grep","query":"Where is the tavern?","context":[{"name":"$ grep -rn stands","text":`+encode(paragraph("windmill")+"\n\n"+paragraph("tavern")+"\n\n"+paragraph("harbour")+"\n")+`}],"gold_segments":[0],"meta":{"gold_text":["The tavern stands by the river."]}}`,
		`{"id":"chat","task":"agent","query":"ignored: the proxy reads the messages","messages":[{"role":"user","content":"Where is the tavern?"},{"role":"assistant","content":null,"tool_calls":[{"id":"x","type":"function","function":{"name":"look","arguments":"{}"}}]},{"role":"tool","tool_call_id":"x","content":`+encode(paragraph("windmill")+"\n\n"+paragraph("tavern")+"\n\n"+paragraph("harbour")+"\n")+`}],"gold_segments":[2],"meta":{"needed":["The tavern stands by the river."]}}`)
	report, err := Run(t.Context(), proxied(data))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]Row{}
	for _, row := range report.Results {
		found[row.Task+"/"+row.Scorer] = row
	}
	for key, want := range map[string]float64{
		"qa/bm25": 0.5, "qa/bm25 via proxy": 0.5, "tool_grep/bm25 via proxy": 1, "agent/bm25 via proxy": 1,
	} {
		row := found[key]
		if got := row.Metrics[GoldShare]; !near(got.Mean, want) || row.Skipped != 0 {
			t.Errorf("%s: gold share %+v, %d skipped, want %v of all", key, got, row.Skipped, want)
		}
		if reached := row.Metrics[RateReached].Mean; reached > 0.6 || reached < 0.2 { // of all messages, the question among them
			t.Errorf("%s: rate reached %v", key, reached)
		}
	}
	if mrr := found["tool_grep/bm25 via proxy"].Metrics[MRR]; mrr.N != 1 || mrr.Mean != 1 {
		t.Errorf("rank of the gold paragraph %+v, want the first", mrr)
	}
	var text strings.Builder
	if err := report.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), "Through the proxy") || !strings.Contains(text.String(), "bm25 via proxy  bm25 ") {
		t.Errorf("the loss is not reported:\n%s", text.String())
	}
}

// TestWhatTheUpstreamReceivedIsProved: a report that does not account for the received bytes is an error.
func TestWhatTheUpstreamReceivedIsProved(t *testing.T) {
	const source = "one\ntwo\nthree\nfour\n"
	const output = "…2 lines…\nthree\nfour\n"
	report := proxy.Report{Turns: []proxy.TurnReport{{
		Texts: []compressors.Text{{Content: source}},
		Result: compressors.Result{Texts: []compressors.TextResult{{
			Output: output, TokensIn: 4, TokensOut: 3,
			Parts:    []compressors.Part{{Start: 0, End: 8, Marker: "…2 lines…\n"}, {Start: 8, End: len(source)}},
			Segments: []compressors.SegmentResult{{Segment: compressors.Segment{Start: 4, End: 14}, Score: compressors.Score{Value: 7}}},
		}}},
	}}}
	sent := []string{source + "!", "before " + source + "after"}
	// The same text stands in the first message, which is unchanged: the second is meant.
	received := []string{sent[0], "before " + output + "after"}
	edits, err := editsOf(sent, received, report)
	if err != nil {
		t.Fatal(err)
	}
	// A text of the case that begins with "two" and ends with "three": its first line is elided.
	r := edits.of(placeIn{1, len("before one\n")}, len("two\nthree"))
	if got := keptRanges(r.Parts); !slices.Equal(got, [][2]int{{4, 9}}) {
		t.Errorf("kept %v, want the second line, [4, 9)", got)
	}
	if len(r.Segments) != 1 || r.Segments[0].Start != 0 || r.Segments[0].End != 9 || r.Segments[0].Score.Value != 7 {
		t.Errorf("segments %+v, want the whole text by the segment that covers it", r.Segments)
	}
	if r := edits.of(placeIn{0, 0}, len(source)); r.Skip == compressors.NotSkipped || !slices.Equal(keptRanges(r.Parts), [][2]int{{0, len(source)}}) {
		t.Errorf("a text that was not touched: %+v", r)
	}
	for name, received := range map[string][]string{
		"another byte": {sent[0], "before " + output + "After"},
		"not replaced": sent,
	} {
		if _, err := editsOf(sent, received, report); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	report.Turns[0].Result.Texts[0].Output = "…2 lines…\nthree\nfive\n"
	if _, err := editsOf(sent, []string{sent[0], "before …2 lines…\nthree\nfive\nafter"}, report); err == nil {
		t.Error("invented text: no error")
	}
}
