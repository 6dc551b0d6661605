package proxy

import (
	"context"
	"time"

	"github.com/pith-llm/pith/compressors"
)

// shortener compresses turns for an upstream, and remembers what became of them. But for the gate and the rules, upstreams that
// count tokens alike share all of it.
type shortener struct {
	compressor Compressor
	tokens     *tokenCounter
	slots      chan struct{} // bound the compressions at the same time; all shorteners of a server share them
	memo       *memo
	gate       gate
	documents  []DocumentRule
}

// newShortener returns what compresses for u, remembering up to the given number of bytes.
func (s *Server) newShortener(u Upstream, remembered int) *shortener {
	sh := &shortener{compressor: u.Compressor, tokens: &tokenCounter{of: u.CountTokens}, slots: s.slots}
	sh.memo = newMemo(remembered, s.options.Deadline, sh.compress)
	return sh
}

// through returns the shortener with another gate and other rules.
func (sh *shortener) through(g gate, documents []DocumentRule) *shortener {
	own := *sh
	own.gate, own.documents = g, documents
	return &own
}

// compress runs the compressor in one of the bounded slots. The result's first stage is the wait for it.
func (sh *shortener) compress(ctx context.Context, in compressors.Input) (compressors.Result, error) {
	queueing := time.Now()
	select {
	case sh.slots <- struct{}{}:
		defer func() { <-sh.slots }()
	case <-ctx.Done():
		return compressors.Result{}, ctx.Err()
	}
	waited := compressors.Stage{Name: "queue", Duration: time.Since(queueing)}
	result, err := sh.compressor.Compress(ctx, in)
	result.Stages = append([]compressors.Stage{waited}, result.Stages...)
	return result, err
}
