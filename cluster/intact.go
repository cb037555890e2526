package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/types"

	"github.com/stateio/stateio/store"
)

// A node that has lost what it had acknowledged must not take part: it could vote for
// a leader that has lost it, too. So whatever is missing or damaged is an error of
// Open, and the others rebuild the node; see Rejoin.

// damagedErr says what is wrong, and what to do.
func damagedErr(err error) error {
	return fmt.Errorf("%w: %w; this node must not go on with it: call Rejoin for this directory, and open it again, and the other members rebuild it", store.ErrCorrupt, err)
}

// begunFile is there once the node has had something to lose.
const begunFile = "BEGUN"

var errGoneLog = errors.New("cluster: the log is gone: this node has taken part in a cluster, and its files are not there")

// openLog opens the log. A node that has taken part in a cluster must have it.
func (n *Node) openLog() error {
	dir := filepath.Join(n.dir, "wal")
	begun, err := exists(filepath.Join(n.dir, begunFile))
	if err != nil {
		return err
	}
	if begun && !hasLog(dir) {
		return damagedErr(errGoneLog)
	}
	logger := raftLogger(n.opts.Logger, n.opts.ID)
	n.logs, err = newLogStore(func() (*wal.WAL, error) {
		return openWAL(dir, walParts{walfs.New(), syncDir, &metadb.BoltMetaDB{}}, n.opts.SegmentBytes, logger)
	}, n.log, n.opts.hooks.store)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, types.ErrNotFound) || errors.Is(err, types.ErrCorrupt) {
		err = damagedErr(err)
	}
	if err != nil {
		return fmt.Errorf("cluster: opening the log: %w", err)
	}
	term, err := n.logs.GetUint64([]byte("CurrentTerm"))
	if err != nil {
		return fmt.Errorf("cluster: reading the term: %w", err)
	}
	if begun && term == 0 {
		return damagedErr(errGoneLog)
	}
	return n.logs.check()
}

// hasLog reports whether there is a log in dir. Without its database, raft-wal would
// remove the files, and without files it would begin anew.
func hasLog(dir string) bool {
	there, err := exists(filepath.Join(dir, "wal-meta.db"))
	files, _ := filepath.Glob(filepath.Join(dir, "*.wal")) // the pattern is good
	return (there || err != nil) && len(files) > 0
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// begun notes that the node has something to lose.
func (n *Node) begun() error {
	path := filepath.Join(n.dir, begunFile)
	if there, err := exists(path); err != nil || there {
		return err
	}
	return writeDurably(path, []byte("this node has taken part in a cluster\n"))
}

// A snapshotStore is raft's, but for this: while the node is opened, it does not let
// raft fall back to a snapshot before which the log has been dropped.
type snapshotStore struct {
	*fileSnapshots
	first   uint64 // entry of the log
	opening atomic.Bool
	refused error // why a snapshot was not used, while it was opened
}

// Open implements raft.SnapshotStore.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, r, err := s.fileSnapshots.Open(id)
	if !s.opening.Load() {
		return meta, r, err
	}
	if err == nil && meta.Index+1 < s.first {
		err = errors.Join(fmt.Errorf("the entries %d to %d are not there", meta.Index+1, s.first-1), r.Close())
	}
	if err != nil {
		s.refused = errors.Join(s.refused, fmt.Errorf("snapshot %s: %w", id, err))
		return nil, nil, err
	}
	return meta, r, nil
}

// openSnapshots opens the snapshots, and makes sure that they and the log have no gap
// between them.
func (n *Node) openSnapshots() (*snapshotStore, error) {
	files, err := openFileSnapshots(n.dir, n.opts)
	if err != nil {
		return nil, err
	}
	s := &snapshotStore{fileSnapshots: files}
	s.opening.Store(true)
	if s.first, err = n.logs.FirstIndex(); err != nil {
		return nil, fmt.Errorf("cluster: opening the log: %w", err)
	}
	list, err := s.List()
	if err != nil {
		return nil, fmt.Errorf("cluster: opening the snapshots: %w", err)
	}
	if len(list) > 0 {
		n.snapshot.bytes = list[0].Size
	} else if s.first > 1 {
		return nil, damagedErr(fmt.Errorf("cluster: there is no snapshot in %s, and the log begins with entry %d", filepath.Join(n.dir, "snapshots"), s.first))
	}
	return s, nil
}
