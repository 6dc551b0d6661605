package proxybench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"
)

const (
	// takesHeader asks the mock to wait so long before it answers.
	takesHeader = "X-Mock-Takes"
	// streamEvents is how many events a stream has, streamPace the time between them.
	streamEvents = 20
	streamPace   = 5 * time.Millisecond
)

// mock is an upstream that answers at once unless asked not to.
type mock struct {
	url  string
	stop func()
}

func startMock() mock {
	const answer = `{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}]}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head, _ := io.ReadAll(io.LimitReader(r.Body, 1<<10))
		_, _ = io.Copy(io.Discard, r.Body)
		if streams := []byte(`"stream":true`); bytes.Contains(bytes.ReplaceAll(head, []byte(" "), nil), streams) {
			w.Header().Set("Content-Type", "text/event-stream")
			for range streamEvents {
				fmt.Fprintf(w, `data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"%d"},"finish_reason":null}]}`+"\n\n", time.Now().UnixNano())
				w.(http.Flusher).Flush()
				time.Sleep(streamPace)
			}
			fmt.Fprint(w, "data: [DONE]\n\n")
			return
		}
		if takes, err := time.ParseDuration(r.Header.Get(takesHeader)); err == nil {
			time.Sleep(takes)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	}))
	return mock{server.URL, server.Close}
}

// longText repeats text up to a size, with a number in each paragraph so that no two are equal.
func longText(text string, serial, size int) string {
	var out strings.Builder
	paragraphs := strings.Split(text, "\n\n")
	for i := 0; out.Len() < size; i++ {
		fmt.Fprintf(&out, "%s (%d.%d)\n\n", paragraphs[i%len(paragraphs)], serial, i)
	}
	return strings.ToValidUTF8(out.String()[:size], "")
}

// jsonString is text as a JSON string.
func jsonString(text string) []byte {
	encoded, err := json.Marshal(text)
	if err != nil {
		panic("proxybench: a string does not marshal: " + err.Error())
	}
	return encoded
}
