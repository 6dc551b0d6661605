package main

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// forget gives back the memory in which the pages of an embedded file lie, once they have been read: they are the binary's own,
// and are read again if they are looked at again. embedded must be in the binary, not on the heap.
func forget(embedded string) {
	page := uintptr(os.Getpagesize())
	start := uintptr(unsafe.Pointer(unsafe.StringData(embedded)))
	skipped := -start % page // what shares a page with something else stays
	if uintptr(len(embedded)) < skipped+page {
		return
	}
	whole := (uintptr(len(embedded)) - skipped) / page * page
	_ = unix.Madvise(unsafe.Slice(unsafe.StringData(embedded[skipped:]), whole), unix.MADV_DONTNEED) // where it fails the pages stay
}
