package scorebench

import (
	"io"
	"testing"
)

func TestSettingsAreSearchedOnceForEachTaskAndBuild(t *testing.T) {
	searches := 0
	want := LlamaSettings{Threads: 2, UBatch: 512, Flash: true, Group: 4}
	find := func(dir string, job Job, build string) {
		t.Helper()
		o := AgainstOptions{Dir: dir, Options: Options{Workers: 2, Progress: io.Discard}}
		got, err := remembered(o, &task{Job: job}, LlamaBuild{Version: build}, func() (LlamaSettings, error) {
			searches++
			return want, nil
		})
		if err != nil || got != want {
			t.Errorf("settings %+v (%v), want %+v", got, err, want)
		}
	}
	dir, job := t.TempDir(), Job{Name: "8x256 one core busy", Sequences: 8, Tokens: 256}
	shorter := job
	shorter.Tokens = 32
	for i, search := range []struct {
		dir   string
		job   Job
		build string
		all   int
	}{{dir, job, "1", 1}, {dir, job, "1", 1}, {dir, shorter, "1", 2}, {dir, job, "2", 3}, {dir, shorter, "1", 3}, {"", job, "1", 4}} {
		find(search.dir, search.job, search.build)
		if searches != search.all {
			t.Errorf("step %d: %d searches, want %d", i, searches, search.all)
		}
	}
}
