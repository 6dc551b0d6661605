package proxy

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/pith-llm/pith/cache"
	"github.com/pith-llm/pith/compressors"
)

// Compressor shortens the texts of one turn. compressors.Compressor is the real one.
type Compressor interface {
	Compress(ctx context.Context, in compressors.Input) (compressors.Result, error)
}

// Report tells what became of one request, for people and tests: unlike the log it holds texts.
type Report struct {
	// ID is the request's id, as in the X-Pith-Request-Id header and in the log.
	ID string
	// Model is the model that the request names.
	Model string
	Mode  Mode
	// Skip says why no turn was looked at, NotSkipped if they were.
	Skip Skip
	// Turns holds the turns that have spans, in order.
	Turns []TurnReport
	// TokensIn counts the tokens of all texts of the messages as they came (without Options.CountTokens only of those
	// that were looked at), TokensOut as they were, or in ModeObserve would have been, forwarded.
	TokensIn, TokensOut int
	// Status is the upstream's answer, 0 if there was none. Replayed says that it answers the original request, sent
	// after the upstream had refused the shortened one.
	Status   int
	Replayed bool
	// Overhead is the time from the last byte of the client's request to the first byte of the upstream's; Stages are its
	// parts, less what was remembered, and, last, the time that the upstream took to begin its answer.
	Overhead time.Duration
	Stages   []compressors.Stage
}

// TurnReport is one turn of a Report.
type TurnReport struct {
	// Query is what the texts were scored against.
	Query string
	// Texts are the spans of the turn, Result.Texts what became of them.
	Texts  []compressors.Text
	Result compressors.Result
	// Worth holds what each text that the compressor shortened is worth, nil for others; it is empty where nothing is priced.
	Worth []*Worth
	// Cached says that the result was remembered or shared.
	Cached bool
	// Err is why the turn was left as it is, nil if it was not.
	Err error
}

// Skip says why a request's texts were not looked at.
type Skip uint8

// The reasons.
const (
	NotSkipped    Skip = iota
	SkipOff            // the mode is off, or there is no compressor
	SkipEncoded        // the body is compressed
	SkipNotJSON        // the body is not JSON in UTF-8
	SkipTooDeep        // the body nests too deep
	SkipDuplicate      // the body repeats a key on the way to a text
	SkipShape          // the body does not have the shape of its dialect
	SkipNoSpan         // no text is long enough
	SkipInvalid        // the shortened body did not pass the last check
)

// String returns the reason's name in the log.
func (s Skip) String() string {
	names := [...]string{"", "off", "encoded", "not_json", "too_deep", "duplicate_key", "shape", "no_span", "invalid"}
	if int(s) < len(names) {
		return names[s]
	}
	return "unknown"
}

// shortened is a request body with what became of it.
type shortened struct {
	body   []byte // the original if nothing was replaced
	edited bool
	keys   []cache.Key // of the turns that were edited
	spans  [][]span    // of the report's turns
	report Report
	after  dialogue // up to the body's end
}

// shorten finds the turns of a body and compresses them, each against its own query. Whatever goes
// wrong leaves the text in question, or the whole body, as it is.
func (s *Server) shorten(ctx context.Context, with *shortener, d dialect, body []byte, p policy) shortened {
	out := shortened{body: body, report: Report{Mode: p.mode}}
	parsing := time.Now()
	c, err := d.parse(body)
	if err != nil {
		out.report.Skip = skipFor(err)
		return out
	}
	out.report.Model = c.model
	if c.previous != "" && p.before == nil {
		p.before = &dialogue{partial: true}
	}
	turns, after := findTurns(c, p, s.options.FileReads, with.documents)
	out.after = after
	out.stage("parse", time.Since(parsing))

	ctx, cancel := context.WithTimeout(ctx, s.options.Deadline)
	defer cancel()
	var edits []edit
	for _, t := range turns {
		if len(t.spans) == 0 {
			continue
		}
		in := compressors.Input{Query: t.query, Budget: p.budget}
		for _, span := range t.spans {
			in.Texts = append(in.Texts, span.text)
		}
		key, turned := with.memo.do(ctx, in)
		report := TurnReport{Query: t.query, Texts: in.Texts, Cached: turned.cached, Err: turned.err}
		if turned.err == nil {
			report.Result, report.Worth = with.gate.pass(in.Texts, turned.result, in.Budget, t.stakes())
			turnEdits, err := editsOf(body, t.spans, report.Result)
			if err != nil {
				with.memo.fail(key, err)
				report.Err = err
			} else if len(turnEdits) > 0 {
				edits = append(edits, turnEdits...)
				out.keys = append(out.keys, key)
			}
			if !turned.cached {
				for _, stage := range turned.result.Stages {
					out.stage(stage.Name, stage.Duration)
				}
			}
		}
		out.report.Turns = append(out.report.Turns, report)
		out.spans = append(out.spans, t.spans)
	}
	splicing := time.Now()
	if len(out.report.Turns) == 0 {
		out.report.Skip = SkipNoSpan
	}
	if len(edits) > 0 {
		// The order of the talk need not be that of the body.
		slices.SortFunc(edits, func(a, b edit) int { return cmp.Compare(a.start, b.start) })
		spliced := splice(body, edits)
		if validate(spliced) == nil {
			out.body, out.edited = spliced, true
		} else {
			out.report.Skip, out.keys = SkipInvalid, nil
		}
	}
	out.stage("splice", time.Since(splicing))
	counting := time.Now()
	with.count(&out, c)
	out.stage("count", time.Since(counting))
	return out
}

// stage adds to the time of a named step.
func (out *shortened) stage(name string, d time.Duration) {
	for i := range out.report.Stages {
		if out.report.Stages[i].Name == name {
			out.report.Stages[i].Duration += d
			return
		}
	}
	out.report.Stages = append(out.report.Stages, compressors.Stage{Name: name, Duration: d})
}

func skipFor(err error) Skip {
	switch {
	case errors.Is(err, errTooDeep):
		return SkipTooDeep
	case errors.Is(err, errDuplicate):
		return SkipDuplicate
	case errors.Is(err, errShape):
		return SkipShape
	default:
		return SkipNotJSON
	}
}

// count fills the report's tokens: the texts of all messages as they came, less what the edits save.
func (sh *shortener) count(out *shortened, c conversation) {
	in, saved := 0, 0
	for _, turn := range out.report.Turns {
		if turn.Err != nil {
			continue
		}
		for _, text := range turn.Result.Texts {
			in += text.TokensIn
			if out.edited && replaces(text) {
				saved += text.TokensIn - text.TokensOut
			}
		}
	}
	if sh.tokens.of != nil {
		in = 0
		for _, m := range c.messages {
			for _, text := range m.texts {
				in += sh.tokens.count(text.text)
			}
		}
	}
	out.report.TokensIn, out.report.TokensOut = in, in-saved
}

// replaces reports whether a result is to be sent in place of its text: only if it is shorter to the upstream.
func replaces(text compressors.TextResult) bool {
	return text.Skip == compressors.NotSkipped && text.TokensOut < text.TokensIn
}

// edit replaces the body's bytes [start, end).
type edit struct {
	start, end int
	bytes      []byte
}

// editsOf turns the results of a turn's spans into edits of the body, in order.
func editsOf(body []byte, spans []span, result compressors.Result) ([]edit, error) {
	var edits []edit
	var c cursor
	var in rawString
	for i, span := range spans {
		if in != span.at.raw {
			in = span.at.raw
			c = cursor{raw: body[in.start:in.end]}
		}
		text := result.Texts[i]
		if !replaces(text) {
			continue
		}
		start, err := c.to(span.start)
		if err != nil {
			return nil, err
		}
		bytes, err := c.appendSpliced(nil, span.start, span.end, span.text.Content, text)
		if err != nil {
			return nil, err
		}
		end, err := c.to(span.end)
		if err != nil {
			return nil, err
		}
		edits = append(edits, edit{in.start + start, in.start + end, bytes})
	}
	return edits, nil
}

// splice applies edits, which are in order and apart, to a copy of body.
func splice(body []byte, edits []edit) []byte {
	size := len(body)
	for _, e := range edits {
		size += len(e.bytes) - (e.end - e.start)
	}
	out := make([]byte, 0, size)
	at := 0
	for _, e := range edits {
		out = append(out, body[at:e.start]...)
		out = append(out, e.bytes...)
		at = e.end
	}
	return append(out, body[at:]...)
}
