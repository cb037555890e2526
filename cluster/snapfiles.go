package cluster

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// A fileSnapshots is raft's store of snapshots in files, but for this: raft's syncs the
// files of a snapshot and the directory that all snapshots are in, and not the one that the
// files are in. A power cut might leave a snapshot without its files, after the log before it
// was dropped.
type fileSnapshots struct {
	*raft.FileSnapshotStore
	dir  string // that of the node
	sync func(dir string) error
}

// openFileSnapshots opens the snapshots of the node whose directory is dir.
func openFileSnapshots(dir string, o *Options) (*fileSnapshots, error) {
	files, err := raft.NewFileSnapshotStoreWithLogger(dir, keepSnapshots, raftLogger(o.Logger, o.ID))
	if err != nil {
		return nil, fmt.Errorf("cluster: opening the snapshots: %w", err)
	}
	return &fileSnapshots{files, dir, syncDir}, nil
}

// Create implements raft.SnapshotStore. Both files have their names when it returns, so they
// are made durable here, before raft gives the snapshot its own.
func (s *fileSnapshots) Create(version raft.SnapshotVersion, index, term uint64, members raft.Configuration, membersIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.FileSnapshotStore.Create(version, index, term, members, membersIndex, trans)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.dir, "snapshots", sink.ID()+".tmp")
	if err := s.sync(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("cluster: making a snapshot in %s: %w", dir, err), sink.Cancel())
	}
	return sink, nil
}
