package scoring

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Piece is a part of a segment: a sentence.
type Piece struct {
	// Segment is the index of the segment, Index the place among its pieces, of Count.
	Segment, Index, Count int
	Tokens                int
	Text                  string
}

// Refine returns the probability that each piece is needed if its segment is. s are those of the default scorer; pieces
// stand in order, those of one segment tile it, and their text is the call's own. What the encoder has read is read no more:
// pieces cost no model tokens.
func (s Scores) Refine(pieces []Piece) ([]float64, error) {
	if s.call == nil {
		return nil, errors.New("refine: these scores are not of the default scorer")
	}
	c := s.call
	encoder, err := c.scorer.encoder()
	if err != nil {
		return nil, err
	}
	rows := c.pieceRows(encoder, s.Values, pieces)
	needs := make([]float64, len(pieces))
	for i, p := range pieces {
		m := c.scorer.combination.Models[c.segments[p.Segment].Family.String()]
		needs[i] = rounded(logistic(m.Piece.logOdds(&rows[i], nil)))
	}
	return needs, nil
}

// PieceFeatures returns the features of pieces that a combination is fitted on, in the order of FeatureNames from the first
// of PieceFeatures on. segments are all of the query's, values what is said of them, pieces as for Refine. Errors are those of Score.
func (s *Scorer) PieceFeatures(ctx context.Context, query string, segments []Segment, values []float64, pieces []Piece) ([][]float32, error) {
	if strings.TrimSpace(query) == "" {
		return nil, ErrNoQuery
	}
	encoder, err := s.encoder()
	if err != nil {
		return nil, err
	}
	c := s.newCall(query, segments)
	if err := c.read(ctx, encoder, c.allOf(segmentsWithPieces(pieces))); err != nil {
		return nil, err
	}
	rows := c.pieceRows(encoder, values, pieces)
	out := make([][]float32, len(rows))
	for i := range rows {
		out[i] = rows[i][firstPieceFeature:]
	}
	return out, nil
}

// pieceRows returns the features of pieces, given what the encoder read.
func (c *call) pieceRows(encoder *Encoder, values []float64, pieces []Piece) []row {
	rows := make([]row, len(pieces))
	c.pieceWords(rows, pieces)
	which := segmentsWithPieces(pieces)
	ends := make([]int, len(which)) // of the pieces of each
	at := 0
	for k, i := range which {
		for at < len(pieces) && pieces[at].Segment == i {
			at++
		}
		ends[k] = at
	}
	_ = inParallel(len(which), encoder.options.Workers, func(k int) error {
		first := 0
		if k > 0 {
			first = ends[k-1]
		}
		i, own := which[k], rows[first:ends[k]]
		c.pieceVectors(own, pieces[first:ends[k]], encoder, c.vectors[i], c.asked)
		for j := range own {
			own[j].set(FeaturePieceNeed, values[i])
		}
		gaps(own, FeaturePieceCoverage, FeaturePieceCoverageGap)
		gaps(own, FeaturePieceLate, FeaturePieceLateGap)
		gaps(own, FeaturePieceCosine, FeaturePieceCosineGap)
		return nil
	})
	return rows
}

func segmentsWithPieces(pieces []Piece) []int {
	var which []int
	for _, p := range pieces {
		if len(which) == 0 || which[len(which)-1] != p.Segment {
			which = append(which, p.Segment)
		}
	}
	return which
}

// gaps sets a feature to what another lies below its best in the rows.
func gaps(rows []row, of, to Feature) {
	best := float32(math.Inf(-1))
	for i := range rows {
		best = max(best, rows[i][of])
	}
	for i := range rows {
		rows[i].set(to, float64(rows[i][of]-best))
	}
}

// pieceWords sets the features of words and form.
func (c *call) pieceWords(rows []row, pieces []Piece) {
	texts := make([]string, len(pieces))
	for i, p := range pieces {
		texts[i] = p.Text
	}
	words := newLexicon(c.query.focus, texts, eachWord)
	scores := ofTheBest(words.bm25())
	mentions := newMentions(c.query)
	weights := mentions.weigh(c.segments)
	parsings := newParsings(c.query.short)
	known := map[string]bool{}
	for word := range strings.FieldsFuncSeq(c.query.text, func(r rune) bool { return !isWordRune(r) }) {
		known[strings.ToLower(word)] = true
	}
	wanted := wants(c.query.focus)
	inRuns(len(pieces), func(i int) {
		p, r, counts := pieces[i], &rows[i], words.row(i)
		r.set(FeaturePieceAt, float64(p.Index)/float64(max(1, p.Count-1)))
		r.set(FeaturePieceFirst, number(p.Index == 0))
		r.set(FeaturePieceCount, math.Log2(float64(p.Count))/6)
		r.set(FeaturePieceTokens, math.Log2(float64(1+p.Tokens))/10)
		r.set(FeaturePieceShare, float64(len(p.Text))/float64(max(1, len(c.segments[p.Segment].Text))))
		r.set(FeaturePieceCoverage, words.coverage(func(t int) bool { return counts[t] > 0 }))
		r.set(FeaturePieceBM25, scores[i])
		r.set(FeaturePieceMentions, mentions.share(p.Text, weights))
		parse := parsings.Get().(*crossParsing)
		defer parsings.Put(parse)
		r.set(FeaturePieceSaved, parse.saved(p.Text))
		digits, names := figures(p.Text, known)
		r.set(FeaturePieceDigits, min(1, float64(digits)/4))
		r.set(FeaturePieceNames, min(1, float64(names)/6))
		r.set(FeatureQueryWants, wanted)
	})
	for i, p := range pieces {
		if p.Index > 0 {
			rows[i].set(FeaturePieceBefore, float64(rows[i-1][FeaturePieceCoverage]))
		}
		if p.Index+1 < p.Count {
			rows[i].set(FeaturePieceAfter, float64(rows[i+1][FeaturePieceCoverage]))
		}
	}
}

// pieceVectors sets the features of the vectors of a segment's tokens, each token belonging to the piece that it is in. What
// the encoder did not read has none.
func (c *call) pieceVectors(rows []row, pieces []Piece, encoder *Encoder, segment, query encoding) {
	if len(segment.Tokens) == 0 {
		return
	}
	d := encoder.shape.d
	asked := meanUnit(query.Tokens, d)
	s := c.segments[pieces[0].Segment]
	at := encoder.count(strings.TrimSuffix(s.document(), s.Text))
	for i, p := range pieces {
		if at*d >= len(segment.Tokens) {
			return
		}
		n := encoder.count(p.Text)
		from, to := min(at*d, len(segment.Tokens)), min((at+n)*d, len(segment.Tokens))
		at += n
		if from == to {
			continue
		}
		own := segment.Tokens[from:to]
		rows[i].set(FeaturePieceLate, meanMatch([][]float32{bestMatches(encoder, query.Tokens, own)})[0])
		rows[i].set(FeaturePieceCosine, dot(meanUnit(own, d), asked))
	}
}

// count returns how many tokens text has by itself. Where texts are cut between words, the counts of the parts add up.
func (e *Encoder) count(text string) int {
	return max(0, len(e.words.Encode(text, 2+len(text)))-2)
}

// figures counts the numbers in text, and its capitalised words that do not open a sentence and that known lacks.
func figures(text string, known map[string]bool) (numbers, names int) {
	opens := true
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		if !isWordRune(r) {
			opens = opens || strings.ContainsRune(".!?\n", r)
			i += n
			continue
		}
		end := i + n
		for end < len(text) {
			next, m := utf8.DecodeRuneInString(text[end:])
			if !isWordRune(next) {
				break
			}
			end += m
		}
		switch {
		case unicode.IsDigit(r):
			numbers++
		case unicode.IsUpper(r) && !opens && !known[strings.ToLower(text[i:end])]:
			names++
		}
		opens = false
		i = end
	}
	return numbers, names
}

// wants tells from a question's words what its answer is: .2 a person, .4 a time or number, .6 a place, .8 a reason or way,
// 0 something else.
func wants(question string) float64 {
	words := strings.Fields(strings.ToLower(question))
	for i, word := range words {
		next := ""
		if i+1 < len(words) {
			next = words[i+1]
		}
		switch word {
		case "who", "whom", "whose":
			return 0.2
		case "when":
			return 0.4
		case "where":
			return 0.6
		case "why":
			return 0.8
		case "how":
			if slices.Contains([]string{"many", "much", "long", "old", "far", "often", "tall", "large", "big"}, next) {
				return 0.4
			}
			return 0.8
		case "what", "which":
			switch next {
			case "year", "date", "month", "day", "time", "number", "age", "percentage":
				return 0.4
			case "city", "country", "state", "county", "place", "town":
				return 0.6
			}
			return 0
		}
	}
	return 0
}
