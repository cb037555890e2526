package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hashicorp/raft"
)

// The names of a snapshot's files are durable before the snapshot has its own: raft drops
// the log before a snapshot once that is made.
func TestTheFilesOfASnapshotKeepTheirNames(t *testing.T) {
	dir := t.TempDir()
	s, err := openFileSnapshots(dir, &Options{ID: "a", Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	var synced []string
	s.sync = func(dir string) error {
		found, err := os.ReadDir(dir)
		for _, f := range found {
			synced = append(synced, f.Name())
		}
		return err
	}
	_, trans := raft.NewInmemTransport("")
	create := func() (raft.SnapshotSink, error) {
		return s.Create(raft.SnapshotVersionMax, 7, 2, raft.Configuration{}, 1, trans)
	}
	sink, err := create()
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"meta.json", "state.bin"}; !slices.Equal(synced, want) {
		t.Errorf("synced with %q in it, want %q", synced, want)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadDir(filepath.Join(dir, "snapshots", sink.ID()))
	if err != nil || len(after) != len(synced) {
		t.Errorf("the snapshot has %d files, %v, of which %d were synced", len(after), err, len(synced))
	}

	failed := errors.New("input/output error")
	s.sync = func(string) error { return failed }
	if _, err := create(); !errors.Is(err, failed) {
		t.Errorf("a directory that can't be synced: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "snapshots", "*.tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
}
