package view

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio/inspect"
	"github.com/stateio/stateio/store"
)

// bigStore makes a store of about so many bytes.
func bigStore(b *testing.B, total, update int) (dir string) {
	b.Helper()
	dir = b.TempDir()
	s, err := store.Open(dir, nothing{}, &store.Options{SnapshotBytes: -1, MaxPending: 16 << 20, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, update)
	for n := 0; n < total; n += update {
		copy(data, strconv.Itoa(n))
		if _, err := s.Submit(data); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return dir
}

// BenchmarkIndex reads a whole store for the page. The bound reads and hashes its bytes.
func BenchmarkIndex(b *testing.B) {
	for _, size := range []int{128, 4096} {
		dir := bigStore(b, 128<<20, size)
		m, err := inspect.OpenMap(dir)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(strconv.Itoa(size)+"/index", func(b *testing.B) {
			b.SetBytes(m.Files[0].Size)
			for b.Loop() {
				x := newIndex(m.Files[0], maxBuckets)
				if _, err := x.walk(m, 0, func() bool { return true }); err != nil || x.updates == 0 {
					b.Fatalf("%d updates, %v", x.updates, err)
				}
			}
		})
		b.Run(strconv.Itoa(size)+"/bound", func(b *testing.B) {
			b.SetBytes(m.Files[0].Size)
			for b.Loop() {
				f, err := os.Open(filepath.Join(dir, filepath.Base(m.Files[0].Path)))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.CopyBuffer(xxhash.New(), struct{ io.Reader }{f}, make([]byte, 256<<10)); err != nil {
					b.Fatal(err)
				}
				f.Close()
			}
		})
	}
}
