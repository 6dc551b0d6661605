// Package cache keeps what was computed once and may be needed again: a bound in bytes, work shared between callers that
// ask for the same thing at once, and statistics.
//
// A lookup goes: find the key among the stored values; else join the computation that is under way; else compute, hand the
// result to all who wait, and offer it to the store. The store (ristretto) may refuse or drop any value at any time, so
// nothing may depend on finding one. A value whose memory is used again (Options.Free) is freed once neither the store nor
// a reader holds it.
package cache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/ristretto/v2"
)

// Options set up a Cache.
type Options[V any] struct {
	// MaxBytes bounds the sum of the costs of stored values; it must be positive.
	MaxBytes int64
	// Free, if set, is called once for each value when neither the cache nor a Ref holds it any more. Every Ref must then be
	// released; without Free the garbage collector does.
	Free func(V)
}

// EntryBytes is about what a stored value takes besides what it points to: the cost of small values should include it.
const EntryBytes = 208

// counters is the number of keys whose frequency of use the store remembers: ten times what a store of small values holds.
const counters = 1 << 17

// Cache maps keys to values that are expensive to compute. It is safe for concurrent use.
type Cache[V any] struct {
	store *ristretto.Cache[[]byte, *entry[V]]
	free  func(V)

	mu      sync.Mutex
	flights map[Key]*flight[V]

	closing sync.RWMutex // held for reading while the store is written to, which it does not allow once closed
	closed  bool

	hits, misses, shared, evictions, rejections, bytes, entries atomic.Int64
}

// Stats counts what a cache did since it was made.
type Stats struct {
	// Hits are values found, Misses values computed (by Do, or handed to Put), Shared those got from a computation that another caller had begun.
	Hits, Misses, Shared int64
	// Evictions are values dropped to make room or by Close, Rejections values not stored.
	Evictions, Rejections int64
	// Bytes is the cost of what is stored now, Entries the number of values.
	Bytes, Entries int64
}

// entry is a value with the number of its holders: the store, and each Ref.
type entry[V any] struct {
	key     Key
	value   V
	cost    int64
	holders atomic.Int64
}

// flight is a computation under way.
type flight[V any] struct {
	waiters int64         // guarded by Cache.mu until the flight is over
	done    chan struct{} // closed when it is over
	entry   *entry[V]     // nil if it failed; held for every waiter
	err     error         // nil if the caller that computed gave up, which says nothing about the value
}

// New returns an empty cache. Close stops it.
func New[V any](o Options[V]) (*Cache[V], error) {
	if o.MaxBytes <= 0 {
		return nil, fmt.Errorf("a cache of %d bytes: it must be positive", o.MaxBytes)
	}
	c := &Cache[V]{free: o.Free, flights: make(map[Key]*flight[V])}
	store, err := ristretto.NewCache(&ristretto.Config[[]byte, *entry[V]]{
		NumCounters:        counters,
		MaxCost:            o.MaxBytes,
		BufferItems:        64,
		IgnoreInternalCost: true,
		// The key is a hash already; the store compares 128 bits of it, and Cache.find all.
		KeyToHash: func(k []byte) (uint64, uint64) {
			return binary.LittleEndian.Uint64(k), binary.LittleEndian.Uint64(k[8:])
		},
		OnEvict:  func(*ristretto.Item[*entry[V]]) { c.evictions.Add(1) },
		OnReject: func(*ristretto.Item[*entry[V]]) { c.rejections.Add(1) },
		OnExit:   c.left,
	})
	if err != nil {
		return nil, fmt.Errorf("make cache: %w", err)
	}
	c.store = store
	return c, nil
}

// Close empties the cache and stops it. Refs stay valid. A closed cache still computes, and stores nothing.
func (c *Cache[V]) Close() {
	c.closing.Lock()
	defer c.closing.Unlock()
	c.closed = true
	c.store.Close()
}

// Ref is a reader's hold on a value. The zero Ref holds nothing.
type Ref[V any] struct {
	cache *Cache[V]
	entry *entry[V]
}

// Value returns the value, which must not be changed, nor used after Release if the cache frees its values.
func (r Ref[V]) Value() V { return r.entry.value }

// Release ends the hold. It must be called once at most.
func (r Ref[V]) Release() {
	if r.entry != nil {
		r.cache.release(r.entry)
	}
}

// Get returns a stored value, if the key is found.
func (c *Cache[V]) Get(key Key) (Ref[V], bool) {
	if e, ok := c.find(key); ok {
		c.hits.Add(1)
		return Ref[V]{c, e}, true
	}
	return Ref[V]{}, false
}

// Do returns the value of key: stored, or from a computation that is under way, or from compute, whose result is offered
// to the store at its cost in bytes. compute runs at most once at a time for a key, on the goroutine of one caller and
// under that caller's ctx; if that caller gives up, one of the waiting callers computes in its stead. An error of compute
// goes to all who wait and is not stored. Do returns ctx's error if ctx ends while it waits.
func (c *Cache[V]) Do(ctx context.Context, key Key, cost func(V) int64, compute func(context.Context) (V, error)) (Ref[V], error) {
	for {
		if e, ok := c.find(key); ok {
			c.hits.Add(1)
			return Ref[V]{c, e}, nil
		}
		c.mu.Lock()
		f, waiting := c.flights[key]
		if waiting {
			f.waiters++
		} else {
			f = &flight[V]{done: make(chan struct{})}
			c.flights[key] = f
		}
		c.mu.Unlock()
		if !waiting {
			return c.lead(ctx, key, f, cost, compute)
		}
		select {
		case <-ctx.Done():
			c.leave(key, f)
			return Ref[V]{}, ctx.Err()
		case <-f.done:
		}
		switch {
		case f.err != nil:
			return Ref[V]{}, f.err
		case f.entry != nil:
			c.shared.Add(1)
			return Ref[V]{c, f.entry}, nil
		case ctx.Err() != nil:
			return Ref[V]{}, ctx.Err()
		}
	}
}

// Put offers a value to the store that was computed outside Do, such as in a batch.
func (c *Cache[V]) Put(key Key, value V, cost int64) {
	c.misses.Add(1)
	e := &entry[V]{key: key, value: value, cost: cost}
	e.holders.Store(1)
	c.keep(e)
	c.release(e)
}

// lead computes the value of key for all who wait for f. If compute panics, they start again.
func (c *Cache[V]) lead(ctx context.Context, key Key, f *flight[V], cost func(V) int64, compute func(context.Context) (V, error)) (Ref[V], error) {
	defer func() {
		c.mu.Lock()
		delete(c.flights, key)
		if f.entry != nil {
			f.entry.holders.Add(f.waiters)
		}
		c.mu.Unlock()
		close(f.done)
	}()
	// Between the look at the store and the look at the flights, another caller may have finished.
	if e, ok := c.find(key); ok {
		c.hits.Add(1)
		f.entry = e
		return Ref[V]{c, e}, nil
	}
	c.misses.Add(1)
	value, err := compute(ctx)
	if err != nil {
		if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
			f.err = err
		}
		return Ref[V]{}, err
	}
	e := &entry[V]{key: key, value: value, cost: cost(value)}
	e.holders.Store(1)
	c.keep(e)
	f.entry = e
	return Ref[V]{c, e}, nil
}

// leave ends the wait for f of a caller whose context has ended.
func (c *Cache[V]) leave(key Key, f *flight[V]) {
	c.mu.Lock()
	if c.flights[key] == f {
		f.waiters--
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	<-f.done
	if f.entry != nil {
		c.release(f.entry)
	}
}

// keep offers e to the store, which holds it until it calls left.
func (c *Cache[V]) keep(e *entry[V]) {
	c.closing.RLock()
	defer c.closing.RUnlock()
	if c.closed {
		return
	}
	e.holders.Add(1)
	c.bytes.Add(e.cost)
	c.entries.Add(1)
	if !c.store.Set(e.key[:], e, e.cost) {
		c.rejections.Add(1)
		c.left(e)
	}
}

// left is told that the store no longer holds e. The store also says so of keys that it did not have.
func (c *Cache[V]) left(e *entry[V]) {
	if e == nil {
		return
	}
	c.bytes.Add(-e.cost)
	c.entries.Add(-1)
	c.release(e)
}

// find returns the stored entry of key, held for the caller.
func (c *Cache[V]) find(key Key) (*entry[V], bool) {
	e, ok := c.store.Get(key[:])
	return e, ok && e.key == key && e.hold()
}

// hold adds a holder unless the last one has let go.
func (e *entry[V]) hold() bool {
	for {
		n := e.holders.Load()
		if n == 0 {
			return false
		}
		if e.holders.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (c *Cache[V]) release(e *entry[V]) {
	switch n := e.holders.Add(-1); {
	case n < 0:
		panic("cache: a Ref was released twice")
	case n == 0 && c.free != nil:
		c.free(e.value)
	}
}

// Stats returns the counts so far, after values that were offered to the store have got there.
func (c *Cache[V]) Stats() Stats {
	c.closing.RLock()
	defer c.closing.RUnlock()
	if !c.closed {
		c.store.Wait()
	}
	return Stats{
		Hits: c.hits.Load(), Misses: c.misses.Load(), Shared: c.shared.Load(),
		Evictions: c.evictions.Load(), Rejections: c.rejections.Load(),
		Bytes: c.bytes.Load(), Entries: c.entries.Load(),
	}
}
