package gguf_test

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pith-llm/pith/scoring/gguf"
	"github.com/pith-llm/pith/scoring/gguf/gguftest"
)

// The blocks are random, and their values those of ggml's own Python package: see testdata/blocks.py.
func TestBlocksEqualGGML(t *testing.T) {
	file, err := os.ReadFile("testdata/blocks.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	types := 0
	for line := range strings.Lines(string(file)) {
		var golden struct {
			Name string
			Type gguf.TensorType
			Data []byte
			F32  []byte
		}
		if err := json.Unmarshal([]byte(line), &golden); err != nil {
			t.Fatal(err)
		}
		types++
		if got := golden.Type.String(); got != golden.Name {
			t.Errorf("type %d is called %s, want %s", golden.Type, got, golden.Name)
		}
		want := make([]float32, len(golden.F32)/4)
		for i := range want {
			want[i] = math.Float32frombits(binary.LittleEndian.Uint32(golden.F32[4*i:]))
		}
		var b gguftest.Builder
		b.Tensor("x", uint32(golden.Type), golden.Data, 1, len(want))
		x, err := parse(t, b.Data()).Matrix("x", 1, len(want))
		if err != nil {
			t.Error(err)
			continue
		}
		got := x.F32()
		if i := slices.IndexFunc(want, func(v float32) bool { return v != 0 }); i < 0 {
			t.Errorf("%s: the file holds zeros only", golden.Name)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: value %d is %v, want %v", golden.Name, i, got[i], want[i])
				break
			}
		}
	}
	if types != 9 {
		t.Errorf("the file has %d types", types)
	}
}

// FuzzBlocks: blocks of any bytes are decoded to as many values as they hold, and the rows of a matrix are those of the whole.
func FuzzBlocks(f *testing.F) {
	types := []struct {
		id            uint32
		values, bytes int
	}{{30, 1, 2}, {6, 32, 22}, {7, 32, 24}, {12, 256, 144}, {13, 256, 176}, {14, 256, 210}, {2, 32, 18}, {3, 32, 20}, {8, 32, 34}, {1, 1, 2}}
	for i := range types {
		f.Add(uint8(i), strings.Repeat("\x01\xfe\x7c", 210))
	}
	f.Fuzz(func(t *testing.T, which uint8, data string) {
		typ := types[int(which)%len(types)]
		rows := min(len(data)/typ.bytes, 5)
		if rows == 0 {
			return
		}
		var b gguftest.Builder
		b.Tensor("x", typ.id, []byte(data[:rows*typ.bytes]), rows, typ.values)
		x, err := parse(t, b.Data()).Matrix("x", rows, typ.values)
		if err != nil {
			t.Fatal(err)
		}
		all := x.F32()
		row := make([]float32, typ.values)
		for i := range rows {
			x.Rows(row, i)
			for j, v := range row {
				if math.Float32bits(v) != math.Float32bits(all[i*typ.values+j]) {
					t.Fatalf("type %d: value %d of row %d is %v alone, %v in the whole", typ.id, j, i, v, all[i*typ.values+j])
				}
			}
		}
	})
}
