package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// seenRaw is what a client sees of an answer, but for headers that say how it came.
type seenRaw struct {
	heads   string // status lines and headers as they are spelled, interim answers first
	body    string
	length  int64
	trailer string
	kept    bool // the connection serves another request
}

// askRaw sends a request as it is spelled and reads the answer to it, with interim ones before it, and then asks again over the same
// connection.
func askRaw(t *testing.T, address, request string) seenRaw {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	method, _, _ := strings.Cut(request, " ")
	var wire strings.Builder
	in := bufio.NewReader(io.TeeReader(conn, &wire))
	ask := func() (seenRaw, error) {
		if _, err := io.WriteString(conn, request); err != nil {
			return seenRaw{}, err
		}
		var resp *http.Response
		var seen seenRaw
		for at := 0; resp == nil || resp.StatusCode < 200; {
			if resp, err = http.ReadResponse(in, &http.Request{Method: method}); err != nil {
				return seenRaw{}, err
			}
			head, _, _ := strings.Cut(wire.String()[at:], "\r\n\r\n")
			at += len(head) + len("\r\n\r\n")
			for i, line := range strings.Split(head, "\r\n") {
				name, _, _ := strings.Cut(line, ":")
				switch {
				case i == 0:
					seen.heads += line[len("HTTP/1.1"):] + "\n"
				case name != "X-Pith-Request-Id" && name != "Connection" && name != "Transfer-Encoding":
					seen.heads += line + "\n"
				}
			}
			if resp.StatusCode == http.StatusContinue {
				seen.heads = "" // each end sends its own
			}
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return seenRaw{}, err
		}
		seen.body, seen.length, seen.trailer = string(body), resp.ContentLength, fmt.Sprint(resp.Trailer)
		return seen, nil
	}
	seen, err := ask()
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	_, err = ask()
	seen.kept = err == nil
	return seen
}

// TestAnswersAreThoseOfTheUpstream asks an upstream for every shape of answer directly and through pith.
func TestAnswersAreThoseOfTheUpstream(t *testing.T) {
	const get = "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"
	head := strings.Replace(get, "GET", "HEAD", 1)
	for name, c := range map[string]struct {
		request, answer string
		ends            bool // the client's connection ends with the answer
	}{
		"early hints":         {get, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false},
		"several interim":     {get, "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 \r\nlink: </b>\r\nLink: </a>\r\n\r\nHTTP/1.1 199 Odd\r\nX: y\r\n\r\nHTTP/1.1 204 Nothing\r\nX: z\r\n\r\n", false},
		"continue unasked":    {get, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false},
		"no content":          {get, "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n", false},
		"not modified":        {get, "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", false},
		"not modified, long":  {get, "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\ncontent-length: 123\r\n\r\n", false},
		"HEAD not modified":   {head, "HTTP/1.1 304 Not Modified\r\nContent-Length: 123\r\n\r\n", false},
		"HEAD":                {head, "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 123\r\n\r\n", false},
		"HEAD without length": {head, "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\r\n", false},
		"OPTIONS":             {"OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nOrigin: http://a\r\nAccess-Control-Request-Method: POST\r\n\r\n", "HTTP/1.1 200 OK\r\nAllow: POST\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 0\r\n\r\n", false},
		"OPTIONS of all":      {"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 200 OK\r\nAllow: POST\r\nContent-Length: 0\r\n\r\n", false},
		"trailers":            {get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n", false},
		"more trailers":       {get, "HTTP/1.1 200 OK\r\nTrailer: X-B, x-a\r\nTransfer-Encoding: chunked\r\ntrailer: X-C\r\n\r\n2\r\nok\r\n0\r\nx-a: 1\r\nX-B: 2\r\nx-a:3\r\n\r\n", false},
		"an odd trailer":      {get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Location\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n", false},
		"trailers unnamed":    {get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nServer: b\r\n\r\n", false},
		"chunk extensions":    {get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=\"b\"\r\nok\r\n1;c\r\n!\r\n0;d\r\n\r\n", false},
		"closing":             {get, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall until the end", false},
		"a client that ends":  {strings.Replace(get, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true},
		"an empty body":       {get, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false},
		"a long header line":  {strings.Replace(get, "\r\n\r\n", "\r\nX-Long: "+strings.Repeat("a", 20_000)+"\r\n\r\n", 1), "HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("b", 20_000) + "\r\nContent-Length: 2\r\n\r\nok", false},
		"many headers alike":  {get, "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nVary: A\r\nVary: B\r\nContent-Length: 2\r\ncontent-type: a/b\r\nContent-Type: c/d\r\nServer: x\r\nserver: y\r\ncontent-encoding: z\r\nDate: now\r\n\r\nok", false},
		"an empty header":     {get, "HTTP/1.1 200 OK\r\nContent-Type: \r\nX-A: \r\nServer: \r\ncontent-length: 2\r\nX-B: b\r\n\r\nok", false},
		"no reason":           {get, "HTTP/1.1 200 \r\nX-A: b\r\nContent-Length: 2\r\n\r\nok", false},
		"expecting continue":  {"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false},
		"HTTP/1.0":            {"GET /x HTTP/1.0\r\nHost: localhost\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nall until the end", true},
		"its own reason":      {get, "HTTP/1.1 299 Quite\r\nContent-Length: 2\r\n\r\nok", false},
	} {
		t.Run(name, func(t *testing.T) {
			up := startFaulty(t, raw(c.answer))
			base := startProxy(t, Options{Upstream: up.url(), KeepAlive: time.Millisecond})
			want, got := askRaw(t, up.Addr().String(), c.request), askRaw(t, strings.TrimPrefix(base, "http://"), c.request)
			if want.kept = !c.ends; got != want { // this upstream closes its own after each
				t.Errorf("through pith %.300s\ndirectly %.300s", fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want))
			}
		})
	}
}

// TestInterimAnswersComeAtOnce has the upstream answer once the client has seen its hints.
func TestInterimAnswersComeAtOnce(t *testing.T) {
	seen := make(chan struct{})
	up := startFaulty(t, func(conn *net.TCPConn, _ *http.Request) {
		_, _ = io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nKeep-Alive: 1\r\nX-Pith-Mode: off\r\nContent-Length: 7\r\n\r\n")
		<-seen
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
	})
	base := startProxy(t, Options{Upstream: up.url()})
	for version, hints := range map[string]string{"1.1": "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "1.0": ""} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "POST "+chatPath+" HTTP/"+version+"\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
		got := make([]byte, len(hints))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != hints {
			t.Errorf("HTTP/%s: %q, %v", version, got, err)
		}
		seen <- struct{}{}
		rest, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(rest), "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(string(rest), "\r\n\r\nok") {
			t.Errorf("HTTP/%s: then %q, %v", version, rest, err)
		}
		_ = conn.Close()
	}
}

// TestAnswersToRequestsInOnePieceComeInOrder sends an error of pith's own before hints and answers that are relayed.
func TestAnswersToRequestsInOnePieceComeInOrder(t *testing.T) {
	up := startFaulty(t, raw("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\nx-a: b\r\nDate: now\r\nConnection: close\r\n\r\n"))
	base := startProxy(t, Options{Upstream: up.url()})
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	refused := "POST " + chatPath + " HTTP/1.1\r\nHost: localhost\r\nX-Pith-Mode: perhaps\r\nContent-Length: 2\r\n\r\n{}"
	_, _ = io.WriteString(conn, refused+"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"+refused+"GET /b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, part := range strings.SplitAfter(string(got), "HTTP/1.1 ")[1:] {
		order = append(order, part[:3])
	}
	if want := []string{"400", "103", "204", "400", "103", "204"}; !slices.Equal(order, want) || strings.Count(string(got), "x-a: b\r\nDate: now\r\n") != 2 {
		t.Errorf("answers %v, want %v: %q", order, want, got)
	}
}

// TestClientsOfHTTP10GetNoChunks sends them bodies without a length, whole and broken off.
func TestClientsOfHTTP10GetNoChunks(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\nTrailer: X-C\r\n\r\n2\r\nok\r\n"
	for name, c := range map[string]struct {
		answer script
		whole  bool
	}{
		"whole":  {raw(head + "0\r\nX-C: d\r\n\r\n"), true},
		"broken": {raw(head + "5\r\nhal"), false},
	} {
		up := startFaulty(t, c.answer)
		base := startProxy(t, Options{Upstream: up.url()})
		conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
		got, err := io.ReadAll(conn)
		_ = conn.Close()
		head, body, _ := strings.Cut(string(got), "\r\n\r\n")
		if (err == nil) != c.whole || c.whole && (body != "ok" || !strings.Contains(head, "Connection: close")) || strings.Contains(head, "chunked") || strings.Contains(head, "Trailer") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestHeadsComeInPieces(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\n"
	reader := bufio.NewReaderSize(iotest.OneByteReader(strings.NewReader(head+"ok")), headerBuffer)
	got, err := readAnswerHead(reader)
	rest, _ := io.ReadAll(reader)
	if err != nil || got.status != 200 || got.length != 2 || got.value("x-a") != "b c" || string(rest) != "ok" {
		t.Errorf("%+v, %v, then %q", got, err, rest)
	}
	for size, want := range map[int]error{headerBuffer: nil, headerBuffer + 1: errHeadTooLarge} {
		long := head[:len(head)-2] + "X-Long: " + strings.Repeat("x", size-len(head)-len("X-Long: \r\n")) + "\r\n\r\n"
		if _, err := readAnswerHead(bufio.NewReaderSize(strings.NewReader(long), headerBuffer)); len(long) != size || !errors.Is(err, want) {
			t.Errorf("a head of %d bytes: %v, want %v", len(long), err, want)
		}
	}
}
