package eval

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/pith-llm/pith/compressors"
)

// A reader behind an API is asked for a chat or a completion, without sampling and for as much as the metric looks at; its
// answers are scored, a case that is too long for it is left out, and any other refusal ends the run.
func TestAnswersOfAnAPI(t *testing.T) {
	type request struct {
		Model       string
		Prompt      string
		Messages    []struct{ Content string }
		ChatTokens  int      `json:"max_completion_tokens"`
		Tokens      int      `json:"max_tokens"` // of a completion
		Temperature *float64 `json:"temperature"`
		Stop        []string
	}
	refusal := `{"error": {"message": "too long", "code": "context_length_exceeded"}}`
	var paths []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var asked request
		if err := json.Unmarshal(body, &asked); err != nil {
			t.Error(err)
		}
		if asked.Model != "reader" || asked.Temperature == nil || *asked.Temperature > 1e-9 || len(asked.Stop) != 1 || max(asked.ChatTokens, asked.Tokens) > 64 || max(asked.ChatTokens, asked.Tokens) == 0 || r.Header.Get("Authorization") != "Bearer k" {
			t.Errorf("%s: %s", r.URL.Path, body)
		}
		paths = append(paths, r.URL.Path)
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.Contains(asked.Prompt, "quorble"):
			_, _ = io.WriteString(w, `{"choices": [{"text": "print(quorble)\nmore"}]}`)
		case strings.Contains(asked.Prompt, "y = 2"):
			_, _ = io.WriteString(w, `{"choices": [{"text": "pass"}]}`)
		case strings.Contains(asked.Messages[0].Content, "endless"):
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, refusal)
		case strings.Contains(asked.Messages[0].Content, "zanzibar"):
			_, _ = io.WriteString(w, `{"choices": [{"message": {"role": "assistant", "content": "Zanzibar."}}]}`)
		default:
			_, _ = io.WriteString(w, `{"choices": [{"message": {"role": "assistant", "content": "unknown"}}]}`)
		}
	}))
	defer api.Close()
	data := writeData(t,
		`{"id":"1","task":"qa","query":"What is the word?","context":[{"name":"Houses","text":"The word is zanzibar.","lang":"en"}],"answers":["zanzibar"],"gold_segments":[0],"meta":{"metric":"f1"}}`,
		`{"id":"2","task":"code","query":"y = 2","context":[{"name":"a.py","text":"quorble = 1","lang":"python"}],"answers":["print(quorble)"],"gold_segments":[0],"meta":{"metric":"edit_similarity / exact_match"}}`,
		`{"id":"3","task":"qa","query":"What is the word?","context":[{"name":"Houses","text":"endless","lang":"en"}],"answers":["zanzibar"],"gold_segments":[0],"meta":{"metric":"f1"}}`)
	options := AnswerOptions{
		Data: []string{data}, Scorers: []string{"head", "tail"}, Rate: 1, Reader: HTTPReader(api.URL+"/v1/", "k", "reader"),
		Compressor: func(s compressors.Scorer) (*compressors.Compressor, error) {
			return compressors.New(compressors.Options{Scorer: s, CountTokens: countWords, DefaultRate: 1, MinTokens: 1})
		},
	}
	report, err := Answers(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	if want := "/v1/chat/completions /v1/chat/completions /v1/chat/completions /v1/chat/completions /v1/completions"; !strings.HasPrefix(strings.Join(paths, " "), want) {
		t.Errorf("asked %v, want at first %s", paths, want)
	}
	var out bytes.Buffer
	if err := report.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`qa +full +1 +1\.000 +- +- +- +100\.0 .* 100\.0\n`,
		`qa +none +1 +0\.000 +- +- +- +0\.0 `,
		`code +head +1 +1\.000 +- +- +- +100\.0 `,
		`1 cases too long for the reader`,
		`all +score +tail +2 `,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("no line is like %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "NaN") || regexp.MustCompile(`log p +tail`).MatchString(out.String()) {
		t.Errorf("log-probabilities from nowhere:\n%s", out.String())
	}
	refusal = `{"error": {"message": "no such model", "code": "model_not_found"}}`
	if _, err := Answers(t.Context(), options); err == nil || !strings.Contains(err.Error(), "case 3") || !strings.Contains(err.Error(), "no such model") {
		t.Errorf("a refusal gave %v", err)
	}
}
