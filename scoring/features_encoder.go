package scoring

import (
	"context"
	"math"
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
	cosines, late := make([]float64, len(all)), make([]float64, len(all))
	err = inParallel(len(all), encoder.options.Workers, func(i int) error {
		cosines[i] = kernelDot(encoder, all[i].Unit, query.Unit)
		late[i] = lateInteraction(encoder, query.Tokens, all[i].Tokens)
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
	textBest := make([]float64, c.texts)
	for t := range textBest {
		textBest[t] = -1
	}
	bestCosine, bestLate := -1.0, -1.0
	for i := range all {
		c.out.ModelTokens += all[i].tokens
		textBest[c.textOf[i]] = max(textBest[c.textOf[i]], cosines[i])
		bestCosine, bestLate = max(bestCosine, cosines[i]), max(bestLate, late[i])
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

// lateInteraction returns the mean over the query's tokens of the largest cosine to a token of the text; 0 if one is empty.
func lateInteraction(e *Encoder, query, text []int8) float64 {
	d := e.shape.d
	m, n := len(query)/d, len(text)/d
	if m == 0 || n == 0 {
		return 0
	}
	products := make([]float32, m*n)
	kernels.MatMul(e.options.Tier, products, widen(query), widen(text), m, n, d)
	sum := 0.0
	for i := range m {
		best := float32(math.Inf(-1))
		for _, v := range products[i*n : (i+1)*n] {
			best = max(best, v)
		}
		sum += float64(best)
	}
	return sum / float64(m)
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
