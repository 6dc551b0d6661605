package scorebench

import (
	"context"
	"fmt"
	"os/exec"
)

// canKeepBusy reports whether a shell is there that can keep a core busy.
func canKeepBusy() bool {
	_, err := exec.LookPath("sh")
	return err == nil
}

// inCompany runs do, of a job that wants it so while another process keeps one core busy. A goroutine would not be the
// same: it would take a worker's place in Go's own scheduler.
func (j Job) inCompany(ctx context.Context, do func() error) error {
	if !j.Busy {
		return do()
	}
	busy := exec.CommandContext(ctx, "sh", "-c", "while :; do :; done")
	if err := busy.Start(); err != nil {
		return fmt.Errorf("keep a core busy: %w", err)
	}
	defer func() {
		_ = busy.Process.Kill()
		_ = busy.Wait() // it was killed
	}()
	return do()
}
