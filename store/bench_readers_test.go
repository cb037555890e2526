package store_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

// BenchmarkUpdateWithReaders measures what 64 writers reach while readers are busy
// with Views of 100 us all the time: the metric of-quiet is the ratio of their rate
// to that without readers, in turns on one store. view-p99 is in microseconds.
func BenchmarkUpdateWithReaders(b *testing.B) {
	for _, readers := range []int{1, 4} {
		b.Run(fmt.Sprint("readers=", readers), func(b *testing.B) {
			s := open(b, b.TempDir(), nothing{}, &store.Options{SnapshotBytes: -1})
			var count, commits [2]int64
			var views []time.Duration
			for b.Loop() {
				for i, n := range []int{0, readers} {
					before := s.Stats().Batches
					made, took := writeWithReaders(s, n)
					commits[i] += int64(s.Stats().Batches - before)
					count[i] += made
					views = append(views, took...)
				}
			}
			slices.Sort(views)
			b.ReportMetric(float64(count[1])/float64(count[0]), "of-quiet")
			b.ReportMetric(float64(count[1])/float64(commits[1]), "updates/commit")
			b.ReportMetric(float64(views[len(views)*99/100].Microseconds()), "view-p99")
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// writeWithReaders has 64 writers and some readers at work for a moment, and returns
// how many updates were made and how long the Views took.
func writeWithReaders(s *store.Store, readers int) (made int64, views []time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), 250*time.Millisecond)
	defer cancel()
	var all sync.WaitGroup
	var mu sync.Mutex
	var n atomic.Int64
	for range readers {
		all.Go(func() {
			var took []time.Duration
			for ctx.Err() == nil {
				start := time.Now()
				_ = s.View(func() error { // it never fails
					var until time.Duration
					for scan := time.Now(); until < 100*time.Microsecond; {
						until = time.Since(scan)
					}
					return nil
				})
				took = append(took, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			views = append(views, took...)
		})
	}
	update := make([]byte, benchUpdate)
	for range 64 {
		all.Go(func() {
			for ctx.Err() == nil {
				if _, err := s.Update(context.Background(), update); err != nil {
					return
				}
				n.Add(1)
			}
		})
	}
	all.Wait()
	return n.Load(), views
}
