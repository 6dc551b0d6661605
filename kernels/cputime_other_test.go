//go:build !linux

package kernels

import "time"

var started = time.Now()

// threadTime is the time of day where a thread's own time is not to be had.
func threadTime() time.Duration { return time.Since(started) }
