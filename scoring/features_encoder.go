package scoring

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/pith-llm/pith/cache"
	"github.com/pith-llm/pith/kernels"
)

// encoded sets the features of the encoder's vectors but for FeatureEcho.
func (c *call) encoded(ctx context.Context, rows []row) error {
	encoder, err := c.scorer.encoder()
	if err != nil {
		return err
	}
	all, query, err := c.encodings(ctx, encoder, allOf(c.segments))
	if err != nil {
		return err
	}
	parts, err := c.partEncodings(ctx, encoder)
	if err != nil {
		return err
	}
	c.out.ModelTokens += query.tokens + parts.tokens
	c.vectors = all
	cosines, windows, matches := make([]float64, len(all)), make([]float64, len(all)), make([][]float32, len(all))
	err = inParallel(len(all), encoder.options.Workers, func(i int) error {
		cosines[i] = kernelDot(encoder, all[i].Unit, query.Unit)
		windows[i] = bestWindow(encoder, query.Unit, all[i].Tokens)
		matches[i] = bestMatches(encoder, query.Tokens, all[i].Tokens)
		rows[i].set(FeatureSignature, cosines[i])
		if signature := parts.signatures[i]; signature != nil {
			rows[i].set(FeatureSignature, kernelDot(encoder, signature, query.Unit))
		}
		rows[i].set(FeatureHeadline, cosines[i])
		if parts.headline != nil {
			rows[i].set(FeatureHeadline, kernelDot(encoder, all[i].Unit, parts.headline))
		}
		return nil
	})
	if err != nil {
		return err
	}
	late, contrast := meanMatch(matches), contrastOf(matches)
	textBest := make([]float64, c.texts)
	for t := range textBest {
		textBest[t] = -1
	}
	bestCosine, bestLate, bestWindow, bestSignature := -1.0, -1.0, -1.0, -1.0
	for i := range all {
		c.out.ModelTokens += all[i].tokens
		textBest[c.textOf[i]] = max(textBest[c.textOf[i]], cosines[i])
		bestCosine, bestLate = max(bestCosine, cosines[i]), max(bestLate, late[i])
		bestWindow, bestSignature = max(bestWindow, windows[i]), max(bestSignature, float64(rows[i][FeatureSignature]))
	}
	cosineRanks, lateRanks := reciprocalRanks(cosines), reciprocalRanks(late)
	for i := range all {
		r := &rows[i]
		r.set(FeatureCosine, cosines[i])
		r.set(FeatureCosineRank, cosineRanks[i])
		r.set(FeatureCosineGap, cosines[i]-bestCosine)
		r.set(FeatureLate, late[i])
		r.set(FeatureLateRank, lateRanks[i])
		r.set(FeatureLateGap, late[i]-bestLate)
		r.set(FeatureLateContrast, contrast[i])
		r.set(FeatureWindow, windows[i])
		r.set(FeatureWindowGap, windows[i]-bestWindow)
		r.set(FeatureSignatureGap, float64(r[FeatureSignature])-bestSignature)
		r.set(FeatureTextCosine, textBest[c.textOf[i]])
		near, n := 0.0, 0.0
		for _, j := range [...]int{i - 1, i + 1} {
			if j >= 0 && j < len(all) && c.textOf[j] == c.textOf[i] {
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

// echoes sets FeatureEcho.
func (c *call) echoes(rows []row, best []int) {
	for i := range rows {
		echo := -1.0
		for _, b := range best {
			if b != i {
				echo = max(echo, dot(c.vectors[i].Unit, c.vectors[b].Unit))
			}
		}
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

// contrastOf returns for each segment the mean over the query's tokens of what its match exceeds that token's mean over all
// segments: words that all segments match tell nothing.
func contrastOf(matches [][]float32) []float64 {
	var average []float64
	for _, best := range matches {
		if average == nil {
			average = make([]float64, len(best))
		}
		for j, v := range best {
			average[j] += float64(v) / float64(len(matches))
		}
	}
	out := make([]float64, len(matches))
	for i, best := range matches {
		for j, v := range best {
			out[i] += max(0, float64(v)-average[j]) / float64(len(best))
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

// widen takes token vectors back to length 1.
func widen(x []int8) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(v) * (1. / 127)
	}
	return out
}

// encodings returns the vectors of the segments which, in their order, and of the query.
func (c *call) encodings(ctx context.Context, encoder *Encoder, which []int) (segments []encoding, query encoding, err error) {
	texts := make([]string, 0, len(which)+1)
	keys := make([]cache.Key, 0, len(which)+1)
	for _, i := range which {
		texts = append(texts, c.segments[i].document())
		keys = append(keys, c.keys[i])
	}
	texts = append(texts, c.query.short)
	keys = append(keys, cache.NewKey("document").Text("text", c.query.short).Sum())
	all, err := c.encode(ctx, encoder, texts, keys)
	if err != nil {
		return nil, encoding{}, err
	}
	return all[:len(which)], all[len(which)], nil
}

// partVectors are those of what is read apart: the names and first lines of definitions, nil for other segments, and the
// query's headline, nil if it is all of the query.
type partVectors struct {
	signatures [][]float32
	headline   []float32
	tokens     int
}

// partEncodings returns the vectors of what is read apart.
func (c *call) partEncodings(ctx context.Context, encoder *Encoder) (partVectors, error) {
	parts := partVectors{signatures: make([][]float32, len(c.segments))}
	var texts []string
	var keys []cache.Key
	var of []int
	add := func(i int, text string) {
		texts, of = append(texts, text), append(of, i)
		keys = append(keys, cache.NewKey("document").Text("text", text).Sum())
	}
	for i := range c.segments {
		if text := c.segments[i].signature(); text != "" {
			add(i, text)
		}
	}
	if c.query.headline != c.query.short {
		add(-1, c.query.headline)
	}
	encodings, err := c.encode(ctx, encoder, texts, keys)
	if err != nil {
		return partVectors{}, err
	}
	for k, i := range of {
		if parts.tokens += encodings[k].tokens; i < 0 {
			parts.headline = encodings[k].Unit
		} else {
			parts.signatures[i] = encodings[k].Unit
		}
	}
	return parts, nil
}

// maxSignature bounds the bytes of code that are read as a definition's first line.
const maxSignature = 160

// signature returns what a definition is known by, as words: its name, what encloses it, and the line that names it; empty
// for a segment that is no definition or hardly more than that.
func (s *Segment) signature() string {
	if s.Family != Code || s.Form < FormFunction || s.Form > FormClass || len(s.Text) < maxSignature {
		return ""
	}
	name := lastName(s.Name)
	if name == "" {
		return ""
	}
	line := s.Text
	if at := strings.Index(line, name); at >= 0 {
		line = line[strings.LastIndexByte(line[:at], '\n')+1:]
	}
	line = strings.ToValidUTF8(line[:min(len(line), maxSignature)], "")
	if end := strings.IndexByte(line, '\n'); end >= 0 {
		line = line[:end]
	}
	var words strings.Builder
	eachWord(s.Name, func(word []byte) {
		words.Write(word)
		words.WriteByte(' ')
	})
	return words.String() + "\n" + strings.TrimSpace(line)
}

// encoding is what is cached of a text, with what it cost.
type encoding struct {
	Encoding
	tokens int
}

func (e encoding) bytes() int64 { return int64(4*len(e.Unit) + len(e.Tokens) + pairBytes) }

// encode returns the encodings of texts from the cache, or else from the encoder in one batch.
func (c *call) encode(ctx context.Context, encoder *Encoder, texts []string, keys []cache.Key) ([]encoding, error) {
	encodings := make([]encoding, len(texts))
	missing := map[cache.Key]int{} // -> place in batch
	var batch []string
	for i, key := range keys {
		if ref, ok := c.scorer.vectors.Get(key); ok {
			encodings[i] = ref.Value()
		} else if _, ok := missing[key]; !ok {
			missing[key] = len(batch)
			batch = append(batch, texts[i])
		}
	}
	if len(batch) == 0 {
		return encodings, nil
	}
	made, err := encoder.Encode(ctx, batch)
	if err != nil {
		return nil, err
	}
	for i, key := range keys {
		if encodings[i].Unit == nil {
			e := made[missing[key]]
			encodings[i] = encoding{e, len(e.Tokens)/len(e.Unit) + 2}
		}
	}
	for i, key := range keys {
		if _, ok := missing[key]; ok {
			c.scorer.vectors.Put(key, encodings[i], encodings[i].bytes())
			delete(missing, key)
		}
	}
	return encodings, nil
}
