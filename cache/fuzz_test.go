package cache_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pith-llm/pith/cache"
)

// FuzzCache lets three goroutines do the same steps in their own orders: whatever they find under a key is the key's value
// and in use, what is stored stays within the bound, and in the end each value is freed once.
func FuzzCache(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 64, 65, 66, 67, 128, 129, 130, 192, 193, 194, 0, 64, 128}, int64(9))
	f.Add([]byte{128, 128, 128, 63, 127, 191, 255}, int64(1))
	f.Fuzz(func(t *testing.T, steps []byte, bound int64) {
		bound = 1 + (bound&0x7fff)%100
		steps = steps[:min(len(steps), 200)]
		var made, freed atomic.Int64
		c, err := cache.New(cache.Options[*buffer]{MaxBytes: bound, Free: func(b *buffer) {
			if b.freed.Swap(true) {
				t.Error("a value is freed twice")
			}
			freed.Add(1)
		}})
		if err != nil {
			t.Fatal(err)
		}
		cost := func(b *buffer) int64 { return int64(1 + b.want%7) }
		look := func(r cache.Ref[*buffer], want int) {
			b := r.Value()
			runtime.Gosched() // to others, who may push it out
			if b.want != want || b.freed.Load() {
				t.Errorf("key %d has value %d, freed %v", want, b.want, b.freed.Load())
			}
			r.Release()
		}
		failed := errors.New("no value")
		do := func(step byte) {
			want := int(step & 63)
			value := func() *buffer {
				made.Add(1)
				return &buffer{want: want}
			}
			switch step >> 6 {
			case 0:
				if r, ok := c.Get(key(want)); ok {
					look(r, want)
				}
			case 1:
				b := value()
				c.Put(key(want), b, cost(b))
			default:
				// Callers that meet share what one of them computes, or its failure.
				r, err := c.Do(t.Context(), key(want), cost, func(context.Context) (*buffer, error) {
					if step>>6 == 3 {
						return nil, failed
					}
					return value(), nil
				})
				switch {
				case err == nil:
					look(r, want)
				case !errors.Is(err, failed):
					t.Error(err)
				}
			}
		}
		var group sync.WaitGroup
		for g := range uint64(3) {
			group.Go(func() {
				for _, i := range rand.New(rand.NewPCG(g, 0)).Perm(len(steps)) {
					do(steps[i])
				}
			})
		}
		group.Wait()
		if s := c.Stats(); s.Bytes > bound || s.Bytes < 0 || s.Entries != made.Load()-freed.Load() {
			t.Errorf("%d made, %d freed, bound %d: %+v", made.Load(), freed.Load(), bound, s)
		}
		c.Close()
		if made.Load() != freed.Load() {
			t.Errorf("%d made, %d freed after Close", made.Load(), freed.Load())
		}
	})
}
