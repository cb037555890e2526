package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stateio/stateio/store"
)

// A listMachine keeps its updates, and its state is a line of each.
type listMachine struct{ state []byte }

func (m *listMachine) Apply(update []byte) (any, error) {
	m.state = append(append(m.state, update...), '\n')
	return nil, nil
}

func (m *listMachine) Restore(r io.Reader) (err error) {
	m.state, err = io.ReadAll(r)
	return err
}

func (m *listMachine) Snapshot() (io.WriterTo, error) {
	return bytes.NewReader(bytes.Clone(m.state)), nil
}

// A listStore is a store that is in use.
type listStore struct {
	*store.Store
	t   *testing.T
	dir string
}

func openList(t *testing.T, keep int) listStore {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(dir, &listMachine{}, &store.Options{SnapshotBytes: -1, KeepSnapshots: keep})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return listStore{s, t, dir}
}

func (s listStore) add(updates ...string) {
	s.t.Helper()
	for _, u := range updates {
		if _, err := s.Update(context.Background(), []byte(u)); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s listStore) snapshot() {
	s.t.Helper()
	if err := s.Snapshot(context.Background()); err != nil {
		s.t.Fatal(err)
	}
}

// restoring returns a restore of s to w.
func (s listStore) restoring(w io.Writer) *storeRestore {
	return &storeRestore{
		ctx: s.t.Context(), dir: s.dir, bar: newProgress(io.Discard, io.Discard, "restore", 0),
		o: restoreOptions{state: "-", updates: "-", outputs: outputs{stdout: w, stderr: io.Discard}, told: &restored{}},
	}
}

// restoreTo does all of r, with a call of meanwhile when it has found out what to write.
func restoreTo(t *testing.T, r *storeRestore, meanwhile func()) error {
	t.Helper()
	if err := r.open(); err != nil {
		t.Fatal(err)
	}
	if err := r.survey(^uint64(0)); err != nil {
		t.Fatal(err)
	}
	meanwhile()
	for passes := 0; !r.writes; passes++ {
		if passes == 2 {
			t.Fatal("it does not get to where it would write")
		}
		if err := r.pass(); err != nil {
			return err
		}
	}
	return r.out.commit()
}

// A snapshot that the program makes while its store is restored is what is written then.
func TestRestoreOfAStoreThatMakesASnapshotMeanwhile(t *testing.T) {
	replace := func(s listStore) {
		if _, err := s.Replace(t.Context(), strings.NewReader("new\n")); err != nil {
			t.Fatal(err)
		}
		s.add("four")
	}
	for name, tt := range map[string]struct {
		before func(s listStore)
		want   string // all of it is the state
	}{
		"the first":                     {func(listStore) {}, "one\ntwo\n"},
		"another":                       {listStore.snapshot, "one\ntwo\n"},
		"after a state of Replace":      {replace, "new\nfour\n"},
		"after a snapshot and Replace":  {func(s listStore) { s.snapshot(); replace(s) }, "new\nfour\n"},
		"after a snapshot of a Replace": {func(s listStore) { replace(s); s.snapshot(); s.add("five") }, "new\nfour\nfive\n"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openList(t, 1)
			s.add("one", "two")
			tt.before(s)
			var quiet, out bytes.Buffer
			if err := restoreTo(t, s.restoring(&quiet), func() {}); err != nil || quiet.String() != tt.want {
				t.Errorf("without a snapshot meanwhile it writes %q, want %q; %v", &quiet, tt.want, err)
			}
			r := s.restoring(&out)
			if err := restoreTo(t, r, s.snapshot); err != nil || out.String() != tt.want {
				t.Errorf("it writes %q, want %q; %v", &out, tt.want, err)
			}
			if r.o.told.State == nil || r.o.told.State.Bytes != int64(len(tt.want)) || r.noState {
				t.Errorf("the state is %+v, want %q", r.o.told.State, tt.want)
			}
		})
	}
}

// spoil damages a snapshot.
func (s listStore) spoil(index string) {
	s.t.Helper()
	path := filepath.Join(s.dir, strings.Repeat("0", 20-len(index))+index+".snap")
	b, err := os.ReadFile(path)
	if err == nil {
		b[len(b)-1] ^= 1
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// If the snapshot to begin with is damaged, what is written begins with the state before.
func TestRestoreBeginsWithASnapshotThatIsWhole(t *testing.T) {
	s := openList(t, 5)
	s.add("one")
	s.snapshot()
	s.add("two")
	s.snapshot()
	s.add("three")
	s.spoil("2")
	var out bytes.Buffer
	r := s.restoring(&out)
	if err := restoreTo(t, r, func() {}); err != nil || out.String() != "one\ntwo\nthree\n" || r.o.told.State.Bytes != 4 {
		t.Errorf("it writes %q, with a state of %d bytes; %v", &out, r.o.told.State.Bytes, err)
	}
	s.spoil("1")
	out.Reset()
	r = s.restoring(&out)
	if err := restoreTo(t, r, func() {}); err != nil || out.String() != "one\ntwo\nthree\n" || !r.noState {
		t.Errorf("it writes %q, without a state: %v; %v", &out, r.noState, err)
	}
}

// A hook is a writer that does something once, before it writes.
type hook struct {
	bytes.Buffer
	do func()
}

func (h *hook) Write(b []byte) (int, error) {
	if do := h.do; do != nil {
		h.do = nil
		do()
	}
	return h.Buffer.Write(b)
}

// If the program drops a log that is still to be read, after something was written, what is
// written is no state, and restore says so.
func TestRestoreOfAStoreThatDropsWhatIsRestored(t *testing.T) {
	s := openList(t, 2)
	s.add("one", strings.Repeat("2", 100<<10))
	s.snapshot()
	s.add("three")
	s.spoil("2") // so the log before is read, and then the next
	out := &hook{do: func() {
		s.snapshot()
		s.add("four")
		s.snapshot()
	}}
	err := restoreTo(t, s.restoring(out), func() {})
	if err == nil || !strings.Contains(err.Error(), "dropped meanwhile, for a snapshot of update 3: begin anew") {
		t.Errorf("it says %v, and writes %d bytes", err, out.Len())
	}
}

// The state after an update within a change never was: restore says so, and with which index there is
// one, before it has written anything.
func TestRestoreOfAStateWithinAChangeWritesNothing(t *testing.T) {
	s := openList(t, 1)
	s.add("one")
	s.snapshot()
	s.add("two")
	if _, err := s.Change(t.Context(), func(tx *store.Tx) error {
		return errors.Join(tx.Append([]byte("three")), tx.Append([]byte("four")), tx.Append([]byte("five")))
	}); err != nil {
		t.Fatal(err)
	}
	for at := uint64(1); at <= 5; at++ {
		var out bytes.Buffer
		r := s.restoring(&out)
		r.o.past, r.o.moment = true, fmt.Sprint(at)
		err := r.all()
		within := at == 3 || at == 4
		if within != (err != nil) || within && (out.Len() > 0 || !strings.Contains(err.Error(), "--at 2 is the one before")) {
			t.Errorf("--at %d: %q was written, %v", at, &out, err)
		}
	}
}
