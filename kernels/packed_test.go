package kernels

import (
	"bytes"
	"slices"
	"testing"
)

func TestPackedMatrixReadsBack(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		r := newRand(50)
		const m, n, k = 13, 83, 100
		q, scale := QuantizeRows(normals(r, n*k), n, k)
		w := Pack(tier, q, scale, n, k)
		w.SetBias(normals(r, n))
		var b bytes.Buffer
		for range 2 { // one after the other, as in a file of many
			size := int64(b.Len())
			written, err := w.WriteTo(&b)
			if err != nil || written != int64(b.Len())-size || written%64 != 0 {
				t.Fatalf("WriteTo = %d, %v", written, err)
			}
		}
		x := NewRows(tier, m, k)
		x.Quantize(normals(r, m*k), m)
		want, got := make([]float32, m*n), make([]float32, m*n)
		w.MulTo(want, n, x, m)
		room := bytesOf(aligned[int8](b.Len() + 64))
		for _, at := range []int{0, 1} { // shared, then copied
			rest := room[at : at+b.Len()]
			copy(rest, b.Bytes())
			for len(rest) > 0 {
				var back *Matrix
				var err error
				if back, rest, err = ReadPacked(tier, n, k, rest); err != nil {
					t.Fatal(err)
				}
				if back.MulTo(got, n, x, m); !slices.Equal(got, want) {
					t.Fatalf("at %d: another product after reading back", at)
				}
			}
			kept := slices.Clone(room)
			back, _, err := ReadPacked(tier, n, k, room[at:])
			if err != nil {
				t.Fatal(err)
			}
			back.SetBias(make([]float32, n))
			if !bytes.Equal(room, kept) {
				t.Fatal("SetBias wrote into the packed bytes")
			}
		}
	})
}

func TestPackedMatrixOfOtherShapeIsAnError(t *testing.T) {
	const n, k = 20, 33
	var b bytes.Buffer
	if _, err := Pack(Generic, make([]int8, n*k), make([]float32, n), n, k).WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, 63, 64, 100, b.Len() - 1} {
		if _, _, err := ReadPacked(Generic, n, k, b.Bytes()[:size]); err == nil {
			t.Errorf("the first %d of %d bytes gave no error", size, b.Len())
		}
	}
	for _, s := range [][2]int{{n + 1, k}, {n, k - 1}, {k, n}} {
		if _, _, err := ReadPacked(Generic, s[0], s[1], b.Bytes()); err == nil {
			t.Errorf("%v gave no error", s)
		}
	}
	b.Bytes()[0] = byte(AMX)
	if _, _, err := ReadPacked(Generic, n, k, b.Bytes()); err == nil {
		t.Error("another tier's weights gave no error")
	}
}
