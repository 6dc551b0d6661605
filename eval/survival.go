package eval

import (
	"cmp"
	"slices"

	"github.com/pith-llm/pith/compressors"
)

// keptRanges returns the byte ranges of a source that its result keeps verbatim, in order and merged. Markers are no
// part of it, whatever they read like.
func keptRanges(parts []compressors.Part) [][2]int {
	var kept [][2]int
	for _, p := range parts {
		if p.Marker != "" || p.Dropped || p.Start == p.End {
			continue
		}
		if n := len(kept); n > 0 && kept[n-1][1] == p.Start {
			kept[n-1][1] = p.End
			continue
		}
		kept = append(kept, [2]int{p.Start, p.End})
	}
	return kept
}

// holds reports whether one of the kept ranges contains [start, end).
func holds(kept [][2]int, start, end int) bool {
	i, found := slices.BinarySearchFunc(kept, start, func(r [2]int, at int) int { return cmp.Compare(r[0], at) })
	if !found {
		i--
	}
	return i >= 0 && end <= kept[i][1]
}

// outcome is what survived of the gold of one case.
type outcome struct {
	// share is the share of gold texts that survive, parts that of their labelled parts.
	share, parts float64
	any, all     bool
}

// survival decides by source ranges what of the gold of c survives in result. A gold text survives if each of its parts
// does, in that text; without parts, if at least half of its tokens do, and it counts as one part then.
func survival(c Case, result compressors.Result, countTokens func(string) int) outcome {
	kept := make([][][2]int, len(c.Texts))
	for i := range kept {
		kept[i] = keptRanges(result.Texts[i].Parts)
	}
	survives := func(p Part, inText func(int) bool) bool {
		return slices.ContainsFunc(p.Places, func(at Place) bool {
			return inText(at.Text) && holds(kept[at.Text], at.Start, at.End)
		})
	}
	parts, partsKept, textsKept := 0, 0, 0
	for _, p := range c.Gold.Parts {
		parts++
		if survives(p, func(int) bool { return true }) {
			partsKept++
		}
	}
	for _, text := range c.Gold.Texts {
		labelled, whole := 0, true
		for _, p := range c.Gold.Parts {
			inText := func(i int) bool { return i == text }
			if slices.ContainsFunc(p.Places, func(at Place) bool { return inText(at.Text) }) {
				labelled++
				whole = whole && survives(p, inText)
			}
		}
		if labelled == 0 {
			whole = halfKept(c.Texts[text].Content, kept[text], countTokens)
			parts++
			if whole {
				partsKept++
			}
		}
		if whole {
			textsKept++
		}
	}
	return outcome{
		share: float64(textsKept) / float64(len(c.Gold.Texts)),
		parts: float64(partsKept) / float64(parts),
		any:   textsKept > 0,
		all:   textsKept == len(c.Gold.Texts),
	}
}

// halfKept reports whether the kept ranges hold at least half the tokens of text.
func halfKept(text string, kept [][2]int, countTokens func(string) int) bool {
	tokens := 0
	for _, r := range kept {
		tokens += countTokens(text[r[0]:r[1]])
	}
	return 2*tokens >= countTokens(text)
}

// reciprocalRank returns 1 / place of the first gold segment: see placeOf. A segment is gold if it overlaps a part, or lies
// in a gold text that has none. It reports false where no segment was scored.
func reciprocalRank(c Case, result compressors.Result) (float64, bool) {
	// Only the best gold segment matters, and the first of equals; what is ranked before it is counted then.
	bestText, bestSegment := -1, -1
	for text, r := range result.Texts {
		for i, s := range r.Segments {
			if isGold(c, text, s.Start, s.End) &&
				(bestText < 0 || s.Score.Value > result.Texts[bestText].Segments[bestSegment].Score.Value) {
				bestText, bestSegment = text, i
			}
		}
	}
	if bestText < 0 {
		return 0, false
	}
	place, _ := placeOf(result, bestText, bestSegment)
	return 1 / float64(place), true
}

// placeOf returns the place of a segment by score among all of a result, from 1, and how many they are. Ties are broken in
// the order of the texts, as the selection breaks them.
func placeOf(result compressors.Result, text, segment int) (place, of int) {
	score := result.Texts[text].Segments[segment].Score.Value
	place = 1
	for t, r := range result.Texts {
		of += len(r.Segments)
		for i, s := range r.Segments {
			earlier := t < text || t == text && i < segment
			if s.Score.Value > score || s.Score.Value == score && earlier {
				place++
			}
		}
	}
	return place, of
}

// isGold reports whether the bytes [start, end) of a text overlap a part that must survive, or lie in a gold text that has
// none.
func isGold(c Case, text, start, end int) bool {
	for _, p := range c.Gold.Parts {
		for _, at := range p.Places {
			if at.Text == text && at.Start < end && start < at.End {
				return true
			}
		}
	}
	return !hasParts(c, text) && slices.Contains(c.Gold.Texts, text)
}

// hasParts reports whether a text has parts that must survive.
func hasParts(c Case, text int) bool {
	return slices.ContainsFunc(c.Gold.Parts, func(p Part) bool {
		return slices.ContainsFunc(p.Places, func(at Place) bool { return at.Text == text })
	})
}
