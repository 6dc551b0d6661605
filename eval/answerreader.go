package eval

import (
	"context"

	"github.com/pith-llm/pith/scoring"
)

// Reader answers the prompts of cases: LocalReader or HTTPReader.
type Reader interface {
	// forCase returns what reads the prompts of one case. A prompt that is too long for it is scoring.ErrContextLength.
	forCase(c Case) caseReader
}

// caseReader reads the prompts of one case. The prompt of a completion is read as it is, any other as a user's message.
type caseReader interface {
	read(ctx context.Context, prompt string) (answer, error)
}

// withScores returns an answer with the scores of what was generated.
func withScores(c Case, metric answerMetric, output string) answer {
	return answer{score: metric(output, c.Answers), exact: exactMatch(c, output), scored: true}
}

// stopsOf returns what ends an answer before its bound in tokens: of a short one only the first line counts.
func stopsOf(tokens int) []string {
	if tokens <= 64 {
		return []string{"\n"}
	}
	return nil
}

// LocalReader returns a reader that is a model in this process. It also gives the gold answers' log-probabilities.
func LocalReader(lm *scoring.LM) Reader { return localReader{lm} }

type localReader struct{ lm *scoring.LM }

func (r localReader) forCase(c Case) caseReader { return &localCase{lm: r.lm, c: c} }

// localCase is a caseReader of a model in this process. Prompts begin alike: what the first one has in common with another
// is not read again, which changes no result (see scoring.LM.LogProbs).
type localCase struct {
	lm    *scoring.LM
	c     Case
	first []int32
	kv    *scoring.KV // of first
}

// read returns the log-probability of the gold answer after the prompt, and the score of what the reader generates.
func (r *localCase) read(ctx context.Context, prompt string) (answer, error) {
	bpe := r.lm.Tokenizer()
	var ids []int32
	if isCompletion(r.c) {
		ids = bpe.Encode(nil, prompt)
	} else {
		var err error
		if ids, err = r.lm.ChatPrompt([]scoring.Message{{Role: "user", Content: prompt}}); err != nil {
			return answer{}, err
		}
	}
	common := 0
	for common < min(len(ids), len(r.first))-1 && ids[common] == r.first[common] {
		common++
	}
	before := r.kv
	if before != nil {
		before = before.Head(common)
	}
	read, err := r.lm.LogProbs(ctx, []scoring.Sequence{{Prefix: before, Tokens: ids[common:], From: len(ids) - common, KeepKV: true}})
	if err != nil {
		return answer{}, err
	}
	kv := read[0].KV
	if r.kv == nil {
		r.first, r.kv = ids, kv
	}
	gold, err := r.lm.LogProbs(ctx, []scoring.Sequence{{Prefix: kv, Tokens: bpe.Encode(nil, r.c.Answers[0])}})
	if err != nil {
		return answer{}, err
	}
	var a answer
	if metric, tokens := metricOf(r.c); metric != nil {
		generated, err := r.lm.Generate(ctx, scoring.GenerateOptions{Prefix: kv, MaxTokens: tokens, Stop: stopsOf(tokens)}, nil)
		if err != nil {
			return answer{}, err
		}
		a = withScores(r.c, metric, generated.Text)
	}
	for _, p := range gold[0].LogProbs {
		a.logProb += float64(p) / float64(len(gold[0].LogProbs))
	}
	return a, nil
}
