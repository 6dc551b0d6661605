package proxybench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

// process is a proxy of its own.
type process struct {
	url     string
	command *exec.Cmd
	// wait and clean, if set, take the place of the command's Wait and follow it.
	wait, clean func()
}

var listening = regexp.MustCompile(`msg=listening address=(\S+)`)

// startPith starts `pith serve` on a free port. It inherits no setting.
func startPith(ctx context.Context, binary string, flags ...string) (*process, error) {
	command := exec.CommandContext(ctx, binary, append([]string{"serve", "--listen=127.0.0.1:0"}, flags...)...)
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "PITH_") {
			command.Env = append(command.Env, entry)
		}
	}
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	log, err := command.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	p := &process{command: command}
	lines := bufio.NewScanner(log)
	var last string
	for lines.Scan() {
		last = lines.Text()
		if at := listening.FindStringSubmatch(last); at != nil {
			p.url = "http://" + at[1]
			go func() { // one line a request: read, so that writing it does not block
				for lines.Scan() {
				}
			}()
			return p, nil
		}
	}
	return nil, fmt.Errorf("pith did not start: %s: %w", last, errors.Join(lines.Err(), command.Wait()))
}

// stop ends the process.
func (p *process) stop() {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	if p.wait != nil {
		p.wait()
	} else {
		_ = p.command.Wait()
	}
	if p.clean != nil {
		p.clean()
	}
}

// rss returns the process's resident memory in MiB, as Linux counts it.
func (p *process) rss() (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")))
			return float64(kib) / 1024, err
		}
	}
	return 0, errors.New("no VmRSS in the process's status")
}
