package cluster

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"
)

// leftOver returns what is in the directory of the snapshots of a node.
func leftOver(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(dir, "snapshots"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// TestASnapshotThatCanNotBeWrittenLeavesNothing has the file of a snapshot fail, as on a full disk.
// Its room is free at once, though raft has it open.
func TestASnapshotThatCanNotBeWrittenLeavesNothing(t *testing.T) {
	for name, end := range map[string]func(sink raft.SnapshotSink) error{
		"cancelled": raft.SnapshotSink.Cancel,
		"closed":    raft.SnapshotSink.Close,
	} {
		dir := t.TempDir()
		s, err := openFileSnapshots(dir, &Options{ID: "a", Logger: quiet(t)})
		if err != nil {
			t.Fatal(err)
		}
		_, trans := raft.NewInmemTransport("")
		sink, err := s.Create(raft.SnapshotVersionMax, 7, 2, raft.Configuration{}, 1, trans)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sink.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		state, err := os.Open(glob(t, 1, dir, "snapshots", "*.tmp", "state.bin")[0])
		if err != nil {
			t.Fatal(err)
		}
		defer state.Close()
		rafts := reflect.ValueOf(sink.(*snapshotSink).SnapshotSink).Elem().FieldByName("stateFile")
		if err := (*os.File)(rafts.UnsafePointer()).Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := sink.Write(make([]byte, 1<<20)); err == nil {
			t.Fatal("raft has not met the error: this tests nothing")
		}
		if err := end(sink); (err != nil) != (name == "closed") {
			t.Errorf("%s: %v", name, err)
		}
		if left := leftOver(t, dir); len(left) > 0 {
			t.Errorf("%s: left: %q", name, left)
		}
		if info, err := state.Stat(); name == "cancelled" && (err != nil || info.Size() > 0) {
			t.Errorf("%s: the file has %d bytes still, %v", name, info.Size(), err)
		}
	}
}

// TestASnapshotThatCanNotBeBegunLeavesNothing has a directory whose path is so long that raft can make
// one for the snapshot, and no file in it. One that is being made stays.
func TestASnapshotThatCanNotBeBegunLeavesNothing(t *testing.T) {
	const name, file = len("2-7-1234567890123.tmp"), len("meta.json")
	dir := t.TempDir()
	for long := syscall.PathMax - 1 - len("/snapshots/") - name - file; len(dir) < long; {
		dir = mkdir(t, filepath.Join(dir, strings.Repeat("d", min(long-len(dir)+1, 200))))
	}
	s, err := openFileSnapshots(dir, &Options{ID: "a", Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	others := mkdir(t, filepath.Join(dir, "snapshots", "2-6-1.tmp"))
	s.making[others] = true
	_, trans := raft.NewInmemTransport("")
	if _, err := s.Create(raft.SnapshotVersionMax, 7, 2, raft.Configuration{}, 1, trans); err == nil {
		t.Fatal("the snapshot was begun: this tests nothing")
	}
	if left := leftOver(t, dir); len(left) != 1 || left[0] != filepath.Base(others) {
		t.Errorf("left: %q", left)
	}
}
