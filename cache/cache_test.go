package cache_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/pith-llm/pith/cache"
)

func newCache[V any](t *testing.T, o cache.Options[V]) *cache.Cache[V] {
	t.Helper()
	c, err := cache.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func key(i int) cache.Key { return cache.NewKey("test").Int("i", i).Sum() }

func one(string) int64 { return 1 }

func TestDoComputesOnce(t *testing.T) {
	c := newCache(t, cache.Options[string]{MaxBytes: 100})
	calls := 0
	get := func() string {
		r, err := c.Do(t.Context(), key(1), one, func(context.Context) (string, error) {
			calls++
			return "v" + strconv.Itoa(calls), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Release()
		return r.Value()
	}
	if _, ok := c.Get(key(1)); ok {
		t.Error("an empty cache finds a key")
	}
	first := get()
	if s := c.Stats(); s.Misses != 1 || s.Entries != 1 || s.Bytes != 1 {
		t.Errorf("after one value: %+v", s)
	}
	if second := get(); first != "v1" || second != "v1" || calls != 1 {
		t.Errorf("got %q and %q from %d calls", first, second, calls)
	}
	r, ok := c.Get(key(1))
	if !ok || r.Value() != "v1" {
		t.Error("the value is not found")
	}
	if s := c.Stats(); s.Hits != 2 || s.Misses != 1 {
		t.Errorf("in the end: %+v", s)
	}
}

func TestErrorsAreNotStored(t *testing.T) {
	c := newCache(t, cache.Options[string]{MaxBytes: 100})
	bad := errors.New("bad")
	if _, err := c.Do(t.Context(), key(1), one, func(context.Context) (string, error) { return "", bad }); !errors.Is(err, bad) {
		t.Errorf("got %v", err)
	}
	r, err := c.Do(t.Context(), key(1), one, func(context.Context) (string, error) { return "good", nil })
	if err != nil || r.Value() != "good" {
		t.Errorf("got %v", err)
	}
}

func TestCallersShareWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string]{MaxBytes: 100})
		proceed := make(chan struct{})
		var calls atomic.Int64
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				r, err := c.Do(t.Context(), key(1), one, func(context.Context) (string, error) {
					calls.Add(1)
					<-proceed
					return "v", nil
				})
				if err != nil || r.Value() != "v" {
					t.Errorf("got %v", err)
				}
			})
		}
		synctest.Wait()
		close(proceed)
		wg.Wait()
		if s := c.Stats(); calls.Load() != 1 || s.Misses != 1 || s.Shared+s.Hits != 9 {
			t.Errorf("%d calls, %+v", calls.Load(), s)
		}
	})
}

// The store refuses the value and the first caller lets go of it at once, yet those who waited get it.
func TestWaitersHoldTheValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[*buffer]{MaxBytes: 1, Free: func(b *buffer) { b.freed.Store(true) }})
		proceed := make(chan struct{})
		var value *buffer
		var wg sync.WaitGroup
		for i := range 10 {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			wg.Go(func() {
				r, err := c.Do(ctx, key(1), func(*buffer) int64 { return 2 }, func(context.Context) (*buffer, error) {
					<-proceed
					value = &buffer{}
					return value, nil
				})
				if i == 9 {
					if !errors.Is(err, context.Canceled) {
						t.Errorf("the caller who left got %v", err)
					}
					return
				}
				if err != nil || r.Value().freed.Load() {
					t.Errorf("caller %d: freed, or %v", i, err)
				}
				r.Release()
			})
			synctest.Wait() // the first caller computes, the others wait
			if i == 9 {
				cancel()
				synctest.Wait()
			}
		}
		close(proceed)
		wg.Wait()
		if s := c.Stats(); s.Misses != 1 || s.Shared != 8 || s.Rejections != 1 || !value.freed.Load() {
			t.Errorf("%+v, freed %v", s, value.freed.Load())
		}
	})
}

func TestAWaiterTakesOverFromACallerThatGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string]{MaxBytes: 100})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Do(ctx, key(1), one, func(ctx context.Context) (string, error) {
				<-ctx.Done()
				return "", ctx.Err()
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the first caller got %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			r, err := c.Do(t.Context(), key(1), one, func(context.Context) (string, error) { return "second", nil })
			if err != nil || r.Value() != "second" {
				t.Errorf("the second caller got %v", err)
			}
		})
		gone, leave := context.WithCancel(t.Context())
		wg.Go(func() {
			_, err := c.Do(gone, key(1), one, func(context.Context) (string, error) { return "third", nil })
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the third caller, who left, got %v", err)
			}
		})
		synctest.Wait()
		leave()
		synctest.Wait()
		cancel()
		wg.Wait()
	})
}

func TestAPanicLeavesNoOneWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options[string]{MaxBytes: 100})
		proceed := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic is lost")
				}
			}()
			_, _ = c.Do(t.Context(), key(1), one, func(context.Context) (string, error) {
				<-proceed
				panic("boom")
			})
		})
		synctest.Wait()
		wg.Go(func() {
			r, err := c.Do(t.Context(), key(1), one, func(context.Context) (string, error) { return "v", nil })
			if err != nil || r.Value() != "v" {
				t.Errorf("got %v", err)
			}
		})
		synctest.Wait()
		close(proceed)
		wg.Wait()
	})
}

func TestBytesStayWithinTheBound(t *testing.T) {
	c := newCache(t, cache.Options[string]{MaxBytes: 100})
	ten := func(string) int64 { return 10 }
	for i := range 500 {
		if _, err := c.Do(t.Context(), key(i), ten, func(context.Context) (string, error) { return "v", nil }); err != nil {
			t.Fatal(err)
		}
	}
	s := c.Stats()
	if s.Bytes > 100 || s.Bytes != 10*s.Entries || s.Entries == 0 {
		t.Errorf("%+v", s)
	}
	if s.Evictions+s.Rejections+s.Entries != 500 {
		t.Errorf("500 values are not all accounted for: %+v", s)
	}
	if _, err := c.Do(t.Context(), key(-1), func(string) int64 { return 101 }, func(context.Context) (string, error) { return "v", nil }); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Get(key(-1)); ok || c.Stats().Bytes > 100 {
		t.Error("a value larger than the cache is stored")
	}
}

// buffer is memory that is freed by hand: readers check that it still holds what they came for.
type buffer struct {
	want  int
	freed atomic.Bool
}

func TestEvictionFreesNothingThatIsRead(t *testing.T) {
	var made, freed atomic.Int64
	c := newCache(t, cache.Options[*buffer]{MaxBytes: 50, Free: func(b *buffer) {
		if b.freed.Swap(true) {
			t.Error("a value is freed twice")
		}
		freed.Add(1)
	}})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				want := (i*7 + g*13) % 60
				r, err := c.Do(t.Context(), key(want), func(*buffer) int64 { return 5 }, func(context.Context) (*buffer, error) {
					made.Add(1)
					return &buffer{want: want}, nil
				})
				if err != nil {
					t.Error(err)
					return
				}
				if b := r.Value(); b.want != want || b.freed.Load() {
					t.Errorf("key %d has value %d, freed %v", want, b.want, b.freed.Load())
				}
				r.Release()
			}
		})
	}
	wg.Wait()
	if s := c.Stats(); made.Load()-freed.Load() != s.Entries || freed.Load() == 0 {
		t.Errorf("%d made, %d freed, %+v", made.Load(), freed.Load(), s)
	}
	kept, err := c.Do(t.Context(), key(1), func(*buffer) int64 { return 5 }, func(context.Context) (*buffer, error) {
		made.Add(1)
		return &buffer{want: 1}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if made.Load()-freed.Load() != 1 || kept.Value().freed.Load() {
		t.Errorf("after Close, %d values live", made.Load()-freed.Load())
	}
	kept.Release()
	if made.Load() != freed.Load() {
		t.Error("the last reader's value is not freed")
	}
	// A closed cache computes and stores nothing.
	r, err := c.Do(t.Context(), key(2), func(*buffer) int64 { return 5 }, func(context.Context) (*buffer, error) { return &buffer{want: 2}, nil })
	if err != nil || r.Value().want != 2 || c.Stats().Entries != 0 {
		t.Errorf("after Close: %v, %+v", err, c.Stats())
	}
	r.Release()
}

func TestMisuse(t *testing.T) {
	if _, err := cache.New(cache.Options[string]{}); err == nil {
		t.Error("a cache of no bytes is made")
	}
	var none cache.Ref[string]
	none.Release()
	c := newCache(t, cache.Options[string]{MaxBytes: 1})
	r, err := c.Do(t.Context(), key(1), func(string) int64 { return 2 }, func(context.Context) (string, error) { return "v", nil })
	if err != nil {
		t.Fatal(err)
	}
	c.Stats() // the store has refused it
	r.Release()
	defer func() {
		if recover() == nil {
			t.Error("a second Release goes unseen")
		}
	}()
	r.Release()
}
