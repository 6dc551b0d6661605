//go:build !purego

package kernels

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// traced names the variable that tells the test below that it is the process whose tile instructions are carried out for it.
const traced = "PITH_TEST_TILES_TRACED"

// On a processor without tiles the very bytes of the functions on tiles run all the same: another process executes them, is
// stopped at each instruction that it lacks, and this one does what the manual says of it (Intel SDM volume 2) and lets
// it go on behind. Whatever is not encoded as the manual wants, or would be refused by the processor, fails.
func TestBytesOfTileInstructions(t *testing.T) {
	switch {
	case os.Getenv(traced) != "":
		runTileInstructions(t)
	case AMX.Supported() && !emulated[AMX]:
		runTileInstructions(t)
	case !emulated[AMX]:
		t.Log("the vectors beside the tiles are missing")
	default:
		if err := trace(t); err != nil {
			t.Fatal(err)
		}
	}
}

// runTileInstructions compares the real functions with those that have vector code in place of tile instructions.
func runTileInstructions(t *testing.T) {
	r := newRand(60)
	const m, n, k = 70, 40, 130
	q, s := QuantizeRows(normals(r, n*k), n, k)
	w, x := Pack(AMX, q, s, n, k), NewRows(AMX, m, k)
	w.SetBias(normals(r, n))
	x.Quantize(normals(r, m*k), m)
	q, s = QuantizeRows(normals(r, k*n), k, n)
	down := Pack(AMX, q, s, k, n)
	start := normals(r, m*n)
	gated, targets := NewRows(AMX, m, n), make([]int32, m)
	for i := range targets {
		targets[i] = int32(i % n)
	}
	products := func() map[string][]float32 {
		set, sum, mixed, logProbs := make([]float32, m*n), slices.Clone(start), make([]float32, m*k), make([]float32, m)
		w.MulTo(set, n, x, m)
		w.MulAdd(sum, n, x, m)
		gated.SwiGLU(w, w, x, m, 0)
		down.MulTo(mixed, k, gated, m)
		w.LogProbs(logProbs, x, targets, m)
		return map[string][]float32{"product": set, "added product": sum, "SwiGLU": mixed, "log-probabilities": logProbs}
	}
	defer func(real tileFunctions, attend func(*[64]byte, *attentionTile, int, int, int)) {
		tileProducts, attendProduct = real, attend
	}(tileProducts, attendProduct)
	tileProducts, attendProduct = emulatedTiles, attendAMXEmulated
	wanted := products()
	tileProducts = tileFunctions{gemmAMX, gemmAddAMX, swiGLUAMX, expSumsAMX}
	for name, got := range products() {
		if !slices.Equal(got, wanted[name]) {
			t.Errorf("%s on tiles differs", name)
		}
	}

	const heads, dim, tokens, queried = 2, 64, 150, 20 // the last queries
	a := NewAttention(AttentionOptions{Tier: AMX, Heads: heads, KVHeads: 1, Dim: dim, Causal: true})
	queries, keys, values := normals(r, queried*heads*dim), make([]BF16, tokens*dim), make([]BF16, tokens*dim)
	ToBF16(AMX, keys, normals(r, len(keys)))
	ToBF16(AMX, values, normals(r, len(values)))
	attention := func() []float32 {
		out := make([]float32, len(queries))
		Attend(a, out, heads*dim, queries, heads*dim, queried, KV[BF16]{tokens, keys, values})
		return out
	}
	want := attention()
	attendProduct = attendAMX
	// Tiles add the products in another order than vectors, and what differs in its last bits may round to another bfloat16.
	for i, got := range attention() {
		near(t, fmt.Sprintf("attention [%d,%d]", i/(heads*dim), i%(heads*dim)), float64(got), float64(want[i]), 1e-3)
	}
}

// trace runs the test in a process of its own and carries out its tile instructions.
func trace(t *testing.T) error {
	runtime.LockOSThread() // the kernel takes orders from the thread that began
	defer runtime.UnlockOSThread()
	said, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		return err
	}
	defer said.Close() //nolint:errcheck // read by name
	process := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	process.Env = append(os.Environ(), traced+"=1")
	process.Stdout, process.Stderr = said, said
	process.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	switch err := process.Start(); {
	case errors.Is(err, unix.EPERM):
		t.Log("no process may be traced here")
		return nil
	case err != nil:
		return fmt.Errorf("run the test traced: %w", err)
	}
	pid := process.Process.Pid
	defer process.Process.Kill() //nolint:errcheck // it has mostly ended
	threads := map[int]*tileUnit{}
	done := map[string]int{}
	for {
		var status unix.WaitStatus
		thread, err := unix.Wait4(-1, &status, unix.WALL, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if status.Exited() || status.Signaled() {
			if thread != pid {
				continue
			}
			if status.ExitStatus() != 0 {
				text, _ := os.ReadFile(said.Name())
				return fmt.Errorf("the traced test ended with status %d:\n%s", status.ExitStatus(), text)
			}
			for _, name := range []string{"LDTILECFG", "TILERELEASE", "TILEZERO", "TILELOADD", "TILELOADDT1", "TILESTORED", "TDPBSSD", "TDPBF16PS"} {
				if done[name] == 0 {
					return fmt.Errorf("no %s was executed", name)
				}
			}
			t.Logf("executed: %v", done)
			return nil
		}
		signal := status.StopSignal()
		switch {
		case signal == unix.SIGILL:
			if threads[thread] == nil {
				threads[thread] = &tileUnit{thread: thread}
			}
			name, err := threads[thread].step()
			if err != nil {
				return err
			}
			done[name]++
			signal = 0
		case signal == unix.SIGTRAP && threads[pid] == nil: // it has just begun
			threads[pid] = &tileUnit{thread: pid}
			if err := unix.PtraceSetOptions(pid, unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_EXITKILL); err != nil {
				return err
			}
			signal = 0
		case signal == unix.SIGTRAP || signal == unix.SIGSTOP: // a thread makes another, or is new
			signal = 0
		}
		if err := unix.PtraceCont(thread, int(signal)); err != nil {
			return err
		}
	}
}

// tileUnit is the tile state of one thread.
type tileUnit struct {
	thread     int
	configured bool
	tiles      [8][16][64]byte
}

// instruction is one of the map 0F38 behind a three-byte VEX prefix, decoded.
type instruction struct {
	prefix, opcode byte // prefix: 0 none, 1 66, 2 F3, 3 F2
	mod, reg, rm   int  // reg and rm with their fourth bits
	vvvv           int
	base, index    int // of an operand in memory; index is -1 without one
	disp           int64
	length         uint64
}

func decode(code []byte) (in instruction, err error) {
	if code[0] != 0xc4 || code[1]&31 != 2 || code[2]>>7 != 0 || code[2]>>2&1 != 0 {
		return in, fmt.Errorf("% x is no VEX instruction of map 0F38 with W and L zero", code)
	}
	high := func(bit int) int { return int(^code[1]>>bit&1) << 3 }
	in = instruction{prefix: code[2] & 3, opcode: code[3], vvvv: int(^code[2] >> 3 & 15), index: -1}
	in.mod, in.reg, in.rm = int(code[4]>>6), int(code[4]>>3&7)|high(7), int(code[4]&7)|high(5)
	in.base = in.rm
	at := 5
	if in.mod != 3 && in.rm&7 == 4 {
		sib := code[at]
		at++
		in.base = int(sib&7) | high(5)
		if i := int(sib>>3&7) | high(6); i != 4 {
			in.index = i
		}
		if sib>>6 != 0 || in.mod == 0 && sib&7 == 5 {
			return in, fmt.Errorf("% x: no plain base and index", code)
		}
	}
	switch in.mod {
	case 1:
		in.disp = int64(int8(code[at]))
		at++
	case 2:
		in.disp = int64(int32(binary.LittleEndian.Uint32(code[at:])))
		at += 4
	}
	in.length = uint64(at)
	return in, nil
}

// step carries out the instruction at which the thread stopped and returns its name.
func (u *tileUnit) step() (string, error) {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(u.thread, &regs); err != nil {
		return "", err
	}
	var code [15]byte
	if err := u.memory(code[:], regs.Rip, unix.ProcessVMReadv); err != nil {
		return "", err
	}
	in, err := decode(code[:])
	if err != nil {
		return "", err
	}
	general := [16]uint64{
		regs.Rax, regs.Rcx, regs.Rdx, regs.Rbx, regs.Rsp, regs.Rbp, regs.Rsi, regs.Rdi,
		regs.R8, regs.R9, regs.R10, regs.R11, regs.R12, regs.R13, regs.R14, regs.R15,
	}
	name, err := u.execute(in, general)
	if err != nil {
		return "", fmt.Errorf("% x: %s: %w", code[:in.length], name, err)
	}
	regs.Rip += in.length
	return name, unix.PtraceSetRegs(u.thread, &regs)
}

var (
	errUndefined  = errors.New("undefined instruction")
	errProtection = errors.New("general protection: a configuration that is not 8 tiles of 16 rows of 64 bytes")
)

func (u *tileUnit) execute(in instruction, general [16]uint64) (name string, err error) {
	address := general[in.base] + uint64(in.disp)
	switch {
	case in.opcode == 0x49 && in.prefix == 0 && in.mod == 3:
		if in.reg != 0 || in.rm != 0 || in.vvvv != 0 {
			err = errUndefined
		}
		u.configured = false
		return "TILERELEASE", err
	case in.opcode == 0x49 && in.prefix == 0:
		if in.reg != 0 || in.vvvv != 0 {
			return "LDTILECFG", errUndefined
		}
		var config [64]byte
		err = u.memory(config[:], address, unix.ProcessVMReadv)
		if err == nil && config != *tileConfig { // what the processor makes of others is not needed
			err = errProtection
		}
		u.configured, u.tiles = true, [8][16][64]byte{}
		return "LDTILECFG", err
	case !u.configured:
		return "a tile instruction without configuration", errUndefined
	case in.opcode == 0x49 && in.prefix == 3:
		if in.mod != 3 || in.rm != 0 || in.vvvv != 0 || in.reg > 7 {
			return "TILEZERO", errUndefined
		}
		u.tiles[in.reg] = [16][64]byte{}
		return "TILEZERO", nil
	case in.opcode == 0x4b && in.prefix != 0:
		name, move := "TILELOADD", unix.ProcessVMReadv
		switch in.prefix {
		case 1:
			name = "TILELOADDT1"
		case 2:
			name, move = "TILESTORED", unix.ProcessVMWritev
		}
		if in.mod == 3 || in.rm&7 != 4 || in.vvvv != 0 || in.reg > 7 {
			return name, errUndefined
		}
		stride := uint64(0)
		if in.index >= 0 {
			stride = general[in.index]
		}
		for r := range 16 {
			err = errors.Join(err, u.memory(u.tiles[in.reg][r][:], address+uint64(r)*stride, move))
		}
		return name, err
	case in.opcode == 0x5e && in.prefix == 3, in.opcode == 0x5c && in.prefix == 2:
		name, multiply := "TDPBSSD", multiplyBytes
		if in.opcode == 0x5c {
			name, multiply = "TDPBF16PS", multiplyHalves
		}
		if in.mod != 3 || max(in.reg, in.rm, in.vvvv) > 7 || in.reg == in.rm || in.reg == in.vvvv || in.rm == in.vvvv {
			return name, errUndefined
		}
		for r := range 16 {
			multiply(u.tiles[in.reg][r][:], u.tiles[in.rm][r][:], &u.tiles[in.vvvv])
		}
		return name, nil
	default:
		return fmt.Sprintf("opcode %02x with prefix %d", in.opcode, in.prefix), errUndefined
	}
}

// multiplyBytes adds to the 16 int32 of c those of a row of signed bytes times a tile of groups of four.
func multiplyBytes(c, a []byte, b *[16][64]byte) {
	for n := range 16 {
		sum := binary.LittleEndian.Uint32(c[4*n:])
		for i, v := range a {
			sum += uint32(int32(int8(v)) * int32(int8(b[i/4][4*n+i%4])))
		}
		binary.LittleEndian.PutUint32(c[4*n:], sum)
	}
}

// multiplyHalves adds to the 16 float32 of c those of a row of bfloat16 times a tile of pairs: even and odd products have
// sums of their own.
func multiplyHalves(c, a []byte, b *[16][64]byte) {
	half := func(x []byte, i int) float64 {
		return float64(BF16(binary.LittleEndian.Uint16(x[2*i:])).Float32())
	}
	for n := range 16 {
		var sums [2]float32
		for i := range 32 { // a product of two halves is exact in float64, and the addition nearly so
			sums[i%2] = float32(float64(sums[i%2]) + half(a, i)*half(b[i/2][:], 2*n+i%2))
		}
		sum := math.Float32frombits(binary.LittleEndian.Uint32(c[4*n:])) + (sums[0] + sums[1])
		binary.LittleEndian.PutUint32(c[4*n:], math.Float32bits(sum))
	}
}

// memory moves bytes from or to the thread's memory.
func (u *tileUnit) memory(local []byte, remote uint64, move func(int, []unix.Iovec, []unix.RemoteIovec, uint) (int, error)) error {
	here := []unix.Iovec{{Base: &local[0]}}
	here[0].SetLen(len(local))
	n, err := move(u.thread, here, []unix.RemoteIovec{{Base: uintptr(remote), Len: len(local)}}, 0)
	if err == nil && n != len(local) {
		err = fmt.Errorf("%d of %d bytes at %#x", n, len(local), remote)
	}
	return err
}
