package scoring_test

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring"
	"github.com/pith-llm/pith/scoring/gguf"
	"github.com/pith-llm/pith/scoring/models"
)

// files returns the names of what is in dir.
func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestWeightFileGivesTheSameResults(t *testing.T) {
	n := newTiny()
	s := scoring.Sequence{Tokens: n.random(rand.New(rand.NewPCG(21, 22)), 90), From: 1}
	dir := filepath.Join(t.TempDir(), "a", "b")
	for _, tier := range kernels.Supported() {
		want := logProbs(t, n.load(t, scoring.LMOptions{Tier: tier}), s)[0].LogProbs
		for start := range 3 {
			lm := n.load(t, scoring.LMOptions{Tier: tier, CacheDir: dir})
			source := lm.WeightSource()
			if source.Err != nil || source.Mapped != (start > 0) || filepath.Dir(source.File) != dir {
				t.Errorf("%v: start %d has weights from %+v", tier, start, source)
			}
			if got := logProbs(t, lm, s)[0].LogProbs; !slices.Equal(got, want) {
				t.Errorf("%v: start %d differs by %g", tier, start, worst(got, want))
			}
		}
	}
	names := files(t, dir)
	if len(names) != len(kernels.Supported()) || slices.ContainsFunc(names, func(n string) bool { return !strings.HasSuffix(n, ".weights") }) {
		t.Errorf("files %v for the tiers %v", names, kernels.Supported())
	}
	if runtime.GOOS == "windows" {
		return
	}
	for path, want := range map[string]fs.FileMode{dir: 0o700, filepath.Join(dir, names[0]): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, want %v (%v)", path, info.Mode(), want, err)
		}
	}
}

func TestWeightFileOfTheEncoder(t *testing.T) {
	dir := t.TempDir()
	texts := []string{"a cache of prepared weights", "the second start is faster than the first"}
	want, err := must(t, encoders[scoring.Int8]).Embed(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	for start := range 2 {
		f, err := gguf.Parse(models.Encoder)
		if err != nil {
			t.Fatal(err)
		}
		e, err := scoring.LoadEncoder(f, scoring.EncoderOptions{Tier: kernels.Best(), CacheDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if source := e.WeightSource(); source.Err != nil || source.Mapped != (start > 0) {
			t.Errorf("start %d has weights from %+v", start, source)
		}
		got, err := e.Embed(t.Context(), texts)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if !slices.Equal(got[i], want[i]) {
				t.Errorf("start %d: text %d has another vector", start, i)
			}
		}
	}
}

func TestDamagedWeightFileIsReplaced(t *testing.T) {
	n := newTiny()
	s := scoring.Sequence{Tokens: n.random(rand.New(rand.NewPCG(23, 24)), 40), From: 1}
	o := scoring.LMOptions{Tier: kernels.Best(), CacheDir: t.TempDir()}
	lm := n.load(t, o)
	path := lm.WeightSource().File
	want := logProbs(t, lm, s)[0].LogProbs
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string) {
		t.Helper()
		for start := range 2 {
			lm := n.load(t, o)
			if source := lm.WeightSource(); source.Mapped != (start > 0) || source.Err != nil {
				t.Fatalf("%s: start %d has weights from %+v", name, start, source)
			}
			if got := logProbs(t, lm, s)[0].LogProbs; !slices.Equal(got, want) {
				t.Fatalf("%s: start %d gives other results", name, start)
			}
		}
		if got, err := os.ReadFile(path); err != nil || !slices.Equal(got, good) {
			t.Fatalf("%s: the file was not replaced (%v)", name, err)
		}
	}
	// A file is replaced by another and never changed: models loaded earlier go on reading the old one.
	put := func(b []byte) {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range []int{0, 1, 127, 128, len(good) / 2, len(good) - 1} {
		put(good[:size])
		check("cut short")
	}
	put(append(slices.Clone(good), 0))
	check("a byte too many")
	r := rand.New(rand.NewPCG(25, 26))
	for _, at := range []int{0, 16, 20, 24, 32, 40, 64, 95, 128, len(good) - 1, r.IntN(len(good)), r.IntN(len(good))} {
		bad := slices.Clone(good)
		bad[at] ^= 1 << r.IntN(8)
		put(bad)
		check("a bit flipped")
	}
	if got := logProbs(t, lm, s)[0].LogProbs; !slices.Equal(got, want) {
		t.Error("the first model loaded gives other results in the end")
	}
	if names := files(t, o.CacheDir); len(names) != 1 {
		t.Errorf("files %v are left", names)
	}
}

func TestWeightFileThatCannotBeWritten(t *testing.T) {
	n := newTiny()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := scoring.Sequence{Tokens: []int32{1, 2, 3}, From: 1}
	lm := n.load(t, scoring.LMOptions{CacheDir: filepath.Join(file, "below")})
	if source := lm.WeightSource(); source.Err == nil || source.Mapped {
		t.Errorf("weights from %+v", source)
	}
	if got, want := logProbs(t, lm, s)[0].LogProbs, logProbs(t, n.load(t, scoring.LMOptions{}), s)[0].LogProbs; !slices.Equal(got, want) {
		t.Errorf("results %v, want %v", got, want)
	}

	dir := t.TempDir()
	path := n.load(t, scoring.LMOptions{CacheDir: dir}).WeightSource().File
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if source := n.load(t, scoring.LMOptions{CacheDir: dir}).WeightSource(); source.Err == nil || source.Mapped {
		t.Errorf("weights from %+v though a directory is in the way", source)
	}
	if names := files(t, dir); len(names) != 1 {
		t.Errorf("files %v are left", names)
	}
}

func TestWeightFilesOfSeveralModelsAndStarts(t *testing.T) {
	dir := t.TempDir()
	one, other := newTiny(), newTinyWith("llama.context_length", uint32(1100))
	s := scoring.Sequence{Tokens: one.random(rand.New(rand.NewPCG(27, 28)), 40), From: 1}
	want := logProbs(t, one.load(t, scoring.LMOptions{}), s)[0].LogProbs
	var starts sync.WaitGroup
	for i := range 8 {
		n := []*tiny{one, other}[i%2]
		starts.Go(func() {
			lm := n.load(t, scoring.LMOptions{CacheDir: dir})
			if err := lm.WeightSource().Err; err != nil {
				t.Error(err)
			}
			if got := logProbs(t, lm, s)[0].LogProbs; !slices.Equal(got, want) {
				t.Error("other results")
			}
		})
	}
	starts.Wait()
	if names := files(t, dir); len(names) != 2 {
		t.Errorf("files %v of two models", names)
	}
}
