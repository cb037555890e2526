package memfs

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/fsystest"
)

// workload is the file system of a small store in the middle of a commit: a
// snapshot, an old log, and a log in preallocated space with some records
// synced and a batch written that is not.
func workload(tb testing.TB, opts Options, batch int) *FS {
	m := New(opts)
	fsystest.Mkdir(tb, m, "/s")
	fsystest.Create(tb, m, "/s/LOCK", "")
	for _, name := range []string{"1.snap", "1.log"} {
		f := fsystest.Create(tb, m, "/s/"+name, string(make([]byte, 10_000)))
		if err := f.Sync(); err != nil {
			tb.Fatal(err)
		}
	}
	f := fsystest.Create(tb, m, "/s/2.log", "")
	if err := f.Preallocate(0, 64<<20); err != nil {
		tb.Fatal(err)
	}
	fsystest.WriteAt(tb, f, 0, string(noise[0])+string(noise[1][:500]))
	if err := f.Sync(); err != nil {
		tb.Fatal(err)
	}
	for _, dir := range []string{"/", "/s"} {
		if err := m.SyncDir(dir); err != nil {
			tb.Fatal(err)
		}
	}
	for i := range batch {
		fsystest.WriteAt(tb, f, 4596+int64(i)*4096, string(noise[i%4]))
	}
	fsystest.Create(tb, m, "/s/2.snap.tmp", "")
	return m
}

// BenchmarkCrash draws crash states of a small store: one op is one state.
func BenchmarkCrash(b *testing.B) {
	for _, pageSize := range []int{512, 4096} {
		b.Run(fmt.Sprint("page=", pageSize), func(b *testing.B) {
			m := workload(b, Options{PageSize: pageSize}, 3)
			rng := rand.New(rand.NewPCG(1, 2))
			b.ReportAllocs()
			for b.Loop() {
				m.Crash(rng)
			}
		})
	}
}

// BenchmarkCrashCycle is what a harness does: commit a batch, crash, reopen the
// state, read the log, write what is found, sync. One op is one state.
func BenchmarkCrashCycle(b *testing.B) {
	for _, pageSize := range []int{512, 4096} {
		b.Run(fmt.Sprint("page=", pageSize), func(b *testing.B) {
			m := workload(b, Options{PageSize: pageSize}, 3)
			rng := rand.New(rand.NewPCG(1, 2))
			buf := make([]byte, 32<<10)
			b.ReportAllocs()
			for b.Loop() {
				after := m.Crash(rng)
				f, err := after.Open("/s/2.log", fsys.ReadWrite, 0)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := f.ReadAt(buf, 0); err != nil {
					b.Fatal(err)
				}
				if _, err := f.WriteAt(noise[0][:1000], 5000); err != nil {
					b.Fatal(err)
				}
				if err := f.Sync(); err != nil {
					b.Fatal(err)
				}
				after.Crash(rng)
			}
		})
	}
}
