// Package kernels holds the arithmetic of the two small models: plain loops over slices, with assembly where it pays.
//
// A forward pass uses it in this order: a [Rows] takes activations (normalised, quantised to int8 and laid out for the
// tier in one step), a [Matrix] multiplies them and scales the exact int32 sums back to float32, [Attend] mixes the
// positions, [Rows.SwiGLU] or [Rows.GELU] feed the second half of a layer, and [Matrix.LogProbs] ends the pass without
// ever writing logits. [MatMul] and the element-wise functions do the same in float32.
//
// Every function that has more than one implementation takes a [Tier]. Within a tier the result for one row depends only
// on that row's data: not on the other rows of the call, the row's place among them, or the number of goroutines.
// Integer sums are equal on all tiers; float steps may differ in the last bits between some, see the constants.
//
// A Matrix and a Rope are read-only after they are made and are shared. A Rows and an Attention belong to one goroutine.
package kernels

import (
	"fmt"
	"slices"
	"strings"
)

// Tier names a set of CPU instructions that the kernels are written for. Of the tiers that one machine supports a higher
// value is a faster tier.
type Tier uint8

// The tiers. Generic is plain Go and runs everywhere; AMX is the last. NEONDot and NEONI8MM give the results of Generic to
// the bit, and AVX2, AVXVNNI and AVX512VNNI each other's; AVX512BF16 differs from these in attention, AMX also in the
// exponentials of SwiGLU and of the head, by some millionths.
const (
	Generic    Tier = iota
	NEONDot         // arm64 SDOT; the element-wise steps are plain Go
	NEONI8MM        // arm64 SMMLA, the same otherwise
	AVX2            // 256-bit integers, FMA
	AVXVNNI         // 256-bit VPDPBUSD, with AVX2 for the rest
	AVX512VNNI      // 512-bit VPDPBUSD
	AVX512BF16      // the same, with bfloat16 in attention
	AMX             // tiles of int8 and bfloat16, with AVX512VNNI for the rest
)

var tierNames = [...]string{"generic", "neon-dotprod", "neon-i8mm", "avx2", "avx-vnni", "avx512-vnni", "avx512-bf16", "amx"}

// String returns the name that [ParseTier] accepts.
func (t Tier) String() string {
	if int(t) < len(tierNames) {
		return tierNames[t]
	}
	return fmt.Sprintf("tier(%d)", uint8(t))
}

// ParseTier returns the tier of that name, whether or not this machine supports it.
func ParseTier(name string) (Tier, error) {
	for i, n := range tierNames {
		if n == name {
			return Tier(i), nil
		}
	}
	return Generic, fmt.Errorf("unknown tier %q: want one of %s", name, strings.Join(tierNames[:], ", "))
}

// Supported reports whether this machine, its operating system and this build can run t.
func (t Tier) Supported() bool { return t == Generic || supported(t) }

// Best returns the highest supported tier, but for one that this machine's processor runs slower than the tier below.
func Best() Tier {
	for t := AMX; t > Generic; t-- {
		if t.Supported() && !slowHere(t) {
			return t
		}
	}
	return Generic
}

// Supported returns the tiers that this machine can run, slowest first.
func Supported() []Tier {
	var ts []Tier
	for t := Generic; t <= AMX; t++ {
		if t.Supported() {
			ts = append(ts, t)
		}
	}
	return ts
}

// Unsupported returns the tiers that this machine cannot run, lowest first.
func Unsupported() []Tier {
	var ts []Tier
	for t := Generic; t <= AMX; t++ {
		if !t.Supported() {
			ts = append(ts, t)
		}
	}
	return ts
}

// TierNames returns the names of all tiers, lowest first.
func TierNames() []string { return slices.Clone(tierNames[:]) }

// shape is how a tier lays out an integer product.
type shape struct {
	rows  int // activations of this many rows are taken together
	panel int // outputs computed together
	group int // inputs are padded with zeros to a multiple of this
	// SwiGLU, GELU and LogProbs take so many rows, whole blocks, through all panels together: their products stay in the
	// first-level cache and their results in the second.
	strip int
	spare int // how many panels of a block of rows that is not full are computed at a time

	unsigned bool // activations are stored as value + 128, which each output's sum of weights takes out again
}

func (t Tier) shape() shape {
	switch t {
	case NEONDot, NEONI8MM:
		return shape{rows: 6, panel: 16, group: 8, strip: 96, spare: 1}
	case AVX2:
		return shape{rows: 4, panel: 16, group: 16, strip: 96, spare: 1}
	case AVXVNNI:
		return shape{rows: 6, panel: 16, group: 16, strip: 96, spare: 1, unsigned: true}
	case AVX512VNNI, AVX512BF16:
		return shape{rows: 6, panel: 64, group: 4, strip: 96, spare: 1, unsigned: true}
	case AMX:
		return shape{rows: 32, panel: 32, group: 64, strip: 256, spare: 16}
	default:
		return shape{rows: 1, panel: 16, group: 4, strip: 96, spare: 1}
	}
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// check panics with a text about args unless ok. The numbers are boxed only then, so that a check costs no allocation.
func check(ok bool, format string, args ...int) {
	if ok {
		return
	}
	boxed := make([]any, len(args))
	for i, a := range args {
		boxed[i] = a
	}
	panic("kernels: " + fmt.Sprintf(format, boxed...))
}

func (t Tier) mustBeSupported() {
	if !t.Supported() {
		panic(fmt.Sprintf("kernels: tier %v is not supported on this machine", t))
	}
}
