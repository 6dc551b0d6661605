package scoring

import (
	"context"
	"math"
	"slices"

	"github.com/pith-llm/pith/cache"
	"github.com/pith-llm/pith/kernels"
)

// encoded sets the features of the encoder's vectors but for FeatureEcho. A segment that is not read gets the middle
// of those that are.
func (c *call) encoded(ctx context.Context, rows []row) error {
	readable := c.readable(rows)
	encoder, err := c.scorer.encoder()
	if err != nil {
		return err
	}
	r := c.planned(encoder, rows, readable)
	if err := c.read(ctx, encoder, r); err != nil {
		return err
	}
	c.out.Cut, c.out.Unread = r.cut, len(readable)-len(r.which)
	headline, headlineTokens, err := c.headline(ctx, encoder)
	if err != nil {
		return err
	}
	c.spend(c.questionTokens(encoder) + headlineTokens)
	n := len(c.segments)
	cosines, windows, matches := make([]float64, n), make([]float64, n), make([][]float32, n)
	instructed := make([]float64, n)
	headlines := make([]float64, n)
	middle := meanUnit(c.asked.Tokens, encoder.shape.d)
	err = inParallel(len(r.which), encoder.options.Workers, func(k int) error {
		i := r.which[k]
		e := c.vectors[i]
		cosines[i] = kernelDot(encoder, e.Unit, c.asked.Unit)
		instructed[i] = kernelDot(encoder, e.Unit, c.instructed.Unit)
		windows[i] = bestWindow(encoder, middle, e.Tokens)
		matches[i] = bestMatches(encoder, c.asked.Tokens, e.Tokens)
		headlines[i] = cosines[i]
		if headline != nil {
			headlines[i] = kernelDot(encoder, e.Unit, headline)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, i := range r.which {
		c.spend(c.vectors[i].tokens)
	}
	late, contrast := meanMatch(matches), contrastOf(matches, r.which)
	for _, values := range [...][]float64{cosines, windows, headlines, late, contrast} {
		c.middleIfUnread(values)
	}
	textBest := make([]float64, c.texts)
	for t := range textBest {
		textBest[t] = -1
	}
	for i := range rows {
		textBest[c.textOf[i]] = max(textBest[c.textOf[i]], cosines[i])
	}
	bestCosine, bestLate := max(-1, slices.Max(cosines)), max(-1, slices.Max(late))
	bestWindow, bestInstructed := max(-1, slices.Max(windows)), max(-1, slices.Max(instructed))
	cosineRanks, lateRanks, instructedRanks := reciprocalRanks(cosines), reciprocalRanks(late), reciprocalRanks(instructed)
	for i := range rows {
		r := &rows[i]
		r.set(FeatureCosine, cosines[i])
		r.set(FeatureCosineRank, cosineRanks[i])
		r.set(FeatureCosineGap, cosines[i]-bestCosine)
		r.set(FeatureInstructed, instructed[i])
		r.set(FeatureInstructedRank, instructedRanks[i])
		r.set(FeatureInstructedGap, instructed[i]-bestInstructed)
		r.set(FeatureLate, late[i])
		r.set(FeatureLateRank, lateRanks[i])
		r.set(FeatureLateGap, late[i]-bestLate)
		r.set(FeatureLateContrast, contrast[i])
		r.set(FeatureWindow, windows[i])
		r.set(FeatureWindowGap, windows[i]-bestWindow)
		r.set(FeatureHeadline, headlines[i])
		r.set(FeatureTextCosine, textBest[c.textOf[i]])
		near, n := 0.0, 0.0
		for _, j := range [...]int{i - 1, i + 1} {
			if j >= 0 && j < len(cosines) && c.textOf[j] == c.textOf[i] {
				near += cosines[j]
				n++
			}
		}
		if n == 0 {
			near, n = cosines[i], 1
		}
		r.set(FeatureNearby, near/n)
	}
	return nil
}

// read sets the vectors of what is read, and of the query.
func (c *call) read(ctx context.Context, encoder *Encoder, r reading) error {
	queries := []passage{newPassage(c.query.short), newPassage(encoder.instruction + c.query.short)}
	encodings, err := c.encode(ctx, encoder, append(slices.Clip(r.passages), queries...))
	if err != nil {
		return err
	}
	for k, i := range r.which {
		c.vectors[i] = encodings[k]
	}
	c.asked, c.instructed = encodings[len(r.which)], encodings[len(r.which)+1]
	return nil
}

// questionTokens is what the encoder reads of the query itself.
func (c *call) questionTokens(encoder *Encoder) int {
	if encoder.instruction == "" {
		return len(encoder.Tokens(c.query.short))
	}
	return len(encoder.Tokens(c.query.short)) + len(encoder.Tokens(encoder.instruction+c.query.short))
}

// spend counts what the encoder reads.
func (c *call) spend(tokens int) {
	c.out.ModelTokens += tokens
	c.purse.pay(tokens)
}

// middleIfUnread gives segments that are not read the median of the values of those that are: nothing that speaks for or
// against them. values has one of each segment.
func (c *call) middleIfUnread(values []float64) {
	var read []float64
	for i, v := range values {
		if c.vectors[i].Unit != nil {
			read = append(read, v)
		}
	}
	if len(read) == len(values) {
		return
	}
	middle := 0.0
	if len(read) > 0 {
		slices.Sort(read)
		middle = read[(len(read)-1)/2]
	}
	for i := range values {
		if c.vectors[i].Unit == nil {
			values[i] = middle
		}
	}
}

// echoes sets FeatureEcho.
func (c *call) echoes(rows []row, best []int) {
	echoes := make([]float64, len(rows))
	for i := range rows {
		echoes[i] = -1
		for _, b := range best {
			if b != i && c.vectors[i].Unit != nil && c.vectors[b].Unit != nil {
				echoes[i] = max(echoes[i], dot(c.vectors[i].Unit, c.vectors[b].Unit))
			}
		}
	}
	c.middleIfUnread(echoes)
	for i, echo := range echoes {
		rows[i].set(FeatureEcho, echo)
	}
}

func dot(a, b []float32) float64 {
	sum := 0.0
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return sum
}

func kernelDot(e *Encoder, a, b []float32) float64 {
	return float64(kernels.Dot(e.options.Tier, a, b))
}

// bestMatches returns for each of the query's tokens the largest cosine to a token of the text; nil if one is empty.
func bestMatches(e *Encoder, query, text []int8) []float32 {
	d := e.shape.d
	m, n := len(query)/d, len(text)/d
	if m == 0 || n == 0 {
		return nil
	}
	products := make([]float32, m*n)
	kernels.MatMul(e.options.Tier, products, widen(query), widen(text), m, n, d)
	best := make([]float32, m)
	for i := range best {
		best[i] = slices.Max(products[i*n : (i+1)*n])
	}
	return best
}

// meanMatch returns the late interaction of each segment (ColBERT's MaxSim, as a mean): the mean of its matches, 0 without.
func meanMatch(matches [][]float32) []float64 {
	means := make([]float64, len(matches))
	for i, best := range matches {
		for _, v := range best {
			means[i] += float64(v)
		}
		means[i] /= float64(max(1, len(best)))
	}
	return means
}

// contrastOf returns for each of the segments which the mean over the query's tokens of what its match exceeds that token's
// mean over all of these: words that all segments match tell nothing.
func contrastOf(matches [][]float32, which []int) []float64 {
	var average []float64
	for _, i := range which {
		if len(average) < len(matches[i]) { // a text without tokens has no matches
			average = make([]float64, len(matches[i]))
		}
		for j, v := range matches[i] {
			average[j] += float64(v) / float64(len(which))
		}
	}
	out := make([]float64, len(matches))
	for _, i := range which {
		for j, v := range matches[i] {
			out[i] += max(0, float64(v)-average[j]) / float64(len(matches[i]))
		}
	}
	return out
}

// windowTokens is how many neighbouring tokens make a window, about a sentence, and windowStep how far apart two begin.
const (
	windowTokens = 24
	windowStep   = 8
)

// bestWindow returns the largest cosine of query to the mean of the tokens of a window of text: of a sentence read in its
// context, which the mean of a long text hides. It is 0 without tokens.
func bestWindow(e *Encoder, query []float32, text []int8) float64 {
	d := e.shape.d
	n := len(text) / d
	if n == 0 {
		return 0
	}
	best := -1.0
	sum := make([]float32, d)
	for from := 0; ; from += windowStep {
		to := min(n, from+windowTokens)
		clear(sum)
		for at := from; at < to; at++ {
			for k, v := range text[at*d : (at+1)*d] {
				sum[k] += float32(v)
			}
		}
		length := math.Sqrt(float64(kernels.Dot(e.options.Tier, sum, sum)))
		best = max(best, kernelDot(e, sum, query)/max(length, 1e-9))
		if to == n {
			return best
		}
	}
}

// meanUnit returns the mean of token vectors, scaled to length 1: what a run of tokens is about, to be compared with the mean of
// another, whatever an encoder makes of a whole text. It is 0 without tokens.
func meanUnit(tokens []int8, d int) []float32 {
	mean := make([]float32, d)
	for k, v := range tokens {
		mean[k%d] += float32(v)
	}
	square := dot(mean, mean)
	for k := range mean {
		mean[k] /= float32(math.Sqrt(max(square, 1e-9)))
	}
	return mean
}

// widen takes token vectors back to length 1.
func widen(x []int8) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(v) * (1. / 127)
	}
	return out
}

// headline returns the vector of the query's headline and the tokens that it takes; nil if it is all of the query.
func (c *call) headline(ctx context.Context, encoder *Encoder) ([]float32, int, error) {
	if c.query.headline == c.query.short {
		return nil, 0, nil
	}
	encodings, err := c.encode(ctx, encoder, []passage{newPassage(c.query.headline)})
	if err != nil {
		return nil, 0, err
	}
	return encodings[0].Unit, encodings[0].tokens, nil
}

// encoding is what is cached of a text, with what it cost.
type encoding struct {
	Encoding
	tokens int
}

func (e encoding) bytes() int64 { return int64(4*len(e.Unit) + len(e.Tokens) + cache.EntryBytes) }

// encode returns the encodings of passages from the cache, or else from the encoder in one batch.
func (c *call) encode(ctx context.Context, encoder *Encoder, passages []passage) ([]encoding, error) {
	encodings := make([]encoding, len(passages))
	missing := map[cache.Key]int{} // -> place in batch
	var batch []passage
	for i, p := range passages {
		if ref, ok := c.scorer.vectors.Get(p.key); ok {
			encodings[i] = ref.Value()
		} else if _, ok := missing[p.key]; !ok {
			missing[p.key] = len(batch)
			batch = append(batch, p)
		}
	}
	if len(batch) == 0 {
		return encodings, nil
	}
	tokenize(encoder, batch)
	ids := make([][]int32, len(batch))
	for i, p := range batch {
		ids[i] = p.ids
	}
	made, err := encoder.encode(ctx, ids)
	if err != nil {
		return nil, err
	}
	for i, p := range passages {
		if encodings[i].Unit == nil {
			e := made[missing[p.key]]
			encodings[i] = encoding{e, len(e.Tokens)/len(e.Unit) + 2}
		}
	}
	for i, p := range passages {
		if _, ok := missing[p.key]; ok {
			c.scorer.vectors.Put(p.key, encodings[i], encodings[i].bytes())
			delete(missing, p.key)
		}
	}
	return encodings, nil
}
