package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/pith-llm/pith/compressors"
)

// jsonSegment is a segment as the commands' JSON shows it: byte offsets into its text, and the terms of its score.
type jsonSegment struct {
	Name  string             `json:"name"`
	Start int                `json:"start"`
	End   int                `json:"end"`
	Kept  bool               `json:"kept"`
	Terms map[string]float64 `json:"terms"`
}

// stageMS holds the time of each stage in milliseconds.
type stageMS map[string]float64

func newStageMS(stages []compressors.Stage) stageMS {
	ms := stageMS{}
	for _, stage := range stages {
		ms[stage.Name] += milliseconds(stage.Duration)
	}
	return ms
}

func newJSONSegments(textName string, text compressors.TextResult) []jsonSegment {
	segments := []jsonSegment{}
	for _, segment := range text.Segments {
		terms := map[string]float64{}
		for _, term := range segment.Score.Terms {
			terms[term.Name] = term.Value
		}
		segments = append(segments, jsonSegment{
			Name: segmentName(textName, segment.Segment), Start: segment.Start, End: segment.End, Kept: segment.Kept, Terms: terms,
		})
	}
	return segments
}

// segmentName names a segment for people: where it is and what it is.
func segmentName(textName string, segment compressors.Segment) string {
	name := segment.Name
	if name == "" {
		name = segment.Kind.String()
	}
	if textName == "" {
		return name
	}
	return textName + ": " + name
}

// percent formats part of whole.
func percent(part, whole int) string {
	if whole == 0 {
		return "0 %"
	}
	return fmt.Sprintf("%.0f %%", 100*float64(part)/float64(whole))
}

// printCompression prints which segments were kept and why, the terms of each score by name, and the best of those that
// were not.
func printCompression(w io.Writer, input compressors.Input, result compressors.Result) {
	fmt.Fprintf(w, "tokens in %d, out %d, saved %d (%s)\n", result.TokensIn, result.TokensOut,
		result.TokensIn-result.TokensOut, percent(result.TokensIn-result.TokensOut, result.TokensIn))
	noteNoQuery(w, input)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "kept segment\ttokens\tscore\tterms")
	dropped, droppedTokens := 0, 0
	var best *compressors.SegmentResult
	var bestName string
	for i, text := range result.Texts {
		if len(text.Segments) == 0 {
			fmt.Fprintf(table, "%s (whole: %s)\t%d\t\t\n", input.Texts[i].Name, text.Skip, text.TokensIn)
			continue
		}
		for j, segment := range text.Segments {
			name := segmentName(input.Texts[i].Name, segment.Segment)
			if segment.Kept {
				fmt.Fprintf(table, "%s\t%d\t%.3f\t%s\n", name, segment.Tokens, segment.Score.Value, formatTerms(segment.Score.Terms))
				continue
			}
			dropped++
			droppedTokens += segment.Tokens
			if best == nil || segment.Score.Value > best.Score.Value {
				best, bestName = &text.Segments[j], name
			}
		}
	}
	table.Flush() //nolint:errcheck // a report on a terminal
	if best != nil {
		fmt.Fprintf(w, "not kept: %d segments of %d tokens; the best of them %s, score %.3f (%s)\n", dropped, droppedTokens,
			bestName, best.Score.Value, formatTerms(best.Score.Terms))
	}
	printReading(w, result)
	fmt.Fprintf(w, "stages: %s\n", formatStages(result.Stages))
}

// noteNoQuery says why scores know of no question.
func noteNoQuery(w io.Writer, input compressors.Input) {
	if input.Query == "" {
		fmt.Fprintln(w, "no query was found: what repeats goes first, and without a budget nothing else goes (--query says what the texts are to answer)")
	}
}

// printReading says what the models read.
func printReading(w io.Writer, result compressors.Result) {
	fmt.Fprintf(w, "the models read %d tokens", result.ModelTokens)
	if result.Cut+result.Unread > 0 {
		fmt.Fprintf(w, "; scoring.plan left them the beginnings of %d segments and nothing of %d", result.Cut, result.Unread)
	}
	fmt.Fprintln(w)
}

// printExplanation prints every segment in the order of the source with what became of it and what each term contributed
// to its score, one column a term.
func printExplanation(w io.Writer, input compressors.Input, result compressors.Result) error {
	var names []string
	for _, text := range result.Texts {
		for _, segment := range text.Segments {
			for _, term := range segment.Score.Terms {
				if !slices.Contains(names, term.Name) {
					names = append(names, term.Name)
				}
			}
		}
	}
	noteNoQuery(w, input)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "kept\tsegment\tkind\ttokens\tscore")
	for _, name := range names {
		fmt.Fprintf(table, "\t%s", name)
	}
	fmt.Fprintln(table)
	for i, text := range result.Texts {
		if len(text.Segments) == 0 {
			fmt.Fprintf(table, "+\t%s (whole: %s)\t\t%d\t\n", input.Texts[i].Name, text.Skip, text.TokensIn)
		}
		for _, segment := range text.Segments {
			mark := "-"
			if segment.Kept {
				mark = "+"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%.3f", mark, segmentName(input.Texts[i].Name, segment.Segment), segment.Kind, segment.Tokens, segment.Score.Value)
			for _, name := range names {
				value := ""
				for _, term := range segment.Score.Terms {
					if term.Name == name {
						value = fmt.Sprintf("%+.3f", term.Value)
					}
				}
				fmt.Fprintf(table, "\t%s", value)
			}
			fmt.Fprintln(table)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	printReading(w, result)
	return nil
}

// shownTerms is how many terms of a score a table shows.
const shownTerms = 6

// formatTerms names the terms that weigh most; the commands' JSON holds all.
func formatTerms(terms []compressors.Term) string {
	terms = slices.Clone(terms)
	slices.SortStableFunc(terms, func(a, b compressors.Term) int { return cmp.Compare(math.Abs(b.Value), math.Abs(a.Value)) })
	var parts []string
	for _, term := range terms[:min(shownTerms, len(terms))] {
		parts = append(parts, fmt.Sprintf("%s %+.3f", term.Name, term.Value))
	}
	return strings.Join(parts, ", ")
}

func formatStages(stages []compressors.Stage) string {
	var parts []string
	for _, stage := range stages {
		parts = append(parts, fmt.Sprintf("%s %.1f ms", stage.Name, milliseconds(stage.Duration)))
	}
	return strings.Join(parts, ", ")
}
