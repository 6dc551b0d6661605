package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/eval"
	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring"
)

// pith runs the command as a user would and returns what it wrote.
func pith(t *testing.T, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errors bytes.Buffer
	environ := []string{"PITH_CACHE_DIR=off"} // tests leave the user's folder alone
	err = run(t.Context(), args, environ, streams{strings.NewReader(stdin), &out, &errors})
	return out.String(), errors.String(), err
}

func TestCompressKeepsWhatAnswersTheQuery(t *testing.T) {
	file := "testdata/demo/code/go-zero/core/stores/redis/redislock.go"
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr, err := pith(t, "", "compress", "-q", "how is the redis lock released?", "--rate", "0.4", "--scoring-scorer", "bm25", file)
	if err != nil {
		t.Fatal(err)
	}
	if err := compressors.Verify(string(source), stdout); err != nil {
		t.Errorf("the output does not follow from the source: %v", err)
	}
	if !strings.Contains(stdout, "func (rl *RedisLock) Release()") {
		t.Errorf("the function asked for is gone:\n%s", stdout)
	}
	if len(stdout) > len(source)/2 {
		t.Errorf("%d bytes of %d are left", len(stdout), len(source))
	}
	for _, want := range []string{"tokens in", "bm25 +", "RedisLock.Release ", "stages: segment"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("the report does not mention %q:\n%s", want, stderr)
		}
	}
}

func TestCompressReadsStandardInputAndJSONLines(t *testing.T) {
	lines := strings.Repeat("nothing to see in this line of the log, it is here to be long\n", 60) + "the answer is forty-two\n"
	stdout, _, err := pith(t, lines, "compress", "-q", "what is the answer?", "--budget", "200", "--scoring-scorer", "bm25", "--quiet")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stdout, "the answer is forty-two") || len(stdout) > len(lines)/4 {
		t.Errorf("kept %d of %d bytes: %q", len(stdout), len(lines), stdout)
	}

	request, err := json.Marshal(compressRequest{ID: "a", Query: "what is the answer?", Budget: 200, Texts: []jsonText{{Name: "log", Content: lines}}})
	if err != nil {
		t.Fatal(err)
	}
	stdout, _, err = pith(t, string(request)+"\n\n"+string(request), "compress", "--jsonl", "--scoring-scorer", "bm25", "--quiet")
	if err != nil {
		t.Fatal(err)
	}
	results := strings.Split(strings.TrimSpace(stdout), "\n")
	if len(results) != 2 {
		t.Fatalf("%d results, want 2", len(results))
	}
	for _, line := range results {
		var result compressResponse
		if err := json.Unmarshal([]byte(line), &result); err != nil {
			t.Fatal(err)
		}
		if result.ID != "a" || result.TokensOut > 200 || result.TokensOut == 0 || result.Saved != result.TokensIn-result.TokensOut {
			t.Errorf("result %+v", result)
		}
		if err := compressors.Verify(lines, result.Texts[0].Output); err != nil {
			t.Error(err)
		}
	}
}

func TestErrorsSayWhatIsWrongAndWhere(t *testing.T) {
	settings := filepath.Join(t.TempDir(), "pith.yaml")
	if err := os.WriteFile(settings, []byte("scoring:\n  scorrer: bm25\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		stdin string
		args  []string
		want  []string
	}{
		"batch without texts":  {stdin: "{\"query\":\"x\"}\n", args: []string{"compress", "--jsonl", "--quiet"}, want: []string{"-:1", "texts"}},
		"unknown flag":         {args: []string{"serve", "--lissten", "x"}, want: []string{"--lissten"}},
		"no upstream":          {args: []string{"serve"}, want: []string{"--upstream"}},
		"unknown key":          {args: []string{"serve", "--config", settings}, want: []string{"pith.yaml:2", "scorrer"}},
		"missing settings":     {args: []string{"serve", "--config=nowhere.yaml"}, want: []string{"nowhere.yaml"}},
		"unknown scorer":       {args: []string{"compress", "-q", "x", "--scoring-scorer", "bm26", "main.go"}, want: []string{"bm26"}},
		"unknown tier":         {args: []string{"compress", "-q", "x", "--scoring-tier", "avx1024", "main.go"}, want: []string{"avx1024"}},
		"budget and rate":      {args: []string{"compress", "-q", "x", "--budget", "9", "--rate", "0.5", "--scoring-scorer", "bm25", "main.go"}, want: []string{"rate", "budget"}},
		"rate out of range":    {args: []string{"compress", "-q", "x", "--rate", "1.5", "--scoring-scorer", "bm25", "main.go"}, want: []string{"1.5"}},
		"a JSON line is bad":   {stdin: "{\"query\":\"x\",\"texts\":[]}\n{\"qery\":1}\n", args: []string{"compress", "--jsonl", "--quiet"}, want: []string{"-:2", "qery"}},
		"not a model":          {args: []string{"model", "inspect", "main.go"}, want: []string{"main.go"}},
		"data that is missing": {args: []string{"eval", "run", "--data", "nowhere.jsonl", "--scorer", "bm25", "--rate", "0.5"}, want: []string{"nowhere.jsonl"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := pith(t, c.stdin, c.args...)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not mention %q", err, want)
				}
			}
		})
	}
}

func TestInspectListsMetadataAndTensors(t *testing.T) {
	stdout, _, err := pith(t, "", "model", "inspect", "scoring/models/bge-small-en-v1.5.Q8_0.gguf")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"bert.block_count", "token_embd.weight", "Q8_0", "30522 384"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
}

// TestEvalRunExpectsScores: a file of scores is written, found equal, and found different when one of its numbers is.
func TestEvalRunExpectsScores(t *testing.T) {
	file := filepath.Join(t.TempDir(), "scores.txt")
	run := func(args ...string) error {
		_, _, err := pith(t, "", append([]string{
			"eval", "run", "--data", "eval/testdata/sample.jsonl.gz", "--task", "nq_multidoc,tool_grep", "--scorer", "bm25,head", "--rate", "0.25",
			"--quiet", "--expect", file,
		}, args...)...)
		return err
	}
	if err := run(); err == nil {
		t.Error("no error without the file")
	}
	if err := run("--update"); err != nil {
		t.Fatal(err)
	}
	if err := run(); err != nil {
		t.Errorf("the same scores: %v", err)
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(written), "tool_grep bm25 0.25 n=2 rate_reached=0.", "tool_grep bm25 0.25 n=2 rate_reached=0.9", 1)
	if changed == string(written) || strings.Count(changed, "\n") != 5 {
		t.Fatalf("the file:\n%s", written)
	}
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(); err == nil || !strings.Contains(err.Error(), "tool_grep bm25") {
		t.Errorf("error %v, want one that names the row", err)
	}
}

func TestEvalFitOfOneFamilyKeepsTheOthers(t *testing.T) {
	packed, err := os.Open("eval/testdata/sample.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = packed.Close() }()
	sample, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := io.ReadAll(sample)
	if err != nil {
		t.Fatal(err)
	}
	var cases []byte
	for line := range bytes.Lines(lines) {
		if bytes.Contains(line, []byte(`"task":"code_needle"`)) || bytes.Contains(line, []byte(`"task": "code_needle"`)) {
			cases = append(cases, line...)
		}
	}
	dir := t.TempDir()
	data, features, combination := filepath.Join(dir, "cases.jsonl"), filepath.Join(dir, "features.gz"), filepath.Join(dir, "combination.json")
	if err := os.WriteFile(data, cases, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := pith(t, "", "eval", "features", "--data", data, "--out", features, "--scoring-model-tokens", "0", "--quiet"); err != nil {
		t.Fatal(err)
	}
	fit := []string{"eval", "fit", "--features", features, "--trees", "3", "--only", "code", "--out", combination}
	if _, _, err := pith(t, "", fit...); err == nil || !strings.Contains(err.Error(), combination) {
		t.Errorf("there is no file whose other models could be kept: %v", err)
	}
	before, err := os.ReadFile("scoring/combination.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(combination, before, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := pith(t, "", fit...); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(combination)
	if err != nil {
		t.Fatal(err)
	}
	old, err := scoring.ParseCombination(before)
	if err != nil {
		t.Fatal(err)
	}
	fitted, err := scoring.ParseCombination(after)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(fitted.Models["code"].Cheap.Trees); n != 3 {
		t.Errorf("the model that was fitted has %d trees", n)
	}
	fitted.Models["code"] = old.Models["code"]
	if !reflect.DeepEqual(fitted, old) {
		t.Error("another model was changed")
	}
}

func TestEvalRunReportsEveryScorerAndRate(t *testing.T) {
	stdout, _, err := pith(t, "", "eval", "run", "--data", "eval/testdata/sample.jsonl.gz", "--scorer", "head,bm25", "--rate", "0.5,0.2", "--json", "-", "--quiet")
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Results []struct {
			Task, Scorer string
			Rate         float64
			N            int
			Skipped      int     `json:"n_skipped"`
			RateReached  float64 `json:"rate_reached"`
			GoldShare    float64 `json:"gold_share"`
		}
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatal(err)
	}
	kept := map[string]float64{}
	for _, row := range report.Results {
		if row.N == 0 || row.Skipped < row.N && row.RateReached > row.Rate {
			t.Errorf("row %+v: want cases, and the rate kept", row)
		}
		kept[row.Scorer] += row.GoldShare * float64(row.N)
	}
	if kept["bm25"] <= kept["head"] {
		t.Errorf("bm25 keeps %v gold texts, head %v: a scorer that reads must beat one that does not", kept["bm25"], kept["head"])
	}
}

func TestDemoSavesHalfAndAnswers(t *testing.T) {
	stdout, _, err := pith(t, "", "demo", "--json", "--max-tokens", "4")
	if err != nil {
		t.Fatal(err)
	}
	var result struct{ Runs []demoOutcome }
	if err := json.Unmarshal([]byte(stdout), &result); err != nil {
		t.Fatal(err)
	}
	if len(result.Runs) != 2 {
		t.Fatalf("%d runs, want code and prose", len(result.Runs))
	}
	for _, run := range result.Runs {
		if run.TokensOut*2 > run.TokensIn || run.TokensOut == 0 {
			t.Errorf("%s: %d of %d tokens are left, want at most half", run.Name, run.TokensOut, run.TokensIn)
		}
		if run.AnswerFull == "" || run.AnswerCompressed == "" {
			t.Errorf("%s: an answer is missing: %q, %q", run.Name, run.AnswerFull, run.AnswerCompressed)
		}
		for _, stage := range []string{"segment", "score", "select", "render", "answer_full"} {
			if _, ok := run.StageMS[stage]; !ok {
				t.Errorf("%s: no time of stage %s in %v", run.Name, stage, run.StageMS)
			}
		}
		kept := 0
		for _, segment := range run.Segments {
			known := scoring.FeatureNames()
			for term := range segment.Terms {
				if !slices.Contains(known, term) {
					t.Fatalf("%s: segment %s has the term %s, which is no feature", run.Name, segment.Name, term)
				}
			}
			if len(segment.Terms) < 5 {
				t.Fatalf("%s: segment %s has terms %v alone", run.Name, segment.Name, segment.Terms)
			}
			if segment.Kept {
				kept++
			}
		}
		if kept == 0 || kept == len(run.Segments) {
			t.Errorf("%s: %d of %d segments are kept", run.Name, kept, len(run.Segments))
		}
	}
}

func TestEvalAccuracyOfInt8(t *testing.T) {
	data := filepath.Join(t.TempDir(), "cases.jsonl")
	const texts = `[{"text":"The lock is released by a script that compares the stored value with the owner's and deletes the key.\n"},
		{"text":"Sailing boats are moored along the quay, where gulls wait for the fishermen to come back in the evening.\n"},
		{"text":"A retry is counted once the deadline has passed; the counter is reset whenever a call to the server succeeds.\n"}]`
	line := strings.ReplaceAll(`{"id":"a","task":"t","query":"who releases the lock?","context":`+texts+`,"gold_segments":[0]}`, "\n", "")
	if err := os.WriteFile(data, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, _, err := pith(t, "", "eval", "accuracy", "--texts", data, "--count", "3", "--tokens", "16", "--rank", data,
		"--tiers", kernels.Best().String(), "--json", "--quiet")
	if err != nil {
		t.Fatal(err)
	}
	var report eval.Accuracy
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatal(err)
	}
	if report.Tokens != 3*15 || report.Cases != 1 || len(report.Differences) != 1 {
		t.Fatalf("%d tokens, %d cases, %d differences, want 45, 1, 1", report.Tokens, report.Cases, len(report.Differences))
	}
	// Int8 is near f32 and is not f32.
	if d := report.Differences[0]; !(d.MeanAbs > 0.001 && d.MeanAbs < 0.2 && d.P99Abs >= d.MeanAbs && d.Rank == 1 && d.MRR == report.MRR) {
		t.Errorf("int8 against f32: %+v", d)
	}
	if _, _, err := pith(t, "", "eval", "flips", "--data", data, "--tiers", kernels.Best().String(), "--quiet"); err == nil {
		t.Error("one tier was compared with itself")
	}
}

// Without a query what repeats is left out, and the report says that there was none.
func TestCompressWithoutQuery(t *testing.T) {
	once, err := os.ReadFile("compress.go")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	var files []string
	for _, name := range []string{"a.go", "b.go"} {
		files = append(files, filepath.Join(folder, name))
		if err := os.WriteFile(files[len(files)-1], once, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, flag := range []string{"--explain", "--scoring-scorer=bm25"} {
		stdout, stderr, err := pith(t, "", append([]string{"compress", "--scoring-scorer=bm25", flag}, files...)...)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(stdout, string(once)) || len(stdout) > len(once)*7/4 {
			t.Errorf("%d bytes of twice %d are kept, want the first copy and less than both", len(stdout), len(once))
		}
		if !strings.Contains(stderr, "no query was found") {
			t.Errorf("the report says %q", stderr)
		}
	}
}
