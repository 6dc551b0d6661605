package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sashabaranov/go-openai"

	"github.com/pith-llm/pith/compressors"
)

func TestGoOpenAIClient(t *testing.T) {
	base := upstreamOf(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if !bytes.Contains(body, []byte(`"stream":true`)) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"id":"a","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"%d bytes"},"finish_reason":"stop"}]}`, len(body))
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for _, word := range []string{"under ", "the ", "mill"} {
			fmt.Fprintf(w, "data: {\"id\":\"a\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%q}}]}\n\n", word)
			w.(http.Flusher).Flush()
		}
		fmt.Fprint(w, "data: [DONE]\n\n")
	})
	config := openai.DefaultConfig("key")
	config.BaseURL = base + "/v1"
	client := openai.NewClientWithConfig(config)
	request := openai.ChatCompletionRequest{
		Model:    "m",
		Messages: []openai.ChatCompletionMessage{{Role: "user", Content: asking(essay(60, "mill"))}},
	}
	answer, err := client.CreateChatCompletion(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if _, err := fmt.Sscanf(answer.Choices[0].Message.Content, "%d bytes", &n); err != nil || n > len(essay(60, "mill"))*2/3 {
		t.Errorf("answer %q", answer.Choices[0].Message.Content)
	}
	if answer.Header().Get("X-Pith-Tokens-Saved") == "" {
		t.Error("no X-Pith-Tokens-Saved header")
	}
	stream, err := client.CreateChatCompletionStream(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	var text strings.Builder
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(part.Choices[0].Delta.Content)
	}
	if text.String() != "under the mill" {
		t.Errorf("streamed %q", text.String())
	}
}

// TestSecretsStayOut searches all that the proxy has written, and what its admin address tells, for a secret that clients,
// the upstream and the compressor were full of.
func TestSecretsStayOut(t *testing.T) {
	var log lockedBuffer
	var told bytes.Buffer
	status := http.StatusOK
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/break" {
			conn, buffered, err := w.(http.Hijacker).Hijack()
			if err == nil {
				fmt.Fprint(buffered, "HTTP/1.1 200 OK\r\nhunter2 hunter2\r\n\r\n")
				_ = buffered.Flush()
				_ = conn.Close()
			}
			return
		}
		w.Header().Set("X-Answer", "hunter2")
		w.WriteHeader(status)
		fmt.Fprint(w, `{"error":"hunter2"}`)
	}))
	t.Cleanup(up.Close)
	boom := compressorFunc(func(context.Context, compressors.Input) (compressors.Result, error) { panic("hunter2") })
	real := realCompressor(t)
	telling := compressorFunc(func(ctx context.Context, in compressors.Input) (compressors.Result, error) {
		result, err := real.Compress(ctx, in)
		result.Stages = append(result.Stages, compressors.Stage{Name: "unheard of", Duration: time.Second})
		return result, err
	})
	for name, c := range map[string]Compressor{"real": telling, "panicking": boom} {
		t.Run(name, func(t *testing.T) { // ends once the proxy has, and has logged all
			s, err := NewServer(Options{Upstream: up.URL, Compressor: c, Logger: logTo(&log), Receipts: 1 << 20, Deadline: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			base := serve(t, s)
			tell := func(path string) {
				w := httptest.NewRecorder()
				s.Admin(func() error { return nil }).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
				if w.Code != http.StatusOK {
					t.Errorf("%s: %d", path, w.Code)
				}
				_, _ = told.Write(w.Body.Bytes())
			}
			body := bytes.ReplaceAll(longBody(t), []byte("Paragraph"), []byte("hunter2 Paragraph"))
			for _, status = range []int{200, 400, 500} {
				resp, _ := post(t, base, body, "Authorization", "Bearer hunter2", "X-Api-Key", "hunter2", "Cookie", "a=hunter2")
				tell("/receipts/" + resp.Header.Get("X-Pith-Request-Id"))
			}
			post(t, base, []byte(`{"messages":"hunter2`), "X-Pith-Query", "hunter2")
			post(t, base, body, "X-Pith-Mode", "hunter2")
			do(t, http.MethodGet, base+"/v1/models?key=hunter2", nil)
			do(t, http.MethodGet, base+"/break?key=hunter2", nil)
			exchangeRaw(t, base, "GET /x HTTP/1.1\r\nHost: localhost\r\nAuthorization hunter2\r\n\r\n")
			exchangeRaw(t, base, handshake("/v1/responses?key=hunter2", "Authorization: Bearer hunter2\r\n"))
			tell("/metrics")
		})
	}
	lines := strings.Count(log.String(), "\n")
	if lines != 18 {
		t.Errorf("%d lines, want one a request, those that cannot be read among them: %s", lines, log.String())
	}
	if strings.Contains(log.String(), "hunter2") {
		t.Errorf("the log holds a secret: %s", log.String())
	}
	if !strings.Contains(told.String(), `pith_stage_duration_seconds_count{stage="other"} 1`) || strings.Contains(told.String(), "hunter2") {
		t.Errorf("the admin address tells a secret: %s", told.String())
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for field, o := range map[string]Options{
		"Upstream":       {},
		"Upstream:":      {Upstream: "ftp://a"},
		"Upstream: ":     {Upstream: "http://user:pw@a"},
		"Upstream: u":    {Upstream: "http://a?x=1"},
		"Mode":           {Upstream: "http://a", Mode: 9},
		"Budget":         {Upstream: "http://a", Budget: compressors.Budget{Rate: 2}},
		"Documents":      {Upstream: "http://a", Documents: []DocumentRule{{Close: "x"}}},
		"Deadline":       {Upstream: "http://a", Deadline: -1},
		"Concurrency":    {Upstream: "http://a", Concurrency: -1},
		"Remembered":     {Upstream: "http://a", Remembered: -1},
		"MaxBody":        {Upstream: "http://a", MaxBody: -1},
		"ConnectTimeout": {Upstream: "http://a", ConnectTimeout: -1},
		"HeaderTimeout":  {Upstream: "http://a", HeaderTimeout: -1},
		"IdleTimeout":    {Upstream: "http://a", IdleTimeout: -1},
		"KeepAlive":      {Upstream: "http://a", KeepAlive: -1},
	} {
		s, err := NewServer(o)
		if s != nil || err == nil || !strings.Contains(err.Error(), "proxy.Options."+strings.TrimSpace(field)) {
			t.Errorf("%s: %v", field, err)
		}
		if err != nil && strings.Contains(err.Error(), "pw") {
			t.Errorf("the error quotes a password: %v", err)
		}
	}
}
