package proxy

import (
	"bytes"
	"fmt"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// socketPrompts are the events of a WebSocket that asked for a response which has not ended, in their order. Each leaves a
// receipt and spans as a request does, under the id of the WebSocket's request with its number behind it: ID-1 is the first.
type socketPrompts struct {
	count int // of all so far; only the goroutine that reads from the client uses it

	mu   sync.Mutex
	open []*socketPrompt
}

// maxPrompts bounds how many are waited for at the same time; of more the earliest counts as ended.
const maxPrompts = 64

// socketPrompt is one such event.
type socketPrompt struct {
	receipt *draft // nil once it is finished, or where none are kept
	server  *Server
	trace   tracedPrompt
	begun   bool // the upstream has begun to answer
}

// nextID returns the id of the next event over the WebSocket of a request.
func (p *socketPrompts) nextID(request string) string {
	p.count++
	return fmt.Sprintf("%s-%d", request, p.count)
}

// asked takes note of an event that came as message and becomes out; its id is the report's.
func (p *socketPrompts) asked(s *socket, began time.Time, message []byte, out shortened) {
	report := out.report
	report.Turns = nil // they hold texts
	prompt := &socketPrompt{server: s.r.server, trace: tracedPrompt{
		parent: s.r.trace, name: "response.create", id: report.ID, dialect: s.dialect, up: s.r.up, report: report, edited: out.edited,
		started: began, asked: time.Now(),
	}}
	if s.r.server.receipts != nil {
		body := bytes.Clone(message) // which is masked in its place to be sent
		prompt.receipt = s.r.server.receipts.draft(Receipt{
			ID: report.ID, Time: began.UTC(), Dialect: s.dialect.String(), PromptCache: s.r.up.Cache.String(), Encodings: []string{},
		}, body, body, out)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open = append(p.open, prompt); len(p.open) > maxPrompts {
		p.open[0].end(nil)
		p.open = p.open[1:]
	}
}

// heard takes note of an event of the upstream, which answers the earliest that it is about.
func (p *socketPrompts) heard(e socketEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.kind {
	case "response.created":
		for _, prompt := range p.open {
			if !prompt.begun {
				prompt.answer(fasthttp.StatusOK)
				return
			}
		}
	case "response.completed", "response.incomplete", "response.failed", "error":
		if len(p.open) == 0 {
			return
		}
		prompt := p.open[0]
		p.open = p.open[1:]
		switch {
		case e.kind != "error":
			prompt.answer(fasthttp.StatusOK)
		case e.status != 0:
			prompt.answer(e.status)
		}
		prompt.end(nil)
	}
}

// abandon ends all that is left when the connection has ended.
func (p *socketPrompts) abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, prompt := range p.open {
		prompt.end(errRelay)
	}
	p.open = nil
}

// answer notes that the upstream answers with a status, as over HTTP; it does so once.
func (p *socketPrompt) answer(status int) {
	if !p.begun {
		p.begun, p.trace.waited, p.trace.status, p.trace.report.Status = true, time.Since(p.trace.asked), status, status
		p.finish()
	}
}

// finish hands the receipt over.
func (p *socketPrompt) finish() {
	p.receipt.finish(p.trace.report, p.trace.edited, p.trace.waited, nil)
	p.receipt = nil
}

// end ends the prompt.
func (p *socketPrompt) end(err error) {
	p.finish()
	if p.trace.err = err; err != nil {
		p.trace.outcome = outcomeBroken
	}
	p.server.record(p.trace)
}
