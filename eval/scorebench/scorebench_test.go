package scorebench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring"
	"github.com/pith-llm/pith/scoring/models"
)

const prose = `A query is what somebody wants to know; a segment is a part of a text that may hold the answer. The scorer reads
both and says how much more likely the words of the query become once the segment has been read. `

// small are jobs of each kind that take little time on any machine.
var small = []Job{
	{Name: "all", Sequences: 2, Tokens: 4},
	{Name: "last", Sequences: 1, Tokens: 5, LastOnly: true},
	{Name: "cached", Sequences: 3, Tokens: 2, Cached: 3},
	{Name: "encoder", Sequences: 2, Tokens: 10, Encoder: true},
	{Name: "busy", Sequences: 2, Tokens: 4, Busy: true},
}

func smallOptions() Options {
	return Options{
		Decoder: models.Decoder, Encoder: models.Encoder, Text: prose, Tier: kernels.Best(),
		Workers: 2, Rounds: 2, Rows: 4, Jobs: small,
	}
}

// Loading takes most of the tests' time.
var loadOnce = sync.OnceValues(func() (*rig, error) { return load(smallOptions()) })

func loaded(t *testing.T) (*rig, Options) {
	t.Helper()
	o, err := smallOptions().withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	r, err := loadOnce()
	if err != nil {
		t.Fatal(err)
	}
	return r, o
}

func TestRunMeasuresEveryJobAndPart(t *testing.T) {
	r, o := loaded(t)
	report, err := r.measure(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Jobs) != len(small) {
		t.Fatalf("%d jobs, want %d", len(report.Jobs), len(small))
	}
	for i, tokens := range []int{8, 5, 6} {
		if got := report.Jobs[i].Tokens; got != tokens {
			t.Errorf("job %q: %d tokens, want %d", report.Jobs[i].Name, got, tokens)
		}
	}
	if got := report.Jobs[3].Tokens; got < 2*6 || got > 2*10 {
		t.Errorf("encoder: %d tokens in 2 texts of at most 10", got)
	}
	for _, job := range report.Jobs {
		isMeasured(t, job.Name, job.TokensPerSecond)
	}
	if len(report.Products) != 5 {
		t.Errorf("%d products, want 5", len(report.Products))
	}
	for _, p := range report.Products {
		isMeasured(t, p.Name, p.Gops)
	}
	share := 0.0
	for _, p := range report.Parts {
		share += p.Share
	}
	if len(report.Parts) < int(parts) || math.Abs(share-1) > 1e-9 {
		t.Errorf("%d parts with shares that add up to %v", len(report.Parts), share)
	}
	if report.OneCore == nil || report.OneCore.Job != "all" {
		t.Errorf("one core: %+v, want job \"all\"", report.OneCore)
	} else {
		isMeasured(t, "one core", report.OneCore.TokensPerSecond)
		if running := report.OneCore.Running; running != nil && !(running.OfMedians > 0.3*float64(report.Workers)) {
			t.Errorf("%d workers do %v times what one does, by processor time", report.Workers, running.OfMedians)
		}
	}
	if report.BusyCore == nil || report.BusyCore.Job != "all" || !(report.BusyCore.Left.OfMedians > 0) {
		t.Errorf("busy core: %+v, want a share of the speed of job \"all\"", report.BusyCore)
	}
	for _, s := range []StartTime{report.Start.Cold, report.Start.Warm} {
		isMeasured(t, "load", s.LoadMilliseconds)
		isMeasured(t, "first score", s.ScoreMilliseconds)
	}
	if cold, warm := report.Start.Cold.LoadMilliseconds.Min, report.Start.Warm.LoadMilliseconds.Min; !(warm < cold) {
		t.Errorf("a warm start takes %v ms, a cold one %v", warm, cold)
	}
	// 30 layers of 3 heads of 64 keys and values, two bytes each, and one hidden state for the whole.
	if got := report.Memory.KVPerToken; got < 23040 || got > 24000 {
		t.Errorf("%d bytes of keys and values a token, want a little over 23040", got)
	}
	if report.Memory.Buffers < 1<<20 { // the residual stream of one worker is almost that
		t.Errorf("buffers of %d bytes", report.Memory.Buffers)
	}
	if report.Memory.Weights < 134e6 { // one byte each
		t.Errorf("weights of %d bytes", report.Memory.Weights)
	}

	var text bytes.Buffer
	if err := report.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"all ", "last ", "cached ", "encoder ", "tier " + kernels.Best().String(), "head and logsumexp", "resident", "cold start", "warm start", "one core kept busy"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, &text)
		}
	}
	for tier := kernels.Generic; tier <= kernels.AMX; tier++ {
		never := "tier " + tier.String() + ": never ran here\n"
		if got := strings.Contains(text.String(), never); got == tier.Supported() {
			t.Errorf("supported %v, but printed as never run: %v", tier.Supported(), got)
		}
	}
	content, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{`"never_ran_here"`, `"tokens_per_second"`, `"products_one_core"`, `"allocations"`, `"kv_per_token"`} {
		if !bytes.Contains(content, []byte(key)) {
			t.Errorf("the JSON lacks %s", key)
		}
	}
}

func isMeasured(t *testing.T, name string, f Figure) {
	t.Helper()
	if !(f.Min > 0 && f.Min <= f.Median && f.Median <= f.Max) || math.IsInf(f.Max, 0) {
		t.Errorf("%s: %+v", name, f)
	}
}

// What is timed as a question over known segments must be that: the same numbers as without the cache.
func TestCachedJobScoresTheQueryAfterItsSegment(t *testing.T) {
	r, _ := loaded(t)
	job, err := r.task(t.Context(), small[2])
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.run(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	var whole []scoring.Sequence
	for i, s := range job.sequences {
		ids := append(append([]int32{}, job.cached[i]...), s.Tokens...)
		whole = append(whole, scoring.Sequence{Tokens: ids, From: len(job.cached[i])})
	}
	want, err := r.lm.LogProbs(t.Context(), whole)
	if err != nil {
		t.Fatal(err)
	}
	if got.logProb != meanLogProb(want) || got.logProb >= 0 {
		t.Errorf("mean log-probability %v, want %v", got.logProb, meanLogProb(want))
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.run(ctx, job); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v after the context ended", err)
	}
	for _, bad := range []Job{{Name: "none", Tokens: 8}, {Name: "one token", Sequences: 1, Tokens: 1}, {Name: "no word", Sequences: 1, Tokens: 2, Encoder: true}} {
		if _, err := r.task(t.Context(), bad); err == nil {
			t.Errorf("job %q was accepted", bad.Name)
		}
	}
}

func TestRunRefusesWrongOptions(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"workers: -1": func(o *Options) { o.Workers = -1 },
		"rounds: -2":  func(o *Options) { o.Rounds = -2 },
		"rows: 1":     func(o *Options) { o.Rows = 1 },
		"lacks":       func(o *Options) { o.Tier = 99 },
		"decoder":     func(o *Options) { o.Decoder = "GGUF" },
	} {
		o := smallOptions()
		change(&o)
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

// A peer that cannot run must say why, and how to get it.
func TestAgainstSaysWhatIsMissing(t *testing.T) {
	// The test itself stands in for interpreters; see TestMain.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, python, plays, want string }{
		{"no interpreter", "/nowhere/python3", "", "/nowhere/python3"},
		{"dies with a message", self, "dies", "unknown option -u"},
		{"lacks the package", self, "lacks", "cannot import llama_cpp"},
		{"is something else", self, "talks", "invalid character"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(playsEnv, c.plays)
			_, err := Against(t.Context(), AgainstOptions{Options: smallOptions(), Python: c.python})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), LlamaInstall) {
				t.Errorf("error %v, want one with %q and the install command", err, c.want)
			}
		})
	}
}

const playsEnv = "SCOREBENCH_TEST_PLAYS"

// TestMain lets the test binary play an interpreter that does not work.
func TestMain(m *testing.M) {
	switch os.Getenv(playsEnv) {
	case "":
		os.Exit(m.Run())
	case "dies":
		os.Stderr.WriteString("unknown option -u\n") //nolint:errcheck // nothing to do about it
		os.Exit(2)
	case "lacks":
		os.Stdout.WriteString(`{"error": "python3 cannot import llama_cpp: No module named 'llama_cpp'"}` + "\n") //nolint:errcheck // as above
		os.Exit(1)
	case "talks":
		os.Stdout.WriteString("Welcome!\n") //nolint:errcheck // as above
		os.Exit(0)
	}
}

func TestComparisonText(t *testing.T) {
	c := Comparison{
		Machine: Machine{CPU: "Some CPU", Cores: 2, OS: "linux", Arch: "amd64", Go: "go1.26", Tiers: []string{"generic"}, NeverRan: []string{"amx"}},
		Tier:    "generic", Workers: 2, Rounds: 3,
		Llama: LlamaBuild{Version: "1.2.3", System: "AVX2 = 1", Python: "3.11"},
		Jobs: []Contest{{
			Job: "8x256", Tokens: 2048, TokensPerSecond: Figure{3000, 2900, 3100}, Cores: Figure{2, 2, 2}, LogProb: -3.25,
			Against: []Rival{
				{Quant: "Q8_0", TokensPerSecond: Figure{500, 400, 600}, WithLogProbs: Figure{450, 350, 550}, Cores: Figure{1.9, 1.9, 1.9}, Speedup: Speedup{6, 5.5, 7.25}, LogProb: -3.26},
				{Quant: "Q4_0", TokensPerSecond: Figure{750, 700, 800}, WithLogProbs: Figure{650, 600, 700}, Cores: Figure{1.9, 1.9, 1.9}, Speedup: Speedup{4, 3.75, 4.5}, LogProb: -3.3},
			},
		}, {
			Job: "encoder", Tokens: 100, TokensPerSecond: Figure{10, 9, 11},
			Against: []Rival{{Quant: "Q8_0", TokensPerSecond: Figure{5, 4, 6}, Speedup: Speedup{2, 1, 3}, Cosine: 0.995, Settings: LlamaSettings{Group: 4, UBatch: 512, Flash: true}}},
		}},
	}
	var text bytes.Buffer
	if err := c.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Some CPU; 2 cores", "tier amx: never ran here", "llama-cpp-python 1.2.3", "AVX2 = 1",
		"llama.cpp Q4_0, its best  750 (700 to 800)     650 (600 to 700)", "4.00x (3.75 to 4.50)", "6.00x (5.50 to 7.25)", "-3.2600",
		"cosine 0.9950", "llama.cpp with KV per stream, flash attention, n_ubatch 512, 4 sequences a call",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, &text)
		}
	}
	if strings.Contains(text.String(), "Q8_0, its best") {
		t.Error("the slower weights are called the best")
	}
}
