package scoring

import (
	"runtime/debug"
	"sync"
	"time"
)

// resident keeps a value in memory while it is used and for some time after, and loads it again when it is needed.
type resident[T any] struct {
	load    func() (T, error)
	timeout time.Duration // 0 is for ever

	mu    sync.Mutex
	value T
	here  bool
	users int
	// idleSince is when the last user left; timer fires timeout after that.
	idleSince time.Time
	timer     *time.Timer
}

func newResident[T any](timeout time.Duration, load func() (T, error)) *resident[T] {
	return &resident[T]{load: load, timeout: timeout}
}

// acquire returns the value, which stays until release is called as often as acquire. Only if it fails there is nothing to
// release.
func (r *resident[T]) acquire() (T, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.here {
		value, err := r.load()
		if err != nil {
			return value, err
		}
		r.value, r.here = value, true
	}
	r.users++
	return r.value, nil
}

func (r *resident[T]) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.users--
	if r.users > 0 || r.timeout <= 0 {
		return
	}
	r.idleSince = time.Now()
	if r.timer == nil {
		r.timer = time.AfterFunc(r.timeout, r.expire)
	} else {
		r.timer.Reset(r.timeout)
	}
}

// expire gives the value up if nobody has used it for the whole timeout. Memory that others still refer to, such as a
// mapped file behind weights, goes with the last reference.
func (r *resident[T]) expire() {
	r.mu.Lock()
	expired := r.here && r.users == 0 && time.Since(r.idleSince) >= r.timeout
	if expired {
		var none T
		r.value, r.here = none, false
	}
	r.mu.Unlock()
	if expired {
		debug.FreeOSMemory() // nothing else may run for long that would collect it
	}
}

// loaded reports whether the value is in memory.
func (r *resident[T]) loaded() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.here
}
