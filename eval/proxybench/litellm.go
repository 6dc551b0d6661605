package proxybench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// LiteLLMInstall installs the proxy that Options.LiteLLM names, as DIR/bin/litellm.
const LiteLLMInstall = "python3 -m venv DIR && DIR/bin/pip install 'litellm[proxy]==1.106.2'"

// litellmStart is how long it may take to answer: it imports for half a minute on a busy machine.
const litellmStart = 5 * time.Minute

// litellmSettings have one model that goes to the mock. Headers that begin with x- are passed on, so that the mock knows how long
// to take, and it asks for no key, as pith on loopback; all else is as it comes.
const litellmSettings = `model_list:
  - model_name: m
    litellm_params: {model: openai/m, api_base: %s/v1, api_key: k}
general_settings: {forward_client_headers_to_llm_api: true}
`

// startLiteLLM starts LiteLLM's proxy, with one worker, on a free port.
func startLiteLLM(ctx context.Context, command, upstream string) (*process, error) {
	folder, err := os.MkdirTemp("", "litellm")
	if err != nil {
		return nil, err
	}
	settings := filepath.Join(folder, "config.yaml")
	if err := os.WriteFile(settings, fmt.Appendf(nil, litellmSettings, upstream), 0o600); err != nil {
		return nil, err
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := free.Addr().String()
	_, port, err := net.SplitHostPort(address)
	if err = errors.Join(err, free.Close()); err != nil {
		return nil, err
	}
	var log bytes.Buffer
	started := exec.CommandContext(ctx, command, "--config", settings, "--host", "127.0.0.1", "--port", port, "--num_workers", "1", "--telemetry", "False")
	started.Env = append(os.Environ(), "LITELLM_LOCAL_MODEL_COST_MAP=True", "LITELLM_LOG=ERROR", "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY=true")
	started.Stdout, started.Stderr = &log, &log
	started.Cancel = func() error { return started.Process.Signal(syscall.SIGTERM) }
	started.WaitDelay = 10 * time.Second
	if err := started.Start(); err != nil {
		return nil, fmt.Errorf("litellm: %w: install it with %s", err, LiteLLMInstall)
	}
	p := &process{url: "http://" + address, command: started, clean: func() { _ = os.RemoveAll(folder) }}
	ended := make(chan error, 1)
	go func() { ended <- started.Wait() }()
	p.wait = func() {
		<-ended //nolint:errcheck // stopped by a signal, it ends with an error
	}
	late := time.After(litellmStart)
	every := time.NewTicker(200 * time.Millisecond)
	defer every.Stop()
	for {
		select {
		case err := <-ended:
			p.clean()
			return nil, fmt.Errorf("litellm did not start: %w: %s", err, tail(log.String()))
		case <-late:
			p.stop()
			return nil, fmt.Errorf("litellm did not answer within %v", litellmStart)
		case <-ctx.Done():
			p.stop()
			return nil, ctx.Err()
		case <-every.C:
		}
		resp, err := http.Get(p.url + "/health/liveliness")
		if err != nil {
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return p, nil
		}
	}
}

// tail is the end of a log.
func tail(log string) string {
	log = strings.TrimSpace(log)
	return log[max(0, len(log)-500):]
}

// litellmVersion is what the command says it is.
func litellmVersion(ctx context.Context, command string) string {
	out, err := exec.CommandContext(ctx, command, "--version").Output()
	fields := strings.Fields(string(out))
	if err != nil || len(fields) == 0 {
		return "LiteLLM"
	}
	return "LiteLLM " + fields[len(fields)-1]
}
