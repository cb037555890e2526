package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

// BenchmarkSubmitWithInterval submits updates of 1 KiB as fast as it can: with a
// SyncInterval, full batches do not wait for it. One op is 16 MiB, durable.
func BenchmarkSubmitWithInterval(b *testing.B) {
	for _, d := range []time.Duration{0, time.Second} {
		b.Run(fmt.Sprint("interval=", d), func(b *testing.B) {
			s := open(b, b.TempDir(), nothing{}, &store.Options{SnapshotBytes: -1, SyncInterval: d})
			update := make([]byte, 1<<10)
			b.SetBytes(16 << 20)
			for b.Loop() {
				for range 16 << 10 {
					if _, err := s.Submit(update); err != nil {
						b.Fatal(err)
					}
				}
				if err := s.Sync(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
