package scoring

import (
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	// maxPackRows is the most token rows that go through the network together: enough to use each weight many times
	// while it is in cache (256 to 512 measured best), few enough for a worker's buffers to stay small.
	maxPackRows = 384
	// minPackRows keeps packs from being split between workers when there is too little to gain.
	minPackRows = 64
	// minCutRows is the same for the parts of one sequence: each part reads all weights from memory. On two cores 64 tokens
	// in two parts take 0.79 of the time in one, 256 tokens 0.58.
	minCutRows = 32
)

// packRoom is how many of rows a pack should take, so that all workers get an equal number of packs.
func packRoom(rows, workers int) int {
	packs := max(1, (rows+maxPackRows-1)/maxPackRows)
	packs = (packs + workers - 1) / workers * workers
	return min(maxPackRows, max(minPackRows, (rows+packs-1)/packs))
}

// longestPart is the length above which a sequence is cut, of so many rows in all: a full pack's, or less where idle workers
// would have nothing to do.
func longestPart(rows, idle int) int {
	if idle < 2 || rows > idle*maxPackRows {
		return maxPackRows
	}
	return max(minCutRows, (rows+idle-1)/idle)
}

// inParallel calls do(0) to do(n-1), at most workers at a time, and returns the error of the lowest index that has one.
func inParallel(n, workers int, do func(i int) error) error {
	errs := make([]error, n)
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(n, workers) {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				errs[i] = do(i)
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// inRuns calls do(0) to do(n-1) on all processors, some hundreds in a row on one: for many short calls.
func inRuns(n int, do func(i int)) {
	const run = 256
	_ = inParallel((n+run-1)/run, runtime.GOMAXPROCS(0), func(k int) error {
		for i := k * run; i < min(n, (k+1)*run); i++ {
			do(i)
		}
		return nil
	})
}
