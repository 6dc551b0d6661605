//go:build !purego && !linux

package kernels

// amxReady: only Linux is asked for the permission that tiles need.
var amxReady = func() bool { return false }
