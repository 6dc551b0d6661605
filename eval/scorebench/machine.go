package scorebench

import (
	"runtime"

	"github.com/pith-llm/pith/kernels"
)

// Machine says where the figures come from.
type Machine struct {
	CPU      string   `json:"cpu"`
	Cores    int      `json:"cores"` // GOMAXPROCS
	OS       string   `json:"os"`
	Arch     string   `json:"arch"`
	Go       string   `json:"go"`
	Load     string   `json:"load,omitempty"` // load averages before the measurements
	Tiers    []string `json:"tiers"`
	NeverRan []string `json:"never_ran_here"` // tiers that this machine lacks
}

func thisMachine() Machine {
	m := Machine{
		CPU: cpuModel(), Cores: runtime.GOMAXPROCS(0), OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version(),
		Load: loadAverage(),
	}
	for _, t := range kernels.Supported() {
		m.Tiers = append(m.Tiers, t.String())
	}
	for _, t := range kernels.Unsupported() {
		m.NeverRan = append(m.NeverRan, t.String())
	}
	return m
}

// liveHeap returns the bytes that are still used after a collection.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // the first one only moves what pools hold to where the second frees it
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
