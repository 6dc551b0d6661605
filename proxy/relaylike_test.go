package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// seenRaw is what a client sees of an answer, but for headers that say when and how it came.
type seenRaw struct {
	status  int
	body    string
	length  int64
	headers string
	kept    bool // the connection serves another request
}

// askRaw sends a request as it is spelled and reads the answer to it, passing over interim ones, and then asks again over the same
// connection.
func askRaw(t *testing.T, address, request string) seenRaw {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	method, _, _ := strings.Cut(request, " ")
	in := bufio.NewReader(conn)
	ask := func() (seenRaw, error) {
		if _, err := io.WriteString(conn, request); err != nil {
			return seenRaw{}, err
		}
		var resp *http.Response
		for resp == nil || resp.StatusCode < 200 {
			if resp, err = http.ReadResponse(in, &http.Request{Method: method}); err != nil {
				return seenRaw{}, err
			}
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return seenRaw{}, err
		}
		var headers []string
		for name, values := range resp.Header {
			if name != "X-Pith-Request-Id" && name != "Date" && name != "Connection" {
				headers = append(headers, fmt.Sprint(name, values))
			}
		}
		slices.Sort(headers)
		return seenRaw{status: resp.StatusCode, body: string(body), length: resp.ContentLength, headers: strings.Join(headers, " ")}, nil
	}
	seen, err := ask()
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	_, err = ask()
	seen.kept = err == nil
	return seen
}

// TestAnswersAreThoseOfTheUpstream asks an upstream for every shape of answer directly and through pith. Interim answers, the fields
// of trailers and the length that a 304 may state stay behind: no API for models has them.
func TestAnswersAreThoseOfTheUpstream(t *testing.T) {
	const get = "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"
	head := strings.Replace(get, "GET", "HEAD", 1)
	for name, c := range map[string]struct {
		request, answer string
		ends            bool // the client's connection ends with the answer
	}{
		"early hints":         {get, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false},
		"continue unasked":    {get, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false},
		"no content":          {get, "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n", false},
		"not modified":        {get, "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", false},
		"HEAD":                {head, "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 123\r\n\r\n", false},
		"HEAD without length": {head, "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\r\n", false},
		"OPTIONS":             {"OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nOrigin: http://a\r\nAccess-Control-Request-Method: POST\r\n\r\n", "HTTP/1.1 200 OK\r\nAllow: POST\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 0\r\n\r\n", false},
		"OPTIONS of all":      {"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 200 OK\r\nAllow: POST\r\nContent-Length: 0\r\n\r\n", false},
		"trailers":            {get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n", false},
		"chunk extensions":    {get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=\"b\"\r\nok\r\n1;c\r\n!\r\n0;d\r\n\r\n", false},
		"closing":             {get, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall until the end", false},
		"a client that ends":  {strings.Replace(get, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true},
		"an empty body":       {get, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false},
		"a long header line":  {strings.Replace(get, "\r\n\r\n", "\r\nX-Long: "+strings.Repeat("a", 20_000)+"\r\n\r\n", 1), "HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("b", 20_000) + "\r\nContent-Length: 2\r\n\r\nok", false},
		"many headers alike":  {get, "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nVary: A\r\nVary: B\r\nContent-Length: 2\r\n\r\nok", false},
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
