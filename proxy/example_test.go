package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/proxy"
)

func Example() {
	// An upstream that repeats what it was asked.
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(err)
		}
		_, _ = w.Write(body)
	}))
	defer upstream.Close()

	count := func(text string) int { return len(strings.Fields(text)) }
	compressor, err := compressors.New(compressors.Options{
		CountTokens: count,
		DefaultRate: 0.2,
		Scorer: compressors.ScorerFunc(func(_ context.Context, query string, candidates []compressors.Candidate) (compressors.Scores, error) {
			scores := compressors.Scores{Scores: make([]compressors.Score, len(candidates))}
			for i, c := range candidates {
				if strings.Contains(c.Text, "treasure") && strings.Contains(query, "treasure") {
					scores.Scores[i].Value = 1
				}
			}
			return scores, nil
		}),
	})
	if err != nil {
		panic(err)
	}
	server, err := proxy.NewServer(proxy.Options{Upstream: upstream.URL, Compressor: compressor, CountTokens: count})
	if err != nil {
		panic(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() { _ = server.Serve(listener) }()
	defer func() { _ = server.Shutdown(context.Background()) }()

	filler := strings.Repeat(`A paragraph speaks of tides, of ropes and of weather, and of nothing that anybody would ask about.\n\n`, 30)
	body := `{"model":"m","messages":[{"role":"user","content":"<document>\n` + filler +
		`The treasure lies under the mill.\n\n` + filler + `</document>\nWhere is the treasure?"}]}`
	response, err := http.Post("http://"+listener.Addr().String()+"/v1/chat/completions", "application/json", strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	defer func() { _ = response.Body.Close() }()
	sent, err := io.ReadAll(response.Body)
	if err != nil {
		panic(err)
	}
	fmt.Println("the treasure is still there:", strings.Contains(string(sent), `The treasure lies under the mill.\n`))
	fmt.Println("tokens in:", response.Header.Get("X-Pith-Tokens-In"))
	fmt.Println("less than a quarter was sent:", 4*len(sent) < len(body))
	// Output:
	// the treasure is still there: true
	// tokens in: 1092
	// less than a quarter was sent: true
}
