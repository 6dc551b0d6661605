package scorebench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// AgainstOptions say what to compare.
type AgainstOptions struct {
	Options
	// Python is the interpreter that has the package llama-cpp-python; see LlamaInstall.
	Python string
	// Dir is where the model files of llama.cpp and its best settings are written and found again; a temporary folder if
	// empty.
	Dir string
	// Quants are the types of the decoder's weights that llama.cpp runs; nil means Q8_0, Q4_0 and Q4_1. Q4_1 is the
	// decoder's file as it is, the others are made of it by llama.cpp's own quantiser.
	Quants []string
}

// Comparison is what Against measured.
type Comparison struct {
	Machine Machine    `json:"machine"`
	Tier    string     `json:"tier"`
	Workers int        `json:"workers"` // and threads of llama.cpp
	Rounds  int        `json:"rounds"`
	Llama   LlamaBuild `json:"llama_cpp"`
	Jobs    []Contest  `json:"jobs"`
}

// LlamaBuild says which llama.cpp ran.
type LlamaBuild struct {
	Version string `json:"version"` // of llama-cpp-python
	System  string `json:"system"`  // the instructions that it was built with, as it says itself
	Python  string `json:"python"`
}

// Contest is one job on both sides.
type Contest struct {
	Job             string  `json:"job"`
	Tokens          int     `json:"tokens"`
	TokensPerSecond Figure  `json:"tokens_per_second"`
	Cores           Figure  `json:"cores"`
	LogProb         float64 `json:"log_prob"` // mean of the job's log-probabilities, nats
	Against         []Rival `json:"against"`
}

// Rival is llama.cpp with one type of weights in its best settings.
type Rival struct {
	Quant    string        `json:"quant"`
	Settings LlamaSettings `json:"settings"`
	// TokensPerSecond counts the time of llama_decode alone, without its log-probabilities, which favours it.
	TokensPerSecond Figure `json:"tokens_per_second"`
	// WithLogProbs counts the log-probabilities too, computed in numpy.
	WithLogProbs Figure  `json:"with_log_probs"`
	Cores        Figure  `json:"cores"`
	Speedup      Speedup `json:"speedup"` // of pith over it
	// SpeedupRunning compares processor time, which other work on the machine hardly changes. Only with one worker: the
	// threads of llama.cpp wait for each other by spinning.
	SpeedupRunning *Speedup `json:"speedup_by_processor_time,omitempty"`
	// LogProb is the mean log-probability, nats; both sides scored the same tokens if it is near pith's.
	LogProb float64 `json:"log_prob"`
	// Cosine of the first text's vector with pith's, for the encoder.
	Cosine float64 `json:"cosine,omitempty"`
}

// Best returns the fastest of the rivals.
func (c Contest) Best() Rival {
	return slices.MaxFunc(c.Against, func(a, b Rival) int {
		return compareFloat(a.TokensPerSecond.Median, b.TokensPerSecond.Median)
	})
}

func compareFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

// encoderQuant is the type of the embedded encoder's weights.
const encoderQuant = "Q8_0"

// Against runs the jobs on both sides in turns: in each round pith, then llama.cpp with each type of weights. Its settings
// are searched before, with the first type, each tried twice: flash attention on and off, n_ubatch 512 and 2048, KV cache
// unified and per stream, few and many sequences a call. Settings found earlier, with the same Dir, are used again.
func Against(ctx context.Context, options AgainstOptions) (Comparison, error) {
	o, err := options.withDefaults()
	if err != nil {
		return Comparison{}, err
	}
	options.Options = o
	if len(options.Quants) == 0 {
		options.Quants = []string{"Q8_0", "Q4_0", "Q4_1"}
	}
	d, err := startDriver(ctx, options.Python)
	if err != nil {
		return Comparison{}, fmt.Errorf("%w; install llama.cpp with: %s", err, LlamaInstall)
	}
	defer d.close()
	c := Comparison{Machine: thisMachine(), Tier: o.Tier.String(), Workers: o.Workers, Rounds: o.Rounds}
	if err := d.ask(driverRequest{Op: "hello"}, &c.Llama); err != nil {
		return Comparison{}, fmt.Errorf("%w; install llama.cpp with: %s", err, LlamaInstall)
	}
	files, err := modelFiles(d, options)
	if err != nil {
		return Comparison{}, err
	}
	defer files.remove()
	fmt.Fprintln(o.Progress, "loading the models")
	r, err := load(o)
	if err != nil {
		return Comparison{}, err
	}
	for _, job := range o.Jobs {
		t, err := r.task(ctx, job)
		if err != nil {
			return Comparison{}, err
		}
		contest, err := compete(ctx, r, d, c.Llama, t, files, options)
		if err != nil {
			return Comparison{}, fmt.Errorf("job %q: %w", job.Name, err)
		}
		c.Jobs = append(c.Jobs, contest)
	}
	return c, nil
}

// rivalFiles are the model files of llama.cpp.
type rivalFiles struct {
	decoder   map[string]string // by type of the weights
	encoder   string
	temporary string // folder to remove, if any
}

func (f *rivalFiles) remove() {
	if f.temporary != "" {
		_ = os.RemoveAll(f.temporary)
	}
}

// modelFiles writes what llama.cpp reads, unless the folder has it.
func modelFiles(d *driver, o AgainstOptions) (*rivalFiles, error) {
	f := &rivalFiles{decoder: map[string]string{}}
	dir := o.Dir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "pith-bench-"); err != nil {
			return nil, err
		}
		f.temporary = dir
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	source := filepath.Join(dir, "decoder.gguf")
	f.encoder = filepath.Join(dir, "encoder.gguf")
	err := errors.Join(writeModel(source, o.Decoder), writeModel(f.encoder, o.Encoder))
	for _, quant := range o.Quants {
		if quant == "Q4_1" || err != nil {
			f.decoder[quant] = source
			continue
		}
		f.decoder[quant] = filepath.Join(dir, "decoder."+quant+".gguf")
		if _, missing := os.Stat(f.decoder[quant]); missing != nil {
			fmt.Fprintln(o.Progress, "llama.cpp makes", f.decoder[quant])
			err = d.ask(driverRequest{Op: "quantize", Source: source, Target: f.decoder[quant], Type: quant}, nil)
		}
	}
	if err != nil {
		f.remove()
		return nil, err
	}
	return f, nil
}

func writeModel(path, content string) error {
	if info, err := os.Stat(path); err == nil && info.Size() == int64(len(content)) {
		return nil
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.WriteString(file, content)
	return errors.Join(err, file.Close())
}

// rival is a Rival with its samples.
type rival struct {
	Rival
	job                driverJob
	rates, full, cores []float64
	pith               []float64 // tokens a second in the same rounds
	pithCPU, cpu       []float64 // the same of both by processor time, where it is known
}

// settle is how long neither side runs before a turn: a thread that has done its part of the other's goes on waiting for more
// on its core, with LLVM's OpenMP for 200 ms.
const settle = 300 * time.Millisecond

// compete finds llama.cpp's settings for one task and runs both sides in turns.
func compete(ctx context.Context, r *rig, d *driver, build LlamaBuild, t *task, files *rivalFiles, o AgainstOptions) (Contest, error) {
	rivals := rivalsFor(r, t, files, o)
	settings, err := remembered(o, t, build, func() (LlamaSettings, error) { return search(ctx, d, t, rivals[0].job, o) })
	if err != nil {
		return Contest{}, err
	}
	for _, v := range rivals {
		v.Settings = settings
		request := driverRequest{Op: "prepare", Name: v.Quant, Job: &v.job, Settings: &v.Settings}
		if err := d.ask(request, nil); err != nil {
			return Contest{}, err
		}
		defer func() { _ = d.ask(driverRequest{Op: "release", Name: v.Quant}, nil) }() // only frees memory
		if _, err := d.run(ctx, t, v.Quant); err != nil {
			return Contest{}, err
		}
	}
	last, err := r.run(ctx, t) // warm
	if err != nil {
		return Contest{}, err
	}
	var rates, cores []float64
	for round := range o.Rounds {
		for _, v := range rivals {
			fmt.Fprintf(o.Progress, "%s, round %d of %d: pith, llama.cpp %s\n", t.Name, round+1, o.Rounds, v.Quant)
			time.Sleep(settle)
			if last, err = r.run(ctx, t); err != nil {
				return Contest{}, err
			}
			time.Sleep(settle)
			theirs, err := d.run(ctx, t, v.Quant)
			if err != nil {
				return Contest{}, err
			}
			rates, cores = append(rates, t.rate(last.took)), append(cores, last.cpu.Seconds()/last.took.Seconds())
			v.add(t, last, theirs)
		}
	}
	contest := Contest{Job: t.Name, Tokens: t.tokens, TokensPerSecond: figureOf(rates), Cores: figureOf(cores), LogProb: last.logProb}
	for _, v := range rivals {
		contest.Against = append(contest.Against, v.result(o.Workers))
	}
	return contest, nil
}

func rivalsFor(r *rig, t *task, files *rivalFiles, o AgainstOptions) []*rival {
	if t.Encoder {
		job := driverJob{Model: files.encoder, Embed: true}
		for _, text := range t.texts {
			job.Sequences = append(job.Sequences, r.encoder.Tokens(text))
		}
		return []*rival{{Rival: Rival{Quant: encoderQuant}, job: job}}
	}
	var rivals []*rival
	for _, quant := range o.Quants {
		job := driverJob{Model: files.decoder[quant], Cached: t.cached, From: t.sequences[0].From}
		for _, s := range t.sequences {
			job.Sequences = append(job.Sequences, s.Tokens)
		}
		rivals = append(rivals, &rival{Rival: Rival{Quant: quant}, job: job})
	}
	return rivals
}

func (v *rival) add(t *task, pith outcome, llama driverOutcome) {
	v.pith = append(v.pith, t.rate(pith.took))
	v.rates = append(v.rates, float64(t.tokens)/llama.DecodeSeconds)
	v.full = append(v.full, float64(t.tokens)/llama.Seconds)
	v.cores = append(v.cores, llama.CPUSeconds/llama.DecodeSeconds)
	if pith.cpu > 0 {
		v.pithCPU, v.cpu = append(v.pithCPU, t.rate(pith.cpu)), append(v.cpu, float64(t.tokens)/llama.CPUSeconds)
	}
	v.LogProb, v.Cosine = llama.LogProb, cosine(pith.vector, llama.Vector)
}

func (v *rival) result(workers int) Rival {
	v.TokensPerSecond, v.WithLogProbs, v.Cores = figureOf(v.rates), figureOf(v.full), figureOf(v.cores)
	v.Speedup = speedupOf(v.pith, v.rates)
	if workers == 1 && len(v.cpu) > 0 {
		running := speedupOf(v.pithCPU, v.cpu)
		v.SpeedupRunning = &running
	}
	return v.Rival
}

func (d *driver) run(ctx context.Context, t *task, name string) (driverOutcome, error) {
	var o driverOutcome
	err := t.inCompany(ctx, func() error { return d.ask(driverRequest{Op: "run", Name: name}, &o) })
	return o, err
}

// search returns the fastest settings for a job: first all ways of keeping keys and values and of grouping sequences,
// with and without flash attention, then the larger n_ubatch where a call has more rows than the smaller.
func search(ctx context.Context, d *driver, t *task, job driverJob, o AgainstOptions) (LlamaSettings, error) {
	best, bestTime := LlamaSettings{}, 0.0
	try := func(s LlamaSettings) error {
		took, err := d.try(ctx, t, job, s, bestTime)
		if err != nil {
			return err
		}
		fmt.Fprintf(o.Progress, "%s: llama.cpp at %.0f tokens/s with %s\n", t.Name, float64(t.tokens)/took, s)
		if bestTime == 0 || took < bestTime {
			best, bestTime = s, took
		}
		return nil
	}
	for _, s := range candidates(t, o.Workers) {
		for _, flash := range []bool{true, false} {
			s.Flash = flash
			if err := try(s); err != nil {
				return best, err
			}
		}
	}
	if larger := best; !t.Encoder && best.Group*t.Tokens > best.UBatch {
		larger.UBatch = 2048
		if err := try(larger); err != nil {
			return best, err
		}
	}
	return best, nil
}

// try prepares a job with these settings, runs it twice and returns the shorter time of decoding: processor time on one
// thread, so that other work on the machine does not choose the settings. What is far behind the best time so far, if there
// is one, runs once.
func (d *driver) try(ctx context.Context, t *task, job driverJob, s LlamaSettings, best float64) (seconds float64, err error) {
	const name, farBehind = "trial", 1.5
	if err := d.ask(driverRequest{Op: "prepare", Name: name, Job: &job, Settings: &s}, nil); err != nil {
		return 0, err
	}
	for range 2 {
		o, err := d.run(ctx, t, name)
		if err != nil {
			return 0, err
		}
		took := o.DecodeSeconds
		if s.Threads == 1 {
			took = o.CPUSeconds
		}
		if seconds == 0 || took < seconds {
			seconds = took
		}
		if best > 0 && seconds > farBehind*best {
			break
		}
	}
	return seconds, d.ask(driverRequest{Op: "release", Name: name}, nil)
}

// candidates are the ways of keeping keys and values that can win. Unified, every row sees all cells of its context, so
// few sequences a context; per stream, sequences are kept apart at some cost a sequence. An encoder keeps none, but all rows
// of a call see each other.
func candidates(t *task, threads int) []LlamaSettings {
	all := t.Sequences
	var list []LlamaSettings
	add := func(unified bool, groups ...int) {
		for _, g := range groups {
			s := LlamaSettings{Threads: threads, UBatch: 512, Unified: unified, Group: min(g, all)}
			if !slices.Contains(list, s) {
				list = append(list, s)
			}
		}
	}
	switch {
	case t.Encoder:
		add(false, 1, 4, 16)
	case all == 1:
		add(false, 1)
	case t.Cached > 0:
		add(true, 8, all)
		add(false, 1, 8, all)
	default:
		add(true, 4, all)
		add(false, 1, all)
	}
	return list
}

func cosine(a []float32, b []float64) float64 {
	sum := 0.0
	if len(a) != len(b) {
		return 0
	}
	for i := range a {
		sum += float64(a[i]) * b[i]
	}
	return sum
}

// WriteText prints the comparison as tables.
func (c *Comparison) WriteText(w io.Writer) error {
	p := printer{w: w}
	c.Machine.write(&p)
	p.line("pith: tier %s, %d workers. llama.cpp: llama-cpp-python %s, Python %s, %d threads", c.Tier, c.Workers, c.Llama.Version, c.Llama.Python, c.Workers)
	p.line("  %s", c.Llama.System)
	p.line("%d rounds in turns; medians (smallest to largest). llama.cpp's tokens/s and what pith is compared with count", c.Rounds)
	p.line("llama_decode alone, without its log-probabilities, which favours it.")
	p.line("")
	for _, job := range c.Jobs {
		best := job.Best().Quant
		p.table(func(t io.Writer) {
			fmt.Fprintf(t, "%s, %d tokens\ttokens/s\twith log-probabilities\tcores used\tmean log-probability\tpith is faster\n", job.Job, job.Tokens)
			fmt.Fprintf(t, "pith\t%s\t\t%.2f\t%s\t\n", job.TokensPerSecond.text(0), job.Cores.Median, nats(job.LogProb))
			for _, v := range job.Against {
				mark := ""
				if v.Quant == best && len(job.Against) > 1 {
					mark = ", its best"
				}
				with, check := v.WithLogProbs.text(0), nats(v.LogProb)
				if v.Cosine != 0 {
					with, check = "", fmt.Sprintf("cosine %.4f", v.Cosine)
				}
				fmt.Fprintf(t, "llama.cpp %s%s\t%s\t%s\t%.2f\t%s\t%s\n",
					v.Quant, mark, v.TokensPerSecond.text(0), with, v.Cores.Median, check, speedups(v.Speedup, v.SpeedupRunning))
			}
		})
		p.line("  llama.cpp with %s", job.Against[0].Settings)
		p.line("")
	}
	return p.err
}

// speedups writes one by wall time and, where it is known, by processor time.
func speedups(wall Speedup, running *Speedup) string {
	if running == nil {
		return wall.text()
	}
	return wall.text() + "; by processor time " + running.text()
}

func nats(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.4f", v)
}
