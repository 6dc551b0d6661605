// Package scorebench measures how fast this machine scores, and compares it with llama.cpp on the same jobs.
//
// Run loads the models, measures the peaks of the processor's units and the decoder's products by processor time,
// runs each job in rounds, divides the time of a pass by part and prints medians with the smallest and the largest value.
// Against starts a Python interpreter that has the package llama-cpp-python, with a driver script of ours, and runs the
// jobs of both sides in turns.
package scorebench

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"

	"github.com/pith-llm/pith/kernels"
)

// Options say what to measure.
type Options struct {
	// Decoder and Encoder are the contents of the GGUF files.
	Decoder, Encoder string
	// Text is what is scored; it is repeated where a job needs more.
	Text string
	// Tier is the instruction set of the kernels; it must be supported.
	Tier kernels.Tier
	// Workers is how many cores are used; 0 means GOMAXPROCS.
	Workers int
	// Rounds is how often everything is measured; 0 means 5.
	Rounds int
	// Jobs are what runs; nil means DefaultJobs.
	Jobs []Job
	// Rows are how many tokens the products and the division by part are measured on; 0 means 256.
	Rows int
	// Progress, if not nil, is told what is being measured.
	Progress io.Writer
}

func (o Options) withDefaults() (Options, error) {
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Rounds == 0 {
		o.Rounds = 5
	}
	if o.Jobs == nil {
		o.Jobs = DefaultJobs()
	}
	if o.Rows == 0 {
		o.Rows = 256
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	switch {
	case o.Workers < 0:
		return o, fmt.Errorf("workers: %d, want at least 1, or 0 for all cores", o.Workers)
	case o.Rounds < 0:
		return o, fmt.Errorf("rounds: %d, want at least 1, or 0 for 5", o.Rounds)
	case o.Rows < 2:
		return o, fmt.Errorf("rows: %d, want at least 2, or 0 for 256", o.Rows)
	case !o.Tier.Supported():
		return o, fmt.Errorf("tier: this machine lacks %s; it has %s", o.Tier, kernels.Best())
	}
	return o, nil
}

// Report is what Run measured.
type Report struct {
	Machine  Machine     `json:"machine"`
	Tier     string      `json:"tier"`
	Workers  int         `json:"workers"`
	Rounds   int         `json:"rounds"`
	Peak     Peak        `json:"peak_one_core"`
	Products []Product   `json:"products_one_core"`
	Jobs     []JobResult `json:"jobs"`
	OneCore  *Scaling    `json:"one_core,omitempty"`
	BusyCore *BusyCore   `json:"busy_core,omitempty"`
	Pass     *Pass       `json:"pass,omitempty"`
	Parts    []Part      `json:"parts"`
	Memory   Memory      `json:"memory"`
	Start    Start       `json:"start"`
}

// JobResult is the speed of one job on all workers.
type JobResult struct {
	Name            string `json:"name"`
	Tokens          int    `json:"tokens"` // of one run; of the queries alone where segments are cached
	TokensPerSecond Figure `json:"tokens_per_second"`
	// Cores is processor time over wall time: less than the workers where the machine had other work or the job does not
	// fill them. All 0 where the system does not tell.
	Cores Figure `json:"cores"`
	// PerCoreSecond is tokens over processor time: it hardly changes with what else the machine does.
	PerCoreSecond Figure `json:"tokens_per_core_second"`
	Allocations   uint64 `json:"allocations"` // of one run, after the first
	AllocBytes    uint64 `json:"alloc_bytes"`
}

// Scaling compares one core with all workers on one job.
type Scaling struct {
	Job             string  `json:"job"`
	TokensPerSecond Figure  `json:"tokens_per_second"`
	Speedup         Speedup `json:"speedup"` // of all workers over one
	// Running is the speedup that there would be if every worker had a core to itself all the time: of the tokens a second
	// of processor time, times the workers. It leaves out what workers wait for each other. Nil where the system does not
	// tell.
	Running *Speedup `json:"speedup_by_processor_time,omitempty"`
}

// BusyCore compares a job while another process keeps a core busy with the same job alone on the machine.
type BusyCore struct {
	Job  string  `json:"job"`
	Left Speedup `json:"left"` // share of the speed that is left
}

// Pass is the arithmetic of a whole pass.
type Pass struct {
	Job    string   `json:"job"`
	Gops   float64  `json:"gops"`                    // multiplications and additions of its products, 10⁹ a second, median
	OfPeak *float64 `json:"share_of_peak,omitempty"` // of the integer peak of all workers' cores
	// OfPeakRunning is the share of the peak by processor time, without the time in which cores did something else.
	OfPeakRunning *float64 `json:"share_of_peak_running,omitempty"`
	perCoreSecond float64  // 10⁹ multiplications and additions
}

// Memory is in bytes. Unknown values are 0.
type Memory struct {
	Weights     int64 `json:"weights"` // of both models, packed, with vocabularies
	Buffers     int64 `json:"buffers"` // of the workers, after all jobs ran
	KVPerToken  int64 `json:"kv_per_token"`
	Resident    int64 `json:"resident"` // with the embedded files and what the measurements need themselves
	MaxResident int64 `json:"max_resident"`
}

// Run measures. It fails with ctx's error, or if a model or a job is wrong.
func Run(ctx context.Context, options Options) (Report, error) {
	o, err := options.withDefaults()
	if err != nil {
		return Report{}, err
	}
	fmt.Fprintln(o.Progress, "loading the models")
	r, err := load(o)
	if err != nil {
		return Report{}, err
	}
	return r.measure(ctx, o)
}

// measure is Run on models that are loaded and have not run yet.
func (r *rig) measure(ctx context.Context, o Options) (Report, error) {
	report := Report{Machine: thisMachine(), Tier: o.Tier.String(), Workers: o.Workers, Rounds: o.Rounds}
	s, err := sizesOf(r.file)
	if err != nil {
		return Report{}, err
	}
	base := liveHeap()
	if err := report.measureJobs(ctx, r, o, s, base); err != nil {
		return Report{}, err
	}
	if report.Memory.KVPerToken, err = keptBytes(ctx, r); err != nil {
		return Report{}, err
	}
	report.Memory.Weights = r.weights
	report.Memory.Resident, report.Memory.MaxResident = residentMemory()
	fmt.Fprintln(o.Progress, "products and peaks")
	report.Peak, report.Products = measureProducts(o.Tier, s, o.Rows, o.Rounds)
	if report.Pass != nil && report.Peak.Integer != nil {
		share := report.Pass.Gops / (report.Peak.Integer.Median * float64(o.Workers))
		running := report.Pass.perCoreSecond / report.Peak.Integer.Median
		report.Pass.OfPeak, report.Pass.OfPeakRunning = &share, &running
	}
	fmt.Fprintln(o.Progress, "time by part")
	if report.Parts, err = measureParts(ctx, r, o.Tier, s, o.Rows, o.Rounds); err != nil {
		return Report{}, err
	}
	fmt.Fprintln(o.Progress, "cold and warm starts")
	report.Start, err = measureStart(ctx, o, r.ids)
	return report, err
}

// measureJobs runs all jobs in turns. The first job of several sequences also runs on one core. base is the memory that was
// in use before the models ran.
func (report *Report) measureJobs(ctx context.Context, r *rig, o Options, s sizes, base int64) error {
	var tasks []*task
	var alone *task
	for _, job := range o.Jobs {
		fmt.Fprintln(o.Progress, "preparing", job.Name)
		t, err := r.task(ctx, job)
		if err != nil {
			return err
		}
		tasks = append(tasks, t)
		if alone == nil && !job.Encoder && !job.Busy && job.Cached == 0 && job.Sequences > 1 {
			alone = t
		}
		if _, err := r.run(ctx, t); err != nil {
			return err
		}
	}
	report.Jobs = make([]JobResult, len(tasks))
	rates, cores, perCore := make([][]float64, len(tasks)), make([][]float64, len(tasks)), make([][]float64, len(tasks))
	var oneCore, allCores, oneRunning, allRunning []float64
	for round := range o.Rounds {
		for i, t := range tasks {
			fmt.Fprintf(o.Progress, "round %d of %d: %s\n", round+1, o.Rounds, t.Name)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			run, err := r.run(ctx, t)
			if err != nil {
				return err
			}
			runtime.ReadMemStats(&after)
			rates[i] = append(rates[i], t.rate(run.took))
			if run.cpu > 0 {
				cores[i] = append(cores[i], run.cpu.Seconds()/run.took.Seconds())
				perCore[i] = append(perCore[i], t.rate(run.cpu))
			}
			report.Jobs[i].Allocations = after.Mallocs - before.Mallocs
			report.Jobs[i].AllocBytes = after.TotalAlloc - before.TotalAlloc
			if t == alone {
				single, err := r.runAlone(ctx, t)
				if err != nil {
					return err
				}
				oneCore, allCores = append(oneCore, t.rate(single.took)), append(allCores, t.rate(run.took))
				if run.cpu > 0 {
					oneRunning = append(oneRunning, t.rate(single.cpu))
					allRunning = append(allRunning, t.rate(run.cpu)*float64(o.Workers))
				}
			}
		}
	}
	for i, t := range tasks {
		result := &report.Jobs[i]
		result.Name, result.Tokens = t.Name, t.tokens
		result.TokensPerSecond, result.Cores, result.PerCoreSecond = figureOf(rates[i]), figureOf(cores[i]), figureOf(perCore[i])
		if t == alone {
			report.Pass = passOf(t, s, *result)
		}
		if !t.Busy {
			continue
		}
		quiet := t.Job
		quiet.Busy = false
		if j := slices.IndexFunc(tasks, func(other *task) bool { quiet.Name = other.Name; return other.Job == quiet }); j >= 0 {
			report.BusyCore = &BusyCore{Job: tasks[j].Name, Left: speedupOf(rates[i], rates[j])}
		}
	}
	if alone != nil {
		report.OneCore = &Scaling{Job: alone.Name, TokensPerSecond: figureOf(oneCore), Speedup: speedupOf(allCores, oneCore)}
		if len(oneRunning) > 0 {
			running := speedupOf(allRunning, oneRunning)
			report.OneCore.Running = &running
		}
	}
	held := int64(0) // the tasks' own prefixes are no buffers
	for _, t := range tasks {
		for _, q := range t.sequences {
			held += q.Prefix.Bytes()
		}
	}
	report.Memory.Buffers = max(0, liveHeap()-base-held)
	runtime.KeepAlive(tasks)
	return nil
}

// passOf turns the speed of a job that asks for log-probabilities into arithmetic.
func passOf(t *task, s sizes, result JobResult) *Pass {
	wanted := float64(t.Tokens - t.sequences[0].From)
	ops := (s.layerOps() + s.headOps()*wanted/float64(t.Tokens)) / 1e9
	return &Pass{Job: t.Name, Gops: result.TokensPerSecond.Median * ops, perCoreSecond: result.PerCoreSecond.Median * ops}
}
