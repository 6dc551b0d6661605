package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/pith-llm/pith/eval/scorebench"
	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring/models"
)

type benchCommand struct {
	Score benchScoreCommand `cmd:"" help:"Measure how fast this machine scores with the embedded models."`
	Proxy benchProxyCommand `cmd:"" help:"Measure what the proxy adds to requests."`
}

type benchScoreCommand struct {
	Tier    string `default:"auto" help:"CPU tier to measure: auto, ${tiers}."`
	Workers int    `help:"Cores to use; 0 is all."`
	Rounds  int    `default:"5" help:"How often each job runs; figures are medians with the smallest and the largest."`
	JSON    bool   `name:"json" help:"Print JSON."`
	Quiet   bool   `help:"No progress on standard error."`

	Against string   `enum:",llama-cpp" default:"" help:"Run the same jobs in turns with another engine; there is llama-cpp, whose Python package must be installed."`
	Python  string   `default:"python3" placeholder:"PATH" help:"Python interpreter that has the package."`
	Dir     string   `placeholder:"DIR" help:"Folder for the model files that llama.cpp reads and its best settings, kept for the next time; a temporary one if empty."`
	Quant   []string `default:"Q8_0,Q4_0,Q4_1" placeholder:"TYPE,…" help:"Weights that llama.cpp runs; Q4_1 is the embedded file, its own quantiser makes the others."`
	Job     []string `placeholder:"NAME,…" help:"Only these jobs, by the names that the tables show."`
}

// Help says what --against needs.
func (benchScoreCommand) Help() string {
	return "--against llama-cpp needs the Python package llama-cpp-python, built for this machine. Install it with: " + scorebench.LlamaInstall
}

func (c *benchScoreCommand) Run(ctx context.Context, std streams) error {
	options, err := c.options(std)
	if err != nil {
		return err
	}
	if c.Against == "" {
		report, err := scorebench.Run(ctx, options)
		if err != nil {
			return err
		}
		if c.JSON {
			return writeJSON("-", std.stdout, report)
		}
		return report.WriteText(std.stdout)
	}
	comparison, err := scorebench.Against(ctx, scorebench.AgainstOptions{
		Options: options, Python: c.Python, Dir: c.Dir, Quants: c.Quant,
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON("-", std.stdout, comparison)
	}
	return comparison.WriteText(std.stdout)
}

func (c *benchScoreCommand) options(std streams) (scorebench.Options, error) {
	options := scorebench.Options{
		Decoder: models.Decoder, Encoder: models.Encoder, Tier: kernels.Best(), Workers: c.Workers, Rounds: c.Rounds,
	}
	var err error
	if c.Tier != "auto" {
		if options.Tier, err = kernels.ParseTier(c.Tier); err != nil {
			return options, err
		}
	}
	if options.Jobs, err = jobsNamed(c.Job); err != nil {
		return options, err
	}
	if !c.Quiet {
		options.Progress = std.stderr
	}
	options.Text, err = demoText()
	return options, err
}

// jobsNamed returns the jobs of those names, all of them for none.
func jobsNamed(names []string) ([]scorebench.Job, error) {
	all := scorebench.DefaultJobs()
	if len(names) == 0 {
		return all, nil
	}
	byName, known := map[string]scorebench.Job{}, []string{}
	for _, job := range all {
		byName[job.Name], known = job, append(known, job.Name)
	}
	var jobs []scorebench.Job
	for _, name := range names {
		job, ok := byName[name]
		if !ok {
			return nil, fmt.Errorf("job: no %q; there are %s", name, strings.Join(known, ", "))
		}
		jobs = append(jobs, job)
	}
	return jobs, nil
}

// demoText returns the prose and code of the demo, one text after the other.
func demoText() (string, error) {
	var text strings.Builder
	for _, folder := range []string{"prose", "code"} {
		err := fs.WalkDir(demoFiles, path.Join("testdata/demo", folder), func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := demoFiles.ReadFile(name)
			text.Write(content)
			_, _ = io.WriteString(&text, "\n")
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return text.String(), nil
}
