package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pith-llm/pith/config"
	"github.com/pith-llm/pith/kernels"
)

// logged is an engine with the given flags and what it logs.
func logged(t *testing.T, flags ...string) (*engine, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	e, err := newEngine(parseServe(t, nil, flags...).Engine, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return e, &log
}

func TestSecondStartMapsTheWeightsOfTheFirst(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "weights")
	for start, from := range []string{"weights=prepared", "weights=mapped"} {
		e, log := logged(t, "--cache-dir", dir)
		if _, err := e.encoder(); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"model=encoder", from, "tier=" + kernels.Best().String(), "took_ms=", dir} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("start %d: no %q in the log:\n%s", start, want, log)
			}
		}
	}
	// A folder that cannot be made costs a warning and no more.
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	e, log := logged(t, "--cache-dir", filepath.Join(file, "weights"))
	if _, err := e.encoder(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "weight_file_error=") {
		t.Errorf("the log does not say that the weights could not be kept:\n%s", log)
	}
}

func TestWeightsAreKeptNowhereIfSettingsSaySo(t *testing.T) {
	for _, dir := range []string{"off", ""} {
		e, log := logged(t, "--cache-dir="+dir)
		if _, err := e.encoder(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(log.String(), "weights=prepared") || strings.Contains(log.String(), "weight_file") {
			t.Errorf("cache.dir %q: the log says\n%s", dir, log)
		}
	}
}

func TestIdleModelsAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := logged(t, "--cache-dir=off", "--scoring-idle-timeout=1m")
		encoder, err := e.encoder()
		if err != nil {
			t.Fatal(err)
		}
		if !encoder.Loaded() {
			t.Fatal("the encoder is not there after it was loaded")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if encoder.Loaded() {
			t.Error("the encoder is still there after a minute without a call")
		}
	})
}

func TestServingKeepsAProcessorFree(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	for _, workers := range []int{0, 1, before + 3} {
		settings := config.Scoring{Workers: workers}
		undo := keepProcessorFree(&settings)
		if got := runtime.GOMAXPROCS(0); got < settings.Workers+1 || got < before || settings.Workers != max(workers, settings.Workers) || settings.Workers == 0 {
			t.Errorf("%d processors for %d workers, of which %d were asked for", got, settings.Workers, workers)
		}
		undo()
		if got := runtime.GOMAXPROCS(0); got != before {
			t.Errorf("%d processors afterwards, %d before", got, before)
		}
	}
}
