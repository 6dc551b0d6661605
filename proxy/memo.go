package proxy

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/pith-llm/pith/cache"
	"github.com/pith-llm/pith/compressors"
)

// keyOf identifies a turn's compression by content: its query, its budget and its texts.
func keyOf(in compressors.Input) cache.Key {
	key := cache.NewKey("turn").
		Text("query", in.Query).
		Int("tokens", in.Budget.Tokens).
		Text("rate", strconv.FormatFloat(in.Budget.Rate, 'g', -1, 64))
	for _, text := range in.Texts {
		key.Text("name", text.Name).Text("language", text.Language).Text("content", text.Content)
	}
	return key.Sum()
}

// outcome is what became of a turn: a result, or the error for which its texts stay as they are.
type outcome struct {
	result compressors.Result
	err    error
	// cached says that no work was done for this request.
	cached bool
}

// memo remembers the outcomes of turns, the failures among them. It is a plain list by last use, not cache.Cache: an
// admission policy that drops what it has seen once would drop the failures. A failure must be held, because a
// turn that was once forwarded as it was has to stay so: changing it later breaks the prefix that the upstream has
// cached. Forgetting costs time and one such break, never a wrong byte. Compressions of the same turn in flight share the work.
type memo struct {
	limit    int           // bytes
	deadline time.Duration // of one compression
	compute  func(context.Context, compressors.Input) (compressors.Result, error)

	mu      sync.Mutex
	bytes   int
	entries map[cache.Key]*list.Element
	recent  list.List // of *memoEntry, the latest used in front
	flights map[cache.Key]*flight
}

type memoEntry struct {
	key     cache.Key
	outcome outcome
	bytes   int
}

// flight is one compression under way.
type flight struct {
	done    chan struct{}
	outcome outcome // once done is closed
	waiters int
	cancel  context.CancelFunc
}

var (
	errDeadline = errors.New("compression passed its deadline")
	errPanic    = errors.New("compression panicked")
	errRefused  = errors.New("the upstream refused the compressed request")
)

func newMemo(limit int, deadline time.Duration, compute func(context.Context, compressors.Input) (compressors.Result, error)) *memo {
	return &memo{limit: limit, deadline: deadline, compute: compute, entries: map[cache.Key]*list.Element{}, flights: map[cache.Key]*flight{}}
}

// do returns the outcome of a turn, from memory, from a compression under way, or by compressing. When ctx passes its
// deadline first the turn counts as failed from then on; when ctx is cancelled because nobody waits for the answer any
// more, nothing is remembered.
func (m *memo) do(ctx context.Context, in compressors.Input) (cache.Key, outcome) {
	key := keyOf(in)
	m.mu.Lock()
	if e, ok := m.entries[key]; ok {
		m.recent.MoveToFront(e)
		out := e.Value.(*memoEntry).outcome
		m.mu.Unlock()
		out.cached = true
		return key, out
	}
	if err := ctx.Err(); err != nil {
		m.mu.Unlock()
		return key, m.gaveUp(ctx, key)
	}
	f, ok := m.flights[key]
	if !ok {
		// The flight outlives a request that gives up while others wait, so its context is its own.
		flightCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.deadline)
		f = &flight{done: make(chan struct{}), cancel: cancel}
		m.flights[key] = f
		go m.fly(flightCtx, key, f, in)
	}
	f.waiters++
	m.mu.Unlock()

	select {
	case <-f.done:
		return key, f.outcome
	case <-ctx.Done():
		m.mu.Lock()
		f.waiters--
		if f.waiters == 0 {
			f.cancel()
			delete(m.flights, key) // a later request starts afresh
		}
		m.mu.Unlock()
		return key, m.gaveUp(ctx, key)
	}
}

// gaveUp is the outcome for a request whose context has ended.
func (m *memo) gaveUp(ctx context.Context, key cache.Key) outcome {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return outcome{err: ctx.Err()}
	}
	m.fail(key, errDeadline)
	return outcome{err: errDeadline}
}

// fly runs one compression and hands its outcome to all who wait.
func (m *memo) fly(ctx context.Context, key cache.Key, f *flight, in compressors.Input) {
	defer f.cancel()
	var out outcome
	func() {
		defer func() {
			if p := recover(); p != nil {
				// The value may quote the text: it is not logged.
				out = outcome{err: errPanic}
			}
		}()
		out.result, out.err = m.compute(ctx, in)
		if out.err == nil && len(out.result.Texts) != len(in.Texts) {
			out.err = fmt.Errorf("compressor returned %d texts for %d", len(out.result.Texts), len(in.Texts))
		}
	}()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && out.err != nil {
		out.err = errDeadline
	}
	abandoned := errors.Is(ctx.Err(), context.Canceled)
	if out.err != nil {
		out.result = compressors.Result{}
	}

	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.entries[key]; ok {
		out = e.Value.(*memoEntry).outcome // a request that gave up has settled it
	} else if !abandoned {
		m.put(key, out)
	}
	f.outcome = out
	if m.flights[key] == f {
		delete(m.flights, key)
	}
	close(f.done)
}

// fail settles that a turn stays as it is.
func (m *memo) fail(key cache.Key, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.entries[key]; ok {
		m.remove(e)
	}
	m.put(key, outcome{err: err})
}

// put remembers an outcome and forgets the longest unused ones beyond the limit. m.mu is held.
func (m *memo) put(key cache.Key, out outcome) {
	entry := &memoEntry{key: key, outcome: out, bytes: 256}
	for _, text := range out.result.Texts {
		entry.bytes += len(text.Output) + 64*len(text.Parts) + 160*len(text.Segments)
		for _, segment := range text.Segments {
			entry.bytes += len(segment.Name) + 40*len(segment.Score.Terms)
		}
	}
	m.entries[key] = m.recent.PushFront(entry)
	m.bytes += entry.bytes
	for m.bytes > m.limit && m.recent.Len() > 1 {
		m.remove(m.recent.Back())
	}
}

func (m *memo) remove(e *list.Element) {
	entry := m.recent.Remove(e).(*memoEntry)
	delete(m.entries, entry.key)
	m.bytes -= entry.bytes
}
