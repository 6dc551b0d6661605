//go:build !linux

package scorebench

import "time"

var started = time.Now()

// threadTime is the time of day where a thread's own time is not to be had.
func threadTime() time.Duration { return time.Since(started) }

// processTime, residentMemory, cpuModel and loadAverage are unknown here.
func processTime() time.Duration        { return 0 }
func residentMemory() (now, peak int64) { return 0, 0 }
func cpuModel() string                  { return "unknown" }
func loadAverage() string               { return "" }
