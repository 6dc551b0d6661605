package proxy

import (
	"context"

	"github.com/pith-llm/pith/compressors"
)

// shortener compresses turns for upstreams that count tokens alike, and remembers what became of them.
type shortener struct {
	compressor Compressor
	tokens     tokenCounter
	margin     float64       // by how much counts may be wrong, as a share
	slots      chan struct{} // bound the compressions at the same time; all shorteners of a server share them
	memo       *memo
}

// newShortener returns what compresses for u, remembering up to the given number of bytes.
func (s *Server) newShortener(u Upstream, remembered int) *shortener {
	sh := &shortener{compressor: u.Compressor, tokens: tokenCounter{of: u.CountTokens}, margin: u.TokenMargin, slots: s.slots}
	sh.memo = newMemo(remembered, s.options.Deadline, sh.compress)
	return sh
}

// compress runs the compressor in one of the bounded slots. A text whose saving lies within the margin stays whole.
func (sh *shortener) compress(ctx context.Context, in compressors.Input) (compressors.Result, error) {
	select {
	case sh.slots <- struct{}{}:
		defer func() { <-sh.slots }()
	case <-ctx.Done():
		return compressors.Result{}, ctx.Err()
	}
	result, err := sh.compressor.Compress(ctx, in)
	if err != nil || sh.margin == 0 {
		return result, err
	}
	for i := range min(len(result.Texts), len(in.Texts)) {
		text := &result.Texts[i]
		if replaces(*text) && float64(text.TokensOut)*(1+sh.margin) >= float64(text.TokensIn) {
			result.TokensOut += text.TokensIn - text.TokensOut
			text.Output, text.TokensOut, text.Skip = in.Texts[i].Content, text.TokensIn, compressors.SkipNoSaving
			text.Parts = []compressors.Part{{Start: 0, End: len(text.Output)}}
		}
	}
	return result, nil
}
