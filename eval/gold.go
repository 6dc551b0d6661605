package eval

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pith-llm/pith/compressors"
)

// locate finds what must survive. The most exact label that the case has decides: lines, then spans, then strings (in a
// chat, those that the next turn copies), then identifiers or else the answers as they stand in the gold texts.
func locate(texts []compressors.Text, gold []int, meta labels, answers []string) (Gold, error) {
	g := Gold{Texts: slices.Compact(slices.Sorted(slices.Values(gold)))}
	for _, i := range g.Texts {
		if i < 0 || i >= len(texts) {
			return Gold{}, fmt.Errorf("gold segment %d: there are %d", i, len(texts))
		}
	}
	switch {
	case len(g.Texts) == 0:
		return Gold{}, nil
	case len(meta.GoldLines) > 0:
		for _, label := range meta.GoldLines {
			if err := g.addLines(texts, label); err != nil {
				return Gold{}, err
			}
		}
	case len(meta.GoldSpans) > 0:
		for _, label := range meta.GoldSpans {
			if err := g.addSpan(texts, label); err != nil {
				return Gold{}, err
			}
		}
	case len(meta.GoldText) > 0:
		for _, s := range meta.GoldText {
			if !g.addString(texts, g.Texts, s) {
				return Gold{}, fmt.Errorf("gold text %.40q is in no gold segment", s)
			}
		}
	case len(meta.Needed) > 0:
		everywhere := make([]int, len(texts))
		for i := range everywhere {
			everywhere[i] = i
		}
		for _, s := range meta.Needed {
			if !g.addString(texts, everywhere, s) {
				return Gold{}, fmt.Errorf("needed string %.40q is in no tool result", s)
			}
		}
	default:
		for _, s := range meta.GoldIdentifiers {
			g.addString(texts, g.Texts, s)
		}
		if len(g.Parts) > 0 {
			break
		}
		// A spelling that the texts do not use, or an answer that has to be inferred, is no label.
		for _, s := range answers {
			g.addString(texts, g.Texts, s)
		}
	}
	return g, nil
}

// addLines adds a part for each line that is not blank of label: text, first and last line, from 1. Where all are blank,
// as where something was inserted, the lines themselves are the part.
func (g *Gold) addLines(texts []compressors.Text, label [3]int) error {
	text, first, last := label[0], label[1], label[2]
	if !slices.Contains(g.Texts, text) {
		return fmt.Errorf("gold lines %v are in no gold segment", label)
	}
	content := texts[text].Content
	before := len(g.Parts)
	all := Place{Text: text}
	at, number := 0, 0
	for line := range strings.SplitAfterSeq(content, "\n") {
		number++
		if number == first {
			all.Start = at
		}
		if number >= first && number <= last {
			all.End = at + len(line)
			g.addTrimmed(content, Place{text, at, all.End})
		}
		at += len(line)
	}
	if first < 1 || last < first || last > number {
		return fmt.Errorf("gold lines %v: the segment has %d lines", label, number)
	}
	if len(g.Parts) == before && all.Start < all.End {
		g.Parts = append(g.Parts, Part{Places: []Place{all}})
	}
	return nil
}

// addSpan adds a part for label: text, start and end in characters.
func (g *Gold) addSpan(texts []compressors.Text, label [3]int) error {
	text, first, last := label[0], label[1], label[2]
	if !slices.Contains(g.Texts, text) {
		return fmt.Errorf("gold span %v is in no gold segment", label)
	}
	content := texts[text].Content
	count := utf8.RuneCountInString(content)
	if first < 0 || last <= first || last > count {
		return fmt.Errorf("gold span %v: the segment has %d characters", label, count)
	}
	start := byteOffset(content, first)
	g.addTrimmed(content, Place{text, start, start + byteOffset(content[start:], last-first)})
	return nil
}

// byteOffset returns where the character with index n of s starts.
func byteOffset(s string, n int) int {
	for at := range s {
		if n == 0 {
			return at
		}
		n--
	}
	return len(s)
}

// addTrimmed adds a place without the white space around it, unless nothing remains.
func (g *Gold) addTrimmed(content string, p Place) {
	s := strings.TrimLeftFunc(content[p.Start:p.End], unicode.IsSpace)
	p.Start = p.End - len(s)
	p.End = p.Start + len(strings.TrimRightFunc(s, unicode.IsSpace))
	if p.Start < p.End {
		g.Parts = append(g.Parts, Part{Places: []Place{p}})
	}
}

// addString adds a part for s, which may survive at any of its places in the texts named by within, and reports whether
// there is one. Places where s is not cut out of a longer word or number count alone, if there are any.
func (g *Gold) addString(texts []compressors.Text, within []int, s string) bool {
	s = strings.TrimSpace(s)
	if s == "" {
		return false
	}
	var places, whole []Place
	for _, text := range within {
		content := texts[text].Content
		for from := 0; ; {
			at := strings.Index(content[from:], s)
			if at < 0 {
				break
			}
			p := Place{text, from + at, from + at + len(s)}
			places = append(places, p)
			if isWhole(content, p) {
				whole = append(whole, p)
			}
			_, size := utf8.DecodeRuneInString(s)
			from = p.Start + size
		}
	}
	if len(whole) > 0 {
		places = whole
	}
	if len(places) > 0 {
		g.Parts = append(g.Parts, Part{Places: places})
	}
	return len(places) > 0
}

// isWhole reports whether p does not start or end inside a word or number.
func isWhole(content string, p Place) bool {
	before, _ := utf8.DecodeLastRuneInString(content[:p.Start])
	first, _ := utf8.DecodeRuneInString(content[p.Start:])
	last, _ := utf8.DecodeLastRuneInString(content[:p.End])
	after, _ := utf8.DecodeRuneInString(content[p.End:])
	return (!isWord(before) || !isWord(first)) && (!isWord(last) || !isWord(after))
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' }
