package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/store"
)

// A lone machine is a journal that nothing else may use while its state is written:
// WriteTo reads what Apply changes.
type lone struct {
	journal
	applied, snapshots atomic.Int64
	writing            atomic.Bool
	drift              string // is added to the state with the next update
}

func (l *lone) Apply(update []byte) (any, error) {
	if l.writing.Load() {
		return nil, errors.New("Apply while the state is written")
	}
	l.applied.Add(1)
	if l.drift != "" {
		l.updates, l.drift = append(l.updates, l.drift), ""
	}
	return l.journal.Apply(update)
}

func (l *lone) Snapshot() (io.WriterTo, error) {
	l.snapshots.Add(1)
	l.writing.Store(true)
	return (*loneState)(l), nil
}

func (l *lone) StateDigest() uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%q", l.updates) // which never fails
	return h.Sum64()
}

// A loneState writes the state itself, not a copy.
type loneState lone

func (l *loneState) WriteTo(w io.Writer) (int64, error) { return journalState(l.updates).WriteTo(w) }

func (l *loneState) Close() error {
	l.writing.Store(false)
	return nil
}

// A twin is a journal that does what it is told to.
type twin struct {
	journal
	apply    func([]byte) (any, error)
	snapshot func() (io.WriterTo, error) // nil: as a journal
}

func (w *twin) Apply(update []byte) (any, error) { return w.apply(update) }

func (w *twin) Snapshot() (io.WriterTo, error) {
	if w.snapshot == nil {
		return w.journal.Snapshot()
	}
	return w.snapshot()
}

// shadowed opens a store whose snapshots are made by a shadow, which is put into shadows
// whenever one is made.
func shadowed(t *testing.T, dir string, m store.Machine) (s *store.Store, shadows *[]*lone) {
	t.Helper()
	shadows = new([]*lone)
	return open(t, dir, m, &store.Options{SnapshotBytes: -1, Shadow: func() store.Machine {
		*shadows = append(*shadows, &lone{})
		return (*shadows)[len(*shadows)-1]
	}}), shadows
}

// With a shadow, the machine itself is never captured, one shadow makes all snapshots, and
// it replays each update once.
func TestAShadowMakesTheSnapshots(t *testing.T) {
	const dir = "/shadowed"
	memory(t, dir)
	m := &lone{}
	s, shadows := shadowed(t, dir, m)
	var want []string
	for i := range 10 {
		for range rand.IntN(5) + 1 {
			u := fmt.Sprint("update ", i, rand.Int())
			want = append(want, u)
			update(t, s, u)
		}
		check(t, s.Snapshot(t.Context()))
		if s.Stats().SnapshotIndex != uint64(len(want)) {
			t.Errorf("the snapshot is of index %d of %d", s.Stats().SnapshotIndex, len(want))
		}
	}
	check(t, s.Close())
	if m.snapshots.Load() != 0 || len(*shadows) != 1 || (*shadows)[0].applied.Load() != int64(len(want)) || (*shadows)[0].snapshots.Load() != 10 {
		t.Errorf("the machine was captured %d times; %d shadows", m.snapshots.Load(), len(*shadows))
	}
	again := &lone{}
	s, shadows = shadowed(t, dir, again)
	if !slices.Equal(again.updates, want) || s.Recovery().SnapshotIndex != uint64(len(want)) {
		t.Errorf("%d updates, from a snapshot of index %d", len(again.updates), s.Recovery().SnapshotIndex)
	}
	update(t, s, "more")
	check(t, s.Snapshot(t.Context()))
	if (*shadows)[0].applied.Load() != 1 || !slices.Equal((*shadows)[0].updates, append(want, "more")) {
		t.Errorf("the new shadow has replayed %d updates, and has %d", (*shadows)[0].applied.Load(), len((*shadows)[0].updates))
	}
}

// Updates go on while the shadow replays, and while its state is written.
func TestUpdatesDoNotWaitForAShadow(t *testing.T) {
	const dir = "/shadowed"
	memory(t, dir)
	replays, goOn := make(chan struct{}), make(chan struct{})
	shadow := &twin{apply: func([]byte) (any, error) {
		replays <- struct{}{}
		<-goOn
		return nil, nil
	}, snapshot: func() (io.WriterTo, error) {
		return store.WriterFunc(func(io.Writer) error {
			replays <- struct{}{}
			<-goOn
			return nil
		}), nil
	}}
	s := open(t, dir, &journal{}, &store.Options{Shadow: func() store.Machine { return shadow }})
	update(t, s, "one")
	made := make(chan error)
	go func() { made <- s.Snapshot(context.Background()) }()
	for range 2 {
		<-replays
		update(t, s, "meanwhile")
		goOn <- struct{}{}
	}
	check(t, <-made)
}

// A machine whose state is not that of its log is told, with the updates between which
// that began, and gets no snapshot: the log still leads to the true state.
func TestADivergedMachineIsTold(t *testing.T) {
	const dir = "/shadowed"
	memory(t, dir)
	m := &lone{}
	s, _ := shadowed(t, dir, m)
	update(t, s, "one")
	check(t, s.Snapshot(t.Context()))
	m.drift = "from nowhere"
	update(t, s, "two")
	err := s.Snapshot(t.Context())
	var diverged *store.DivergedError
	if !errors.Is(err, store.ErrDiverged) || !errors.As(err, &diverged) || diverged.Good != 1 || diverged.Bad != 2 {
		t.Fatalf("the snapshot: %v", err)
	}
	wantIs(t, s.Stats().SnapshotError, store.ErrDiverged)
	update(t, s, "three")
	wantIs(t, s.Snapshot(t.Context()), store.ErrDiverged)
	check(t, s.Close())
	again := &journal{}
	check(t, open(t, dir, again, nil).Close())
	if want := []string{"one", "two", "three"}; !slices.Equal(again.updates, want) {
		t.Errorf("the state is %q", again.updates)
	}
}

// An update that only the shadow refuses is named. A shadow that failed is made anew.
func TestAShadowThatFailsIsMadeAnew(t *testing.T) {
	const dir = "/shadowed"
	memory(t, dir)
	fail := func([]byte) (any, error) { return nil, errRefused }
	made := 0
	s := open(t, dir, &journal{}, &store.Options{Shadow: func() store.Machine {
		switch made++; made {
		case 1:
			return &twin{apply: fail}
		case 2:
			return &twin{apply: func([]byte) (any, error) { panic("in the shadow") }}
		case 3:
			return nil
		case 4:
			return &twin{apply: func([]byte) (any, error) { return nil, nil }, snapshot: func() (io.WriterTo, error) { return nil, nil }}
		}
		return &journal{}
	}})
	update(t, s, "one")
	var replay *store.ReplayError
	if err := s.Snapshot(t.Context()); !errors.As(err, &replay) || replay.Index != 1 || !errors.Is(err, errRefused) {
		t.Errorf("a refusal: %v", err)
	}
	for _, want := range []string{"panic in the shadow machine: in the shadow", "Options.Shadow returned nil", "neither a snapshot nor an error"} {
		update(t, s, "more")
		if err := s.Snapshot(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, and not: %s", err, want)
		}
	}
	check(t, s.Snapshot(t.Context()))
	check(t, s.Close())
	m := &journal{}
	s = open(t, dir, m, nil)
	if r := s.Recovery(); len(m.updates) != 4 || r.SnapshotIndex != 4 {
		t.Errorf("%q, %v", m.updates, r)
	}
}

// A backup is written from a snapshot of the shadow, and the machine is not captured.
func TestABackupOfAShadowedStore(t *testing.T) {
	const dir, to = "/shadowed", "/to"
	memory(t, dir)
	memory(t, to)
	m := &lone{}
	s, _ := shadowed(t, dir, m)
	var b bytes.Buffer
	for _, u := range []string{"one", "two"} {
		update(t, s, u)
		b.Reset()
		index, err := s.Backup(t.Context(), &b)
		check(t, err)
		if index != s.Index() {
			t.Errorf("a backup of index %d of %d", index, s.Index())
		}
	}
	if m.snapshots.Load() != 0 {
		t.Error("the machine was captured")
	}
	check(t, store.Import(to, bytes.NewReader(b.Bytes()), int64(b.Len())))
	again := &journal{}
	s = open(t, to, again, nil)
	if !slices.Equal(again.updates, m.updates) || s.Index() != 2 {
		t.Errorf("%q at index %d", again.updates, s.Index())
	}
}

// A state that was set before the first update is captured, since no log leads to it; the
// shadow goes on from that snapshot.
func TestAShadowOfAStateThatWasSet(t *testing.T) {
	const dir = "/shadowed"
	memory(t, dir)
	m := &lone{}
	s, shadows := shadowed(t, dir, m)
	m.updates = []string{"old"}
	check(t, s.Snapshot(t.Context()))
	update(t, s, "new")
	check(t, s.Snapshot(t.Context()))
	if want := []string{"old", "new"}; m.snapshots.Load() != 1 || !slices.Equal((*shadows)[0].updates, want) {
		t.Errorf("captured %d times; the shadow has %q", m.snapshots.Load(), (*shadows)[0].updates)
	}
}

// Typed machines can be shadows, with the time of their updates, and digests.
func TestATypedShadow(t *testing.T) {
	dir := t.TempDir()
	fresh := func() store.Machine { return store.Untyped(&tally{}, nil) }
	m := &tally{}
	s, err := store.OpenTyped(dir, m, nil, quiet(&store.Options{Shadow: fresh}))
	check(t, err)
	defer s.Close()
	for range 3 {
		_, err := s.Update(t.Context(), 4)
		check(t, err)
	}
	check(t, s.Snapshot(t.Context()))
	m.State.Sum++
	_, err = s.Update(t.Context(), 4)
	check(t, err)
	wantIs(t, s.Snapshot(t.Context()), store.ErrDiverged)
}

// A tally adds numbers.
type tally struct {
	store.JSONState[struct{ Sum int }]
}

func (l *tally) Apply(n int) (int, error) {
	l.State.Sum += n
	return l.State.Sum, nil
}

func (l *tally) StateDigest() uint64 { return uint64(l.State.Sum) }

// A machine in use is no shadow, nor is one that has failed.
func TestAMachineInUseIsNoShadow(t *testing.T) {
	const dir = "/shadowed"
	memory(t, dir)
	m := &journal{}
	s := open(t, dir, m, &store.Options{Shadow: func() store.Machine { return m }})
	update(t, s, "one")
	if err := s.Snapshot(t.Context()); err == nil || !strings.Contains(err.Error(), "it must make one") || len(m.updates) != 1 {
		t.Errorf("%v, with %q", err, m.updates)
	}
	check(t, s.Close())
	again := &twin{apply: func([]byte) (any, error) { return nil, errRefused }}
	s = open(t, dir, &journal{}, &store.Options{Shadow: func() store.Machine { return again }})
	update(t, s, "two")
	wantIs(t, s.Snapshot(t.Context()), errRefused)
	if err := s.Snapshot(t.Context()); err == nil || !strings.Contains(err.Error(), "it must make one") {
		t.Error(err)
	}
}

// A backup of a store without an update is of that state, whatever comes meanwhile.
func TestABackupOfAShadowedStoreWithoutUpdates(t *testing.T) {
	const dir, to = "/shadowed", "/to"
	memory(t, dir)
	memory(t, to)
	m := &lone{}
	s, _ := shadowed(t, dir, m)
	m.updates = []string{"set"}
	var b bytes.Buffer
	index, err := s.Backup(t.Context(), writeFunc(func(p []byte) (int, error) {
		if _, err := s.Submit([]byte("meanwhile")); err != nil {
			return 0, err
		}
		return b.Write(p)
	}))
	check(t, err)
	check(t, store.Import(to, bytes.NewReader(b.Bytes()), int64(b.Len())))
	again := &journal{}
	check(t, open(t, to, again, nil).Close())
	if index != 0 || !slices.Equal(again.updates, []string{"set"}) {
		t.Errorf("the backup of index %d has %q", index, again.updates)
	}
}

// A writeFunc is an io.Writer.
type writeFunc func(p []byte) (int, error)

func (f writeFunc) Write(p []byte) (int, error) { return f(p) }

// Close does not wait for a shadow that does not return, and says ErrClosed to those who
// wait for its snapshot.
func TestCloseLeavesAShadowThatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dir = "/shadowed"
		memory(t, dir)
		began, goOn := make(chan struct{}), make(chan struct{})
		s := open(t, dir, &journal{}, &store.Options{Shadow: func() store.Machine {
			return &twin{apply: func([]byte) (any, error) {
				close(began)
				<-goOn
				return nil, nil
			}}
		}})
		update(t, s, "one")
		made := make(chan error, 1)
		go func() { made <- s.Snapshot(context.Background()) }()
		<-began
		start := time.Now()
		check(t, s.Close())
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("Close has taken %v", took)
		}
		wantIs(t, <-made, store.ErrClosed)
		close(goOn)
		synctest.Wait()
	})
}
