//go:build !purego

package kernels

import (
	"sync"
	"syscall"

	"golang.org/x/sys/cpu"
)

// amxReady reports whether the processor has tiles of int8 and bfloat16, the operating system saves them (XCR0 bits 17 and 18), and
// Linux lets this process use them: it asks for the permission once (arch_prctl ARCH_REQ_XCOMP_PERM, XTILEDATA).
var amxReady = sync.OnceValue(func() bool {
	const tiles, requestPermission, tileData = 3 << 17, 0x1023, 18
	if !hasVNNI || !cpu.X86.HasAMXTile || !cpu.X86.HasAMXInt8 || !cpu.X86.HasAMXBF16 || xcr0()&tiles != tiles {
		return false
	}
	_, _, errno := syscall.RawSyscall(syscall.SYS_ARCH_PRCTL, requestPermission, tileData, 0)
	return errno == 0
})
