package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSecretsStayOutOfWhatServeWrites gives 'pith serve' secrets in every place that may hold one, has it answer, fail and
// reload, and searches its standard streams and all that its admin address tells for them.
func TestSecretsStayOutOfWhatServeWrites(t *testing.T) {
	const secret = "hunter2"
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Answer", secret)
		_, _ = io.WriteString(w, secret)
	}))
	t.Cleanup(up.Close)
	file := filepath.Join(t.TempDir(), "pith.yaml")
	write := func(content string) {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("upstream: " + up.URL + "\nupstreams:\n  - {name: b, url: " + up.URL + ", models: [b], key_env: KEY_OF_B}\n" +
		"  - {name: c, url: http://192.0.2.1:1, models: [c], egress_proxy: 'http://user:" + secret + "@127.0.0.1:1'}\n")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var written lines
	var printed bytes.Buffer
	listening, admitting := written.wait(`msg=listening address=(\S+)`), written.wait(`msg="admin listening" address=(\S+)`)
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"serve", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--scoring-scorer=bm25", "--cache-dir=off", "--config", file},
			[]string{"PITH_ACCESS_KEY=token-" + secret, "PITH_UPSTREAM_KEY=sk-" + secret, "KEY_OF_B=sk-" + secret}, streams{strings.NewReader(""), &printed, &written})
	}()
	admin, base := <-admitting, "http://"+<-listening
	told := ""
	client := &http.Client{Timeout: time.Minute}
	send := func(method, url, body string, headers ...string) http.Header {
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(url, admin) {
			told += string(answer)
		}
		return resp.Header
	}
	question := `Where is it?\n\n<document>\n` + strings.Repeat(`The word is `+secret+` here, and nothing else is said about it.\n`, 300) + `</document>`
	for _, model := range []string{"a", "b", "c"} {
		body := `{"model":"` + model + `","messages":[{"role":"user","content":"` + question + `"}]}`
		head := send(http.MethodPost, base+"/v1/chat/completions?key="+secret, body, "X-Pith-Token", "token-"+secret)
		send(http.MethodGet, "http://"+admin+"/receipts/"+head.Get("X-Pith-Request-Id"), "")
	}
	send(http.MethodPost, base+"/v1/chat/completions", "{", "Authorization", "Bearer "+secret)
	write("upstream: " + up.URL + "\negress_proxy: 'user:" + secret + "@proxy'\n")
	refused := written.wait(`(settings not reloaded)`)
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	<-refused
	send(http.MethodGet, "http://"+admin+"/metrics", "")
	stop()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for name, text := range map[string]string{"standard error": written.String(), "standard output": printed.String(), "the admin address": told} {
		if strings.Contains(text, secret) {
			t.Errorf("%s holds a secret: %s", name, text)
		}
	}
	if strings.Count(written.String(), "msg=request") != 4 || !strings.Contains(told, "pith_requests_total") || !strings.Contains(told, `"parts"`) {
		t.Errorf("too little was written to be searched: %s\n%s", written.String(), told)
	}
}
