package scorebench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteText prints the report as tables.
func (r *Report) WriteText(w io.Writer) error {
	p := printer{w: w}
	r.Machine.write(&p)
	p.line("tier %s, workers %d; medians of %d rounds (smallest to largest)", r.Tier, r.Workers, r.Rounds)
	p.line("")
	p.line("peak of one core's units: integer %s, float %s", gopsText(r.Peak.Integer), gopsText(r.Peak.Float))
	p.line("")
	p.table(func(t io.Writer) {
		fmt.Fprintln(t, "product, one core, weights in cache\tshape\tGop/s\tof integer peak")
		for _, product := range r.Products {
			fmt.Fprintf(t, "%s\t%dx%dx%d\t%s\t%s\n",
				product.Name, product.Rows, product.Outputs, product.Inputs, product.Gops.text(0), percent(product.OfPeak))
		}
	})
	p.table(func(t io.Writer) {
		fmt.Fprintln(t, "job\ttokens\ttokens/s\tcores used\ttokens a core second\tallocations\tbytes")
		for _, job := range r.Jobs {
			fmt.Fprintf(t, "%s\t%d\t%s\t%.2f\t%s\t%d\t%d\n",
				job.Name, job.Tokens, job.TokensPerSecond.text(0), job.Cores.Median, job.PerCoreSecond.text(0), job.Allocations, job.AllocBytes)
		}
	})
	if r.OneCore != nil {
		p.line("%s on one core: %s tokens/s; all %d workers are %s as fast",
			r.OneCore.Job, r.OneCore.TokensPerSecond.text(0), r.Workers, speedups(r.OneCore.Speedup, r.OneCore.Running))
	}
	if r.BusyCore != nil {
		left := r.BusyCore.Left
		p.line("%s with one core kept busy by another process: %.0f (%.0f to %.0f) %% of the speed is left",
			r.BusyCore.Job, 100*left.OfMedians, 100*left.Min, 100*left.Max)
	}
	if r.Pass != nil {
		p.line("%s: products at %.0f Gop/s%s", r.Pass.Job, r.Pass.Gops, passShare(r.Pass))
	}
	p.line("")
	p.table(func(t io.Writer) {
		fmt.Fprintln(t, "part of a pass, one core\tms\tshare")
		for _, part := range r.Parts {
			fmt.Fprintf(t, "%s\t%s\t%.1f %%\n", part.Name, part.Milliseconds.text(2), 100*part.Share)
		}
	})
	p.line("Parts come from a replay of the pass's kernel calls on equal shapes with weights of its own; the rest is what the real pass takes beyond it.")
	p.line("")
	p.line("memory: weights %s, workers' buffers %s, KV %.1f kB a token, resident %s, at most %s",
		megabytes(r.Memory.Weights), megabytes(r.Memory.Buffers), float64(r.Memory.KVPerToken)/1e3,
		megabytes(r.Memory.Resident), megabytes(r.Memory.MaxResident))
	for _, s := range []struct {
		name string
		StartTime
	}{{"cold start, weights prepared and written", r.Start.Cold}, {"warm start, weights from the file", r.Start.Warm}} {
		p.line("%s: decoder ready after %s ms, first score %s ms later", s.name, s.LoadMilliseconds.text(0), s.ScoreMilliseconds.text(0))
	}
	return p.err
}

func (m Machine) write(p *printer) {
	p.line("%s; %d cores, %s/%s, %s", m.CPU, m.Cores, m.OS, m.Arch, m.Go)
	if m.Load != "" {
		p.line("load averages before: %s", m.Load)
	}
	p.line("tiers here: %s", strings.Join(m.Tiers, ", "))
	for _, tier := range m.NeverRan {
		p.line("tier %s: never ran here", tier)
	}
}

// printer writes lines until the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// table aligns the columns of what fill writes and adds an empty line.
func (p *printer) table(fill func(io.Writer)) {
	if p.err != nil {
		return
	}
	t := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	fill(t)
	p.err = t.Flush()
	p.line("")
}

func gopsText(f *Figure) string {
	if f == nil {
		return "not measured on this tier"
	}
	return f.text(0) + " Gop/s"
}

func percent(f *Figure) string {
	if f == nil {
		return "-"
	}
	return Figure{Median: 100 * f.Median, Min: 100 * f.Min, Max: 100 * f.Max}.text(0) + " %"
}

func passShare(p *Pass) string {
	if p.OfPeak == nil {
		return ""
	}
	return fmt.Sprintf(", %.0f %% of the integer peak of the workers' cores, %.0f %% by processor time", 100**p.OfPeak, 100**p.OfPeakRunning)
}

func megabytes(n int64) string {
	if n == 0 {
		return "unknown"
	}
	return fmt.Sprintf("%.0f MB", float64(n)/1e6)
}
