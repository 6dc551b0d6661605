package proxy

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// documentsOf reads the header.
func documentsOf(t *testing.T, h http.Header) (documents []documentFate, omitted int) {
	t.Helper()
	value := h.Get("X-Pith-Documents")
	if len(value) > maxDocuments {
		t.Errorf("the header has %d bytes", len(value))
	}
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			t.Fatalf("byte %d of the header is %#x", i, value[i])
		}
	}
	var list struct {
		Documents []documentFate
		Omitted   int
	}
	if err := json.Unmarshal([]byte(value), &list); err != nil {
		t.Fatalf("%v: %q", err, value)
	}
	return list.Documents, list.Omitted
}

// withDocuments is a request about documents of the given names, of which the last holds the answer.
func withDocuments(t *testing.T, names ...string) []byte {
	var text strings.Builder
	for i, name := range names {
		place := "moon"
		if i == len(names)-1 {
			place = "old mill"
		}
		content := strings.ReplaceAll(essay(12, place), "treasure of captain Wren", []string{"cheese", "treasure of captain Wren"}[i/(len(names)-1)])
		fmt.Fprintf(&text, "<document path=\"%s\">\n%s</document>\n", name, content)
	}
	return []byte(`{"model":"m","messages":[{"role":"user","content":` + encode(t, text.String()+"\n"+question) + `}]}`)
}

func TestListsDocumentsOnRequest(t *testing.T) {
	up := newRecorder(t)
	base := startProxy(t, Options{Upstream: up.URL, Compressor: realCompressor(t), CountTokens: countTokens, Deadline: time.Minute})
	body := withDocuments(t, "Größe \U0001F600.md", "b.md", "c.md")
	resp, _ := post(t, base, body, "X-Pith-Report", "documents", "X-Pith-Budget", "150")
	documents, omitted := documentsOf(t, resp.Header)
	if len(documents) != 3 || omitted != 0 {
		t.Fatalf("%v, %d omitted", documents, omitted)
	}
	kept := 0
	for i, d := range documents {
		if d.Index != i || d.Turn != 0 || d.Name != []string{"Größe \U0001F600.md", "b.md", "c.md"}[i] || d.Tokens < 300 || d.Kept > 150 {
			t.Errorf("document %+v", d)
		}
		kept += d.Kept
	}
	if documents[0].Kept != 0 || documents[2].Kept == 0 || !strings.Contains(string(up.last()), "old mill") {
		t.Errorf("what is kept does not answer: %+v", documents)
	}
	// The markers are all that the upstream gets besides.
	if out := header(t, resp, "X-Pith-Tokens-In") - header(t, resp, "X-Pith-Tokens-Saved"); kept >= out {
		t.Errorf("%d tokens of documents in a prompt of %d", kept, out)
	}
	if strings.Contains(fmt.Sprint(up.requests[0].Header), "Pith") {
		t.Errorf("the upstream saw %v", up.requests[0].Header)
	}
	if resp, _ = post(t, base, body); resp.Header.Get("X-Pith-Documents") != "" {
		t.Error("nobody asked for the list")
	}
}

func TestListsDocumentsAsTheyWereForwarded(t *testing.T) {
	for _, c := range []struct {
		name       string
		compressor Compressor
		mode       string
		refuse     bool
		want       string
	}{
		{name: "nothing looked at", compressor: realCompressor(t), mode: "off", want: "[]"},
		{name: "failed open", compressor: failing(nil, func() bool { return true }), want: "[{0 0 c.md -1 -1}]"},
		{name: "refused by the upstream", compressor: realCompressor(t), refuse: true, want: fmt.Sprintf("[{0 0 c.md %d %[1]d}]", countTokens(essay(41, "mill")))},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := newRecorder(t)
			up.status = func(n int) int {
				if c.refuse && n == 0 {
					return http.StatusBadRequest
				}
				return http.StatusOK
			}
			base := startProxy(t, Options{Upstream: up.URL, Compressor: c.compressor, CountTokens: countTokens, Deadline: time.Minute})
			body := []byte(`{"model":"m","messages":[{"role":"user","content":` + encode(t, "<document path=\"c.md\">\n"+essay(41, "mill")+"</document>\n"+question) + `}]}`)
			mode := c.mode
			if mode == "" {
				mode = "on"
			}
			resp, _ := post(t, base, body, "X-Pith-Report", "documents", "X-Pith-Mode", mode)
			if documents, _ := documentsOf(t, resp.Header); fmt.Sprint(documents) != c.want {
				t.Errorf("documents %v, want %s", documents, c.want)
			}
		})
	}
}

func TestListOfDocumentsIsBounded(t *testing.T) {
	base := startProxy(t, Options{Upstream: newRecorder(t).URL, Compressor: realCompressor(t), CountTokens: countTokens, Deadline: time.Minute})
	var names []string
	for i := range 120 {
		names = append(names, fmt.Sprintf("%d-%s.md", i, strings.Repeat("ü", 100)))
	}
	resp, _ := post(t, base, withDocuments(t, names...), "X-Pith-Report", "documents")
	documents, omitted := documentsOf(t, resp.Header)
	if len(documents) < 3 || omitted+len(documents) != len(names) || documents[0].Index != omitted || documents[len(documents)-1].Index != len(names)-1 {
		t.Errorf("%d documents, %d omitted", len(documents), omitted)
	}
}

func TestListOfDocumentsComesBeforeTheFirstEvent(t *testing.T) {
	read := make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		<-read // no event before the client has the list
		fmt.Fprint(w, "data: {}\n\n")
	}))
	defer up.Close()
	base := startProxy(t, Options{Upstream: up.URL, Compressor: realCompressor(t), CountTokens: countTokens, Deadline: time.Minute})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+chatPath, strings.NewReader(string(withDocuments(t, "a.md", "b.md"))))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Pith-Report", "documents")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if documents, _ := documentsOf(t, resp.Header); len(documents) != 2 {
		t.Errorf("documents %v", documents)
	}
	close(read)
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || line != "data: {}\n" {
		t.Errorf("event %q: %v", line, err)
	}
}

func TestRefusesAReportThatDoesNotExist(t *testing.T) {
	base := startProxy(t, Options{Upstream: newRecorder(t).URL, Compressor: realCompressor(t)})
	resp, answer := post(t, base, longBody(t), "X-Pith-Report", "everything")
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(answer), "X-Pith-Report") {
		t.Errorf("%d %s", resp.StatusCode, answer)
	}
}
