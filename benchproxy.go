package main

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/pith-llm/pith/eval/proxybench"
)

type benchProxyCommand struct {
	Duration time.Duration `default:"5s" help:"How long each load lasts."`
	Memory   time.Duration `default:"0s" help:"How long the load with bodies of 150 KB lasts, over which memory is measured; as the others if 0."`
	LiteLLM  string        `name:"litellm" placeholder:"COMMAND" help:"Also measure LiteLLM's proxy, which this command starts, with one worker."`
	Soak     time.Duration `default:"0s" help:"Instead send mixed traffic at a low rate through a pith with its models loaded for so long, such as 30m, and print its memory over time."`
	Compress bool          `help:"Also measure with compression on: cold, a new question over known text, and repeated bodies."`
	JSON     bool          `name:"json" help:"Print JSON with every sample."`
	Quiet    bool          `help:"No progress on standard error."`
}

// Help says what is compared.
func (benchProxyCommand) Help() string {
	return "The same load goes to a mock upstream in this process, directly and through a 'pith serve' of its own process on this machine. " +
		"--litellm DIR/bin/litellm sends it through LiteLLM's proxy too. Install that with: " + proxybench.LiteLLMInstall
}

func (c *benchProxyCommand) Run(ctx context.Context, std streams) error {
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	text, err := demoText()
	if err != nil {
		return err
	}
	options := proxybench.Options{Binary: binary, Text: text, Duration: c.Duration, MemoryDuration: c.Memory, LiteLLM: c.LiteLLM, Compress: c.Compress}
	if !c.Quiet {
		options.Progress = std.stderr
	}
	var report interface{ WriteText(w io.Writer) error }
	if c.Soak > 0 {
		report, err = proxybench.RunSoak(ctx, options, c.Soak)
	} else {
		report, err = proxybench.Run(ctx, options)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON("-", std.stdout, report)
	}
	return report.WriteText(std.stdout)
}
