package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/pith-llm/pith/compressors"
)

// maxReplayed bounds a decoded body that is replayed, in bytes.
const maxReplayed = 1 << 30

// ParseReceipt reads a receipt as the admin listener answers it. A member that it does not know is an error.
func ParseReceipt(data []byte) (Receipt, error) {
	var r Receipt
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, fmt.Errorf("this is no receipt: %w", err)
	}
	if d.More() {
		return r, errors.New("this is no receipt: something follows it")
	}
	return r, nil
}

// Verify replays the receipt on the body that the client sent and returns the body that was forwarded. It proves that
//
//   - body is the one that came, by its hash;
//   - the untouched ranges and the shortened texts tile it, so that every byte outside a shortened text is the client's;
//   - each shortened text follows from its source by compressors.Verify, which means that nothing in it was invented;
//   - what comes of it is the body that was forwarded, by its hash;
//   - segments tile their text, and the token counts agree with each other; with count, the upstream's tokenizer, also that
//     they are true and that each shortened text has fewer tokens than its source.
//
// Scores, timings, the model and what the upstream answered are only stated: no body can prove them. The digest covers them.
func (r Receipt) Verify(body []byte, count func(string) int) (forwarded []byte, err error) {
	if sealed, err := r.seal(); err != nil || sealed.Digest != r.Digest {
		return nil, errors.New("the receipt was changed: its digest is another")
	}
	if got := hash(body); got != r.In {
		return nil, fmt.Errorf("this is not the body that came: it has %d bytes and SHA-256 %s, the receipt says %d and %s", got.Bytes, got.SHA256, r.In.Bytes, r.In.SHA256)
	}
	if r.Edited && r.Replayed {
		return nil, errors.New("the receipt contradicts itself: edited and replayed")
	}
	plain := body
	if len(r.Texts) > 0 {
		if plain, err = decodeBody(body, r.Encodings, maxReplayed); err != nil {
			return nil, fmt.Errorf("the body cannot be decoded as %v: %w", r.Encodings, err)
		}
		if err := validate(plain); err != nil {
			return nil, fmt.Errorf("the receipt speaks of texts: %w", err)
		}
	}
	replay := replay{body: plain, count: count}
	saved := 0
	var edits []edit
	for i, text := range r.Texts {
		replacement, err := replay.text(text)
		if err != nil {
			return nil, fmt.Errorf("text %d: %w", i, err)
		}
		if text.Shortened {
			saved += text.TokensIn - text.TokensOut
			edits = append(edits, edit{text.Start, text.End, replacement})
		}
	}
	if r.Replayed {
		saved = 0
	}
	if r.TokensIn-r.TokensOut != saved {
		return nil, fmt.Errorf("the receipt says %d tokens in and %d out: its texts save %d", r.TokensIn, r.TokensOut, saved)
	}
	forwarded, left := body, whole(body)
	if r.Edited {
		slices.SortFunc(edits, func(a, b edit) int { return a.start - b.start })
		for i := 1; i < len(edits); i++ {
			if edits[i].start < edits[i-1].end {
				return nil, fmt.Errorf("two shortened texts overlap at byte %d", edits[i].start)
			}
		}
		forwarded, left = splice(plain, edits), untouched(len(plain), r.Texts)
	}
	if !slices.Equal(left, r.Untouched) {
		return nil, fmt.Errorf("the untouched ranges are not what the shortened texts leave of %d bytes: want %v, the receipt says %v", len(plain), left, r.Untouched)
	}
	if got := hash(forwarded); got != r.Out {
		return nil, fmt.Errorf("the replayed body is not the one that was forwarded: it has %d bytes and SHA-256 %s, the receipt says %d and %s",
			got.Bytes, got.SHA256, r.Out.Bytes, r.Out.SHA256)
	}
	return forwarded, nil
}

// replay is the work of Verify on one body.
type replay struct {
	body  []byte // valid JSON if there are texts
	count func(string) int
	// inside and from are the string that was found last and where the search for the next one goes on.
	inside rawString
	from   int
}

// text proves one text and returns the raw bytes of its parts.
func (v *replay) text(t ReceiptText) (replacement []byte, err error) {
	if t.Start < 0 || t.End <= t.Start || t.End > len(v.body) {
		return nil, fmt.Errorf("[%d, %d) is no range of %d bytes", t.Start, t.End, len(v.body))
	}
	if !v.find(t.Start, t.End) {
		return nil, fmt.Errorf("[%d, %d) does not lie in one string of the body", t.Start, t.End)
	}
	bounds := []int{t.Start, t.End}
	for _, p := range t.Parts {
		bounds = append(bounds, p.Start, p.End)
	}
	for _, s := range t.Segments {
		bounds = append(bounds, s.Start, s.End)
	}
	if at := v.cuts(bounds); at >= 0 {
		return nil, fmt.Errorf("byte %d lies inside a character or an escape", at)
	}
	if err := t.agrees(); err != nil {
		return nil, err
	}
	source := rawString{t.Start, t.End, true}.decode(v.body)
	if v.count != nil && t.Failed == "" && t.TokensIn != v.count(source) {
		return nil, fmt.Errorf("it has %d tokens, the receipt says %d", v.count(source), t.TokensIn)
	}
	if !t.Shortened {
		return nil, nil
	}
	for _, p := range t.Parts {
		if p.kept() {
			replacement = append(replacement, v.body[p.Start:p.End]...)
		} else {
			replacement = appendEscaped(replacement, p.Marker)
		}
	}
	output := rawString{0, len(replacement), true}.decode(replacement)
	if !utf8.ValidString(output) {
		return nil, errors.New("a marker is not UTF-8")
	}
	if err := compressors.Verify(source, output); err != nil {
		return nil, fmt.Errorf("it does not follow from its source: %w", err)
	}
	if v.count != nil && t.TokensOut != v.count(output) {
		return nil, fmt.Errorf("its output has %d tokens, the receipt says %d", v.count(output), t.TokensOut)
	}
	return replacement, nil
}

// agrees checks what a text says of itself: parts and segments tile it, segments are kept where parts are, and the counts
// fit together.
func (t ReceiptText) agrees() error {
	switch {
	case t.Failed != "" && (t.Shortened || len(t.Segments) > 0 || t.TokensIn != 0 || t.TokensOut != 0):
		return errors.New("it failed, and yet there is a result")
	case !t.Shortened && (len(t.Parts) > 0 || t.TokensOut != t.TokensIn):
		return errors.New("it was not shortened, and yet parts or fewer tokens are stated")
	case t.Shortened && t.Skip != "":
		return fmt.Errorf("it was shortened, and yet skipped for %s", t.Skip)
	case t.Worth != nil && t.Shortened && t.Worth.Net() <= 0:
		return fmt.Errorf("it was shortened, and yet priced at %d", t.Worth.Net())
	case t.Skip == compressors.SkipNotWorthIt.String() && (t.Worth == nil || t.Worth.Net() > 0):
		return errors.New("it stayed whole for its price, which does not say so")
	case t.Shortened && len(t.Segments) == 0:
		return errors.New("it was shortened without segments")
	case t.Shortened && t.TokensOut >= t.TokensIn:
		return fmt.Errorf("it was shortened from %d tokens to %d", t.TokensIn, t.TokensOut)
	}
	at := t.Start
	for i, p := range t.Parts {
		if p.Start != at || p.End < p.Start || p.End > t.End {
			return fmt.Errorf("part %d is [%d, %d): it does not follow byte %d of [%d, %d)", i, p.Start, p.End, at, t.Start, t.End)
		}
		if p.Dropped && p.Marker != "" {
			return fmt.Errorf("part %d is dropped and has a marker", i)
		}
		at = p.End
	}
	if t.Shortened && at != t.End {
		return fmt.Errorf("its parts end at byte %d, not at %d", at, t.End)
	}
	at = t.Start
	kept, part := 0, 0
	for i, s := range t.Segments {
		if s.Start != at || s.End <= s.Start || s.End > t.End {
			return fmt.Errorf("segment %d is [%d, %d): it does not follow byte %d of [%d, %d)", i, s.Start, s.End, at, t.Start, t.End)
		}
		at = s.End
		if s.TokensKept < 0 || s.TokensKept > s.Tokens || s.TokensKept > 0 && !s.Kept {
			return fmt.Errorf("segment %d keeps %d of %d tokens", i, s.TokensKept, s.Tokens)
		}
		kept += s.TokensKept
		if !t.Shortened {
			if !s.Kept || s.TokensKept != s.Tokens {
				return fmt.Errorf("segment %d keeps %d of %d tokens of a text that stayed whole", i, s.TokensKept, s.Tokens)
			}
			continue
		}
		for part < len(t.Parts) && t.Parts[part].End <= s.Start {
			part++
		}
		overlaps := false
		for _, p := range t.Parts[part:] {
			if p.Start >= s.End {
				break
			}
			overlaps = overlaps || p.kept() && p.End > p.Start
		}
		if overlaps != s.Kept {
			return fmt.Errorf("segment %d is said to be kept: %t, which the parts contradict", i, s.Kept)
		}
	}
	if len(t.Segments) > 0 && at != t.End {
		return fmt.Errorf("its segments end at byte %d, not at %d", at, t.End)
	}
	if !t.Shortened {
		kept = t.TokensIn
	}
	if t.Failed == "" && kept != t.TokensKept {
		return fmt.Errorf("its segments keep %d tokens, the receipt says %d", kept, t.TokensKept)
	}
	return nil
}

// find looks for the string of the body that holds [start, end). Texts mostly come in the order of the body, so the search
// goes on from the last one.
func (v *replay) find(start, end int) bool {
	if start < v.inside.start {
		v.inside, v.from = rawString{}, 0
	}
	s := scanner{data: v.body, pos: v.from}
	for end > v.inside.end || v.inside.end == 0 {
		next := bytes.IndexByte(v.body[s.pos:], '"')
		if next < 0 {
			return false
		}
		s.pos += next
		raw, err := s.str()
		if err != nil {
			return false // cannot be: the body is valid
		}
		v.inside, v.from = raw, s.pos
	}
	return start >= v.inside.start
}

// cuts returns the first of some offsets into the string that was found that lies inside a character or an escape, -1 if
// none does.
func (v *replay) cuts(offsets []int) int {
	slices.Sort(offsets)
	at := v.inside.start
	for _, offset := range offsets {
		if offset < v.inside.start || offset > v.inside.end {
			return offset
		}
		for at < offset {
			if v.body[at] == '\\' {
				_, n := unescape(v.body[at:v.inside.end])
				at += n
			} else {
				at++
			}
		}
		if at != offset || at < v.inside.end && !utf8.RuneStart(v.body[at]) {
			return offset
		}
	}
	return -1
}
