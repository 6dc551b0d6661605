package eval

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/proxy"
)

// viaProxy is what the name of a scorer ends in when it works behind a proxy.
const viaProxy = " via proxy"

// proxyRun sends cases through a proxy that runs on a loopback port, to an upstream that keeps what it receives. It states
// no query and marks no text: the proxy has to find both, as for any client.
type proxyRun struct {
	url         string
	countTokens func(string) int
	server      *proxy.Server
	upstream    *http.Server

	mu       sync.Mutex
	received []byte       // what the upstream received last
	report   proxy.Report // of the last request
}

// startProxyRun starts proxy and upstream; newProxy is given the upstream's address.
func startProxyRun(countTokens func(string) int, newProxy func(upstream string, observe func(proxy.Report)) (*proxy.Server, error)) (*proxyRun, error) {
	p := &proxyRun{countTokens: countTokens}
	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p.upstream = &http.Server{Handler: http.HandlerFunc(p.receive)} //nolint:gosec // its only client is the proxy beside it
	go func() { _ = p.upstream.Serve(upstream) }()
	p.server, err = newProxy("http://"+upstream.Addr().String(), func(r proxy.Report) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.report = r
	})
	if err != nil {
		return nil, errors.Join(err, p.upstream.Close())
	}
	edge, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, p.upstream.Close())
	}
	p.url = "http://" + edge.Addr().String()
	go func() { _ = p.server.Serve(edge) }()
	return p, nil
}

// stop ends proxy and upstream.
func (p *proxyRun) stop() error {
	return errors.Join(p.server.Shutdown(context.Background()), p.upstream.Close())
}

// receive is the upstream: it keeps the body and answers as the API does.
func (p *proxyRun) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.received = body
	p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, `{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"-"},"finish_reason":"stop"}]}`)
}

// prepare does nothing: the proxy sees a case when it is sent.
func (p *proxyRun) prepare(_ context.Context, c Case) (plan, error) {
	r, err := requestOf(c)
	return &proxyPlan{proxyRun: p, c: c, request: r}, err
}

// proxyPlan is a case to be sent.
type proxyPlan struct {
	*proxyRun
	request
	c Case
}

// Compress sends the case and returns what the upstream received of its texts, and the tokens of all messages before and
// after. A budget goes into a header.
func (p *proxyPlan) Compress(ctx context.Context, budget compressors.Budget) (compressors.Result, error) {
	contents, report, err := p.send(ctx, budget)
	if err != nil {
		return compressors.Result{}, err
	}
	edits, err := editsOf(p.contents, contents, report)
	if err != nil {
		return compressors.Result{}, err
	}
	out := compressors.Result{Stages: report.Stages}
	for _, turn := range report.Turns {
		out.ModelTokens += turn.Result.ModelTokens
	}
	for i, t := range p.c.Texts {
		out.Texts = append(out.Texts, edits.of(p.places[i], len(t.Content)))
	}
	for i := range contents {
		out.TokensIn += p.countTokens(p.contents[i])
		out.TokensOut += p.countTokens(contents[i])
	}
	return out, nil
}

// send returns the contents of the messages that the upstream received, and the proxy's report.
func (p *proxyPlan) send(ctx context.Context, budget compressors.Budget) ([]string, proxy.Report, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/v1/chat/completions", bytes.NewReader(p.body))
	if err != nil {
		return nil, proxy.Report{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	if budget.Rate > 0 {
		r.Header.Set("X-Pith-Rate", strconv.FormatFloat(budget.Rate, 'g', -1, 64))
	}
	if budget.Tokens > 0 {
		r.Header.Set("X-Pith-Budget", strconv.Itoa(budget.Tokens))
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, proxy.Report{}, err
	}
	text, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return nil, proxy.Report{}, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, proxy.Report{}, fmt.Errorf("the proxy answered %d: %.200s", answer.StatusCode, text)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var body struct {
		Messages []Message `json:"messages"`
	}
	if err := json.Unmarshal(p.received, &body); err != nil {
		return nil, proxy.Report{}, fmt.Errorf("what the upstream received: %w", err)
	}
	if len(body.Messages) != len(p.contents) {
		return nil, proxy.Report{}, fmt.Errorf("the upstream received %d messages of %d", len(body.Messages), len(p.contents))
	}
	contents := make([]string, len(body.Messages))
	for i, m := range body.Messages {
		contents[i] = m.Content
	}
	return contents, p.report, nil
}

// edit is what became of a span: bytes [start, end) of a message's content.
type edit struct {
	placeIn
	end    int
	result compressors.TextResult
}

// edits are those of a request, in order.
type edits []edit

// editsOf finds where the spans of a report stand in the messages that were sent, and proves that what was received is the
// sent with each span replaced by its result, and that every result follows from its span.
func editsOf(sent, received []string, report proxy.Report) (edits, error) {
	var out edits
	var at placeIn
	for _, turn := range report.Turns {
		for i, text := range turn.Texts {
			if turn.Err != nil {
				continue
			}
			r := turn.Result.Texts[i]
			if r.Skip != compressors.NotSkipped || r.TokensOut >= r.TokensIn {
				continue
			}
			if err := compressors.Verify(text.Content, r.Output); err != nil {
				return out, fmt.Errorf("a span's output does not follow from it: %w", err)
			}
			found, ok := nextSpan(sent, received, at, text.Content)
			if !ok {
				return out, fmt.Errorf("a span of %d bytes is in no message that the proxy changed", len(text.Content))
			}
			e := edit{placeIn: found, end: found.start + len(text.Content), result: r}
			out = append(out, e)
			at = placeIn{found.message, e.end}
		}
	}
	for m := range sent {
		var want strings.Builder
		from := 0
		for _, e := range out {
			if e.message == m {
				want.WriteString(sent[m][from:e.start] + e.result.Output)
				from = e.end
			}
		}
		want.WriteString(sent[m][from:])
		if want.String() != received[m] {
			return out, fmt.Errorf("message %d as it was received is not what the proxy reports", m)
		}
	}
	return out, nil
}

// nextSpan finds content from at on in a message that was changed.
func nextSpan(sent, received []string, at placeIn, content string) (placeIn, bool) {
	for m := at.message; m < len(sent); m++ {
		from := 0
		if m == at.message {
			from = at.start
		}
		if sent[m] == received[m] {
			continue
		}
		if n := strings.Index(sent[m][from:], content); n >= 0 {
			return placeIn{m, from + n}, true
		}
	}
	return placeIn{}, false
}

// of returns what became of the size bytes from place on: which ranges are kept, and how the segments that lie in it were
// scored.
func (e edits) of(place placeIn, size int) compressors.TextResult {
	var r compressors.TextResult
	at := 0
	elide := func(start, end int) { // of the message
		start, end = max(start-place.start, at), min(end-place.start, size)
		if start >= end {
			return
		}
		if start > at {
			r.Parts = append(r.Parts, compressors.Part{Start: at, End: start})
		}
		r.Parts = append(r.Parts, compressors.Part{Start: start, End: end, Dropped: true})
		at = end
	}
	for _, edit := range e {
		if edit.message != place.message || edit.end <= place.start || edit.start >= place.start+size {
			continue
		}
		for _, part := range edit.result.Parts {
			if part.Marker != "" || part.Dropped {
				elide(edit.start+part.Start, edit.start+part.End)
			}
		}
		for _, s := range edit.result.Segments {
			start, end := max(edit.start+s.Start-place.start, 0), min(edit.start+s.End-place.start, size)
			if start < end {
				s.Start, s.End = start, end
				r.Segments = append(r.Segments, s)
			}
		}
	}
	if at == 0 {
		r.Skip = compressors.SkipNoSaving
	}
	if at < size {
		r.Parts = append(r.Parts, compressors.Part{Start: at, End: size})
	}
	return r
}
