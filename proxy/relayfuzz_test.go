package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp/fasthttputil"
)

// inMemory is a proxy between in-memory connections; answer plays the upstream for each request, whose head is given raw.
func inMemory(f *testing.F, answer func(conn net.Conn, head []byte)) (dial func() (net.Conn, error)) {
	f.Helper()
	up, down := fasthttputil.NewInmemoryListener(), fasthttputil.NewInmemoryListener()
	go func() {
		for {
			conn, err := up.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				var head []byte
				for reader := bufio.NewReader(conn); ; head = nil {
					for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
						line, err := reader.ReadBytes('\n')
						if head = append(head, line...); err != nil {
							return
						}
					}
					answer(conn, head)
				}
			}()
		}
	}()
	s, err := NewServer(Options{Upstream: "http://upstream", KeepAlive: time.Minute, ClientTimeout: time.Second, Dial: func(context.Context, string) (net.Conn, error) { return up.Dial() }})
	if err != nil {
		f.Fatal(err)
	}
	go func() { _ = s.Serve(down) }()
	f.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Shutdown(ctx)
		_ = up.Close()
	})
	return down.Dial
}

// FuzzRelay sends a body in pieces of any size, chunked or of stated length, as events or not: the client receives the
// same bytes, and an answer that was cut off is never whole.
func FuzzRelay(f *testing.F) {
	f.Add([]byte("data: {\"text\":\"é…\"}\n\ndata: [DONE]\n\n"), []byte{1, 7, 3, 200}, true, true, false)
	f.Add([]byte("{\"id\":1}"), []byte{}, false, false, true)
	f.Add(bytes.Repeat([]byte("event: message_stop\n"), 5000), []byte{255, 0, 9}, true, false, true)
	type sending struct {
		body, cuts           []byte
		chunked, events, cut bool
	}
	var now atomic.Pointer[sending]
	dial := inMemory(f, func(conn net.Conn, _ []byte) {
		s := now.Load()
		kind, framing := "application/json", fmt.Sprintf("Content-Length: %d", len(s.body))
		if s.events {
			kind = "text/event-stream"
		}
		if s.chunked {
			framing = "Transfer-Encoding: chunked"
		}
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n%s\r\n\r\n", kind, framing)
		for i, rest := 0, s.body; len(rest) > 0; i++ {
			size := len(rest)
			if len(s.cuts) > 0 {
				size = min(size, 1+int(s.cuts[i%len(s.cuts)])*37)
			}
			if s.cut && size == len(rest) {
				_ = conn.Close() // before the last piece
				return
			}
			if s.chunked {
				fmt.Fprintf(conn, "%x\r\n%s\r\n", size, rest[:size])
			} else {
				_, _ = conn.Write(rest[:size])
			}
			rest = rest[size:]
		}
		if s.chunked {
			_, _ = io.WriteString(conn, "0\r\n\r\n")
		}
	})
	f.Fuzz(func(t *testing.T, body, cuts []byte, chunked, events, cut bool) {
		if len(cuts) > 64 {
			return // or each byte is a piece of a long body
		}
		now.Store(&sending{body, cuts, chunked, events, cut && len(body) > 0})
		conn, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "GET /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if cut && len(body) > 0 {
			if err == nil || !bytes.HasPrefix(body, got) {
				t.Fatalf("a cut answer: %d bytes of %d, %v", len(got), len(body), err)
			}
			return
		}
		if err != nil || !bytes.Equal(got, body) || (resp.ContentLength == -1) != chunked {
			t.Fatalf("%d bytes of %d came, length %d: %v", len(got), len(body), resp.ContentLength, err)
		}
	})
}

// FuzzHeaders sends any lines as a request's headers: either the request is refused, or the upstream receives the same
// names and values in the same order, without those of pith and of the connection, and nothing else.
func FuzzHeaders(f *testing.F) {
	f.Add("X-A: b\r\nx-a:c\r\nAuthorization: Bearer k\r\nCookie: a=b; c\r\n")
	f.Add("Connection: x-b, close\r\nX-B: 1\r\nTE: trailers\r\nX-Pith-Mode: off\r\nProxy-Authorization: x\r\n")
	f.Add("User-Agent: a\r\nContent-Type: b\r\nuser-agent: c\r\nAccept: \xff\r\n\r\nGET /evil HTTP/1.1\r\n")
	f.Add("user-Agent:0\r\nuser-Agent:")
	f.Add("Content-Type: a\r\ncontent-type: b\r\nUser-Agent:\r\nCookie: a=b;c=d\r\ncookie: ;;\r\nX: \r\nx:1\r\n")
	f.Add("Connection: x-a\r\nX-A: 1\r\nconnection: x-b\r\nX-B: 2\r\nX C: 3")
	f.Add("A : b\r\n c: d\r\n:e\r\nf\r\n")
	heads := make(chan []byte, 10)
	dial := inMemory(f, func(conn net.Conn, head []byte) {
		select {
		case heads <- bytes.Clone(head):
		default:
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	f.Fuzz(func(t *testing.T, block string) {
		lower := strings.ToLower(block)
		if strings.Contains(lower, "content-length") || strings.Contains(lower, "transfer-encoding") || len(block) > headerBuffer/2 || strings.Contains(block, "\r\n\r\n") || strings.HasPrefix(block, "\r\n") {
			return // framing has its own test, and what follows a head is another request
		}
		conn, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "GET /v1/x HTTP/1.1\r\nHost: localhost\r\n"+block+"\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		var head []byte
		select {
		case head = <-heads:
		default:
		}
		if resp.StatusCode != http.StatusOK {
			if head != nil {
				t.Fatalf("answered %d, but %q went up", resp.StatusCode, head)
			}
			return
		}
		var named []string
		for _, field := range fields(block) {
			if strings.EqualFold(field[0], "connection") {
				named = append(named, connectionOptions([]byte(field[1]))...)
			}
		}
		var want [][2]string
		for _, field := range fields(block) {
			switch {
			case strings.EqualFold(field[0], "TE") && takesTrailers([]byte(field[1])):
				want = append(want, [2]string{field[0], "trailers"})
			case !isOwn([]byte(field[0])) && !isHop([]byte(field[0]), named):
				want = append(want, field)
			}
		}
		_, rest, _ := strings.Cut(string(head), "\r\n")
		got := fields(rest)
		if len(got) == 0 || got[0] != [2]string{"Host", "upstream"} {
			t.Fatalf("sent up %q, and not the upstream's name first", got)
		}
		got = got[1:]
		if !slices.Equal(got, want) || len(heads) > 0 {
			t.Fatalf("sent up %q, want %q; %d more requests", got, want, len(heads))
		}
	})
}

// FuzzAnswerHead has an upstream write anything and close: the client receives one answer and nothing behind it, which is a clear
// error, broken off, or has the upstream's status, its headers in order and as they are spelled but for those of pith and of the
// connection, and its body. An answer that is plainly well-formed is passed on, and so are interim ones before it.
func FuzzAnswerHead(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\ncontent-type: a\r\nContent-Type: b\r\nX-A: \r\nServer:x\r\nDate: now\r\nContent-Length: 2\r\n\r\nok", false)
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nConnection: y\r\n\r\n", false)
	f.Add("HTTP/1.1 200 OK\r\nConnection: X-Hop, close\r\nX-Hop: 1\r\nx-pith-mode: off\r\nKeep-Alive: 1\r\n\r\nall", false)
	f.Add("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304\r\nContent-Length: 9\r\n\r\n", false)
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", true)
	f.Add("HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", false)
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", false)
	f.Add("HTTP/1.0 200 OK\nTransfer-Encoding: chunked\nX-A : b\n\tand c\n  \n d\n\n1\r\n", false)
	f.Add("HTTP/1.1 200 OK\r\nX\rA: b\r\nContent-Length: +2\r\n\r\nok", false)
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b \r\nok\r\n0\r\nLocation: x\r\n\r\n", false)
	f.Add("HTTP/1.0 200 \nContent-Length :1\n\n", false)
	f.Add("HTTP/1.0 200 \nConneCtion :X-Hop \nX-Hop:\n\n", true)
	f.Add("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nxyz", false)
	var now atomic.Pointer[string]
	dial := inMemory(f, func(conn net.Conn, _ []byte) {
		_, _ = io.WriteString(conn, *now.Load())
		_ = conn.Close()
	})
	spaced := regexp.MustCompile(`(?m)^([^\s:]+)[ \t]+:`) // which the standard library takes for another name, and proxies must not
	fold := regexp.MustCompile(`([ \t]*\r?\n[ \t]+)+`)
	plain := regexp.MustCompile(`^HTTP/1\.1 (10[2-9] [ -~]*\r\n([A-Za-z]+: [!-~]+\r\n)*\r\nHTTP/1\.1 )*[2-9][0-9][0-9] [ -~]*\r\n([A-Z][a-z]+-[0-9]+: [!-~]*\r\n)*(Content-Length: 0\r\n)?\r\n$`)
	f.Fuzz(func(t *testing.T, answer string, asked bool) {
		if len(answer) > headerBuffer {
			return
		}
		now.Store(&answer)
		method := http.MethodGet
		if asked {
			method = http.MethodHead
		}
		conn, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.WriteString(conn, method+" /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		wire, err := io.ReadAll(conn)
		if err != nil {
			t.Fatalf("received %q, and then %v", wire, err)
		}
		got := string(wire)
		for rest := answer; ; {
			if strings.HasPrefix(got, "HTTP/1.1 502 ") && strings.Contains(got, "X-Pith-Request-Id: ") && (asked || strings.Contains(got, `"code":"upstream_`)) {
				if plain.MatchString(answer) && !strings.Contains(answer, "HTTP/1.1 502 ") {
					t.Fatalf("%q is refused", answer)
				}
				return
			}
			// What is due, by another way of reading.
			end := regexp.MustCompile(`\r?\n\r?\n`).FindStringIndex(rest)
			if end == nil {
				t.Fatalf("%q came of a head that does not end: %q", got, rest)
			}
			block := fold.ReplaceAllString(rest[:end[0]], " ")
			this := rest
			rest = rest[end[1]:]
			line, block, _ := strings.Cut(strings.ReplaceAll(block, "\r\n", "\n"), "\n")
			_, line, _ = strings.Cut(line, " ")
			line = strings.TrimLeft(line, " ")
			interim := strings.HasPrefix(line, "1")
			if strings.HasPrefix(line, "100") {
				continue
			}
			var named []string
			all := fields(strings.ReplaceAll(block, "\n", "\r\n"))
			for _, field := range all {
				if strings.EqualFold(strings.TrimRight(field[0], " \t"), "connection") {
					named = append(named, connectionOptions([]byte(field[1]))...)
				}
			}
			skip := func(field [2]string) bool {
				name := strings.TrimRight(field[0], " \t")
				return isOwn([]byte(name)) || isHop([]byte(name), named)
			}
			head, behind, _ := strings.Cut(got, "\r\n\r\n")
			status, lines, _ := strings.Cut(head, "\r\n")
			want, have := slices.DeleteFunc(all, skip), slices.DeleteFunc(fields(lines), func(field [2]string) bool {
				switch strings.ToLower(field[0]) { // of this connection
				case "content-length", "transfer-encoding", "trailer", "connection", "x-pith-request-id":
					return true
				}
				return false
			})
			if bare := interim || strings.HasPrefix(line, "204"); bare && strings.Contains(strings.ToLower("\n"+lines), "\ncontent-length:") {
				t.Fatalf("received %q, which has no body", head)
			}
			for i := range want {
				want[i][0] = strings.TrimRight(want[i][0], " \t")
			}
			if len(line) == 3 {
				line += " "
			}
			if status != "HTTP/1.1 "+line || !slices.Equal(want, have) {
				t.Fatalf("received %q %q, want %q %q", status, have, line, want)
			}
			if interim {
				got = behind
				continue
			}
			in := bufio.NewReader(strings.NewReader(got))
			resp, err := http.ReadResponse(in, &http.Request{Method: method})
			if err != nil {
				t.Fatalf("received %q: %v", got, err)
			}
			content, err := io.ReadAll(resp.Body)
			if left, _ := io.ReadAll(in); len(left) > 0 {
				t.Fatalf("received %q behind %q", left, got)
			}
			this = spaced.ReplaceAllString(this[:end[1]], "$1:") + rest
			direct, parsed := http.ReadResponse(bufio.NewReader(strings.NewReader(this)), &http.Request{Method: method})
			if parsed != nil {
				return // the reader of the standard library refuses what the upstream says
			}
			due, broken := io.ReadAll(direct.Body)
			cut := errors.Is(broken, io.ErrUnexpectedEOF) // else it may be the spelling of trailers that is refused
			if err == nil && (cut || !bytes.Equal(due, content)) || err != nil && broken == nil {
				t.Fatalf("received %q, %v, want %q, %v", content, err, due, broken)
			}
			return
		}
	})
}

// fields are the header lines of a block: names, and values without the space around them.
func fields(block string) (all [][2]string) {
	for line := range strings.SplitSeq(block, "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			all = append(all, [2]string{name, strings.Trim(value, " \t")})
		}
	}
	return all
}
