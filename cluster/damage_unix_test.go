//go:build unix

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	walfs "github.com/hashicorp/raft-wal/fs"

	"github.com/stateio/stateio/store"
)

func TestDamageToAnEntryIsNoticed(t *testing.T) {
	stored := func() *raft.Log {
		return withSums([]*raft.Log{{Index: 3, Term: 2, Data: []byte("data"), Extensions: []byte("ext")}})[0]
	}
	if l := stored(); checkSum(3, l) != nil || string(l.Data) != "data" || string(l.Extensions) != "ext" {
		t.Fatal("an entry that is whole is refused, or another one", l)
	}
	for name, change := range map[string]func(l *raft.Log){
		"index": func(l *raft.Log) { l.Index++ },
		"term":  func(l *raft.Log) { l.Term++ },
		"type":  func(l *raft.Log) { l.Type++ },
		"data":  func(l *raft.Log) { l.Data[1] ^= 8 },
		"sum":   func(l *raft.Log) { l.Extensions[len(l.Extensions)-1] ^= 8 },
		"ext":   func(l *raft.Log) { l.Extensions[0] ^= 8 },
		"none":  func(l *raft.Log) { l.Extensions = nil },
	} {
		l := stored()
		change(l)
		if err := checkSum(l.Index, l); !errors.Is(err, errDamaged) {
			t.Errorf("%s is damaged: %v", name, err)
		}
	}
	if err := checkSum(4, stored()); !errors.Is(err, errDamaged) {
		t.Errorf("an entry in the place of another one: %v", err)
	}
}

// TestDamageThatRaftWALPanicsAtIsNoticed writes what no number looks like where an entry begins.
func TestDamageThatRaftWALPanicsAtIsNoticed(t *testing.T) {
	dir := t.TempDir()
	s, err := openTestLog(t, dir, walfs.New())
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(6) {
		if err := s.StoreLog(&raft.Log{Index: i + 1, Term: 1, Data: make([]byte, 30<<10)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(glob(t, 2, dir, "*.wal")[0], os.O_WRONLY, 0) // which is full
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(bytes.Repeat([]byte{0xff}, 12), walFileHeader+walFrameHeader)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if s, err = openTestLog(t, dir, walfs.New()); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.check(); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "entry 1 ") {
		t.Errorf("the error is %v", err)
	}
}

// TestADamagedLogIsRefusedOrRepaired damages the log of a node in one place after the
// other. Either the node refuses to open, or what it lacks comes from the others.
// Then it is removed and joins again.
func TestADamagedLogIsRefusedOrRepaired(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, func(i int, o *Options) {
		small(i, o)
		o.hooks.keepLogs = 1 << 30
	})
	pad := strings.Repeat("x", 1000)
	for i := range 300 {
		update(t, tr.nodes[0], fmt.Sprintf("set k%d %s", i%7, pad))
	}
	hurt := tr.follower()
	if err := tr.nodes[hurt].Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	tr.crash(hurt)
	whole := filepath.Join(t.TempDir(), "whole")
	if err := os.CopyFS(whole, os.DirFS(tr.path(hurt))); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(whole, "wal", "*.wal"))
	if err != nil || len(files) < 4 {
		t.Fatal("there are too few files of the log", files, err)
	}
	if damaged(t, tr, hurt, whole, "", 1) {
		t.Fatal("a log that is whole is refused")
	}
	refused := 0
	for _, f := range files {
		for _, part := range []int64{4, 2} {
			if damaged(t, tr, hurt, whole, f, part) {
				refused++
			}
		}
	}
	t.Logf("%d of %d damaged logs were refused", refused, 2*len(files))
	if refused < len(files) {
		t.Errorf("%d of %d damaged logs were refused", refused, 2*len(files))
	}
	rejoin(t, tr, hurt)
}

// damaged opens a node whose directory is that in whole, but for one bit of one file,
// if there is one, and reports whether it refuses.
func damaged(t *testing.T, tr *trial, node int, whole, file string, part int64) (refused bool) {
	t.Helper()
	dir := tr.path(node)
	if err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(whole))); err != nil {
		t.Fatal(err)
	}
	if file != "" {
		flip(t, filepath.Join(dir, "wal", filepath.Base(file)), part)
	}
	n, err := Open(dir, newLedger(), tr.opts[node])
	if err != nil {
		if !strings.Contains(err.Error(), dir) {
			t.Errorf("the error does not say which directory: %v", err)
		}
		if errors.Is(err, errDamaged) && !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("the error is not store.ErrCorrupt: %v", err)
		}
		return true
	}
	defer n.Close()
	if err := n.Sync(t.Context()); err != nil {
		t.Error(err)
	}
	if got := string(state(t, n, n.fsm.m.(*ledger))); got != string(state(t, tr.nodes[tr.leader()], tr.machines[tr.leader()])) {
		t.Errorf("%s is damaged, and the node has another state than the others", file)
	}
	return false
}

// flip flips a bit.
func flip(t *testing.T, path string, part int64) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[int64(len(b))/part+11] ^= 4
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// rejoin has the others rebuild a node, whose options remain as they are.
func rejoin(t *testing.T, tr *trial, i int) (aside string) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	aside, err := Rejoin(ctx, tr.path(i), tr.opts[i])
	if err != nil {
		t.Fatal(err)
	}
	tr.start(i)
	voters(t, tr.nodes[tr.leader()], 3)
	equalStates(t, tr)
	t.Logf("the node was back after %v", time.Since(began))
	return aside
}

// TestANodeThatHasLostSomethingRefusesAndIsRebuilt takes away, or damages, one part of
// a node's directory after the other. The node must say so and must not take part,
// and the others rebuild it.
func TestANodeThatHasLostSomethingRefusesAndIsRebuilt(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, small)
	hurt := tr.follower()
	for name, harm := range map[string]func(dir string) error{
		"the log":                      func(dir string) error { return os.RemoveAll(filepath.Join(dir, "wal")) },
		"the database of the log":      func(dir string) error { return os.Remove(filepath.Join(dir, "wal", "wal-meta.db")) },
		"the files of the log":         func(dir string) error { return os.Remove(glob(t, 1, dir, "wal", "*.wal")[0]) },
		"all snapshots":                func(dir string) error { return os.RemoveAll(filepath.Join(dir, "snapshots")) },
		"a bit of all snapshots":       func(dir string) error { flipAll(t, glob(t, 2, dir, "snapshots", "*", "state.bin")); return nil },
		"a bit of the newest snapshot": func(dir string) error { flipAll(t, glob(t, 2, dir, "snapshots", "*", "state.bin")[1:]); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				for range 40 {
					update(t, tr.nodes[hurt], "add x")
				}
				if err := tr.nodes[hurt].Snapshot(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			tr.crash(hurt)
			if err := harm(tr.path(hurt)); err != nil {
				t.Fatal(err)
			}
			n, err := Open(tr.path(hurt), newLedger(), tr.opts[hurt])
			if err == nil {
				t.Fatal("the node takes part: ", n.Close())
			}
			if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), tr.path(hurt)) || !strings.Contains(err.Error(), "Rejoin") {
				t.Errorf("the error is %v", err)
			}
			aside := rejoin(t, tr, hurt)
			if _, err := os.Stat(filepath.Join(aside, "NODE")); err != nil {
				t.Error("what was there is not set aside: ", err)
			}
			eventually(t, "the node has noted that it has joined", func() bool {
				_, err := os.Stat(filepath.Join(tr.path(hurt), joinFile))
				return errors.Is(err, os.ErrNotExist)
			})
			tr.crash(hurt)
			tr.start(hurt) // as the member that it is
			equalStates(t, tr)
		})
	}
}

func flipAll(t *testing.T, files []string) {
	t.Helper()
	for _, f := range files {
		flip(t, f, 2)
	}
}

// TestANodeKnowsItsClusterWhereverRejoinEnds looks at what each step of Rejoin leaves, as a kill does, and
// opens that as always: the node is refused, or is to join the cluster that it is of, though it is
// given the address of another one, too.
func TestANodeKnowsItsClusterWhereverRejoinEnds(t *testing.T) {
	concurrently(t)
	for _, name := range []string{"the cluster", "the list of the founders"} {
		t.Run(name, func(t *testing.T) { rejoinInSteps(t, name == "the cluster") })
	}
}

// rejoinInSteps has a node rebuilt that knows its cluster, or only the list that it was begun with.
func rejoinInSteps(t *testing.T, known bool) {
	stale := startTrial(t, 1, apart)
	tr := startTrial(t, 3, nil)
	hurt := tr.follower()
	adds(t, tr.nodes[hurt], 1, "a")
	is := tr.nodes[hurt].self.identity()
	tr.stop(hurt)
	if !known {
		is.cluster = [idSize]byte{}
		if err := writeDurably(filepath.Join(tr.path(hurt), nodeFile), encodeSelf(tr.opts[hurt].ID, is, false, noGuest, tr.addrs[hurt:hurt+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(tr.path(hurt), removedFile), nil, 0o600); err != nil { // so that it is there, too
		t.Fatal(err)
	}
	if err := tr.nodes[tr.leader()].Remove(within(t, time.Minute), tr.opts[hurt].ID); err != nil {
		t.Fatal(err)
	}
	o := *tr.opts[hurt]
	o.Members, o.Join = nil, []string{stale.addrs[0], tr.addrs[(hurt+1)%3], tr.addrs[(hurt+2)%3]}
	left := t.TempDir()
	var steps []string
	o.hooks.importing = func(step string) {
		steps = append(steps, step)
		if err := os.CopyFS(filepath.Join(left, step), os.DirFS(tr.path(hurt))); err != nil {
			t.Error(err)
		}
	}
	if _, err := Rejoin(within(t, time.Minute), tr.path(hurt), &o); err != nil {
		t.Fatal(err)
	}
	if want := []string{joinFile, "wal", "snapshots", nodeFile, begunFile, removedFile}; !slices.Equal(steps, want) {
		t.Fatalf("the steps are %q, and should be %q", steps, want)
	}
	opened := 0
	for _, step := range steps {
		s, err := readSelf(filepath.Join(left, step, nodeFile), o.ID)
		if err != nil || s.identity() != is {
			t.Errorf("after %s, the node is of cluster %v, and was of %v: %v", step, s.identity(), is, err)
			continue
		}
		if err := os.Remove(filepath.Join(left, step, removedFile)); err != nil && !errors.Is(err, os.ErrNotExist) { // as if it had not been there
			t.Fatal(err)
		}
		alone := o
		alone.hooks.connect = func(byte, string) error { return errRefused }
		n, err := Open(filepath.Join(left, step), newLedger(), &alone)
		if err != nil {
			if !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("opening what is left after %s: %v", step, err)
			}
			continue
		}
		opened++
		if n.self.identity() != is {
			t.Errorf("after %s, the node is of cluster %v, and was of %v", step, n.self.identity(), is)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	if opened < 2 {
		t.Errorf("what is left can be opened after %d steps: this tests too little", opened)
	}
	tr.opts[hurt] = &o
	o.hooks.importing = nil
	tr.start(hurt)
	voters(t, tr.nodes[tr.leader()], 3)
	has(t, tr, hurt, map[string]int{"a": 1})
}

func TestRejoiningNeedsTheOthers(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 3, nil)
	alone := *tr.opts[0]
	alone.Members = nil
	if _, err := Rejoin(t.Context(), tr.path(0), &alone); err == nil || !strings.Contains(err.Error(), "Options.Members") {
		t.Errorf("without others the error is %v", err)
	}
	if _, err := Rejoin(t.Context(), tr.path(0), tr.opts[0]); !errors.Is(err, store.ErrLocked) {
		t.Errorf("the node runs, and the error is %v", err)
	}
	for i := range 3 {
		tr.crash(i)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := Rejoin(ctx, tr.path(0), tr.opts[0]); !errors.Is(err, ErrNoQuorum) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "of all members") || !strings.Contains(err.Error(), "Recover") {
		t.Errorf("the others are down, and the error is %v", err)
	}
	for i := range 3 {
		tr.start(i) // nothing has changed
	}
	update(t, tr.nodes[0], "add x")
}

// TestANodeWhoseLockIsRemovedKeepsItsDirectory removes the file LOCK of a node that runs. The
// log is locked, too.
func TestANodeWhoseLockIsRemovedKeepsItsDirectory(t *testing.T) {
	tr := startTrial(t, 1, nil)
	update(t, tr.nodes[0], "add x")
	if err := os.Remove(filepath.Join(tr.path(0), "LOCK")); err != nil {
		t.Fatal(err)
	}
	o := *tr.opts[0]
	o.Listen, o.Advertise = "127.0.0.1:0", o.Listen
	opened := make(chan error, 1)
	go func() {
		n, err := Open(tr.path(0), newLedger(), &o)
		if err == nil {
			err = n.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), "close that node") {
			t.Errorf("the error is %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the second node waits for the first")
	}
	update(t, tr.nodes[0], "add x")
}

// A panicking machine panics when it is restored.
type panicking struct{ *ledger }

func (panicking) Restore(io.Reader) error { panic("no") }

func TestAPanicInRestoreLeavesNothingLocked(t *testing.T) {
	concurrently(t)
	tr := startTrial(t, 1, nil)
	update(t, tr.nodes[0], "add x")
	if err := tr.nodes[0].Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	tr.stop(0)
	func() {
		defer func() {
			if r := recover(); r != "no" {
				t.Errorf("Open has panicked with %v", r)
			}
		}()
		_, err := Open(tr.path(0), panicking{newLedger()}, tr.opts[0])
		t.Errorf("Open has returned %v", err)
	}()
	tr.start(0)
	if got := sum(t, tr, 0, "x"); got != 1 {
		t.Errorf("the sum is %d", got)
	}
}
