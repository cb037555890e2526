package store_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

const bigState = 1 << 30 // bytes

// big is a machine with a snapshot of bigState bytes that takes no memory.
type big struct{ nothing }

func (big) Snapshot() (io.WriterTo, error) { return bigSnapshot{}, nil }

type bigSnapshot struct{}

func (bigSnapshot) WriteTo(w io.Writer) (n int64, err error) {
	b := make([]byte, 64<<10)
	for i := range b {
		b[i] = byte(i * 7)
	}
	for n < bigState && err == nil {
		var k int
		k, err = w.Write(b)
		n += int64(k)
	}
	return n, err
}

// BenchmarkUpdateBesideSnapshot measures, for 16 writers, the p99 and the
// longest time of an update for some seconds without and then with a snapshot
// of 1 GiB being written; and beside a plain copy of 1 GiB, which is what the
// disk does to anybody. The unit is milliseconds, and MiB for the memory that
// the snapshot took at most.
func BenchmarkUpdateBesideSnapshot(b *testing.B) {
	dir := b.TempDir()
	s := open(b, dir, big{}, &store.Options{SnapshotBytes: -1})
	for b.Loop() {
		alone := latencies(b, s, func() { time.Sleep(3 * time.Second) })
		copying := latencies(b, s, func() { plainCopy(b, dir) })
		runtime.GC()
		var before, peak runtime.MemStats
		runtime.ReadMemStats(&before)
		beside := latencies(b, s, func() {
			done := make(chan error)
			go func() { done <- s.Snapshot(context.Background()) }()
			for {
				select {
				case err := <-done:
					if err != nil {
						b.Error(err)
					}
					return
				case <-time.After(20 * time.Millisecond):
					var now runtime.MemStats
					runtime.ReadMemStats(&now)
					if now.HeapInuse > peak.HeapInuse {
						peak = now
					}
				}
			}
		})
		report(b, alone, "alone")
		report(b, copying, "copy")
		report(b, beside, "snapshot")
		b.ReportMetric(float64(peak.HeapInuse)/(1<<20)-float64(before.HeapInuse)/(1<<20), "MiB-more")
	}
}

// plainCopy writes 1 GiB to a file, syncs it once, and removes it.
func plainCopy(b *testing.B, dir string) {
	path := filepath.Join(dir, "copy")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := (bigSnapshot{}).WriteTo(f); err != nil {
		b.Error(err)
	}
	if err := f.Sync(); err != nil {
		b.Error(err)
	}
	f.Close()
	if err := os.Remove(path); err != nil {
		b.Error(err)
	}
}

// latencies has 16 writers update s while do runs, and returns how long each
// update took, sorted.
func latencies(b *testing.B, s *store.Store, do func()) []time.Duration {
	stop := make(chan struct{})
	var mu sync.Mutex
	var all []time.Duration
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			var took []time.Duration
			update := make([]byte, benchUpdate)
			for {
				select {
				case <-stop:
					mu.Lock()
					defer mu.Unlock()
					all = append(all, took...)
					return
				default:
				}
				start := time.Now()
				if _, err := s.Update(context.Background(), update); err != nil {
					b.Error(err)
					return
				}
				took = append(took, time.Since(start))
			}
		})
	}
	do()
	close(stop)
	wg.Wait()
	slices.Sort(all)
	return all
}

func report(b *testing.B, took []time.Duration, what string) {
	ms := func(d time.Duration) float64 { return float64(d) / 1e6 }
	b.ReportMetric(ms(took[len(took)*99/100]), what+"-p99")
	b.ReportMetric(ms(took[len(took)-1]), what+"-max")
}
