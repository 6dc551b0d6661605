package scorebench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/pith-llm/pith/scoring"
	"github.com/pith-llm/pith/scoring/gguf"
)

// Job is one amount of work whose speed is measured.
type Job struct {
	Name string
	// Sequences of Tokens tokens each. An encoder's texts have at most Tokens, as many as whole words allow.
	Sequences, Tokens int
	// Cached is the length of the segment that stands before each sequence and whose keys and values are known.
	Cached int
	// LastOnly asks for the log-probability of the last token of each sequence alone, else those of all.
	LastOnly bool
	// Encoder embeds texts instead of scoring tokens.
	Encoder bool
	// Busy lets another process keep one core busy meanwhile.
	Busy bool
}

// DefaultJobs returns the work that scoring is made of: all log-probabilities of segments, the last one of a prompt, short
// segments, a question of 32 tokens after 8 and after 64 known segments, the vectors of short segments, and the first
// again while another process keeps a core busy, if this system can run one.
func DefaultJobs() []Job {
	jobs := []Job{
		{Name: "8x256", Sequences: 8, Tokens: 256},
		{Name: "1x512 last", Sequences: 1, Tokens: 512, LastOnly: true},
		{Name: "32x64", Sequences: 32, Tokens: 64},
		{Name: "32 on 8 cached", Sequences: 8, Tokens: 32, Cached: 256},
		{Name: "32 on 64 cached", Sequences: 64, Tokens: 32, Cached: 256},
		{Name: "encoder 64x128", Sequences: 64, Tokens: 128, Encoder: true},
	}
	if canKeepBusy() {
		jobs = append(jobs, Job{Name: "8x256 one core busy", Sequences: 8, Tokens: 256, Busy: true})
	}
	return jobs
}

// distinctCached is how many cached segments of a job differ. The keys and values of each are kept apart, so that the
// repetition makes nothing faster but the preparation of the peer.
const distinctCached = 8

// task is a job with its texts.
type task struct {
	Job
	tokens    int                // of one run
	sequences []scoring.Sequence // decoder
	cached    [][]int32          // the tokens of each sequence's prefix
	texts     []string           // encoder
}

// outcome is what one run returned and took.
type outcome struct {
	took, cpu time.Duration // cpu is the processor time of all threads, 0 where it is not to be had
	logProb   float64       // mean over the wanted log-probabilities, nats
	vector    []float32     // of the first text
}

// rig holds the loaded models. Their prepared weights are mapped from files, as they are after a process's first start.
type rig struct {
	lm      *scoring.LM
	alone   *scoring.LM // the same with one worker
	encoder *scoring.Encoder
	file    *gguf.File // of the decoder
	ids     []int32    // the text
	text    string
	weights int64 // bytes that both models take, prepared weights and heap
}

func load(o Options) (*rig, error) {
	before := liveHeap()
	file, err := gguf.Parse(o.Decoder)
	if err != nil {
		return nil, fmt.Errorf("decoder: %w", err)
	}
	encoderFile, err := gguf.Parse(o.Encoder)
	if err != nil {
		return nil, fmt.Errorf("encoder: %w", err)
	}
	dir, err := os.MkdirTemp("", "pith-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what is mapped stays mapped
	r := &rig{file: file, text: o.Text}
	if r.lm, err = scoring.LoadLM(file, scoring.LMOptions{Tier: o.Tier, Workers: o.Workers, CacheDir: dir}); err != nil {
		return nil, err
	}
	if r.encoder, err = scoring.LoadEncoder(encoderFile, scoring.EncoderOptions{Tier: o.Tier, Workers: o.Workers, CacheDir: dir}); err != nil {
		return nil, err
	}
	r.weights = liveHeap() - before
	for _, source := range []scoring.WeightSource{r.lm.WeightSource(), r.encoder.WeightSource()} {
		info, err := os.Stat(source.File)
		if err = errors.Join(source.Err, err); err != nil {
			return nil, fmt.Errorf("prepared weights: %w", err)
		}
		r.weights += info.Size()
	}
	if r.alone, err = scoring.LoadLM(file, scoring.LMOptions{Tier: o.Tier, Workers: 1, CacheDir: dir}); err != nil {
		return nil, err
	}
	r.ids = r.lm.Tokenizer().Encode(nil, o.Text)
	if len(r.ids) == 0 {
		return nil, errors.New("no text to score")
	}
	return r, nil
}

// task prepares a job: it cuts the text, from its start again where it ends, and computes what is cached.
func (r *rig) task(ctx context.Context, job Job) (*task, error) {
	if job.Sequences < 1 || job.Tokens < 2 || job.Cached < 0 {
		return nil, fmt.Errorf("job %q: %d sequences of %d tokens after %d", job.Name, job.Sequences, job.Tokens, job.Cached)
	}
	t := &task{Job: job}
	if job.Encoder {
		return t, r.cutTexts(t)
	}
	at := 0
	next := func(n int) []int32 {
		ids := make([]int32, n)
		for i := range ids {
			ids[i] = r.ids[at%len(r.ids)]
			at++
		}
		return ids
	}
	t.tokens = job.Sequences * job.Tokens
	from := 1
	switch {
	case job.LastOnly:
		from = job.Tokens - 1
	case job.Cached > 0:
		from = 0
	}
	query := next(job.Tokens)
	for i := range job.Sequences {
		s := scoring.Sequence{Tokens: query, From: from}
		switch {
		case job.Cached > 0 && i < distinctCached:
			t.cached = append(t.cached, next(job.Cached))
		case job.Cached > 0:
			t.cached = append(t.cached, t.cached[i%distinctCached])
		case i > 0:
			s.Tokens = next(job.Tokens)
		}
		t.sequences = append(t.sequences, s)
	}
	if job.Cached > 0 {
		known := make([]scoring.Sequence, len(t.cached))
		for i, ids := range t.cached {
			known[i] = scoring.Sequence{Tokens: ids, From: len(ids), KeepKV: true}
		}
		results, err := r.lm.LogProbs(ctx, known)
		if err != nil {
			return nil, fmt.Errorf("job %q: %w", job.Name, err)
		}
		for i := range t.sequences {
			t.sequences[i].Prefix = results[i].KV
		}
	}
	return t, nil
}

// cutTexts fills an encoder's task with texts of whole words.
func (r *rig) cutTexts(t *task) error {
	words := strings.Fields(r.text)
	if len(words) == 0 {
		return errors.New("no text to embed")
	}
	at := 0
	for range t.Sequences {
		text := ""
		for {
			longer := strings.TrimSpace(text + " " + words[at%len(words)])
			if len(r.encoder.Tokens(longer)) > t.Tokens {
				break
			}
			text = longer
			at++
		}
		if text == "" {
			return fmt.Errorf("job %q: the word %q alone has more than %d tokens", t.Name, words[at%len(words)], t.Tokens)
		}
		t.texts = append(t.texts, text)
		t.tokens += len(r.encoder.Tokens(text))
	}
	return nil
}

// run does the job once.
func (r *rig) run(ctx context.Context, t *task) (outcome, error) { return r.runWith(ctx, r.lm, t) }

// runAlone does a decoder's job once on one core.
func (r *rig) runAlone(ctx context.Context, t *task) (outcome, error) {
	return r.runWith(ctx, r.alone, t)
}

func (r *rig) runWith(ctx context.Context, lm *scoring.LM, t *task) (o outcome, err error) {
	err = t.inCompany(ctx, func() (err error) {
		o, err = timed(func(o *outcome) error {
			if t.Encoder {
				vectors, err := r.encoder.Embed(ctx, t.texts)
				if err == nil {
					o.vector = vectors[0]
				}
				return err
			}
			results, err := lm.LogProbs(ctx, t.sequences)
			if err == nil {
				o.logProb = meanLogProb(results)
			}
			return err
		})
		return err
	})
	return o, err
}

func timed(do func(*outcome) error) (outcome, error) {
	var o outcome
	start, cpu := time.Now(), processTime()
	err := do(&o)
	o.took, o.cpu = time.Since(start), processTime()-cpu
	return o, err
}

func meanLogProb(results []scoring.Result) float64 {
	sum, n := 0.0, 0
	for _, r := range results {
		for _, v := range r.LogProbs {
			sum += float64(v)
			n++
		}
	}
	return sum / float64(max(n, 1))
}

// rate is the tokens a second of a run that took so long.
func (t *task) rate(took time.Duration) float64 { return float64(t.tokens) / took.Seconds() }
