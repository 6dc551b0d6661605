package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/pith-llm/pith/eval/proxybench"
)

// asCommand makes the test's binary the command, for tests that start processes of it.
const asCommand = "RUN_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	if len(os.Args) == 3 && os.Args[1] == asClient {
		os.Exit(client(os.Args[2]))
	}
	os.Exit(m.Run())
}

func TestBenchProxyMeasuresBothWays(t *testing.T) {
	t.Setenv(asCommand, "1")
	var out, errs bytes.Buffer
	err := run(t.Context(), []string{"bench", "proxy", "--duration=100ms", "--json"}, nil, streams{stdout: &out, stderr: &errs})
	if err != nil {
		t.Fatalf("%v\n%s", err, &errs)
	}
	var report proxybench.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Loads) != 4 {
		t.Errorf("%d loads", len(report.Loads))
	}
	for _, load := range report.Loads {
		if len(load.Direct) == 0 || len(load.Pith) == 0 || load.DirectRate <= 0 || load.PithRate <= 0 {
			t.Errorf("%d in flight: %d samples direct, %d through pith", load.InFlight, len(load.Direct), len(load.Pith))
		}
		for _, ms := range load.Pith {
			if ms <= 0 {
				t.Errorf("%d in flight: a request took %v ms", load.InFlight, ms)
			}
		}
	}
	s := report.Stream
	if len(s.PithFirst) == 0 || len(s.PithEvent) != 20*len(s.PithFirst) || len(s.DirectEvent) != 20*len(s.DirectFirst) {
		t.Errorf("%d streams with %d events", len(s.PithFirst), len(s.PithEvent))
	}
	if len(report.Memory.RSS) == 0 || report.Memory.RSS[0] < 1 || report.Memory.Requests == 0 {
		t.Errorf("memory: %+v", report.Memory)
	}
}

func TestBenchProxySoaks(t *testing.T) {
	t.Setenv(asCommand, "1")
	var out, errs bytes.Buffer
	if err := run(t.Context(), []string{"bench", "proxy", "--soak=1ms", "--json"}, nil, streams{stdout: &out, stderr: &errs}); err != nil {
		t.Fatalf("%v\n%s", err, &errs)
	}
	var soak proxybench.Soak
	if err := json.Unmarshal(out.Bytes(), &soak); err != nil {
		t.Fatal(err)
	}
	last := soak.Samples[len(soak.Samples)-1]
	if len(soak.Requests) != 6 || last.Requests != 6 || last.RSS < 1 || soak.Shortened != 4 { // one round
		t.Errorf("%+v", soak)
	}
}

func TestBenchProxySaysHowToInstallWhatIsMissing(t *testing.T) {
	t.Setenv(asCommand, "1")
	for command, want := range map[string]string{"no-such-litellm": "pip install 'litellm[proxy]", "false": "did not start"} {
		var out, errs bytes.Buffer
		err := run(t.Context(), []string{"bench", "proxy", "--duration=100ms", "--litellm=" + command}, nil, streams{stdout: &out, stderr: &errs})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", command, err, want)
		}
	}
}
