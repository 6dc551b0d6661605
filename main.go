// Command pith is a context-compression proxy for LLM APIs: it sits between a client and an OpenAI-compatible API, keeps
// of each long text in a request what answers the question, and forwards the rest of the request byte for byte.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/pith-llm/pith/config"
	"github.com/pith-llm/pith/kernels"
)

// commands is the command line.
type commands struct {
	Config string `placeholder:"FILE" help:"YAML file of settings (also PITH_CONFIG). Flags win over PITH_… variables, these over the file."`

	Serve    serveCommand    `cmd:"" help:"Run the proxy."`
	Run      runCommand      `cmd:"" help:"Run a client, such as codex or claude, through the proxy."`
	Doctor   doctorCommand   `cmd:"" help:"Check settings, CPU, models, ports, upstream and clock, and say what to do."`
	Stats    statsCommand    `cmd:"" help:"Show what a running proxy has saved."`
	Compress compressCommand `cmd:"" help:"Compress files, standard input or JSON Lines against a query."`
	Demo     demoCommand     `cmd:"" help:"Send two long questions through the real proxy and show what happens."`
	Eval     struct {
		Accuracy    evalAccuracyCommand    `cmd:"" help:"Compare the int8 arithmetic of each CPU tier with f32."`
		Flips       evalFlipsCommand       `cmd:"" help:"Count the selections that differ between CPU tiers."`
		Answers     evalAnswersCommand     `cmd:"" help:"Measure what compression does to the answers of a reader model."`
		Run         evalRunCommand         `cmd:"" help:"Measure how much of what an answer needs survives compression."`
		Features    evalFeaturesCommand    `cmd:"" help:"Write the signals of every segment of labelled cases to a file, for 'pith eval fit'."`
		Fit         evalFitCommand         `cmd:"" help:"Fit the combination of signals on files of features."`
		Recognition evalRecognitionCommand `cmd:"" help:"Count what texts and queries are taken for."`
	} `cmd:"" help:"Measure what compression does."`
	Bench benchCommand `cmd:"" help:"Measure speed."`
	Model struct {
		Inspect inspectCommand `cmd:"" help:"Print what a GGUF file holds."`
	} `cmd:"" help:"Look at model files."`
	Verify  verifyCommand  `cmd:"" help:"Replay the receipt of a request: prove from it and the body what was forwarded."`
	Version versionCommand `cmd:"" help:"Print the version and what this CPU offers."`
}

// streams are the standard streams of a command.
type streams struct {
	stdin          io.Reader
	stdout, stderr io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends what does not end
	err := run(ctx, os.Args[1:], os.Environ(), streams{os.Stdin, os.Stdout, os.Stderr})
	if status, ok := errors.AsType[exitError](err); ok {
		os.Exit(int(status)) //nolint:gocritic // stop only restores signal handling, which ends with the process
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pith:", err)
		os.Exit(1) //nolint:gocritic // stop only restores signal handling, which ends with the process
	}
}

// run is the whole command: it parses args, resolves settings and runs the chosen subcommand. Its error is an exitError where
// that is all there is to say.
func run(ctx context.Context, args, environ []string, std streams) error {
	parsed, err := parse(ctx, &commands{}, args, environ, std)
	if parsed == nil {
		return err
	}
	return parsed.Run()
}

// parse fills cli from args, environ and the settings file. Without an error it returns nil if help was all that was
// asked for.
func parse(ctx context.Context, cli *commands, args, environ []string, std streams) (*kong.Context, error) {
	source, err := config.Load(configPath(args, environ), environ)
	if err != nil {
		return nil, err
	}
	printedHelp := false
	app, err := kong.New(cli,
		kong.Name("pith"),
		kong.Description("A context-compression proxy for LLM APIs."),
		kong.Vars{"tiers": strings.Join(kernels.TierNames(), ", ")},
		kong.Writers(std.stdout, std.stderr),
		kong.Exit(func(int) { printedHelp = true }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(std),
		kong.Bind(config.LoadSecrets(environ)),
		kong.Bind(config.LoadDescriptors(environ)),
		kong.Bind(invocation{args, environ}),
		kong.Resolvers(kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
			if value, ok := source.Lookup(flag.Name); ok {
				return value, nil
			}
			return nil, nil //nolint:nilnil // kong's word for "not set here"
		})),
	)
	if err != nil {
		return nil, err
	}
	parsed, err := app.Parse(args)
	for _, edge := range []*config.Edge{&cli.Serve.Edge, &cli.Run.Edge, &cli.Doctor.Edge} {
		edge.Upstreams = source.Upstreams()
	}
	if printedHelp {
		return nil, nil //nolint:nilnil // documented
	}
	if err != nil {
		return nil, err
	}
	return parsed, nil
}

// configPath finds the settings file before the flags are parsed, because it fills them.
func configPath(args, environ []string) string {
	for i, arg := range args {
		if path, ok := strings.CutPrefix(arg, "--config="); ok {
			return path
		}
		if arg == "--config" && i+1 < len(args) {
			return args[i+1]
		}
		if arg == "--" {
			break
		}
	}
	for _, entry := range environ {
		if path, ok := strings.CutPrefix(entry, "PITH_CONFIG="); ok {
			return path
		}
	}
	return ""
}
