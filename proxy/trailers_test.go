package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// inTwo is a body of two chunks without the lines behind it.
const inTwo = "2\r\nok\r\n1\r\n!\r\n0\r\n"

// TestTrailersOfAnswersComeAsTheyAreSpelled sends lines behind an answer, and asks again over the same connection.
func TestTrailersOfAnswersComeAsTheyAreSpelled(t *testing.T) {
	const mixed = "Location: /x\r\nset-cookie: a=1\r\nSet-Cookie: b=2\r\nX-Forwarded-For: 10.0.0.1\r\nx-sum:\r\nETag: \"e\"\r\nContent-Type: a/b\r\n"
	for name, c := range map[string]struct{ sent, want string }{
		"none":                               {"", ""},
		"of any name, in order":              {mixed, strings.Replace(mixed, "x-sum:", "x-sum: ", 1)},
		"of pith, the connection or framing": {"X-Hop: 1\r\nX-Pith-Mode: off\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nHost: h\r\nX-A: b\r\n", "X-A: b\r\n"},
		"malformed":                          {"X-A: b\r\nX C: d\r\n", ""},
		"with a head behind a bare return":   {"X-A: b\r\rHTTP/1.1 200 OK\r\n", ""},
	} {
		up := startFaulty(t, raw("HTTP/1.1 200 OK\r\nConnection: x-hop\r\nTransfer-Encoding: chunked\r\n\r\n"+inTwo+c.sent+"\r\n"))
		base := startProxy(t, Options{Upstream: up.url()})
		conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		const ask = "GET /x HTTP/1.1\r\nHost: localhost\r\n"
		_, _ = io.WriteString(conn, ask+"\r\n"+ask+"Connection: close\r\n\r\n")
		wire, err := io.ReadAll(conn)
		_ = conn.Close()
		answers := strings.SplitAfter(string(wire), "\r\n0\r\n")
		if err != nil || len(answers) != 3 {
			t.Errorf("%s: %q, %v", name, wire, err)
			continue
		}
		behind, next, _ := strings.Cut(answers[1], "HTTP/1.1 200 OK\r\n")
		if behind != c.want+"\r\n" || next == "" || answers[2] != behind {
			t.Errorf("%s: behind the first answer %q, behind the second %q, want %q", name, behind, answers[2], c.want)
		}
	}
}

// startListening is an upstream that hands over each request as it is spelled, up to the empty line behind its chunks or as far as it
// comes.
func startListening(t *testing.T) (address string, requests <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	seen := make(chan string, 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			var all strings.Builder
			in := bufio.NewReader(conn)
			for empty := 0; empty < 2 && err == nil; {
				var line string
				line, err = in.ReadString('\n')
				if line == "\r\n" {
					empty++
				}
				all.WriteString(line)
			}
			seen <- all.String()
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			_ = conn.Close()
		}
	}()
	return l.Addr().String(), seen
}

// TestTrailersOfRequestsGoUpAsTheyAreSpelled sends lines behind a body. Those that would frame it, route it, sign it or say who asks
// break it off.
func TestTrailersOfRequestsGoUpAsTheyAreSpelled(t *testing.T) {
	const mixed = "x-sum: 1\r\nX-B:\r\nX-Sum: 2\r\nX-B: c, d\r\n"
	for name, c := range map[string]struct {
		sent, want string
		refused    bool
	}{
		"none":                      {"", "", false},
		"of any name, in order":     {mixed, strings.Replace(mixed, "X-B:\r\n", "X-B: \r\n", 1), false},
		"of pith or the connection": {"X-Hop: 1\r\nX-Pith-Mode: off\r\nUpgrade: a\r\nX-Api-Key: token\r\nX-A: b\r\n", "X-A: b\r\n", false},
		"a length":                  {"Content-Length: 7\r\n", "", true},
		"chunks":                    {"Transfer-Encoding: chunked\r\n", "", true},
		"a host":                    {"X-A: b\r\nhost: evil\r\n", "", true},
		"a key":                     {"Authorization: Bearer evil\r\n", "", true},
		"who asks":                  {"X-Forwarded-For: 10.0.0.1\r\n", "", true},
		"a space in a name":         {"X A: b\r\n", "", true},
		"a space before the colon":  {"Content-Length : 7\r\n", "", true},
		"no colon":                  {"X-A\r\n", "", true},
		"a bare carriage return":    {"X-A: b\rContent-Length: 7\r\n", "", true},
		"a zero byte":               {"X-A: \x00\r\n", "", true},
	} {
		up, requests := startListening(t)
		base := startProxy(t, Options{Upstream: "http://" + up, Token: "token", UpstreamKey: "k"})
		resp := exchangeRaw(t, base, "PUT /v1/files/a HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: token\r\nConnection: X-Hop\r\nTrailer: X-Sum, x-b\r\nTransfer-Encoding: chunked\r\n\r\n"+inTwo+c.sent+"\r\n")
		got := <-requests
		if c.refused {
			if resp.StatusCode != http.StatusBadRequest || !resp.Close || strings.Contains(got, "\r\n0\r\n") {
				t.Errorf("%s: status %d, closes %v, sent up %q", name, resp.StatusCode, resp.Close, got)
			}
			continue
		}
		head, body, _ := strings.Cut(got, "\r\n\r\n")
		_, behind, whole := strings.Cut(body, "\r\n0\r\n")
		if resp.StatusCode != http.StatusOK || !whole || behind != c.want+"\r\n" || !strings.Contains(head, "\r\nTrailer: X-Sum, x-b\r\n") || strings.Contains(got, "token") {
			t.Errorf("%s: status %d, sent up %q, want %q behind the body", name, resp.StatusCode, got, c.want)
		}
	}
}

// TestABodyThatIsSentWithItsLengthAnnouncesNoTrailers sends a prompt in chunks, which goes up in one piece.
func TestABodyThatIsSentWithItsLengthAnnouncesNoTrailers(t *testing.T) {
	up := newRecorder(t)
	base := startProxy(t, Options{Upstream: up.URL})
	resp := exchangeRaw(t, base, "POST "+chatPath+" HTTP/1.1\r\nHost: localhost\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n")
	if resp.StatusCode != http.StatusOK || string(up.last()) != "{}" {
		t.Fatalf("status %d, sent up %q", resp.StatusCode, up.last())
	}
	if got := up.requests[0]; got.ContentLength != 2 || len(got.Trailer) > 0 {
		t.Errorf("a length of %d and %v went up", got.ContentLength, got.Trailer)
	}
}
