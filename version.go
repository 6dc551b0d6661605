package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/pith-llm/pith/kernels"
)

type versionCommand struct{}

//nolint:unparam // kong wants a Run that returns an error
func (versionCommand) Run(std streams) error {
	fmt.Fprintf(std.stdout, "pith %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	fmt.Fprintf(std.stdout, "CPU tiers: %s; not on this machine: %s\n", tierList(kernels.Supported()), tierList(kernels.Unsupported()))
	fmt.Fprintf(std.stdout, "tier in use: %s\n", kernels.Best())
	return nil
}

// version is the module's version, or the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, dirty := "", ""
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			revision = setting.Value[:min(12, len(setting.Value))]
		case setting.Key == "vcs.modified" && setting.Value == "true":
			dirty = "+changes"
		}
	}
	if revision != "" {
		return revision + dirty
	}
	return info.Main.Version
}

// tierList names tiers, "none" for none.
func tierList(tiers []kernels.Tier) string {
	if len(tiers) == 0 {
		return "none"
	}
	names := make([]string, len(tiers))
	for i, tier := range tiers {
		names[i] = tier.String()
	}
	return strings.Join(names, ", ")
}
