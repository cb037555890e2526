package store_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/crashtest"
	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/internal/storefs"
	"github.com/stateio/stateio/store"
)

// RestoreAt tells how far it is, and of each state before the machine gets it.
func TestRestoreAtTellsHowFarItIs(t *testing.T) {
	const dir = "/telling"
	fl := longStore(t)
	mount(t, dir, fl.mem(t, dir))
	size := func(names ...string) (n int64) {
		for _, name := range names {
			n += int64(len(fl["0000000000000000"+name]))
		}
		return n
	}
	for _, tt := range []struct {
		index  uint64
		total  int64
		states []uint64
	}{
		{20, size("0000.log"), nil},
		{4030, 2*size("0040.snap") + size("0040.log"), []uint64{40}},
		{4040, 2 * size("4040.snap"), []uint64{4040}},
		{4043, 2*size("4040.snap") + size("4040.log"), []uint64{4040}},
	} {
		var progress told
		var states []uint64
		m := &crashtest.Machine{}
		check(t, store.RestoreAt(t.Context(), dir, m, tt.index, &store.RestoreOptions{
			Progress: progress.add,
			State: func(index uint64) {
				if m.Count != 0 {
					t.Errorf("told of state %d when the machine has it", index)
				}
				states = append(states, index)
			},
		}))
		progress.verify(t, 1<<20)
		if progress.total[0] != tt.total || len(progress.done) < int(tt.total>>20) || m.Count != tt.index || !slices.Equal(states, tt.states) {
			t.Errorf("update %d: told %d times of %d bytes, want %d; of states %d, want %d; it has %d updates",
				tt.index, len(progress.done), progress.total[0], tt.total, states, tt.states, m.Count)
		}
	}
}

// A snapshot that is refused is work that was done, and another begins.
func TestRestoreAtTellsOfTheSnapshotBefore(t *testing.T) {
	const dir = "/telling2"
	fl := longStore(t)
	damaged := fl["00000000000000004040.snap"]
	damaged[len(damaged)-100] ^= 1
	mount(t, dir, fl.mem(t, dir))
	var progress told
	var states []uint64
	m := &crashtest.Machine{}
	check(t, store.RestoreAt(t.Context(), dir, m, 4043, &store.RestoreOptions{
		Progress: progress.add,
		State:    func(index uint64) { states = append(states, index) },
	}))
	if m.Count != 4043 || !slices.Equal(states, []uint64{40}) {
		t.Errorf("it has %d updates, and was told of the states %d", m.Count, states)
	}
	last := len(progress.done) - 1
	if !slices.IsSorted(progress.done) || progress.done[last] != progress.total[last] || progress.total[last] <= progress.total[0] {
		t.Errorf("told that %d bytes are done, of %d", progress.done, progress.total)
	}
}

// A state that Replace has installed is told of as a snapshot is.
func TestRestoreAtTellsOfInstalledStates(t *testing.T) {
	const dir = "/telling3"
	memory(t, dir)
	s, _ := installed(t, dir, nil)
	check(t, s.Snapshot(t.Context()))
	_, err := s.Replace(t.Context(), journalState{"again"})
	check(t, err)
	update(t, s, "six")
	for index, want := range map[uint64][]uint64{3: {3}, 4: {4}, 6: {4, 5}} {
		var states []uint64
		err := store.RestoreAt(t.Context(), dir, &journal{}, index, &store.RestoreOptions{State: func(index uint64) { states = append(states, index) }})
		if err != nil || !slices.Equal(states, want) {
			t.Errorf("update %d: told of %d, want %d; %v", index, states, want, err)
		}
	}
}

// A toucher is a machine that was given a state, or not.
type toucher struct {
	crashtest.Machine
	restored bool
}

func (m *toucher) Restore(r io.Reader) error {
	m.restored = true
	return m.Machine.Restore(r)
}

// ways are the ways in which a state is restored until a context ends.
var ways = map[string]func(ctx context.Context, dir string, m store.Machine) error{
	"OpenContext": func(ctx context.Context, dir string, m store.Machine) error {
		_, err := store.OpenContext(ctx, dir, m, quiet(nil))
		return err
	},
	"RestoreAt": func(ctx context.Context, dir string, m store.Machine) error {
		return store.RestoreAt(ctx, dir, m, 2, nil)
	},
	"Load": func(ctx context.Context, dir string, m store.Machine) error {
		_, err := store.Load(ctx, dir, m)
		return err
	},
	"Follow": func(ctx context.Context, dir string, m store.Machine) error {
		_, err := store.Follow(ctx, dir, m, nil)
		return err
	},
}

// largeSnapshot is a store of two updates, with a snapshot of 16 MiB between them.
func largeSnapshot(t *testing.T) files {
	t.Helper()
	fl, _ := buildOf(t, "/made-large", &crashtest.Machine{Size: 16 << 20}, 1, 10, snapshot, 10)
	return fl
}

// A snapshot is verified until the context ends, and not to its end; the machine gets
// nothing of it then.
func TestAContextEndsTheVerifyingOfASnapshot(t *testing.T) {
	fl := largeSnapshot(t)
	for name, restore := range ways {
		t.Run(name, func(t *testing.T) {
			dir := "/ended-" + name
			f := faultfs.New(fl.mem(t, dir))
			mount(t, dir, f)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var read atomic.Int64
			f.OnOp(func(op faultfs.Op) {
				if op.Kind == faultfs.OpRead && strings.HasSuffix(op.Path, ".snap") && read.Add(op.Len) > 1<<20 {
					cancel()
				}
			})
			m := &toucher{}
			err := restore(ctx, dir, m)
			wantIs(t, err, context.Canceled)
			if err != nil && !strings.Contains(err.Error(), "verifying "+dir) {
				t.Errorf("%q does not say what was being done", err)
			}
			if m.restored || read.Load() > 8<<20 {
				t.Errorf("%d bytes were read; the machine was given a state: %v", read.Load(), m.restored)
			}
		})
	}
}

// An ending machine ends a context when it has read a piece of its state.
type ending struct {
	crashtest.Machine
	cancel context.CancelFunc
	byRead bool
	got    int64
}

func (m *ending) Write(p []byte) (int, error) {
	if m.got += int64(len(p)); m.got > 0 {
		m.cancel()
	}
	return len(p), nil
}

func (m *ending) Restore(r io.Reader) error {
	if w, ok := r.(io.WriterTo); ok && !m.byRead {
		_, err := w.WriteTo(m)
		return err
	}
	_, err := io.Copy(m, struct{ io.Reader }{r})
	return err
}

// A machine gets no more of its state when the context has ended, however it reads.
func TestAContextEndsTheReadingOfASnapshot(t *testing.T) {
	fl := largeSnapshot(t)
	for name, restore := range ways {
		for _, byRead := range []bool{false, true} {
			dir := "/cut-" + name
			unmount := storefs.Mount(dir, fl.mem(t, dir))
			ctx, cancel := context.WithCancel(t.Context())
			m := &ending{cancel: cancel, byRead: byRead}
			err := restore(ctx, dir, m)
			cancel()
			unmount()
			wantIs(t, err, context.Canceled)
			if m.got == 0 || m.got > 1<<20 {
				t.Errorf("%s, byRead %v: the machine has read %d bytes", name, byRead, m.got)
			}
		}
	}
}

// IndexAt looks for an update until its context ends.
func TestAContextEndsIndexAt(t *testing.T) {
	const dir = "/index-ended"
	mount(t, dir, longStore(t).mem(t, dir))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := store.IndexAt(ctx, dir, time.Now().Add(time.Hour))
	wantIs(t, err, context.Canceled)
}
