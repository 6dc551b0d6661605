package scoring_test

import (
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring"
)

// TestWeightsGivenUpAreUnmapped looks at the process's own memory. AMX reads the file in place of mapping it.
func TestWeightsGivenUpAreUnmapped(t *testing.T) {
	n := newTiny()
	s := scoring.Sequence{Tokens: n.random(rand.New(rand.NewPCG(51, 52)), 40), From: 1, KeepKV: true}
	var path string
	mapped := func() bool {
		t.Helper()
		maps, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(maps), path)
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		lm := n.load(t, scoring.LMOptions{Tier: min(kernels.Best(), kernels.AVX512BF16), CacheDir: dir, IdleTimeout: time.Minute})
		path = lm.WeightSource().File
		kv := logProbs(t, lm, s)[0].KV
		if !mapped() {
			t.Fatal("the file is not mapped while its weights are in use")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for i := 0; mapped(); i++ {
			if i == 1000 {
				t.Fatal("the file is still mapped")
			}
			runtime.GC() // it goes with the last reference
		}
		logProbs(t, lm, scoring.Sequence{Prefix: kv, Tokens: []int32{1}})
		if !mapped() {
			t.Error("the file is not mapped again")
		}
	})
}
