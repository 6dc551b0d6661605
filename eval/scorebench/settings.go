package scorebench

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
)

// remembered returns the settings of llama.cpp for a task that an earlier run found with the same build and threads, from
// a file in o.Dir, or else what search finds, and keeps that.
func remembered(o AgainstOptions, t *task, build LlamaBuild, search func() (LlamaSettings, error)) (LlamaSettings, error) {
	if o.Dir == "" {
		return search()
	}
	task := t.Job
	task.Name = ""
	key := crc32.ChecksumIEEE(fmt.Appendf(nil, "%+v %d %s %s", task, o.Workers, build.Version, build.System))
	name := fmt.Sprintf("settings %s %08x.json", strings.NewReplacer("/", " ", ",", "").Replace(t.Name), key)
	path := filepath.Join(o.Dir, name)
	var s LlamaSettings
	if content, err := os.ReadFile(path); err == nil && json.Unmarshal(content, &s) == nil && s.Group > 0 {
		fmt.Fprintf(o.Progress, "%s: llama.cpp with the settings in %s\n", t.Name, path)
		return s, nil
	}
	s, err := search()
	if err != nil {
		return s, err
	}
	content, err := json.Marshal(s)
	if err != nil {
		return s, err
	}
	return s, os.WriteFile(path, content, 0o644)
}
