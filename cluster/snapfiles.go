package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hashicorp/raft"
)

// A fileSnapshots is raft's store of snapshots in files, but for this:
//
//   - Raft's syncs the files of a snapshot and the directory that all snapshots are in, and not
//     the one that the files are in. A power cut might leave a snapshot without its files, after
//     the log before it was dropped.
//   - Raft's leaves what it has written of a snapshot for which there is no room, or that can't be
//     written for another reason, and with it a disk that is full for good.
type fileSnapshots struct {
	*raft.FileSnapshotStore
	dir  string // that of the node
	sync func(dir string) error

	mu     sync.Mutex
	making map[string]bool // the directories of those that are being made; guarded by mu
}

// openFileSnapshots opens the snapshots of the node whose directory is dir.
func openFileSnapshots(dir string, o *Options) (*fileSnapshots, error) {
	files, err := raft.NewFileSnapshotStoreWithLogger(dir, keepSnapshots, raftLogger(o.Logger, o.ID))
	if err != nil {
		return nil, fmt.Errorf("cluster: opening the snapshots: %w", err)
	}
	return &fileSnapshots{FileSnapshotStore: files, dir: dir, sync: syncDir, making: map[string]bool{}}, nil
}

// Create implements raft.SnapshotStore. Both files have their names when it returns, so they
// are made durable here, before raft gives the snapshot its own.
func (s *fileSnapshots) Create(version raft.SnapshotVersion, index, term uint64, members raft.Configuration, membersIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sink, err := s.FileSnapshotStore.Create(version, index, term, members, membersIndex, trans)
	if err != nil {
		return nil, errors.Join(err, s.sweepLocked()) // raft does not say where it has begun
	}
	dir := filepath.Join(s.dir, "snapshots", sink.ID()+unfinished)
	s.making[dir] = true
	mine := &snapshotSink{sink, s, dir}
	if err := s.sync(dir); err != nil {
		_ = sink.Cancel() // what that leaves is discarded
		return nil, errors.Join(fmt.Errorf("cluster: making a snapshot in %s: %w", dir, err), mine.discardLocked())
	}
	return mine, nil
}

// unfinished is how the names of directories end whose snapshots are not complete.
const unfinished = ".tmp"

// sweepLocked removes what there is of snapshots that nobody makes.
func (s *fileSnapshots) sweepLocked() error {
	return removeUnfinished(filepath.Join(s.dir, "snapshots"), "", s.making)
}

// removeUnfinished removes the directories in place that are not finished, and whose names begin
// with prefix, but those in except.
func removeUnfinished(place, prefix string, except map[string]bool) error {
	list, err := os.ReadDir(place)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range list {
		dir := filepath.Join(place, e.Name())
		if !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) || !strings.HasSuffix(e.Name(), unfinished) || except[dir] {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// A snapshotSink is raft's, of which nothing is left after an error. Raft's own Cancel begins by
// writing the rest, and leaves all if it can't.
type snapshotSink struct {
	raft.SnapshotSink
	of  *fileSnapshots
	dir string // as long as the snapshot is not complete
}

// Close implements raft.SnapshotSink.
func (s *snapshotSink) Close() error {
	err := s.SnapshotSink.Close()
	return errors.Join(err, s.discard())
}

// Cancel implements raft.SnapshotSink.
func (s *snapshotSink) Cancel() error {
	_ = s.SnapshotSink.Cancel() // what that leaves is discarded
	return s.discard()
}

// discard removes what there is of the snapshot under the name of one that is not complete: it is
// not needed any more, or has another name by now.
func (s *snapshotSink) discard() error {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	return s.discardLocked()
}

// discardLocked is discard, with mu of the store held. After an error raft has the file of the
// state open still: its room would be free only once the garbage collector closes that.
func (s *snapshotSink) discardLocked() error {
	delete(s.of.making, s.dir)
	err := os.Truncate(filepath.Join(s.dir, "state.bin"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
