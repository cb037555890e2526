package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/crashtest"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// A patient is a store that works while operations of its file system fail.
type patient struct {
	t      testing.TB
	dir    string
	mem    *memfs.FS
	fs     *faultfs.FS
	h      *crashtest.History
	s      *store.Store
	failed bool // ErrFailed was seen since the store was opened
}

// note notes the outcome of a step.
func (p *patient) note(what string, err error) {
	p.t.Helper()
	switch {
	case err == nil && p.failed && what != "close":
		p.t.Errorf("%s succeeded after the store had failed", what)
	case errors.Is(err, store.ErrFailed):
		p.failed = true
	case err != nil && !strings.HasPrefix(err.Error(), "store: "):
		p.t.Errorf("%s: %q does not begin with the package's name", what, err)
	}
}

// update makes an update, and keeps the history right whatever happens.
func (p *patient) update(size int) {
	p.t.Helper()
	before := p.s.Index()
	u := p.h.Next(size)
	_, err := p.s.Update(p.t.Context(), u)
	p.note("update", err)
	switch {
	case p.s.Index() == before:
		if err == nil {
			p.t.Error("an update was acknowledged and not applied")
		}
		p.h.Refused()
	case err == nil:
		p.h.Acked(p.h.Len())
	case errors.Is(err, store.ErrNoSpace):
		p.t.Errorf("%v, and the update was applied", err)
	}
}

func (p *patient) submit(size int) {
	p.t.Helper()
	before := p.s.Index()
	u := p.h.Next(size)
	_, err := p.s.Submit(u)
	if p.s.Index() == before {
		p.note("submit", err)
		p.h.Refused()
	}
}

// open opens the store. It reports false if that failed.
func (p *patient) open() bool {
	p.t.Helper()
	m := &crashtest.Machine{Size: 5000}
	s, err := store.Open(p.dir, m, quiet(&store.Options{SnapshotBytes: -1, PreallocateBytes: 3000, KeepSnapshots: 1}))
	if err != nil {
		p.note("open", err)
		return false
	}
	p.s, p.failed = s, false
	if err := p.h.Check(m); err != nil {
		p.t.Error(err)
	}
	p.h.Recovered(m)
	return true
}

func (p *patient) close() {
	p.t.Helper()
	p.note("close", p.s.Close())
}

// live is what happens to a store while faults hit it.
func (p *patient) live() {
	p.t.Helper()
	for gen := range 2 {
		if !p.open() {
			continue
		}
		for i := range 3 {
			p.update(100)
			p.submit(40)
			p.submit(4000)
			ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Second)
			if err := p.s.Sync(ctx); err == nil {
				p.h.Acked(p.h.Len()) // which a store that has failed may say, too
			} else if !errors.Is(err, store.ErrFailed) {
				p.t.Errorf("Sync: %v", err)
			}
			cancel()
			if i+gen > 0 {
				p.note("snapshot", p.s.Snapshot(p.t.Context()))
			}
			p.update(2000)
		}
		p.close()
	}
}

// Whatever fails, once or for ever: nothing is acknowledged after a failure,
// and the store that is opened afterwards, on what the cache shows or on what a
// power cut leaves, holds an exact prefix with all that was acknowledged.
func TestFaultsAtEveryOperation(t *testing.T) {
	kinds := []faultfs.Kind{
		faultfs.OpOpen, faultfs.OpCreate, faultfs.OpLock, faultfs.OpUnlock, faultfs.OpMkdir, faultfs.OpRename, faultfs.OpRemove, faultfs.OpStat,
		faultfs.OpList, faultfs.OpSyncDir, faultfs.OpRead, faultfs.OpWrite, faultfs.OpSync, faultfs.OpDatasync,
		faultfs.OpPreallocate, faultfs.OpTruncate, faultfs.OpDropCache, faultfs.OpClose,
	}
	faults := []faultfs.Fault{
		{Err: syscall.EIO},
		{Err: syscall.ENOSPC},
		{Err: syscall.EMFILE},
		{Err: syscall.EIO, After: true},
		{Err: syscall.EIO, Short: 1},
		{Err: syscall.ENOSPC, Short: 700},
		{Err: syscall.EIO, Revert: true},
	}
	if testing.Short() {
		faults = faults[:2]
	}
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			for _, fault := range faults {
				for _, forever := range []bool{false, true} {
					fault.Kinds, fault.Forever = kind, forever
					sweep(t, fault)
				}
			}
		})
	}
}

// sweep hits the 1st, 2nd, 3rd, ... operation with fault until a life passes
// without a hit.
func sweep(t *testing.T, fault faultfs.Fault) {
	for n := int64(1); ; n++ {
		fault.N = n
		hit := false
		ok := t.Run(fmt.Sprintf("n=%d,%v,short=%d,after=%v,revert=%v,forever=%v", n, fault.Err, fault.Short, fault.After, fault.Revert, fault.Forever),
			func(t *testing.T) { hit = suffer(t, fault) })
		if !hit || !ok {
			return
		}
	}
}

// suffer lives through one fault and examines what is left. It reports whether
// the fault hit anything.
func suffer(t *testing.T, fault faultfs.Fault) bool {
	const dir = "/faults"
	mem := memfs.New(memfs.Options{})
	p := &patient{t: t, dir: dir, mem: mem, fs: faultfs.New(mem), h: crashtest.NewHistory()}
	var transcript strings.Builder
	p.fs.Transcript(&transcript)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("transcript:\n%s", &transcript)
		}
	})
	unmount := storefs.Mount(dir, p.fs)
	injection := p.fs.Inject(fault)
	if fault.Err == syscall.ENOSPC {
		// What was applied waits until there is space.
		p.fs.OnOp(func(op faultfs.Op) {
			if op.Kind == faultfs.OpWrite && injection.Hits() > 4 {
				p.fs.Heal()
			}
		})
	}
	p.live()
	unmount()
	rng := rand.New(rand.NewPCG(uint64(fault.N), uint64(fault.Kinds)))
	for i, left := range []*memfs.FS{mem.Kill(), mem.Crash(rng), mem.Crash(rng), mem.Crash(rng)} {
		unmount := storefs.Mount(dir, left)
		m := &crashtest.Machine{Size: 5000}
		s, err := store.Open(dir, m, quiet(nil))
		if err == nil {
			err = p.h.Check(m)
			s.Close()
		}
		unmount()
		if err != nil {
			t.Errorf("state %d afterwards: %v", i, err)
		}
	}
	return injection.Hits() > 0
}

// A fault during the recovery from a crash, and a crash then, leaves a store
// that opens afterwards.
func TestFaultsDuringRecovery(t *testing.T) {
	const dir = "/recovery"
	runs := 60
	if testing.Short() {
		runs = 10
	}
	for seed := range uint64(runs) {
		rng := rand.New(rand.NewPCG(seed, 5))
		mem := memfs.New(memfs.Options{Garbage: seed%2 == 0, PageSize: []int{512, 4096}[seed%2]})
		p := &patient{t: t, dir: dir, mem: mem, fs: faultfs.New(mem), h: crashtest.NewHistory()}
		crash := p.fs.Inject(faultfs.Fault{Kinds: faultfs.Changes, N: 10 + rng.Int64N(80), Stop: true})
		unmount := storefs.Mount(dir, p.fs)
		p.live()
		unmount()
		if crash.Hits() == 0 {
			t.Fatal("the crash did not come")
		}
		for n := int64(1); ; n++ {
			after := mem.Crash(rng)
			faulty := faultfs.New(after)
			hit := faulty.Inject(faultfs.Fault{N: n, Err: syscall.EIO, Forever: rng.IntN(2) == 0})
			unmount := storefs.Mount(dir, faulty)
			s, err := store.Open(dir, &crashtest.Machine{}, quiet(nil))
			if err == nil {
				s.Close()
			}
			unmount()
			for _, left := range []*memfs.FS{after.Kill(), after.Crash(rng)} {
				unmount := storefs.Mount(dir, left)
				m := &crashtest.Machine{}
				s, err := store.Open(dir, m, quiet(nil))
				if err == nil {
					err = p.h.Check(m)
					s.Close()
				}
				unmount()
				if err != nil {
					t.Fatalf("seed %d, a fault at operation %d of the recovery: %v", seed, n, err)
				}
			}
			if hit.Hits() == 0 {
				break
			}
		}
	}
}
