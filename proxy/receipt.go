package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/pith-llm/pith/compressors"
)

// Receipt says what became of one request, by places in its body and by hashes: whoever has the body can replay it with
// Verify, and whoever has not learns nothing of the prompt from it. Of texts it holds only the markers, which are pith's own.
//
// Offsets count bytes of the client's body, of the decoded one where it came encoded; ranges are half-open.
type Receipt struct {
	ID      string    `json:"id"`
	Time    time.Time `json:"time"` // of the request's head
	Dialect string    `json:"dialect"`
	Model   string    `json:"model"`
	Mode    string    `json:"mode"`
	// Skip is why no text was looked at, empty if some were.
	Skip string `json:"skip"`
	// Status is the upstream's, 0 if it gave no answer.
	Status int `json:"status"`
	// Edited says that the shortened body is what the upstream answered, Replayed that it refused that one and answered
	// the client's.
	Edited   bool `json:"edited"`
	Replayed bool `json:"replayed"`
	// Encodings are those of the body as it came, in the order in which they were applied.
	Encodings []string `json:"encodings"`
	// In is the body as it came, Out the one that the upstream answered.
	In  BodyHash `json:"in"`
	Out BodyHash `json:"out"`
	// Untouched are the ranges that were forwarded byte for byte: all but the shortened texts, or everything.
	Untouched []Range `json:"untouched"`
	// PromptCache is the class by which the upstream is taken to bill prompts.
	PromptCache string `json:"prompt_cache"`
	// Texts are all that were looked at, in the order of the talk.
	Texts []ReceiptText `json:"texts"`
	// TokensIn and TokensOut are those of Report.
	TokensIn  int `json:"tokens_in"`
	TokensOut int `json:"tokens_out"`
	// TimingsMS holds the milliseconds of each stage, of all before the upstream was asked ("overhead"), and until the
	// upstream began to answer ("upstream").
	TimingsMS map[string]float64 `json:"timings_ms"`
	// Digest is the SHA-256 of the receipt without it. It shows a change that was not meant; who forges a receipt can
	// compute it anew, which is why Verify relies on the body for all that the body can prove.
	Digest string `json:"digest"`
}

// BodyHash identifies a body.
type BodyHash struct {
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Range is the bytes [start, end).
type Range [2]int

// ReceiptText is what became of one text.
type ReceiptText struct {
	// Turn is the index of its turn among those with texts.
	Turn  int `json:"turn"`
	Start int `json:"start"`
	End   int `json:"end"`
	// Cached says that the outcome of the turn was remembered, Failed why the turn was left as it is.
	Cached bool   `json:"cached"`
	Failed string `json:"failed"`
	// Skip is why this text was left as it is, empty if it was shortened.
	Skip string `json:"skip"`
	// Shortened says that the parts take the text's place: in the forwarded body, or under observe and where the
	// upstream refused it, in the one that would have been forwarded.
	Shortened bool `json:"shortened"`
	TokensIn  int  `json:"tokens_in"`
	TokensOut int  `json:"tokens_out"`
	// TokensKept are those of the source that are kept: TokensOut less what the markers cost, give or take what tokens do at
	// the seams.
	TokensKept int `json:"tokens_kept"`
	// Worth is what sending it shortened was priced at, nil if it was not: it came to nothing, or the upstream has no prices.
	Worth    *Worth           `json:"worth_millitokens,omitempty"`
	Parts    []ReceiptPart    `json:"parts"`
	Segments []ReceiptSegment `json:"segments"`
}

// ReceiptPart is a range that is kept verbatim or, unless Marker is empty and Dropped false, what stands in its place.
type ReceiptPart struct {
	Start   int    `json:"start"`
	End     int    `json:"end"`
	Marker  string `json:"marker,omitempty"`
	Dropped bool   `json:"dropped,omitempty"`
}

func (p ReceiptPart) kept() bool { return p.Marker == "" && !p.Dropped }

// ReceiptSegment is one segment of a text with its score and what each term contributed.
type ReceiptSegment struct {
	Start      int          `json:"start"`
	End        int          `json:"end"`
	Kept       bool         `json:"kept"` // wholly or in part
	Tokens     int          `json:"tokens"`
	TokensKept int          `json:"tokens_kept"`
	Score      float64      `json:"score"`
	Terms      receiptTerms `json:"terms"`
}

// receiptTerms are terms as an object of their names. In memory they are the compressor's own, shared with what else
// remembers them.
type receiptTerms []compressors.Term

// MarshalJSON writes the terms that are numbers.
func (t receiptTerms) MarshalJSON() ([]byte, error) {
	terms := make(map[string]float64, len(t))
	for _, term := range t {
		if !math.IsNaN(term.Value) && !math.IsInf(term.Value, 0) {
			terms[term.Name] = term.Value
		}
	}
	return json.Marshal(terms)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (t *receiptTerms) UnmarshalJSON(data []byte) error {
	var terms map[string]float64
	if err := json.Unmarshal(data, &terms); err != nil {
		return err
	}
	*t = make(receiptTerms, 0, len(terms))
	for _, name := range slices.Sorted(maps.Keys(terms)) {
		*t = append(*t, compressors.Term{Name: name, Value: terms[name]})
	}
	return nil
}

// seal returns the receipt with its digest.
func (r Receipt) seal() (Receipt, error) {
	r.Digest = ""
	data, err := json.Marshal(r)
	r.Digest = hash(data).SHA256
	return r, err
}

// hash identifies a body.
func hash(body []byte) BodyHash {
	sum := sha256.Sum256(body)
	return BodyHash{len(body), hex.EncodeToString(sum[:])}
}

// draft is a receipt that is written while the upstream works, since hashing and finding places take their time.
type draft struct {
	store *receipts
	done  chan struct{}
	// receipt is whole, but for what the upstream says, once done is closed; nil if it could not be written.
	receipt *Receipt
}

// draftReceipt begins the receipt of a request whose body came as body, was read as plain and became out; nil, on which finish
// does nothing, where none are kept.
func (r *request) draftReceipt(body, plain []byte, out shortened) *draft {
	if r.server.receipts == nil {
		return nil
	}
	return r.server.receipts.draft(Receipt{
		ID: r.id, Time: r.started.UTC(), Dialect: r.dialect.String(), PromptCache: r.up.Cache.String(),
		Encodings: append([]string{}, contentEncodings(&r.ctx.Request.Header)...),
	}, body, plain, out)
}

// draft begins a receipt. What became of body and plain, which nobody may change until it is finished, is in out.
func (s *receipts) draft(receipt Receipt, body, plain []byte, out shortened) *draft {
	d := &draft{store: s, done: make(chan struct{})}
	receipt.Model, receipt.Mode, receipt.Skip, receipt.Edited = out.report.Model, out.report.Mode.String(), out.report.Skip.String(), out.edited
	receipt.Texts, receipt.TokensIn, receipt.TokensOut = []ReceiptText{}, out.report.TokensIn, out.report.TokensOut
	receipt.TimingsMS = map[string]float64{"overhead": milliseconds(out.report.Overhead)}
	for _, stage := range out.report.Stages {
		receipt.TimingsMS[stage.Name] += milliseconds(stage.Duration)
	}
	go func() {
		defer close(d.done)
		defer func() { _ = recover() }() // without a receipt rather than without an answer
		receipt.In = hash(body)
		receipt.Out, receipt.Untouched = receipt.In, whole(body)
		for i, turn := range out.report.Turns {
			texts, err := receiptTexts(plain, out.spans[i], turn)
			if err != nil {
				return
			}
			for _, text := range texts {
				text.Turn = i
				text.Shortened = text.Shortened && out.report.Skip == NotSkipped
				receipt.Texts = append(receipt.Texts, text)
			}
		}
		if receipt.Edited {
			receipt.Out, receipt.Untouched = hash(out.body), untouched(len(plain), receipt.Texts)
		}
		d.receipt = &receipt
	}()
	return d
}

// finish adds what came of it and hands the receipt over.
func (d *draft) finish(report Report, edited bool, waited time.Duration, body []byte) {
	if d == nil {
		return
	}
	<-d.done
	if d.receipt == nil {
		return
	}
	r := d.receipt
	r.Status, r.Replayed, r.TokensOut = report.Status, report.Replayed, report.TokensOut
	r.TimingsMS["upstream"] = milliseconds(waited)
	if r.Edited && !edited {
		r.Edited, r.Out, r.Untouched = false, r.In, whole(body)
	}
	d.store.put(r)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// whole is the range of all of a body.
func whole(body []byte) []Range {
	if len(body) == 0 {
		return []Range{}
	}
	return []Range{{0, len(body)}}
}

// untouched is what shortened texts leave of size bytes.
func untouched(size int, texts []ReceiptText) []Range {
	ranges, at := []Range{}, 0
	for _, text := range inBodyOrder(texts) {
		if text.Start > at {
			ranges = append(ranges, Range{at, text.Start})
		}
		at = text.End
	}
	if at < size {
		ranges = append(ranges, Range{at, size})
	}
	return ranges
}

// inBodyOrder returns the shortened texts by place: the order of the talk need not be that of the body.
func inBodyOrder(texts []ReceiptText) []ReceiptText {
	var shortened []ReceiptText
	for _, text := range texts {
		if text.Shortened {
			shortened = append(shortened, text)
		}
	}
	slices.SortStableFunc(shortened, func(a, b ReceiptText) int { return a.Start - b.Start })
	return shortened
}

// receiptTexts describes the spans of a turn.
func receiptTexts(body []byte, spans []span, turn TurnReport) ([]ReceiptText, error) {
	var c cursor
	var in rawString
	texts := make([]ReceiptText, len(spans))
	for i, s := range spans {
		if in != s.at.raw {
			in = s.at.raw
			c = cursor{raw: body[in.start:in.end]}
		}
		start, err := c.to(s.start)
		if err != nil {
			return nil, err
		}
		inside := c
		if _, err := c.to(s.end); err != nil {
			return nil, err
		}
		text := ReceiptText{Start: in.start + start, End: in.start + c.rawAt, Cached: turn.Cached, Parts: []ReceiptPart{}, Segments: []ReceiptSegment{}}
		if turn.Err != nil {
			text.Failed = failureOf(turn.Err)
		} else if err := text.describe(turn.Result.Texts[i], inside, in.start, s.start); err != nil {
			return nil, err
		}
		if turn.Err == nil && len(turn.Worth) > 0 {
			text.Worth = turn.Worth[i]
		}
		texts[i] = text
	}
	return texts, nil
}

// describe adds a result whose offsets count from byte textStart of the string that stands at byte rawStart of the body. The
// cursor is at the text's start.
func (t *ReceiptText) describe(result compressors.TextResult, at cursor, rawStart, textStart int) error {
	t.Skip, t.TokensIn, t.TokensOut, t.Shortened = result.Skip.String(), result.TokensIn, result.TokensOut, replaces(result)
	if !t.Shortened {
		t.TokensOut, t.TokensKept = t.TokensIn, t.TokensIn
	}
	parts, segments := at, at
	place := func(c *cursor, start, end int) (int, int, error) {
		from, err := c.to(textStart + start)
		if err != nil {
			return 0, 0, err
		}
		to, err := c.to(textStart + end)
		return rawStart + from, rawStart + to, err
	}
	if t.Shortened {
		for _, p := range result.Parts {
			start, end, err := place(&parts, p.Start, p.End)
			if err != nil {
				return err
			}
			t.Parts = append(t.Parts, ReceiptPart{start, end, p.Marker, p.Dropped})
		}
	}
	for _, s := range result.Segments {
		start, end, err := place(&segments, s.Start, s.End)
		if err != nil {
			return err
		}
		kept := s.KeptTokens
		if !t.Shortened {
			kept = s.Tokens
		} else {
			t.TokensKept += kept
		}
		t.Segments = append(t.Segments, ReceiptSegment{start, end, s.Kept || !t.Shortened, s.Tokens, kept, s.Score.Value, s.Score.Terms})
	}
	return nil
}

// failureOf names why a turn was left as it is, without quoting what an error may quote.
func failureOf(err error) string {
	switch {
	case errors.Is(err, errDeadline):
		return "deadline"
	case errors.Is(err, errPanic):
		return "panic"
	case errors.Is(err, errRefused):
		return "refused"
	}
	return "failed"
}
