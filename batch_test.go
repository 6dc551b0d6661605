package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// logLines is a text of n lines that are all alike but the one that holds the answer.
func logLines(n int, answer string) string {
	half := strings.Repeat("nothing to see in this line of the log, it is here to be long\n", n/2)
	return half + answer + "\n" + half
}

// batchResults runs compress --jsonl with BM25 and returns what it wrote.
func batchResults(t *testing.T, stdin string, args ...string) []compressResponse {
	t.Helper()
	stdout, _, err := pith(t, stdin, append([]string{"compress", "--jsonl", "--scoring-scorer", "bm25", "--quiet"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return parseResults(t, stdout)
}

func parseResults(t *testing.T, lines string) []compressResponse {
	t.Helper()
	var list []compressResponse
	for line := range strings.Lines(lines) {
		var r compressResponse
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		list = append(list, r)
	}
	return list
}

func jsonLine(t *testing.T, fields map[string]any) string {
	t.Helper()
	line, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(line) + "\n"
}

func TestBatchListsWhatIsKeptAndDropped(t *testing.T) {
	source := logLines(60, "the answer is forty-two")
	results := batchResults(t, jsonLine(t, map[string]any{
		"id": 7, "query": "what is the answer?", "budget": 200, "texts": []jsonText{{Name: "log", Content: source}},
	}))
	if len(results) != 1 || results[0].ID != "7" || len(results[0].Texts) != 1 {
		t.Fatalf("results %+v", results)
	}
	text := results[0].Texts[0]
	ranges := slices.Concat(text.Kept, text.Dropped)
	slices.SortFunc(ranges, func(a, b [2]int) int { return a[0] - b[0] })
	at := 0
	for _, r := range ranges {
		if r[0] != at {
			t.Fatalf("a range starts at %d, want %d: %v", r[0], at, ranges)
		}
		at = r[1]
	}
	if at != len(source) || len(text.Dropped) == 0 {
		t.Errorf("the ranges end at %d of %d: %v", at, len(source), ranges)
	}
	for _, r := range text.Kept {
		if !strings.Contains(text.Output, source[r[0]:r[1]]) {
			t.Errorf("the output lacks the kept range %v", r)
		}
	}
	if len(text.Segments) != 0 {
		t.Error("segments are listed without --explain")
	}
	explained := batchResults(t, jsonLine(t, map[string]any{
		"query": "what is the answer?", "budget": 200, "texts": []jsonText{{Name: "log", Content: source}},
	}), "--explain")
	if segments := explained[0].Texts[0].Segments; len(segments) == 0 || segments[0].Terms == nil {
		t.Errorf("--explain lists %d segments", len(segments))
	}
}

func TestBatchGoesOnWhereItEnded(t *testing.T) {
	var input strings.Builder
	for i := range 6 {
		input.WriteString(jsonLine(t, map[string]any{
			"id": fmt.Sprint("case-", i), "query": "what is the answer?", "budget": 200,
			"texts": []jsonText{{Content: logLines(60, fmt.Sprint("the answer is ", i))}},
		}))
	}
	file := filepath.Join(t.TempDir(), "out.jsonl")
	batchResults(t, input.String(), "--output", file)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	results := parseResults(t, string(whole))
	for i, r := range results {
		if want := fmt.Sprint("case-", i); string(r.ID) != want || !strings.Contains(r.Texts[0].Output, fmt.Sprint("the answer is ", i)) {
			t.Errorf("result %d is of %s", i, r.ID)
		}
	}
	// A run that was broken off in the middle of a line.
	lines := strings.SplitAfter(string(whole), "\n")
	if err := os.WriteFile(file, []byte(strings.Join(lines[:3], "")+lines[3][:20]), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr, err := pith(t, input.String(), "compress", "--jsonl", "--scoring-scorer", "bm25", "--output", file, "--jobs", "3")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stderr, "3 inputs") || !strings.Contains(stderr, "3 lines were answered before") {
		t.Errorf("the second run says %q", stderr)
	}
	again, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var first, second []compressResponse
	for _, r := range results {
		r.StageMS = nil
		first = append(first, r)
	}
	for _, r := range parseResults(t, string(again)) {
		r.StageMS = nil
		second = append(second, r)
	}
	if fmt.Sprint(first) != fmt.Sprint(second) {
		t.Errorf("after the second run the file holds\n%v\nwant\n%v", second, first)
	}
}

func TestBatchGoesOnAfterABadLine(t *testing.T) {
	good := jsonLine(t, map[string]any{"id": "good", "query": "q", "texts": []jsonText{}})
	stdout, _, err := pith(t, "{}\nnot JSON\n"+good, "compress", "--jsonl", "--scoring-scorer", "bm25", "--quiet")
	if err == nil || !strings.Contains(err.Error(), "2 lines failed") || !strings.Contains(err.Error(), "-:1") {
		t.Errorf("error %v, want both lines counted and the first named", err)
	}
	if results := parseResults(t, stdout); len(results) != 1 || results[0].ID != "good" {
		t.Errorf("results %+v, want the good line's", results)
	}
}

// As on the command line, a line that asks nothing loses what repeats, and no more.
func TestBatchWithoutAQueryLeavesOutWhatRepeats(t *testing.T) {
	var page strings.Builder
	for i := range 30 {
		fmt.Fprintf(&page, "The harbour of the town number %d was dredged at the expense of its county.\n\n", i)
	}
	texts := []jsonText{{Name: "page", Content: page.String()}, {Name: "copy", Content: page.String()}}
	results := batchResults(t, jsonLine(t, map[string]any{"texts": texts}))
	if len(results) != 1 || results[0].Texts[0].Output != page.String() || results[0].Texts[1].TokensOut >= results[0].Texts[1].TokensIn/2 {
		t.Fatalf("results %+v", results)
	}
	if results = batchResults(t, jsonLine(t, map[string]any{"budget": 100, "texts": texts})); results[0].TokensOut > 100 {
		t.Errorf("%d tokens kept of a budget of 100", results[0].TokensOut)
	}
}

func TestBatchTakesLLMLinguasNames(t *testing.T) {
	source := logLines(60, "the answer is forty-two")
	for name, context := range map[string]any{"a string": source, "a list": []string{source, source}} {
		t.Run(name, func(t *testing.T) {
			results := batchResults(t, jsonLine(t, map[string]any{
				"context": context, "instruction": "Answer in one word.", "question": "what is the answer?", "target_token": 300,
				"rate": 0.5, "condition_in_question": "after",
			}))
			r := results[0]
			if r.TokensOut > 300 || r.TokensOut == 0 {
				t.Errorf("%d tokens, want at most 300", r.TokensOut)
			}
			if !strings.HasPrefix(r.CompressedPrompt, "Answer in one word.\n\n") || !strings.HasSuffix(r.CompressedPrompt, "\n\nwhat is the answer?") ||
				!strings.Contains(r.CompressedPrompt, "the answer is forty-two") {
				t.Errorf("prompt %q", r.CompressedPrompt)
			}
			if len(r.Ignored) != 1 || r.Ignored[0] != "condition_in_question" {
				t.Errorf("ignored %q", r.Ignored)
			}
		})
	}
}

func TestBatchObeysLLMLinguasTags(t *testing.T) {
	kept := "  keep <this> exactly…\n\n" + logLines(40, "a line of it") + "\t"
	first, second := logLines(80, "the answer is forty-two"), logLines(80, "the other answer is nine")
	context := "<llmlingua, compress=False>" + kept + "</llmlingua><llmlingua, rate=0.2>" + first + "</llmlingua>\n<llmlingua rate=0.5 compress=True>" + second + "</llmlingua>"
	results := batchResults(t, jsonLine(t, map[string]any{"context": context, "question": "what is the answer?"}), "--compression-min-tokens", "10")
	output := results[0].Texts[0].Output
	if !strings.HasPrefix(output, kept) {
		t.Errorf("compress=False does not hold: %.80q", output)
	}
	if strings.Contains(output, "llmlingua") {
		t.Error("the tags are still there")
	}
	rest := output[len(kept):]
	if !strings.Contains(rest, "the answer is forty-two") || !strings.Contains(rest, "the other answer") {
		t.Fatalf("an answer is gone: %q", rest)
	}
	if len(rest) > (len(first)*2+len(second)*5)/10+100 {
		t.Errorf("%d bytes are left of %d and %d, want rates of 0.2 and 0.5", len(rest), len(first), len(second))
	}
	for _, bad := range []string{"<llmlingua>a", "a</llmlingua>", "<llmlingua rate=2>a</llmlingua>", "<llmlingua compress=maybe>a</llmlingua>", "<llmlingua size=3>a</llmlingua>"} {
		if _, err := splitTags(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestExplainShowsEveryTerm(t *testing.T) {
	file := "testdata/demo/code/go-zero/core/stores/redis/redislock.go"
	_, stderr, err := pith(t, "", "compress", "-q", "how is the redis lock released?", "--rate", "0.4", "--scoring-scorer", "bm25", "--explain", file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	if !strings.Contains(lines[0], "bm25") {
		t.Errorf("the table names no term: %q", lines[0])
	}
	keptLines, droppedLines := 0, 0
	if last := lines[len(lines)-1]; last != "the models read 0 tokens" {
		t.Errorf("after the table: %q", last)
	}
	lines = lines[:len(lines)-1]
	for _, line := range lines[1:] {
		switch {
		case strings.HasPrefix(line, "+ "):
			keptLines++
		case strings.HasPrefix(line, "- "):
			droppedLines++
		}
	}
	if keptLines == 0 || droppedLines == 0 || keptLines+droppedLines != len(lines)-1 {
		t.Errorf("%d segments kept and %d dropped in %d lines", keptLines, droppedLines, len(lines))
	}
}
