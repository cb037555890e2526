package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/crashtest"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/fsys/memfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// A look at a store that another process has open sees it change between any two
// of their own file operations, in the middle of whatever the store does. Nothing
// of that is taken for damage, and nothing that was durable is missing.
func TestCrashBeside(t *testing.T) {
	count := int64(30_000)
	if testing.Short() {
		count = 3000
	}
	b := crashtest.NewBudget(t, count)
	if b.Seed != 0 {
		newChanging(b.Seed).run(t)
		return
	}
	seed := uint64(1)
	if b.Time > 0 {
		seed = rand.Uint64()
	}
	n := int64(0)
	for start := time.Now(); !t.Failed() && (b.Time == 0 && n < b.Count || b.Time > 0 && time.Since(start) < b.Time); n++ {
		newChanging(seed).run(t)
		seed++
	}
	t.Logf("%d looks", n)
}

// changing is a store that changes while it is looked at.
type changing struct {
	seed uint64
	// What is done before the look, and meanwhile, spelled as writer.do reads it.
	before, meanwhile string
	look              int
	// What is done meanwhile begins at operation from of the look, stops before
	// two of its own changes, and goes on at two operations.
	from   int
	pauses [2]int64
	to     [2]int
	keep   int // snapshots
}

func newChanging(seed uint64) *changing {
	rng := rand.New(rand.NewPCG(seed, 0xbe51de))
	links := rng.IntN(3) == 0
	from := 1 + rng.IntN(25)
	return &changing{
		seed: seed, before: "u" + story(rng, rng.IntN(6), links), meanwhile: story(rng, 1+rng.IntN(6), links),
		look: rng.IntN(len(looks)), from: from,
		pauses: [2]int64{1 + rng.Int64N(24), 1 + rng.Int64N(24)}, to: [2]int{from + 1 + rng.IntN(25), from + 1 + rng.IntN(25)},
		keep: 1 + 99*rng.IntN(2),
	}
}

// story returns n things that a writer can do one after the other. Where links are made, its
// snapshots do not fail: a log that gives way to a copy of itself would fail instead.
func story(rng *rand.Rand, n int, links bool) string {
	seen, fresh := "uuubbsso", "uubsffgh" // where nothing, or something, is new for a snapshot
	if links {
		seen, fresh = "uubsoll", "ubssoll"
	}
	s, from := make([]byte, n), seen
	for i := range s {
		s[i] = from[rng.IntN(len(from))]
		switch s[i] {
		case 'u', 'b':
			from = fresh
		case 's', 'o', 'g', 'h':
			from = seen
		}
	}
	return string(s)
}

func (c *changing) String() string {
	return fmt.Sprintf("STATEIO_CRASH_SEED=%d: %s after %q; from operation %d of it on %q was done, which stopped before changes %d and went on at operations %d",
		c.seed, looks[c.look].what, c.before, c.from, c.meanwhile, c.pauses, c.to)
}

func (c *changing) run(t *testing.T) {
	const dir, other = "/changing", "/changing/." // the same directory
	mem := memfs.New(memfs.Options{})
	w := &writer{t: t, dir: dir, mem: mem, fs: faultfs.New(mem), keep: c.keep}
	looker := faultfs.New(mem)
	defer storefs.Mount(dir, w.fs)()
	defer storefs.Mount(other, looker)()
	if w.open(); w.s == nil {
		return
	}
	defer func() { w.s.Close() }() // the one that is open then
	w.do(c.before)

	stopped, goOn, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var changes atomic.Int64
	w.fs.OnOp(func(op faultfs.Op) {
		if op.Kind&faultfs.Changes == 0 || op.Kind != faultfs.OpRename && strings.HasSuffix(op.Path, ".tmp") {
			return // nobody sees it
		}
		if slices.Contains(c.pauses[:], changes.Add(1)) {
			stopped <- struct{}{}
			<-goOn
		}
	})
	ops, waits := 0, false
	wait := func() {
		select {
		case <-stopped:
			waits = true
		case <-done:
			waits = false
		}
	}
	looker.OnOp(func(faultfs.Op) {
		ops++
		switch {
		case ops == c.from:
			go func() {
				w.do(c.meanwhile)
				close(done)
			}()
			wait()
		case waits && slices.Contains(c.to[:], ops):
			goOn <- struct{}{}
			wait()
		}
	})
	durable := w.s.Stats().Durable
	err := looks[c.look].do(t.Context(), other, durable)
	looker.OnOp(nil)
	for waits {
		goOn <- struct{}{}
		wait()
	}
	w.fs.OnOp(nil)
	if errors.Is(err, store.ErrNotRetained) && c.keep == 1 {
		err = looks[c.look].do(t.Context(), other, durable) // it stays away
		if !errors.Is(err, store.ErrNotRetained) {
			t.Errorf("%v: not retained, and then %v", c, err)
		}
		return
	}
	if err != nil {
		t.Errorf("%v: %v", c, err)
	}
}

// A writer is who has a store open.
type writer struct {
	t    *testing.T
	dir  string
	mem  *memfs.FS
	fs   *faultfs.FS
	keep int
	s    *store.Store

	copies int // made of hard links
}

func (w *writer) open() {
	s, err := store.Open(w.dir, &journal{}, quiet(&store.Options{PreallocateBytes: 600, SnapshotBytes: -1, KeepSnapshots: w.keep}))
	if err != nil {
		w.t.Error(err)
		return
	}
	w.s = s
}

// do does what is spelled: u is an update, b is four that are submitted, s is a
// snapshot, with a new log, f is one that fails when this has its name, g and h are
// those that can't even remove it, or not durably, and Open then, o is Close and Open, l is
// a copy of the directory made of hard links.
func (w *writer) do(spelled string) {
	for _, c := range spelled {
		var err error
		switch c {
		case 'u':
			_, err = w.s.Update(w.t.Context(), []byte("an update"))
		case 'b':
			for range 4 {
				if _, err := w.s.Submit(make([]byte, 300)); err != nil {
					w.t.Error(err)
				}
			}
			err = w.s.Sync(w.t.Context())
		case 's':
			err = w.s.Snapshot(w.t.Context())
		case 'f':
			w.failSnapshot(faultfs.Fault{Kinds: faultfs.OpSyncDir})
		case 'g':
			w.failSnapshot(faultfs.Fault{Kinds: faultfs.OpSyncDir}, faultfs.Fault{Kinds: faultfs.OpRemove, Path: "*.log"})
			w.open()
		case 'h':
			w.failSnapshot(faultfs.Fault{Kinds: faultfs.OpSyncDir}, faultfs.Fault{Kinds: faultfs.OpSyncDir, N: 2})
			w.open()
		case 'o':
			err = w.s.Close()
			w.open()
		case 'l':
			w.copies++
			linkAll(w.t, w.mem, w.dir, fmt.Sprint(w.dir, "copy", w.copies))
		}
		if err != nil {
			w.t.Errorf("%c of %q: %v", c, spelled, err)
		}
	}
}

// failSnapshot makes a snapshot fail. If there are two faults, what was done can't
// be undone, and the store fails and is closed.
func (w *writer) failSnapshot(faults ...faultfs.Fault) {
	for _, f := range faults {
		w.fs.Inject(f)
	}
	err := w.s.Snapshot(w.t.Context())
	if err == nil || errors.Is(err, store.ErrFailed) != (len(faults) == 2) {
		w.t.Errorf("a snapshot in spite of %d faults: %v", len(faults), err)
	}
	if len(faults) == 2 {
		wantIs(w.t, w.s.Close(), store.ErrFailed)
	}
}

// looks are what can be done beside a writer, when durable updates were durable at
// the beginning.
var looks = []struct {
	what string
	do   func(ctx context.Context, dir string, durable uint64) error
}{
	{"ReadUpdates", lookReadUpdates},
	{"ReadUpdates of what may come", lookReadNext},
	{"ReadUpdates after that", lookReadLater},
	{"Check", lookCheck},
	{"RestoreAt", lookRestoreAt},
	{"RestoreAt of what may come", lookRestoreNext},
	{"Load", lookLoad},
	{"IndexAt", lookIndexAt},
	{"Copy", lookCopy},
}

func lookReadUpdates(ctx context.Context, dir string, durable uint64) error {
	next, err := readFrom(ctx, dir, durable)
	if err == nil && next <= durable {
		err = fmt.Errorf("update %d did not come", next)
	}
	return err
}

func lookReadNext(ctx context.Context, dir string, durable uint64) error {
	_, err := readFrom(ctx, dir, durable+1)
	return err
}

func lookReadLater(ctx context.Context, dir string, durable uint64) error {
	_, err := readFrom(ctx, dir, durable+2)
	return ignoreNotRetained(err)
}

func ignoreNotRetained(err error) error {
	if errors.Is(err, store.ErrNotRetained) {
		return nil
	}
	return err
}

// readFrom reads the updates from index next on, and returns that of the one
// that should be next.
func readFrom(ctx context.Context, dir string, next uint64) (uint64, error) {
	for u, err := range store.ReadUpdates(ctx, dir, next) {
		if err != nil {
			return next, err
		}
		if u.Index != next {
			return next, fmt.Errorf("update %d comes where %d should", u.Index, next)
		}
		next++
	}
	return next, nil
}

func lookCheck(ctx context.Context, dir string, _ uint64) error {
	files, err := store.Check(ctx, dir, nil)
	for _, f := range files {
		if len(f.Damage) > 0 {
			return f.Damage[0]
		}
	}
	return err
}

func lookRestoreAt(ctx context.Context, dir string, durable uint64) error {
	m := &journal{}
	err := store.RestoreAt(ctx, dir, m, durable, nil)
	if err == nil && uint64(len(m.updates)) != durable {
		err = fmt.Errorf("%d updates of %d", len(m.updates), durable)
	}
	return err
}

func lookRestoreNext(ctx context.Context, dir string, durable uint64) error {
	return ignoreNotRetained(lookRestoreAt(ctx, dir, durable+2))
}

func lookLoad(ctx context.Context, dir string, durable uint64) error {
	m := &journal{}
	index, err := store.Load(ctx, dir, m)
	if err == nil && (index < durable || uint64(len(m.updates)) != index) {
		err = fmt.Errorf("%d updates at index %d, and %d were durable", len(m.updates), index, durable)
	}
	return err
}

func lookIndexAt(ctx context.Context, dir string, durable uint64) error {
	index, err := store.IndexAt(ctx, dir, time.Now().Add(time.Second))
	if err == nil && index < durable {
		err = fmt.Errorf("index %d, and %d updates were durable", index, durable)
	}
	return err
}

func lookCopy(ctx context.Context, dir string, durable uint64) error {
	const dst = "/copied"
	defer storefs.Mount(dst, memfs.New(memfs.Options{}))()
	index, err := store.Copy(ctx, dir, dst, nil)
	if err == nil && index < durable {
		err = fmt.Errorf("index %d, and %d updates were durable", index, durable)
	}
	return err
}
