package proxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"
)

// wsUpstream is an upstream that speaks the Responses API over WebSockets.
type wsUpstream struct {
	*httptest.Server

	mu       sync.Mutex
	received []string
	headers  []http.Header
	// output is the item with which the n-th event is answered, from 0; "" if it is refused with a 400.
	output func(n int) string
}

func startWSUpstream(t testing.TB, output func(n int) string) *wsUpstream {
	t.Helper()
	up := &wsUpstream{output: output}
	up.Server = httptest.NewServer(http.HandlerFunc(up.serve))
	t.Cleanup(up.Close)
	return up
}

func (up *wsUpstream) serve(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	conn.SetReadLimit(-1)
	defer func() { _ = conn.CloseNow() }()
	up.mu.Lock()
	up.headers = append(up.headers, r.Header)
	up.mu.Unlock()
	for {
		kind, message, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		up.mu.Lock()
		n := len(up.received)
		up.received = append(up.received, string(message))
		up.mu.Unlock()
		if kind == websocket.MessageBinary || !bytes.Contains(message, []byte(`"response.create"`)) {
			if err := conn.Write(r.Context(), kind, message); err != nil {
				return
			}
			continue
		}
		item := up.output(n)
		said := []string{`{"type":"error","status":400,"error":{"message":"no"}}`}
		if item != "" {
			said = []string{
				fmt.Sprintf(`{"type":"response.created","sequence_number":0,"response":{"id":"resp_%d"}}`, n),
				`{"type":"response.output_item.done","sequence_number":1,"output_index":0,"item":` + item + `}`,
				fmt.Sprintf(`{"type":"response.completed","sequence_number":2,"response":{"id":"resp_%d","object":"response","output":[%s]}}`, n, item),
			}
		}
		for _, event := range said {
			if err := conn.Write(r.Context(), websocket.MessageText, []byte(event)); err != nil {
				return
			}
		}
	}
}

func (up *wsUpstream) last() string {
	up.mu.Lock()
	defer up.mu.Unlock()
	return up.received[len(up.received)-1]
}

const saidItem = `{"type":"message","role":"assistant","content":[{"type":"output_text","text":"It lies there."}]}`

// dialSocket opens a WebSocket for responses through the proxy.
func dialSocket(t testing.TB, base string, headers http.Header) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), base+"/v1/responses", &websocket.DialOptions{HTTPHeader: headers, CompressionMode: websocket.CompressionContextTakeover}) //nolint:bodyclose // of a WebSocket there is none
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return conn
}

// create sends an event and reads the answer to its end.
func create(t testing.TB, conn *websocket.Conn, event string) (last string) {
	t.Helper()
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(event)); err != nil {
		t.Fatal(err)
	}
	for {
		_, message, err := conn.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if last = string(message); strings.Contains(last, `"response.completed"`) || strings.Contains(last, `"error"`) || last == event {
			return last
		}
	}
}

func wsOptions(t testing.TB, upstream string) Options {
	return Options{Upstream: upstream, Compressor: realCompressor(t), CountTokens: countTokens, Deadline: time.Minute, KeepAlive: time.Millisecond}
}

func TestEventsOfAWebSocketAreShortened(t *testing.T) {
	up := startWSUpstream(t, func(int) string { return saidItem })
	s, err := NewServer(wsOptions(t, up.URL))
	if err != nil {
		t.Fatal(err)
	}
	base := serve(t, s)
	conn := dialSocket(t, base, http.Header{"Authorization": {"Bearer key"}, "X-Pith-Rate": {"0.3"}, "Openai-Beta": {"a"}})
	input := encode(t, asking(essay(60, "mill")))
	long := `{"type" : "response.create","odd":1.50,"input":` + input + `,"model":"m"}`
	for name, c := range map[string]struct {
		event   string
		changed bool
	}{
		"a long input":     {long, true},
		"another event":    {strings.Replace(long, "response.create", "response.other", 1), false},
		"a short input":    {`{"type":"response.create","model":"m","input":"hello","generate":false}`, false},
		"no JSON":          {`"response.create" {`, false},
		"an escaped event": {strings.Replace(long, `"response.create"`, `"response\u002ecreate","x":"response.create"`, 1), true},
	} {
		create(t, conn, c.event)
		if changed := checkForwarded(t, dialectResponses, []byte(c.event), []byte(up.last())); changed != c.changed {
			t.Errorf("%s: changed is %v", name, changed)
		}
	}
	if err := conn.Write(t.Context(), websocket.MessageBinary, []byte(long)); err != nil {
		t.Fatal(err)
	}
	if kind, message, err := conn.Read(t.Context()); err != nil || kind != websocket.MessageBinary || string(message) != long || up.last() != long {
		t.Errorf("a binary message came back as %v %.80q, %v", kind, message, err)
	}
	if err := conn.Ping(conn.CloseRead(t.Context())); err != nil {
		t.Errorf("ping: %v", err)
	}
	if h := up.headers[0]; h.Get("Authorization") != "Bearer key" || h.Get("Openai-Beta") != "a" || h.Get("X-Pith-Rate") != "" || h.Get("Sec-WebSocket-Extensions") != "" {
		t.Errorf("headers: %v", h)
	}
	if err := conn.Close(websocket.StatusNormalClosure, "done"); err != nil {
		t.Errorf("close: %v", err)
	}
	reaches(t, s, `pith_requests_total{dialect="none",outcome="answered"}`, 1)
	if m := metricsOf(t, s); m["pith_websocket_events_total"] != 3 || m["pith_tokens_out_total"] >= m["pith_tokens_in_total"] {
		t.Errorf("counted %v events, %v of %v tokens", m["pith_websocket_events_total"], m["pith_tokens_out_total"], m["pith_tokens_in_total"])
	}
}

// TestOpenAIsClientOverAWebSocket runs the vendor's own client.
func TestOpenAIsClientOverAWebSocket(t *testing.T) {
	up := startWSUpstream(t, func(int) string { return saidItem })
	base := startProxy(t, wsOptions(t, up.URL))
	client := openai.NewClient(option.WithBaseURL(base+"/v1"), option.WithAPIKey("key"))
	conn, err := client.Responses.Connect(t.Context(), responses.ResponseConnectionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	question := asking(essay(60, "mill"))
	for n := range 2 {
		event := responses.ResponsesClientEventResponseCreateParam{Model: "m"}
		event.Input.OfString = param.NewOpt(question)
		if err := conn.Create(t.Context(), event); err != nil {
			t.Fatal(err)
		}
		got, err := conn.FinalResponse(t.Context())
		if err != nil || got.ID != fmt.Sprintf("resp_%d", n) || got.OutputText() != "It lies there." {
			t.Fatalf("response %d: %+v, %v", n, got, err)
		}
		if len(up.last()) > len(question)*2/3 || !strings.Contains(up.last(), "under the mill") {
			t.Errorf("%d bytes went up for %d", len(up.last()), len(question))
		}
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

// TestWhatFollowsAResponseIsReadLikeTheWholeTalk sends a tool loop event by event, each with only what is new, and the same
// talk in full over HTTP: what becomes of each result is the same, and what a file reader returned stays.
func TestWhatFollowsAResponseIsReadLikeTheWholeTalk(t *testing.T) {
	call := func(n int, name string) string {
		return fmt.Sprintf(`{"type":"function_call","call_id":"call_%d","name":"%s","arguments":"{\"q\":\"treasure %d\"}"}`, n, name, n)
	}
	names := []string{"search", "read_file", "search", "search"}
	up := startWSUpstream(t, func(n int) string { return call(n, names[min(n, len(names)-1)]) })
	priced := wsOptions(t, up.URL)
	priced.Cache = CachePaid // by the talk's length, which both ways must know alike
	base := startProxy(t, priced)
	conn := dialSocket(t, base, nil)
	items := []string{`{"type":"message","role":"user","content":` + encode(t, "Where does captain Wren keep the treasure of "+strings.Repeat("gold and silver ", 20)+"?") + `}`}
	create(t, conn, `{"type":"response.create","model":"m","input":[`+items[0]+`]}`)
	var forwarded []string
	for n := range 3 {
		result := fmt.Sprintf(`{"type":"function_call_output","call_id":"call_%d","output":%s}`, n, encode(t, essay(30, fmt.Sprint("mill ", n))))
		create(t, conn, fmt.Sprintf(`{"type":"response.create","model":"m","previous_response_id":"resp_%d","input":[%s]}`, n, result))
		sent, ok := strings.CutPrefix(up.last(), fmt.Sprintf(`{"type":"response.create","model":"m","previous_response_id":"resp_%d","input":[`, n))
		if !ok {
			t.Fatalf("sent up: %.200s", up.last())
		}
		sent = strings.TrimSuffix(sent, "]}")
		if changed := sent != result; changed != (names[n] == "search") {
			t.Errorf("result %d of %s: changed is %v", n, names[n], changed)
		}
		items = append(items, call(n, names[n]), result)
		forwarded = append(forwarded, call(n, names[n]), sent)
	}
	whole := newRecorder(t)
	priced.Upstream = whole.URL
	postTo(t, startProxy(t, priced)+"/v1/responses", []byte(`{"model":"m","input":[`+strings.Join(items, ",")+`]}`))
	if want := `{"model":"m","input":[` + strings.Join(append(items[:1:1], forwarded...), ",") + `]}`; string(whole.last()) != want {
		t.Error("the talk in full is shortened otherwise than event by event")
	}
	// Of another response nothing is known: its calls may have read files.
	result := `{"type":"function_call_output","call_id":"call_1","output":` + encode(t, essay(30, "mill")) + `}`
	event := `{"type":"response.create","model":"m","previous_response_id":"resp_77","input":[` + result + `,{"role":"user","content":"Where is the treasure of captain Wren?"}]}`
	if create(t, conn, event); up.last() != event {
		t.Error("the result of a call that is not known was shortened")
	}
}

func TestARefusedEventStaysAsItIsAfterwards(t *testing.T) {
	up := startWSUpstream(t, func(n int) string { return []string{"", saidItem}[min(n, 1)] })
	base := startProxy(t, wsOptions(t, up.URL))
	conn := dialSocket(t, base, nil)
	event := `{"type":"response.create","model":"m","input":` + encode(t, asking(essay(60, "mill"))) + `}`
	if got := create(t, conn, event); !strings.Contains(got, `"status":400`) || up.last() == event {
		t.Errorf("first: %s", got)
	}
	if got := create(t, conn, event); !strings.Contains(got, "completed") || up.last() != event {
		t.Errorf("then: %s", got)
	}
}

// handshake is a client's, with further header lines.
func handshake(path, more string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + base64.StdEncoding.EncodeToString(make([]byte, 16)) + "\r\n" + more + "\r\n"
}

const switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"

func TestWhoCannotHaveAWebSocketIsToldToUseHTTP(t *testing.T) {
	sound := handshake("/v1/responses", "")
	for name, c := range map[string]struct {
		request, upstream string
		status            int
	}{
		"an upstream without any":       {sound, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 426},
		"one that answers as to a GET":  {sound, answers + "2\r\n\r\n{}", 426},
		"one that forbids the method":   {sound, "HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n", 426},
		"one that has not built it":     {sound, "HTTP/1.1 501 No\r\nContent-Length: 0\r\n\r\n", 426},
		"one that wants plain HTTP":     {sound, "HTTP/1.1 426 No\r\nContent-Length: 0\r\n\r\n", 426},
		"one that wants a key":          {sound, "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", 401},
		"one that is overloaded":        {sound, "HTTP/1.1 429 No\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n", 429},
		"one that fails":                {sound, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", 503},
		"one that is gone":              {sound, "", 502},
		"one with an extension":         {sound, strings.Replace(switching, "\r\n\r\n", "\r\nsec-websocket-extensions: permessage-deflate\r\n\r\n", 1), 502},
		"no version":                    {strings.Replace(sound, "Version: 13", "Version: 8", 1), switching, 426},
		"no key":                        {strings.Replace(sound, "Sec-WebSocket-Key", "X-Key", 1), switching, 426},
		"a short key":                   {strings.Replace(sound, "AAAA", "", 1), switching, 426},
		"another method":                {strings.Replace(sound, "GET", "POST", 1), switching, 426},
		"a header that makes no sense":  {handshake("/v1/responses", "X-Pith-Mode: x\r\n"), switching, 400},
		"a sound one":                   {sound, switching, 101},
		"one on another path":           {handshake("/v1/realtime?model=x", ""), switching, 101},
		"one that asks for compression": {handshake("/v1/responses", "Sec-WebSocket-Extensions: permessage-deflate\r\n"), switching, 101},
	} {
		t.Run(name, func(t *testing.T) {
			up := startFaulty(t, raw(c.upstream))
			base := startProxy(t, Options{Upstream: up.url(), KeepAlive: time.Millisecond})
			resp := exchangeRaw(t, base, c.request)
			if resp.StatusCode != c.status || c.status == 426 && !strings.Contains(name, "plain") && resp.Header.Get("Sec-WebSocket-Version") != "13" {
				t.Errorf("%d %v", resp.StatusCode, resp.Header)
			}
			if c.status == 429 && resp.Header.Get("Retry-After") != "3" || c.status == 101 && resp.Header.Get("Sec-WebSocket-Accept") != "x" {
				t.Errorf("%v", resp.Header)
			}
		})
	}
}

// frame spells a client's frame with a mask of its own.
func frame(fin bool, op opcode, payload string, mask byte) []byte {
	b := newFrame(op, []byte(payload), &[4]byte{mask, 2, 3, 4})
	if !fin {
		b[0] &^= 0x80
	}
	return b
}

// rawSocket opens a WebSocket between two raw ends: the client's connection and, once it is asked, the upstream's.
func rawSocket(t *testing.T, o Options) (s *Server, client net.Conn, fromProxy *bufio.Reader, upstream net.Conn) {
	t.Helper()
	opened, done := make(chan net.Conn, 1), make(chan struct{})
	up := startFaulty(t, func(conn *net.TCPConn, _ *http.Request) {
		_, _ = io.WriteString(conn, switching)
		opened <- conn
		<-done
	})
	o.Upstream, o.KeepAlive = up.url(), time.Millisecond
	s, err := NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.http.MaxIdleWorkerDuration = 10 * time.Millisecond
	base := serve(t, s)
	t.Cleanup(func() { close(done) })
	client = dialProxy(t, base, handshake("/v1/responses", ""))
	fromProxy = bufio.NewReader(client)
	resp, err := http.ReadResponse(fromProxy, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v %v", resp, err)
	}
	return s, client, fromProxy, <-opened
}

// TestFramesPassAsTheyCame compares what goes in on one side with what comes out on the other, to the byte.
func TestFramesPassAsTheyCame(t *testing.T) {
	long := strings.Repeat("long ", 1<<15)
	for name, frames := range map[string][][]byte{
		"a message in one":        {frame(true, opText, `{"type":"other"}`, 1)},
		"nothing":                 {frame(true, opText, "", 1)},
		"a message in three":      {frame(false, opText, `{"type":`, 1), frame(false, opContinuation, "", 5), frame(true, opContinuation, `"other"}`, 9)},
		"a ping inside a message": {frame(true, opPing, "p", 7), frame(false, opText, "a", 1), frame(true, opContinuation, "b", 2)},
		"lengths of all sizes":    {frame(true, opText, long[:125], 1), frame(true, opText, long[:126], 2), frame(true, opBinary, long[:65535], 3), frame(true, opText, long, 4)},
		"a binary one in two":     {frame(false, opBinary, "\xff\xfe", 1), frame(true, opContinuation, long, 2)},
		"no UTF-8":                {frame(true, opText, "\xff", 1)},
		"a close":                 {frame(true, opPong, "", 3), frame(true, opClose, "\x03\xe8bye", 3)},
	} {
		t.Run(name, func(t *testing.T) {
			_, client, fromProxy, upstream := rawSocket(t, wsOptions(t, ""))
			sent := bytes.Join(frames, nil)
			check := func(to io.Writer, from io.Reader, sent []byte) {
				t.Helper()
				go func() {
					for rest := sent; len(rest) > 0; rest = rest[min(len(rest), 1000):] {
						_, _ = to.Write(rest[:min(len(rest), 1000)])
					}
				}()
				got := make([]byte, len(sent))
				if _, err := io.ReadFull(from, got); err != nil || !bytes.Equal(got, sent) {
					t.Errorf("%d bytes were sent, others came: %v", len(sent), err)
				}
			}
			check(client, upstream, sent)
			var back []byte // the same, as a server spells it
			for _, f := range frames {
				in := bufio.NewReader(bytes.NewReader(f))
				head, err := readFrameHead(in)
				if err != nil {
					t.Fatal(err)
				}
				payload, _ := io.ReadAll(in)
				spelled := newFrame(head.op, payload, nil)
				spelled[0] = head.raw[0]
				back = append(back, spelled...)
			}
			check(upstream, fromProxy, back)
		})
	}
	t.Run("a ping is not held up by a message that is not whole", func(t *testing.T) {
		_, client, _, upstream := rawSocket(t, wsOptions(t, ""))
		_, _ = client.Write(append(frame(false, opText, "half", 1), frame(true, opPing, "p", 7)...))
		got := make([]byte, len(frame(true, opPing, "p", 7)))
		if _, err := io.ReadFull(upstream, got); err != nil || !bytes.Equal(got, frame(true, opPing, "p", 7)) {
			t.Errorf("%q %v", got, err)
		}
	})
}

func TestBadFramesCloseTheSocket(t *testing.T) {
	reserved := frame(true, opText, "a", 1)
	reserved[0] |= 0x40
	unfinished := frame(false, opPing, "a", 1)
	for name, c := range map[string]struct {
		frames []byte
		code   closeCode
	}{
		"no mask":                {newFrame(opText, []byte("a"), nil), closeProtocol},
		"a reserved bit":         {reserved, closeProtocol},
		"an unknown kind":        {frame(true, 3, "a", 1), closeProtocol},
		"a ping in parts":        {unfinished, closeProtocol},
		"a long ping":            {frame(true, opPing, strings.Repeat("p", 126), 1), closeProtocol},
		"a long way to say 1":    {[]byte{0x81, 0xfe, 0, 1, 1, 2, 3, 4, 'a'}, closeProtocol},
		"a negative length":      {[]byte{0x81, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, closeProtocol},
		"a continuation of none": {frame(true, opContinuation, "a", 1), closeProtocol},
		"a message in a message": {append(frame(false, opText, "a", 1), frame(true, opText, "b", 1)...), closeProtocol},
		"a large message":        {frame(true, opText, strings.Repeat("a", 1001), 1), closeTooBig},
		"a message that grows":   {append(frame(false, opText, strings.Repeat("a", 600), 1), frame(true, opContinuation, strings.Repeat("b", 600), 1)...), closeTooBig},
		"one said to be large":   {[]byte{0x81, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, closeTooBig},
	} {
		t.Run(name, func(t *testing.T) {
			o := wsOptions(t, "")
			o.MaxBody = 1000
			s, client, fromProxy, upstream := rawSocket(t, o)
			go func() { _, _ = client.Write(c.frames) }()
			head, err := readFrameHead(fromProxy)
			if err != nil || head.op != opClose {
				t.Fatalf("%+v %v", head, err)
			}
			payload := make([]byte, head.length)
			if _, err := io.ReadFull(fromProxy, payload); err != nil || closeCode(uint16(payload[0])<<8|uint16(payload[1])) != c.code {
				t.Errorf("closed with %q, %v; want %d", payload, err, c.code)
			}
			_ = client.Close()
			if _, err := io.ReadAll(upstream); err != nil && !errors.Is(err, net.ErrClosed) {
				t.Errorf("the upstream: %v", err)
			}
			reaches(t, s, `pith_requests_total{dialect="none",outcome="broken"}`, 1)
		})
	}
}

// TestTheEndOfAWebSocket has either side leave in each way: the other sees the same, it is counted, and nothing stays.
func TestTheEndOfAWebSocket(t *testing.T) {
	asked := frame(true, opText, `{"type":"response.create","model":"m","input":"a"}`, 1)
	begun := newFrame(opText, []byte(`{"type":"response.created","response":{"id":"r"}}`), nil)
	for name, c := range map[string]struct {
		end     func(s *Server, client, upstream net.Conn)
		begin   bool   // with a response under way
		seen    string // by the client at the end
		outcome string
	}{
		"the client leaves in a response": {func(_ *Server, client, _ net.Conn) { _ = client.Close() }, true, "", "client_gone"},
		"the client leaves between":       {func(_ *Server, client, _ net.Conn) { _ = client.Close() }, false, "", "answered"},
		"the upstream breaks off":         {func(_ *Server, _, upstream net.Conn) { _ = upstream.Close() }, true, "", "broken"},
		"the upstream breaks a frame off": {func(_ *Server, _, upstream net.Conn) {
			_, _ = upstream.Write(begun[:10])
			_ = upstream.Close()
		}, true, string(begun[:10]), "broken"},
		"the upstream closes": {func(_ *Server, client, upstream net.Conn) {
			_, _ = upstream.Write(closeFrame(1011, "no"))
			_ = upstream.Close()
			_, _ = client.Write(frame(true, opClose, "\x03\xf3", 1))
		}, true, string(closeFrame(1011, "no")), "answered"},
		"the client closes": {func(_ *Server, client, upstream net.Conn) {
			_, _ = client.Write(frame(true, opClose, "\x03\xe8", 1))
			_, _ = io.ReadFull(upstream, make([]byte, 8))
			_, _ = upstream.Write(closeFrame(1000, ""))
			_ = upstream.Close()
		}, true, string(closeFrame(1000, "")), "answered"},
		"the proxy is stopped": {func(s *Server, client, _ net.Conn) {
			go func() { _ = s.Shutdown(context.Background()) }()
		}, false, string(closeFrame(closeGoingAway, "the proxy is being stopped")), "answered"},
		"the proxy is stopped in a response": {func(s *Server, client, upstream net.Conn) {
			go func() { _ = s.Shutdown(context.Background()) }()
			<-s.working.Done()
			_, _ = upstream.Write(newFrame(opText, []byte(`{"type":"response.completed"}`), nil))
		}, true, string(newFrame(opText, []byte(`{"type":"response.completed"}`), nil)) + string(closeFrame(closeGoingAway, "the proxy is being stopped")), "answered"},
	} {
		t.Run(name, func(t *testing.T) {
			before := holds(t)
			t.Run("", func(t *testing.T) {
				s, client, fromProxy, upstream := rawSocket(t, wsOptions(t, ""))
				if c.begin {
					_, _ = client.Write(asked)
					_, _ = io.ReadFull(upstream, make([]byte, len(asked)))
					_, _ = upstream.Write(begun)
					_, _ = io.ReadFull(fromProxy, make([]byte, len(begun)))
				}
				c.end(s, client, upstream)
				if got, _ := io.ReadAll(fromProxy); string(got) != c.seen {
					t.Errorf("seen: %q, want %q", got, c.seen)
				}
				_, _ = io.Copy(io.Discard, upstream)
				_ = client.Close()
				reaches(t, s, `pith_requests_total{dialect="none",outcome="`+c.outcome+`"}`, 1)
			})
			settles(t, before)
		})
	}
}
