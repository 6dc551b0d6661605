// Package compressors shortens texts under a token budget without inventing anything.
//
// Its steps, in order: find each text's kind; cut it into segments that tile it exactly; have the segments scored
// against the query; choose by score what fits the budget, with the headers that enclose it and the signatures of what it
// uses; render what is kept with markers in the gaps. Verify proves the outcome from the source and the output alone.
//
// The package knows neither models nor HTTP: a Scorer and a token counter are passed in.
package compressors

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Text is one source text of a turn: a file, a document, a tool result.
type Text struct {
	// Name is the path, title or tool that the text came from; empty if unknown.
	Name string
	// Language names the syntax: "go", "python", "typescript", "tsx", "markdown", "text"; empty means found from Name
	// and then from Content.
	Language string
	// Content is the text itself, UTF-8.
	Content string
}

// SegmentKind says what a segment is.
type SegmentKind uint8

// The kinds of segment. KindText is a paragraph or a group of them; KindHeader is the opening of a class, a namespace or a
// long function whose parts are segments of their own, KindClosing a line that closes it or opens its next block: its parent is the header, and
// who keeps the header must keep it for the code to parse.
const (
	KindText SegmentKind = iota
	KindHeading
	KindSentence
	KindLines
	KindImport
	KindStatement
	KindFunction
	KindMethod
	KindClass
	KindHeader
	KindClosing
	KindRecord // of JSON, a table, a log, search results
	KindHunk   // of a diff
)

var segmentKindNames = [...]string{
	"text", "heading", "sentence", "lines", "import", "statement", "function", "method", "class", "header", "closing",
	"record", "hunk",
}

// String returns the kind in lower case, such as "function".
func (k SegmentKind) String() string {
	if int(k) < len(segmentKindNames) {
		return segmentKindNames[k]
	}
	return fmt.Sprintf("SegmentKind(%d)", uint8(k))
}

// Import is what one statement brings into a file from one module.
type Import struct {
	// Path is the module as the source writes it, without quotes: "net/http", "./store", "java.util", "crate::store".
	Path string
	// Names are the names taken from it, each followed by its alias if it has one; "*" stands for all of them. Empty where
	// the module is imported as a whole without an alias.
	Names []string
}

// Symbols are the names that a segment of code holds, each once, in the order of the source. They are read from the
// syntax tree, without types: what a name refers to is for its reader to guess. All are empty where no grammar reads the
// text.
type Symbols struct {
	// Defines are the names that others may use: functions, methods, types, fields, top-level variables.
	Defines []string
	// Uses are the identifiers of code, not of comments and strings, that are bound neither here nor elsewhere in the same definition.
	Uses []string
	// Locals are the names that are bound here for the rest of their definition only: parameters, local variables.
	Locals []string
	// LocalUses are the names used here that another segment of the same definition binds.
	LocalUses []string
	// Imports are what the segment's import statements name.
	Imports []Import
}

// Segment is a half-open range of bytes [Start, End) of one text. The segments of a text tile it exactly.
type Segment struct {
	Start, End int
	Kind       SegmentKind
	// Name is the symbol or heading that the segment stands for, such as "Parser.parse"; may be empty.
	Name string
	// Parent is the index of the segment of the same text that holds the enclosing header (a class's opening, a long
	// function's signature, a section's heading), always less than the segment's own index; -1 without one. Whoever keeps a segment keeps its parents.
	Parent int
	// Signature says how a definition can be kept without its body; nil where it cannot. Of a Segmenter other than
	// SyntaxSegmenter it is not read.
	Signature *Signature
	Symbols
}

// Signature is the part of a definition that says how it is used. All offsets are the starts of lines.
type Signature struct {
	// Start is where the definition begins behind the comments before it. Lines [BodyStart, BodyEnd) are its body, and what
	// follows them closes it.
	Start, BodyStart, BodyEnd int
	// Symbols are those outside the body.
	Symbols
}

// Segmenter cuts a text into segments that tile it.
type Segmenter interface {
	Segments(text Text) ([]Segment, error)
}

// Family groups kinds of text by what makes a part of them worth keeping; a Scorer weighs its signals by it.
type Family uint8

// The families: running text; code with a grammar or a line comment; and records, of which each stands for itself: data,
// markup, logs, search results.
const (
	Prose Family = iota
	Code
	Records
)

var familyNames = [...]string{"prose", "code", "records"}

// String returns the family's name, such as "code".
func (f Family) String() string {
	if int(f) < len(familyNames) {
		return familyNames[f]
	}
	return fmt.Sprintf("Family(%d)", uint8(f))
}

// Candidate is one segment as a Scorer sees it. The candidates of a call stand in the order of their texts and offsets,
// and tile them.
type Candidate struct {
	// TextName is the Name of the text that holds the segment, SegmentName that of the segment.
	TextName, SegmentName string
	// TextIndex is the index of the text in the Input, Start the segment's offset in it.
	TextIndex, Start int
	// Family is that of the text, Kind that of the segment.
	Family Family
	Kind   SegmentKind
	// Parent is the index of the candidate that holds the enclosing header, -1 without one.
	Parent int
	// Tokens counts the segment's tokens by the upstream's tokenizer.
	Tokens int
	// Symbols are what the segment defines, uses and imports.
	Symbols
	// Text is the segment's own source.
	Text string
}

// Term is one named part of a score, for explanation.
type Term struct {
	Name  string
	Value float64
}

// Score is a segment's relevance: higher is better, comparable only within one call. It is rounded before it ranks, so
// that float noise below the rounding cannot change a selection.
type Score struct {
	Value float64
	Terms []Term
}

// Scores is what a Scorer says of the candidates of one turn.
type Scores struct {
	// Scores holds one entry a candidate, in their order.
	Scores []Score
	// Probabilities says that their values are the probabilities, 0 to 1, that candidates are needed. They are then weighed
	// against what candidates cost; other values only rank.
	Probabilities bool
	// ModelTokens counts the model tokens that the scores cost at the cold price, whatever was cached.
	ModelTokens int
	// Cut and Unread count the candidates of which the Scorer's models read only the beginning, and nothing, to stay within
	// what they may cost.
	Cut, Unread int
	// Stages holds the time of each step.
	Stages []Stage
	// Refine, if set, returns for each piece the probability that it is needed if its candidate is. The pieces stand in order,
	// and those of one candidate tile it.
	Refine func(pieces []Piece) ([]float64, error)
}

// Scorer rates candidates against a query.
type Scorer interface {
	Score(ctx context.Context, query string, candidates []Candidate) (Scores, error)
}

// ScorerFunc lets a function be a Scorer.
type ScorerFunc func(ctx context.Context, query string, candidates []Candidate) (Scores, error)

// Score calls f.
func (f ScorerFunc) Score(ctx context.Context, query string, candidates []Candidate) (Scores, error) {
	return f(ctx, query, candidates)
}

// Stage is the time that one named step took. A name "score/x" is a part of the step "score".
type Stage struct {
	Name     string
	Duration time.Duration
}

// Budget bounds what is kept of all texts of one Input together. At most one field is set; the zero value means the
// compressor's default rate.
type Budget struct {
	// Tokens is the most tokens to keep.
	Tokens int
	// Rate is the share of tokens to keep, above 0 and up to 1.
	Rate float64
}

// Validate reports a budget that contradicts itself or is out of range.
func (b Budget) Validate() error {
	switch {
	case b.Tokens < 0:
		return fmt.Errorf("budget is %d tokens: it must not be negative", b.Tokens)
	case b.Rate < 0 || b.Rate > 1 || b.Rate != b.Rate:
		return fmt.Errorf("rate is %v: it must lie above 0 and up to 1", b.Rate)
	case b.Tokens > 0 && b.Rate > 0:
		return errors.New("both a budget in tokens and a rate are set: choose one")
	}
	return nil
}

// Input is one turn: texts that share a query and a budget.
type Input struct {
	Query  string
	Texts  []Text
	Budget Budget
}

// SkipReason says why a text was left as it was.
type SkipReason uint8

// The reasons.
const (
	NotSkipped       SkipReason = iota
	SkipSmall                   // all texts together hold fewer tokens than are worth the work
	SkipNoSaving                // the rendered text would not be shorter by enough
	SkipNoQuery                 // there is nothing to score against, and nothing repeats
	SkipWithinBudget            // everything fits
	SkipWholeText               // the query asks for something that needs all of every text
	SkipNotWorthIt              // what is saved is worth less than it costs, says whoever knows the prices
)

var skipReasonNames = [...]string{"", "small", "no_saving", "no_query", "within_budget", "whole_text", "not_worth_it"}

// String returns the reason as a metric label, such as "no_saving"; empty for NotSkipped.
func (r SkipReason) String() string {
	if int(r) < len(skipReasonNames) {
		return skipReasonNames[r]
	}
	return fmt.Sprintf("SkipReason(%d)", uint8(r))
}

// SegmentResult is one segment with what became of it.
type SegmentResult struct {
	Segment
	Tokens int
	// Kept says that it is in the output, wholly or in part, KeptTokens how many of its tokens are.
	Kept       bool
	KeptTokens int
	// SignatureOnly says that nothing of it is kept but its Signature.
	SignatureOnly bool
	Score         Score
}

// Part is one piece of an output: a source range [Start, End) kept verbatim, or, if Marker is not empty, the marker that
// stands for the elided range [Start, End). A range elided without a marker (see Compress) has Dropped set.
type Part struct {
	Start, End int
	Marker     string
	Dropped    bool
}

// TextResult is what became of one text.
type TextResult struct {
	// Output is the text to send: the parts in order, or the source if Skip is set.
	Output string
	// Parts tile the source; consecutive kept ranges are merged.
	Parts               []Part
	Segments            []SegmentResult
	TokensIn, TokensOut int
	Skip                SkipReason
	// Kind is what the source was taken for.
	Kind TextKind
}

// Result is what became of an Input; Texts are in the input's order.
type Result struct {
	Texts               []TextResult
	TokensIn, TokensOut int
	ModelTokens         int
	// Cut and Unread are those of Scores.
	Cut, Unread int
	// Probabilities says that the scores of segments are the probabilities that they are needed.
	Probabilities bool
	Stages        []Stage
}
