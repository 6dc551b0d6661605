package cache_test

import (
	"runtime"
	"strconv"
	"testing"

	"github.com/pith-llm/pith/cache"
)

// Small values take about what they are said to, so that a bound in bytes is one of memory.
func TestEntryBytes(t *testing.T) {
	type scores struct {
		values []float32
		_      [2]float64
	}
	const n, floats = 50_000, 16
	c, err := cache.New(cache.Options[scores]{MaxBytes: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	before := heap()
	for i := range n {
		c.Put(cache.NewKey("scores").Text("i", strconv.Itoa(i)).Sum(), scores{values: make([]float32, floats)}, 4*floats+cache.EntryBytes)
	}
	took := float64(heap()-before)/n - 4*floats
	t.Logf("%.0f bytes an entry, besides its numbers", took)
	if c.Stats().Entries != n || took < cache.EntryBytes/2 || took > 1.5*cache.EntryBytes {
		t.Errorf("an entry of %d takes %.0f bytes besides its numbers, EntryBytes is %d", c.Stats().Entries, took, cache.EntryBytes)
	}
}

// heap returns the bytes that are in use after a collection.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
