package proxy

import (
	"crypto/sha256"
	"sync"
)

// tokenCounter counts tokens of the texts of a growing conversation: each long text is counted once.
type tokenCounter struct {
	of func(string) int

	mu    sync.Mutex
	known map[[sha256.Size]byte]int
}

const (
	// minRemembered is the shortest text, in bytes, whose count is worth a hash.
	minRemembered = 512
	// maxRemembered bounds how many counts are held; beyond it all are dropped, which costs one recount each.
	maxRemembered = 1 << 16
)

// count returns the tokens of text. c.of must be set.
func (c *tokenCounter) count(text string) int {
	if len(text) < minRemembered {
		return c.of(text)
	}
	key := sha256.Sum256([]byte(text))
	c.mu.Lock()
	n, ok := c.known[key]
	c.mu.Unlock()
	if ok {
		return n
	}
	n = c.of(text)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= maxRemembered {
		c.known = map[[sha256.Size]byte]int{}
	}
	c.known[key] = n
	return n
}
