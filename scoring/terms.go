package scoring

import (
	"context"
	"slices"

	"github.com/pith-llm/pith/cache"
)

// pairScore holds what the decoder makes of a query after a segment, with what that cost.
type pairScore struct {
	logProbs []float32 // of the query's tokens, nats
	entropy  float32   // of the token after the prompt: the answer's first, or what follows code; nats
	tokens   int
}

// newPairScore returns what a prompt's result says; tokens are those that it cost. The result is the call's own.
func newPairScore(p prompt, r Result, tokens int) pairScore {
	return pairScore{slices.Clone(r.LogProbs[:p.to-p.from]), r.Entropy, tokens}
}

func (p pairScore) bytes() int64 { return int64(4*len(p.logProbs) + cache.EntryBytes) }

// maxSegmentTokens is how much of a segment the decoder reads. Segments are no longer than 512 tokens of the upstream's;
// this bounds what other callers can ask for, and leaves room for the query in the context.
const maxSegmentTokens = 2048

// runTokens is how many tokens' keys and values are held at a time while many segments are scored: 23 KB each.
const runTokens = 4096

// cosines returns the encoder's similarity of query and segments, and the tokens that this takes.
func (c *call) cosines(ctx context.Context, which []int) ([]float64, int, error) {
	encoder, err := c.scorer.encoder()
	if err != nil {
		return nil, 0, err
	}
	if err := c.read(ctx, encoder, c.allOf(which)); err != nil {
		return nil, 0, err
	}
	tokens := c.questionTokens(encoder)
	cosines := make([]float64, len(which))
	for k, i := range which {
		tokens += c.vectors[i].tokens
		cosines[k] = dot(c.vectors[i].Unit, c.instructed.Unit)
	}
	return cosines, tokens, nil
}

// gains returns by how many nats a token each segment makes the query more likely than it is alone: LongCodeZip's
// approximated mutual information (Shi et al. 2025) with mean log-probabilities in place of perplexities, which for one
// query rank alike.
func (c *call) gains(ctx context.Context, which []int) ([]float64, int, error) {
	g, tokens, err := c.readings(ctx, which)
	if err != nil {
		return nil, 0, err
	}
	gains := make([]float64, len(which))
	for i, given := range g.given {
		gains[i] = mean(given.logProbs) - mean(g.alone.logProbs)
	}
	return gains, tokens, nil
}

// readings holds what the decoder makes of a query: alone, and given each segment.
type readings struct {
	alone pairScore
	given []pairScore
}

// readings returns what the decoder makes of the query after the segments which, and the tokens that this takes at the cold
// price.
func (c *call) readings(ctx context.Context, which []int) (readings, int, error) {
	lm, err := c.scorer.lm()
	if err != nil {
		return readings{}, 0, err
	}
	prompt := c.query.prompt(lm.Tokenizer())
	queryKey := prompt.key()
	alone, err := c.alone(ctx, lm, prompt, queryKey)
	if err != nil {
		return readings{}, 0, err
	}
	pairs := make([]pairScore, len(which))
	var run []pending
	held := 0
	flush := func() error {
		err := c.scorePairs(ctx, lm, prompt, run)
		for _, p := range run {
			for _, at := range p.at {
				pairs[at] = p.score
			}
		}
		run, held = run[:0], 0
		return err
	}
	first := map[cache.Key]int{} // where in run a pair is already
	for at, i := range which {
		key := cache.NewKey("pair").Key("document", c.keys[i]).Key("query", queryKey).Sum()
		if ref, ok := c.scorer.pairs.Get(key); ok {
			pairs[at] = ref.Value()
			continue
		}
		if j, ok := first[key]; ok {
			run[j].at = append(run[j].at, at)
			continue
		}
		p := pending{pair: key, document: c.keys[i], at: []int{at}}
		p.tokens = lm.Tokenizer().Encode(nil, c.segments[i].document())
		p.tokens = p.tokens[:min(len(p.tokens), maxSegmentTokens)]
		if held+len(p.tokens) > runTokens {
			if err := flush(); err != nil {
				return readings{}, 0, err
			}
			clear(first)
		}
		first[key] = len(run)
		run = append(run, p)
		held += len(p.tokens)
	}
	if err := flush(); err != nil {
		return readings{}, 0, err
	}
	tokens := alone.tokens
	for _, p := range pairs {
		tokens += p.tokens
	}
	return readings{alone, pairs}, tokens, nil
}

// pending is a segment whose pair with the query is not cached.
type pending struct {
	pair, document cache.Key
	tokens         []int32
	at             []int // where its score goes
	score          pairScore
}

// alone returns the score of the query without any segment.
func (c *call) alone(ctx context.Context, lm *LM, p prompt, key cache.Key) (pairScore, error) {
	key = cache.NewKey("alone").Key("query", key).Sum()
	ref, err := c.scorer.pairs.Do(ctx, key, pairScore.bytes, func(ctx context.Context) (pairScore, error) {
		results, err := lm.LogProbs(ctx, []Sequence{{Tokens: p.tokens, From: p.from, Entropy: true}})
		if err != nil {
			return pairScore{}, err
		}
		return newPairScore(p, results[0], len(p.tokens)), nil
	})
	if err != nil {
		return pairScore{}, err
	}
	return ref.Value(), nil
}

// scorePairs fills in the scores of a run of segments: keys and values from the cache or else computed together, then the
// query after each.
func (c *call) scorePairs(ctx context.Context, lm *LM, p prompt, run []pending) error {
	if len(run) == 0 {
		return nil
	}
	kvs := make([]*KV, len(run))
	var cold []Sequence
	var place []int
	for i, s := range run {
		if ref, ok := c.scorer.kv.Get(s.document); ok {
			kvs[i] = ref.Value()
			continue
		}
		cold = append(cold, Sequence{Tokens: s.tokens, From: len(s.tokens), KeepKV: true})
		place = append(place, i)
	}
	if len(cold) > 0 {
		results, err := lm.LogProbs(ctx, cold)
		if err != nil {
			return err
		}
		for j, r := range results {
			kvs[place[j]] = r.KV
			c.scorer.kv.Put(run[place[j]].document, r.KV, r.KV.Bytes())
		}
	}
	queries := make([]Sequence, len(run))
	for i := range run {
		queries[i] = Sequence{Prefix: kvs[i], Tokens: p.tokens, From: p.from, Entropy: true}
	}
	results, err := lm.LogProbs(ctx, queries)
	if err != nil {
		return err
	}
	for i, r := range results {
		run[i].score = newPairScore(p, r, len(run[i].tokens)+len(p.tokens))
		c.scorer.pairs.Put(run[i].pair, run[i].score, run[i].score.bytes())
	}
	return nil
}

// mean returns 0 for nothing, such as a query of bytes that the vocabulary lacks.
func mean(values []float32) float64 {
	if len(values) == 0 {
		return 0
	}
	sum := 0.0
	for _, v := range values {
		sum += float64(v)
	}
	return sum / float64(len(values))
}
