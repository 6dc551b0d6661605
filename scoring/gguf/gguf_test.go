package gguf_test

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/pith-llm/pith/scoring/gguf"
	"github.com/pith-llm/pith/scoring/gguf/gguftest"
)

func sample() string {
	var b gguftest.Builder
	b.Set("general.architecture", "llama")
	b.Set("llama.block_count", uint32(3))
	b.Set("llama.eps", float32(0.5))
	b.Set("negative", int32(-4))
	b.Set("big", uint64(math.MaxUint64))
	b.Set("yes", true)
	b.Set("tokens", []string{"a", "", "\xff"})
	b.Set("types", []int32{1, -1, 3})
	b.F32("plain", []float32{1, -2.5, 3, 4, 5, 6}, 2, 3)
	q8 := append([]byte{0, 0x38}, make([]byte, 32)...) // d = 0.5
	for i := range 32 {
		q8[2+i] = byte(i * 9)
	}
	b.Tensor("q8", 8, q8, 1, 32)
	nibbles := make([]byte, 16)
	for i := range nibbles {
		nibbles[i] = byte(i | (15-i)<<4)
	}
	b.Tensor("q4_0", 2, append([]byte{0, 0x40}, nibbles...), 1, 32)          // d = 2
	b.Tensor("q4_1", 3, append([]byte{0, 0x3c, 0, 0xc4}, nibbles...), 1, 32) // d = 1, m = -4
	b.Tensor("f16", 1, []byte{0, 0x3c, 1, 0, 0xff, 0x7b, 0, 0xfc, 0, 0x80, 0, 0xc1}, 6)
	b.Tensor("q2", 10, make([]byte, 84), 256)
	return b.Data()
}

func parse(t *testing.T, data string) *gguf.File {
	t.Helper()
	f, err := gguf.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestMetadata(t *testing.T) {
	f := parse(t, sample())
	if s, err := f.Text("general.architecture"); s != "llama" || err != nil {
		t.Errorf("architecture %q, %v", s, err)
	}
	if n, err := f.Uint("llama.block_count"); n != 3 || err != nil {
		t.Errorf("block_count %d, %v", n, err)
	}
	if n, err := f.Uint("big"); n != math.MaxUint64 || err != nil {
		t.Errorf("big %d, %v", n, err)
	}
	if x, err := f.Float("llama.eps"); x != 0.5 || err != nil {
		t.Errorf("eps %v, %v", x, err)
	}
	if b, err := f.Bool("yes"); !b || err != nil {
		t.Errorf("yes %v, %v", b, err)
	}
	if s, err := f.Texts("tokens"); !slices.Equal(s, []string{"a", "", "\xff"}) || err != nil {
		t.Errorf("tokens %q, %v", s, err)
	}
	if n, err := f.Ints("types"); !slices.Equal(n, []int32{1, -1, 3}) || err != nil {
		t.Errorf("types %v, %v", n, err)
	}
	if _, err := f.Uint("negative"); err == nil {
		t.Error("a negative number was taken for an unsigned one")
	}
	if _, err := f.Uint("yes"); err == nil {
		t.Error("a bool was taken for a number")
	}
	if _, err := f.Uint("absent"); !errors.Is(err, gguf.ErrMissing) {
		t.Errorf("absent key: %v", err)
	}
	if got := f.Metadata[6].Value.String(); got != `["a", "", "\xff"] (3 × string)` {
		t.Errorf("listing shows %s", got)
	}
}

func TestTensors(t *testing.T) {
	f := parse(t, sample())
	want := map[string][]float32{
		"plain": {1, -2.5, 3, 4, 5, 6},
		"f16":   {1, 0x1p-24, 65504, float32(math.Inf(-1)), float32(math.Copysign(0, -1)), -2.5},
		"q8":    make([]float32, 32), "q4_0": make([]float32, 32), "q4_1": make([]float32, 32),
	}
	for i := range 32 {
		q := i
		if i >= 16 {
			q = 31 - i
		}
		want["q8"][i] = 0.5 * float32(int8(byte(i*9)))
		want["q4_0"][i] = 2 * float32(q-8)
		want["q4_1"][i] = float32(q) - 4
	}
	for name, w := range want {
		x, err := f.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := x.F32(); !slices.Equal(got, w) {
			t.Errorf("%s: %v, want %v", name, got, w)
		}
	}
	m, err := f.Matrix("plain", 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	row := make([]float32, 3)
	if m.Rows(row, 1); !slices.Equal(row, []float32{4, 5, 6}) {
		t.Errorf("row 1 is %v", row)
	}
	if _, err := f.Matrix("plain", 3, 2); err == nil {
		t.Error("a wrong shape was accepted")
	}
	if _, err := f.Matrix("q2", 256); err == nil || !strings.Contains(err.Error(), "Q2_K") {
		t.Errorf("a type that cannot be decoded: %v", err)
	}
	if _, err := f.Tensor("absent"); !errors.Is(err, gguf.ErrMissing) {
		t.Errorf("absent tensor: %v", err)
	}
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.gguf")
	if err := os.WriteFile(path, []byte(sample()), 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := gguf.Open(path); err != nil || len(f.Tensors) != 6 {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(path, []byte("GGML not this"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := gguf.Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v does not name the file", err)
	}
}

func TestEveryTruncationIsAnError(t *testing.T) {
	data := sample()
	f := parse(t, data)
	last := f.Tensors[len(f.Tensors)-1]
	for n := range last.Offset + last.Bytes() {
		if _, err := gguf.Parse(data[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes were accepted", n, len(data))
		}
	}
}

func TestHostileNumbers(t *testing.T) {
	header := func(version uint32, tensors, entries uint64, rest ...byte) string {
		b := binary.LittleEndian.AppendUint32([]byte("GGUF"), version)
		b = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, tensors), entries)
		return string(append(b, rest...))
	}
	u32, u64 := binary.LittleEndian.AppendUint32, binary.LittleEndian.AppendUint64
	key := append(u64(nil, 1), 'k')
	array := func(elem uint32, n uint64, rest ...byte) string {
		return header(3, 0, 1, slices.Concat(key, u32(nil, 9), u32(nil, elem), u64(nil, n), rest, make([]byte, 64))...)
	}
	tensor := func(dims []uint64, typ uint32, off uint64, data int) string {
		b := append(append(u64(nil, 1), 't'), u32(nil, uint32(len(dims)))...)
		for _, d := range dims {
			b = u64(b, d)
		}
		b = u64(u32(b, typ), off)
		return header(3, 1, 0, append(b, make([]byte, data)...)...)
	}
	two := func(off1, off2 uint64) string {
		info := func(name byte, off uint64) []byte {
			return slices.Concat(u64(nil, 1), []byte{name}, u32(nil, 1), u64(nil, 64), u32(nil, 0), u64(nil, off))
		}
		return header(3, 2, 0, slices.Concat(info('a', off1), info('b', off2), make([]byte, 1024))...)
	}
	if _, err := gguf.Parse(two(256, 0)); err != nil {
		t.Errorf("tensors out of order: %v", err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for name, data := range map[string]string{
		"empty":                      "",
		"other magic":                "GGML" + header(3, 0, 0)[4:],
		"version 1":                  header(1, 0, 0),
		"version of the other order": header(3<<24, 0, 0),
		"2^64-1 entries":             header(3, 0, math.MaxUint64, make([]byte, 100)...),
		"2^40 entries":               header(3, 0, 1<<40, make([]byte, 100)...),
		"2^63 tensors":               header(3, 1<<63, 0, make([]byte, 100)...),
		"long key":                   header(3, 0, 1, append(u64(nil, 1<<62), make([]byte, 50)...)...),
		"unknown value type":         header(3, 0, 1, slices.Concat(key, u32(nil, 99), make([]byte, 50))...),
		"array of 2^61 uint64":       array(10, 1<<61),
		"array of 2^64-1 strings":    array(8, math.MaxUint64),
		"array of arrays":            array(9, 1),
		"array of unknown":           array(77, 0),
		"string past the end":        array(8, 2, u64(nil, 1<<33)...),
		"no dimensions":              tensor(nil, 0, 0, 64),
		"five dimensions":            tensor([]uint64{1, 1, 1, 1, 1}, 0, 0, 64),
		"dimension zero":             tensor([]uint64{0}, 0, 0, 64),
		"dimension 2^63":             tensor([]uint64{1 << 63}, 0, 0, 64),
		"product overflows":          tensor([]uint64{1 << 32, 1 << 32}, 0, 0, 64),
		"unknown tensor type":        tensor([]uint64{1}, 1000, 0, 64),
		"part of a block":            tensor([]uint64{33}, 8, 0, 640),
		"data past the end":          tensor([]uint64{1 << 20}, 0, 0, 64),
		"offset past the end":        tensor([]uint64{1}, 0, 1<<62, 64),
		"offset wraps":               tensor([]uint64{64}, 0, math.MaxUint64-31, 64),
		"odd offset":                 tensor([]uint64{1}, 0, 1, 640),
		"overlap":                    two(0, 224),
		"same place":                 two(0, 0),
		"same name":                  strings.Replace(two(0, 256), "b", "a", 1),
		"same key":                   header(3, 0, 2, slices.Concat(key, u32(nil, 7), []byte{1}, key, u32(nil, 7), []byte{1})...),
	} {
		if _, err := gguf.Parse(data); err == nil {
			t.Errorf("%s: accepted", name)
		} else if !strings.HasPrefix(err.Error(), "gguf: ") {
			t.Errorf("%s: error %q", name, err)
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes were allocated for files of at most 1 KB", n)
	}
	for name, align := range map[string]uint32{"zero": 0, "no power of two": 48, "huge": 1 << 31} {
		var b gguftest.Builder
		b.Set("general.alignment", align)
		if _, err := gguf.Parse(b.Data()); err == nil {
			t.Errorf("alignment %s: accepted", name)
		}
	}
}

// FuzzParse: whatever the bytes, Parse returns, allocates in proportion to the input, and what it accepts can be read in full.
func FuzzParse(f *testing.F) {
	f.Add(sample())
	f.Add(sample()[:200])
	f.Fuzz(func(t *testing.T, data string) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		file, err := gguf.Parse(data)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > uint64(64*len(data)+1<<20) {
			t.Fatalf("%d bytes allocated for %d", n, len(data))
		}
		if err != nil {
			return
		}
		for _, e := range file.Metadata {
			_ = e.Value.String()
			_, _ = file.Texts(e.Key)
			_, _ = file.Ints(e.Key)
			_, _ = file.Uint(e.Key)
			_, _ = file.Float(e.Key)
		}
		for _, x := range file.Tensors {
			if x.Offset+x.Bytes() > len(data) {
				t.Fatalf("tensor %q ends at %d of %d", x.Name, x.Offset+x.Bytes(), len(data))
			}
			if _, err := file.Matrix(x.Name, x.Shape...); err == nil && len(x.F32()) != x.Len() {
				t.Fatalf("tensor %q has %d values", x.Name, x.Len())
			}
		}
	})
}
