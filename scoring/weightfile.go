package scoring

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"github.com/pith-llm/pith/kernels"
)

// A weight file holds a model's matrices as the kernels want them, so that a start need not prepare them again. It is named
// after all that its contents depend on, written once, and mapped into memory by all who use it.
//
//	[0, 128)  magic, version of the preparation, tier, bytes that follow, their checksum, digest of the model
//	[128, …)  the matrices in the order of the pass, each as kernels.Matrix.WriteTo wrote it
//
// A file that is damaged or of another kind is prepared anew and replaced. Nothing is synced to disk: what a crash leaves
// fails the checksum.

const (
	weightMagic = "pithweights\n"
	// preparation is the version of what the passes do to weights before they are packed: folding, rotating, rounding. It
	// changes with them, as kernels.PackVersion does with the packing.
	preparation      = 2
	weightHeaderSize = 128
)

// WeightSource says where a model's prepared weights came from.
type WeightSource struct {
	// File is the path of the file in the cache directory; empty if there is no directory.
	File string
	// Mapped reports that the file was there and is used; otherwise weights were prepared from the model.
	Mapped bool
	// Err is why the file could not be written after that; nil if it was. It costs time at the next start and nothing else.
	Err error
	// Took is how long it took until the weights were ready.
	Took time.Duration
}

// log writes a line about a model that was loaded, which is a decoder or an encoder; logger may be nil.
func (s WeightSource) log(logger *slog.Logger, model string, precision Precision, tier kernels.Tier) {
	if logger == nil {
		return
	}
	from := "prepared"
	if s.Mapped {
		from = "mapped"
	}
	attributes := []slog.Attr{
		slog.String("model", model), slog.String("precision", precision.String()), slog.String("tier", tier.String()),
		slog.String("weights", from), slog.Int64("took_ms", s.Took.Milliseconds()),
	}
	if s.File != "" {
		attributes = append(attributes, slog.String("weight_file", s.File))
	}
	level := slog.LevelInfo
	if s.Err != nil {
		level = slog.LevelWarn
		attributes = append(attributes, slog.String("weight_file_error", s.Err.Error()))
	}
	logger.LogAttrs(context.Background(), level, "model loaded", attributes...)
}

// weightFile is the place of one model's prepared weights in a cache directory, or nowhere.
type weightFile struct {
	header  [weightHeaderSize]byte // without length and checksum
	source  WeightSource
	mapping *mapping // of a file that passed all checks
	tier    kernels.Tier
}

// slot is where a matrix [n, k] of a model is kept.
type slot struct {
	matrix **kernels.Matrix
	n, k   int
}

// openWeightFile looks in dir for the prepared weights of the model whose bytes are given. An empty dir has none.
func openWeightFile(dir, model string, tier kernels.Tier, workers int) *weightFile {
	w := &weightFile{tier: tier}
	if dir == "" {
		return w
	}
	digest := modelDigest(model, workers)
	copy(w.header[:], weightMagic)
	binary.NativeEndian.PutUint32(w.header[16:], preparation) // in another byte order it is another version
	binary.NativeEndian.PutUint32(w.header[20:], kernels.PackVersion)
	binary.NativeEndian.PutUint32(w.header[24:], uint32(tier))
	copy(w.header[64:], digest[:])
	name := fmt.Sprintf("%s-%v-%d.%d.weights", hex.EncodeToString(digest[:12]), tier, preparation, kernels.PackVersion)
	w.source.File = filepath.Join(dir, name)
	w.mapping = w.open(workers)
	return w
}

// open brings the file into memory and checks all of it; nil if it is not there or not right.
func (w *weightFile) open(workers int) *mapping {
	load := func(path string, _ int) (*mapping, error) { return mapFile(path) }
	if w.tier == kernels.AMX {
		load = readLarge
	}
	m, err := load(w.source.File, workers)
	if err != nil {
		return nil
	}
	if len(m.data) >= weightHeaderSize {
		body := m.data[weightHeaderSize:]
		want := w.header
		sealHeader(want[:], len(body), checksum(body, workers))
		if bytes.Equal(m.data[:weightHeaderSize], want[:]) {
			return m
		}
	}
	m.close()
	return nil
}

// sealHeader completes a header with what follows it.
func sealHeader(header []byte, size int, sum uint32) {
	binary.NativeEndian.PutUint64(header[32:], uint64(size))
	binary.NativeEndian.PutUint32(header[40:], sum)
}

// read sets the slots to the matrices of the file, which share its memory: the memory stays mapped as long as owner is
// reachable. It reports false, with no slot set, if there is no good file.
func read[T any](w *weightFile, owner *T, tier kernels.Tier, slots []slot) bool {
	if w.mapping == nil {
		return false
	}
	matrices := make([]*kernels.Matrix, len(slots))
	rest := w.mapping.data[weightHeaderSize:]
	var err error
	for i, s := range slots {
		if matrices[i], rest, err = kernels.ReadPacked(tier, s.n, s.k, rest); err != nil {
			break
		}
	}
	if err != nil || len(rest) > 0 { // the version should have changed
		w.mapping.close()
		w.mapping = nil
		return false
	}
	for i, s := range slots {
		*s.matrix = matrices[i]
	}
	w.source.Mapped = true
	runtime.AddCleanup(owner, (*mapping).close, w.mapping)
	return true
}

// write saves the matrices of the slots, if there is a directory for them, and then uses the file's memory in place of
// theirs: where it is mapped, other processes share it and the system may drop it and read it again.
func write[T any](w *weightFile, owner *T, tier kernels.Tier, slots []slot, workers int) {
	if w.source.File == "" {
		return
	}
	if w.source.Err = w.save(slots); w.source.Err != nil {
		return
	}
	if w.mapping = w.open(workers); read(w, owner, tier, slots) {
		w.source.Mapped = false // the weights were prepared this time
	}
}

// save writes the file whole or not at all.
func (w *weightFile) save(slots []slot) (err error) {
	dir := filepath.Dir(w.source.File)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, strings.TrimSuffix(filepath.Base(w.source.File), "weights")+"*.part") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	if err := errors.Join(w.fill(file, slots), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), w.source.File)
}

func (w *weightFile) fill(file *os.File, slots []slot) error {
	var body sizeAndSum
	out := bufio.NewWriterSize(io.MultiWriter(file, &body), 1<<20)
	if _, err := file.Write(w.header[:]); err != nil {
		return err
	}
	for _, s := range slots {
		if _, err := (*s.matrix).WriteTo(out); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	header := w.header
	sealHeader(header[:], body.size, body.sum())
	_, err := file.WriteAt(header[:], 0)
	return err
}

// digestPart is how much of a model one goroutine hashes at a time.
const digestPart = 1 << 22

// modelDigest identifies a model by all of its bytes: the SHA-256 of the SHA-256 of its parts, which as many goroutines as
// there are workers compute. 98 MB take about 30 ms on two cores with SHA instructions.
func modelDigest(model string, workers int) [sha256.Size]byte {
	data := unsafe.Slice(unsafe.StringData(model), len(model)) // only read
	parts := make([]byte, (len(data)+digestPart-1)/digestPart*sha256.Size)
	_ = inParallel(len(parts)/sha256.Size, workers, func(i int) error {
		sum := sha256.Sum256(data[i*digestPart : min((i+1)*digestPart, len(data))])
		copy(parts[i*sha256.Size:], sum[:])
		return nil
	})
	return sha256.Sum256(binary.LittleEndian.AppendUint64(parts, uint64(len(data))))
}

// castagnoli is the polynomial that CPUs compute: 10 GB/s and more.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumPart is how much of a file has a checksum of its own.
const sumPart = 1 << 20

// sizeAndSum is a writer that computes the checksum of what passes.
type sizeAndSum struct {
	size int
	part uint32
	sums []byte
}

func (s *sizeAndSum) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		n := min(len(rest), sumPart-s.size%sumPart)
		s.part = crc32.Update(s.part, castagnoli, rest[:n])
		if s.size += n; s.size%sumPart == 0 {
			s.sums, s.part = binary.LittleEndian.AppendUint32(s.sums, s.part), 0
		}
		rest = rest[n:]
	}
	return len(b), nil
}

// sum is what checksum returns for all that was written.
func (s *sizeAndSum) sum() uint32 {
	sums := s.sums
	if s.size%sumPart > 0 {
		sums = binary.LittleEndian.AppendUint32(sums, s.part)
	}
	return crc32.Checksum(sums, castagnoli)
}

// checksum is the CRC-32C of the CRC-32C of the data's parts: several goroutines read the pages in, which is most of the
// work.
func checksum(data []byte, workers int) uint32 {
	sums := make([]byte, (len(data)+sumPart-1)/sumPart*4)
	_ = inParallel(len(sums)/4, workers, func(i int) error {
		part := data[i*sumPart : min((i+1)*sumPart, len(data))]
		binary.LittleEndian.PutUint32(sums[i*4:], crc32.Checksum(part, castagnoli))
		return nil
	})
	return crc32.Checksum(sums, castagnoli)
}
