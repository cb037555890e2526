package store_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/store"
)

// nothing is a machine without a state.
type nothing struct{}

func (nothing) Apply([]byte) (any, error) { return nil, nil }

func (nothing) Snapshot() (io.WriterTo, error) { return journalState(nil), nil }

func (nothing) Restore(io.Reader) error { return nil }

const benchUpdate = 128 // bytes

// BenchmarkUpdate is beside BenchmarkOverwrite, its bound: compare the two of
// one run. One op is one update, acknowledged.
func BenchmarkUpdate(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		b.Run(fmt.Sprint("goroutines=", n), func(b *testing.B) {
			s := open(b, b.TempDir(), nothing{}, nil)
			update := make([]byte, benchUpdate)
			each(b, n, func() error {
				_, err := s.Update(context.Background(), update)
				return err
			})
			st := s.Stats()
			b.ReportMetric(float64(st.Updates)/float64(st.Batches), "updates/commit")
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// each does b.N operations in n goroutines.
func each(b *testing.B, n int, do func() error) {
	b.ReportAllocs()
	b.SetBytes(benchUpdate)
	var wg sync.WaitGroup
	b.ResetTimer()
	for g := range n {
		count := b.N / n
		if g < b.N%n {
			count++
		}
		wg.Go(func() {
			for range count {
				if err := do(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
}

// BenchmarkOverwrite is what a disk can do: it overwrites preallocated space
// with what an update of BenchmarkUpdate takes in the log, and syncs.
func BenchmarkOverwrite(b *testing.B) { each(b, 1, overwriter(b)) }

// overwriter returns a function that overwrites and syncs once.
func overwriter(b *testing.B) func() error {
	const record = 15 + 9 + 12 + benchUpdate
	const space = 1 << 20
	f, err := fsys.OS{}.Open(filepath.Join(b.TempDir(), "file"), fsys.Create, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	if _, err := f.WriteAt(make([]byte, space), 0); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	update := make([]byte, record)
	off := int64(0)
	return func() error {
		if off += record; off+record > space {
			off = 0
		}
		update[0]++
		if _, err := f.WriteAt(update, off); err != nil {
			return err
		}
		return f.Datasync()
	}
}

// BenchmarkUpdateOfBound measures what one writer reaches of its bound in turns
// of a hundred operations of each, because disks change their speed from one
// second to the next. The metric of-bound is the ratio of the rates.
func BenchmarkUpdateOfBound(b *testing.B) {
	s := open(b, b.TempDir(), nothing{}, nil)
	overwrite := overwriter(b)
	update := make([]byte, benchUpdate)
	var took [2]time.Duration
	for b.Loop() {
		for i, do := range []func() error{overwrite, func() error {
			_, err := s.Update(context.Background(), update)
			return err
		}} {
			start := time.Now()
			for range 100 {
				if err := do(); err != nil {
					b.Fatal(err)
				}
			}
			took[i] += time.Since(start)
		}
	}
	b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "of-bound")
}

// replaySizes are the sizes of updates and how many of them are replayed.
var replaySizes = []struct{ size, count int }{{128, 1_000_000}, {4096, 100_000}, {65536, 6000}}

// BenchmarkReplay is beside BenchmarkReadSum, its bound: compare the two of one
// run. One op replays a log.
func BenchmarkReplay(b *testing.B) {
	for _, tt := range replaySizes {
		b.Run(fmt.Sprint("update=", tt.size), func(b *testing.B) {
			dir, bytes := replayDir(b, tt.size, tt.count)
			b.SetBytes(bytes)
			b.ReportAllocs()
			for b.Loop() {
				if err := store.RestoreAt(b.Context(), dir, nothing{}, uint64(tt.count), nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkReadSum reads the file that BenchmarkReplay replays, and hashes it.
func BenchmarkReadSum(b *testing.B) {
	for _, tt := range replaySizes {
		b.Run(fmt.Sprint("update=", tt.size), func(b *testing.B) {
			dir, bytes := replayDir(b, tt.size, tt.count)
			b.SetBytes(bytes)
			buf := make([]byte, 256<<10)
			for b.Loop() {
				f, err := os.Open(filepath.Join(dir, "00000000000000000000.log"))
				if err != nil {
					b.Fatal(err)
				}
				h := xxhash.New()
				if _, err := io.CopyBuffer(h, struct{ io.Reader }{f}, buf); err != nil {
					b.Fatal(err)
				}
				f.Close()
			}
		})
	}
}

// replayDir makes a store with count updates and returns the size of its log.
func replayDir(b *testing.B, size, count int) (dir string, bytes int64) {
	dir = b.TempDir()
	s := open(b, dir, nothing{}, &store.Options{SnapshotBytes: -1, PreallocateBytes: 64 << 20})
	update := make([]byte, size)
	for range count {
		if _, err := s.Submit(update); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "00000000000000000000.log"))
	if err != nil {
		b.Fatal(err)
	}
	return dir, info.Size()
}
