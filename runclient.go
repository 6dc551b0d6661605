package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pith-llm/pith/config"
	"github.com/pith-llm/pith/proxy"
)

type runCommand struct {
	Log     string   `placeholder:"FILE" help:"Append the proxy's log to this file; without it the log is dropped, so that it does not write over the client's screen."`
	Quiet   bool     `help:"No line about what was saved."`
	Command []string `arg:"" passthrough:"partial" help:"The client and its arguments, after --."`

	config.Edge   `embed:"" group:"Settings"`
	config.Engine `embed:"" group:"Settings"`
}

// Help says how clients are pointed at the proxy.
func (runCommand) Help() string {
	return "Runs a client with its base URL set to pith: OPENAI_BASE_URL, OPENAI_API_BASE, ANTHROPIC_BASE_URL and ANTHROPIC_API_BASE, which Claude Code, aider and " +
		"most libraries read; codex gets the option openai_base_url (with an API key; a ChatGPT login goes elsewhere), and opencode OPENCODE_CONFIG_CONTENT. " +
		"If a pith answers at the address of the setting listen, that one is used, else one is started on a free port for as long as the client runs. Without " +
		"an upstream in the settings requests go where the client's base URLs pointed before, or to their vendors. The exit status is the client's."
}

// exitError is the status of a client that ended by itself: the command's own, without a message.
type exitError int

// Error says the status.
func (s exitError) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

func (c *runCommand) Run(std streams, secrets config.Secrets, from invocation) error {
	environ := environment(from.environ)
	if len(c.Command) > 0 && c.Command[0] == "--" {
		c.Command = c.Command[1:]
	}
	if len(c.Command) == 0 {
		return errors.New("no command: say which client to run, as in 'pith run -- codex'")
	}
	path, err := exec.LookPath(c.Command[0])
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	var saved savings
	base, running, key := "http://"+reachable(c.Listen), isPith(c.Listen), secrets.Access
	if !running {
		stop, url, err := c.startProxy(std, secrets, environ, saved.add)
		if err != nil {
			return err
		}
		defer stop()
		base, key = url, ""
	}
	var before stats
	counted := !running
	if running && c.Admin != "" {
		before, err = readStats(context.Background(), c.Admin)
		counted = err == nil
	}
	ended := runClient(path, c.Command, pointed(environ, c.Command[0], base, key), base, std)
	if c.Quiet {
		return ended
	}
	switch {
	case running && counted:
		after, err := readStats(context.Background(), c.Admin)
		if err != nil {
			return errors.Join(ended, err)
		}
		in, out := after.TokensIn-before.TokensIn, after.TokensOut-before.TokensOut
		fmt.Fprintf(std.stderr, "pith: meanwhile all clients of %s sent %d tokens of prompts, of which %d (%s) were saved\n", base, in, in-out, percent(in-out, in))
	case running:
		fmt.Fprintf(std.stderr, "pith: the one running at %s was used; what it saves shows 'pith stats' if it has an admin address\n", base)
	default:
		fmt.Fprintln(std.stderr, "pith: "+saved.String())
	}
	return ended
}

// savings sums reports; requests end concurrently.
type savings struct {
	requests, shortened, in, out, wouldSave atomic.Int64
}

func (s *savings) add(r proxy.Report) {
	s.requests.Add(1)
	s.in.Add(int64(r.TokensIn))
	if r.Mode == proxy.ModeObserve {
		s.out.Add(int64(r.TokensIn))
		s.wouldSave.Add(int64(r.TokensIn - r.TokensOut))
		return
	}
	s.out.Add(int64(r.TokensOut))
	if r.TokensOut < r.TokensIn {
		s.shortened.Add(1)
	}
}

// String is the line for people.
func (s *savings) String() string {
	in, out := int(s.in.Load()), int(s.out.Load())
	line := fmt.Sprintf("%d requests, %d of them shortened: %d of %d tokens of prompts saved (%s)", s.requests.Load(), s.shortened.Load(), in-out, in, percent(in-out, in))
	if would := int(s.wouldSave.Load()); would > 0 {
		line += fmt.Sprintf("; %d more would be without the mode observe", would)
	}
	return line
}

// startProxy serves on a free port of this machine until stop is called.
func (c *runCommand) startProxy(std streams, secrets config.Secrets, environ environment, observe func(proxy.Report)) (stop func(), base string, err error) {
	log := io.Discard
	if c.Log != "" {
		file, err := os.OpenFile(c.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, "", fmt.Errorf("log: %w", err)
		}
		log = file // open as long as the process
	}
	if c.Upstream == "" && len(c.Upstreams) == 0 {
		c.Upstream, c.Upstreams = upstreamsOf(c.Command[0], environ)
	}
	logger := slog.New(slog.NewTextHandler(log, nil))
	restore := keepProcessorFree(&c.Scoring)
	e, err := newEngine(c.Engine, logger)
	if err != nil {
		return nil, "", err
	}
	upstream, stopModel := c.Upstream, func() {}
	if upstream == embeddedUpstream {
		model, err := e.startModelServer(logger)
		if err != nil {
			return nil, "", err
		}
		upstream, stopModel = model.url, model.stop
	}
	secrets.Access = "" // only this machine can connect
	options, err := newCounting(e).options(c.Edge, upstream, logger, observe, secrets)
	if err != nil {
		return nil, "", err
	}
	tracer, stopTraces, err := newTracer(context.Background(), c.Traces, logger)
	if err != nil {
		return nil, "", err
	}
	options.Tracer = tracer
	server, err := proxy.NewServer(options)
	if err != nil {
		return nil, "", err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithCancel(context.Background())
	if c.Mode != proxy.ModeOff.String() {
		e.prime(ctx, logger)
	}
	served := make(chan error, 1)
	go func() { served <- serveUntilDone(ctx, nil, server, listener) }()
	return func() {
		cancel()
		if err := <-served; err != nil {
			fmt.Fprintln(std.stderr, "pith: the proxy ended with:", err)
		}
		stopTraces()
		stopModel()
		restore()
	}, "http://" + listener.Addr().String(), nil
}

// runClient runs a client to its end and returns how it ended. Signals that reach pith alone are passed on; those that a
// terminal sends to all who run in its foreground have reached the client too.
func runClient(path string, command []string, environ []string, base string, std streams) error {
	client := exec.Command(path, pointedArguments(command, base)...)
	client.Args[0] = command[0]
	client.Env, client.Stdin, client.Stdout, client.Stderr = environ, std.stdin, std.stdout, std.stderr
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGCONT)
	defer signal.Stop(signals)
	if err := client.Start(); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- client.Wait() }()
	for {
		select {
		case s := <-signals:
			if (s == syscall.SIGINT || s == syscall.SIGQUIT) && inForeground() {
				continue
			}
			_ = client.Process.Signal(s) // it has ended if this fails
		case err := <-ended:
			failed, ok := errors.AsType[*exec.ExitError](err)
			if !ok {
				return err
			}
			if status, ok := failed.Sys().(syscall.WaitStatus); ok && status.Signaled() {
				return exitError(128 + int(status.Signal())) // as a shell says it
			}
			return exitError(failed.ExitCode())
		}
	}
}

// inForeground reports whether a terminal sends its signals to this process, and so to the client.
func inForeground() bool {
	terminal, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer func() { _ = terminal.Close() }()
	group, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// environment is the command's own, as of os.Environ.
type environment []string

// get returns the value of a variable, "" if it is not set.
func (e environment) get(name string) string {
	for _, entry := range e {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// pointed is the environment that points a client at a proxy. A key, if not empty, is the proxy's token, which clients bring as
// their API key.
func pointed(environ environment, client, base, key string) []string {
	set := map[string]string{
		"OPENAI_BASE_URL": base + "/v1", "OPENAI_API_BASE": base + "/v1",
		"ANTHROPIC_BASE_URL": base, "ANTHROPIC_API_BASE": base,
	}
	if key != "" {
		set["OPENAI_API_KEY"], set["CODEX_API_KEY"], set["ANTHROPIC_API_KEY"] = key, key, key
	}
	if clientName(client) == "opencode" && environ.get("OPENCODE_CONFIG_CONTENT") == "" {
		options := map[string]any{"options": map[string]string{"baseURL": base + "/v1"}}
		content, err := json.Marshal(map[string]any{"provider": map[string]any{"openai": options, "anthropic": options}})
		if err != nil {
			panic("pith: opencode's settings do not marshal: " + err.Error())
		}
		set["OPENCODE_CONFIG_CONTENT"] = string(content)
	}
	var out []string
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if _, ok := set[name]; !ok && name != "PITH_ACCESS_KEY" && name != "PITH_UPSTREAM_KEY" {
			out = append(out, entry)
		}
	}
	for name, value := range set {
		out = append(out, name+"="+value)
	}
	return out
}

// pointedArguments are a client's arguments, with those in front that point it at a proxy where no variable does.
func pointedArguments(command []string, base string) []string {
	if clientName(command[0]) == "codex" {
		return append([]string{"-c", `openai_base_url="` + base + `/v1"`}, command[1:]...)
	}
	return command[1:]
}

// upstreamsOf are where a client's requests go without pith: to where its base URLs point, or to their vendors. What belongs to
// no dialect goes to the vendor of the client, the others' to OpenAI's.
func upstreamsOf(client string, environ environment) (upstream string, others []config.Upstream) {
	openai, anthropic := "https://api.openai.com", "https://api.anthropic.com"
	for _, name := range []string{"OPENAI_BASE_URL", "OPENAI_API_BASE"} {
		if base := environ.get(name); base != "" {
			openai = base
			break
		}
	}
	for _, name := range []string{"ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE"} {
		if base := environ.get(name); base != "" {
			anthropic = base
			break
		}
	}
	if clientName(client) == "claude" {
		return anthropic, []config.Upstream{{Name: "openai", URL: openai, Dialects: []string{"chat", "completions", "responses"}}}
	}
	return openai, []config.Upstream{{Name: "anthropic", URL: anthropic, Dialects: []string{"messages"}}}
}

// clientName is a command's name without its folder.
func clientName(command string) string { return strings.TrimSuffix(filepath.Base(command), ".exe") }

// isPith reports whether a pith answers at an address. A request under a name that is not this machine's is refused by every
// pith, for that name or for want of the token, and so never reaches an upstream.
func isPith(address string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, (&url.URL{Scheme: "http", Host: reachable(address), Path: "/"}).String(), nil)
	if err != nil {
		return false
	}
	req.Host = "pith.invalid"
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	refused := resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusUnauthorized
	return refused && resp.Header.Get("X-Pith-Request-Id") != ""
}

// reachable is the address under which this machine reaches a listener: all addresses are reached by the loopback one.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
