package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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

// damagedErr says what is wrong. What to do about it depends on who is told; see advised.
func damagedErr(err error) error { return &damage{err} }

// A damage is what keeps a node from going on with its directory. It is store.ErrCorrupt.
type damage struct{ err error }

func (d *damage) Error() string { return fmt.Sprintf("%v: %v", store.ErrCorrupt, d.err) }

func (d *damage) Unwrap() []error { return []error{store.ErrCorrupt, d.err} }

// What to do about damage: for a node of a cluster, and for what is left of one.
const (
	toRejoin  = "this node must not go on with it: call Rejoin for this directory, and open it again, and the other members rebuild it"
	toRecover = "call Recover for the directory of another node that is left, or Import a backup; if a majority of the members is there after all, call Rejoin for this directory, and they rebuild it"
)

// advised adds to an error what to do if it says that something is damaged.
func advised(err error, what string) error {
	if errors.As(err, new(*damage)) {
		return fmt.Errorf("%w; %s", err, what)
	}
	return err
}

// begunFile is there once the node has had something to lose.
const begunFile = "BEGUN"

// nodeFiles are what shows that a directory is, or was, that of a node, besides its log, its snapshots
// and what Rejoin leaves. NODE is the first that goes, or is replaced, when the directory is set aside, and
// REMOVED, without which it might be opened, the last.
var nodeFiles = []string{nodeFile, begunFile, removedFile}

var errGoneLog = errors.New("cluster: the log is gone: this node has taken part in a cluster, and its files are not there")

// checkWhole makes sure, before anything is changed, that the log is there if anything else
// shows that there was one. A node that is made for the first time has the database of its
// log first, then a file of it, then NODE, and then BEGUN and snapshots, and each is durable
// before the next. Rejoin removes the log, and BEGUN and the snapshots after it, but leaves
// NODE.
func (n *Node) checkWhole() error {
	dir := filepath.Join(n.dir, "wal")
	err := checkFiles(dir)
	if errors.Is(err, types.ErrCorrupt) {
		return damagedErr(err)
	}
	if err != nil {
		return err
	}
	if there, err := hasLog(dir); err != nil || there {
		return err
	}
	begun, err := exists(filepath.Join(n.dir, begunFile))
	if err != nil {
		return err
	}
	snapshots, err := snapshotNames(n.dir)
	switch {
	case err != nil:
		return err
	case begun:
		return damagedErr(errGoneLog)
	case len(snapshots) > 0:
		return damagedErr(fmt.Errorf("%w: %s is a snapshot", errGoneLog, filepath.Join(n.dir, "snapshots", snapshots[0])))
	case !n.self.identity().blank() && !n.rejoining:
		return damagedErr(fmt.Errorf("%w: %s says of which cluster it is", errGoneLog, n.self.path))
	}
	return nil
}

// snapshotNames returns the names of the snapshots that are complete.
func snapshotNames(dir string) (names []string, err error) {
	list, err := os.ReadDir(filepath.Join(dir, "snapshots"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, e := range list {
		if e.IsDir() && !strings.HasSuffix(e.Name(), unfinished) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// newestSnapshot returns up to which entry there is a snapshot, readable or not: the name of
// each is TERM-INDEX-TIME.
func newestSnapshot(dir string) (newest uint64, err error) {
	names, err := snapshotNames(dir)
	for _, name := range names {
		_, rest, _ := strings.Cut(name, "-")
		index, _, _ := strings.Cut(rest, "-")
		if i, err := strconv.ParseUint(index, 10, 64); err == nil {
			newest = max(newest, i)
		}
	}
	return newest, err
}

// checkFiles makes sure that the files of the log have their database. Without it raft-wal
// begins another one, and removes them. The error is types.ErrCorrupt.
func checkFiles(dir string) error {
	there, err := exists(filepath.Join(dir, metadb.FileName))
	if err != nil || there {
		return err
	}
	files, err := walFiles(dir)
	if len(files) > 0 {
		err = fmt.Errorf("%w: %s is not there, without which the log can't be read, and %d of its files are, as %s (if they are not those of this node, give it a directory of its own)", types.ErrCorrupt, filepath.Join(dir, metadb.FileName), len(files), filepath.Base(files[0]))
	}
	return err
}

// openLog opens the log, which is there if anything was in it; see checkWhole.
func (n *Node) openLog() error {
	dir := filepath.Join(n.dir, "wal")
	begun, err := exists(filepath.Join(n.dir, begunFile))
	if err != nil {
		return err
	}
	files, err := walFiles(dir)
	if err != nil {
		return err
	}
	logger := raftLogger(n.opts.Logger, n.opts.ID)
	held := &heldLog{}
	n.logs, err = newLogStore(func() (*wal.WAL, error) {
		if err := held.checkMeta(); err != nil { // when it is opened again
			return nil, err
		}
		if err := errors.Join(checkFiles(dir), checkMeta(dir)); err != nil {
			return nil, err
		}
		return noPanic(dir, func() (*wal.WAL, error) {
			return openWAL(dir, walParts{heldFiles{walfs.New(), held}, syncDir, &metadb.BoltMetaDB{}}, n.opts.SegmentBytes, logger)
		})
	}, n.log, n.opts.hooks.store)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, types.ErrNotFound) || errors.Is(err, types.ErrCorrupt) {
		err = damagedErr(err)
	}
	if err != nil {
		return fmt.Errorf("cluster: opening the log: %w", err)
	}
	if err := held.holdMeta(dir); err != nil {
		return fmt.Errorf("cluster: opening the log: %w", err)
	}
	n.logs.held, n.logs.lost, n.logs.quit = held, n.fail, n.ctx.Done()
	n.logs.isLost = func() bool {
		err := held.checkMeta()
		if errors.Is(err, errLost) {
			n.fail(err)
		}
		return n.failedErr() != nil // also if it is files of entries that are gone
	}
	n.logs.most = max(cacheBytes, (entriesInFlight+1)*n.opts.MaxUpdate)
	term, err := n.logs.GetUint64([]byte("CurrentTerm"))
	if err != nil {
		return fmt.Errorf("cluster: reading the term: %w", err)
	}
	if begun && term == 0 || len(files) == 0 && term > 0 {
		return damagedErr(errGoneLog)
	}
	if err := n.logs.check(); err != nil {
		return err
	}
	n.logs.unread = n.cantRead
	return nil
}

// hasLog reports whether there is a log in dir. Without files raft-wal would begin anew.
func hasLog(dir string) (bool, error) {
	there, err := exists(filepath.Join(dir, metadb.FileName))
	if err != nil || !there {
		return false, err
	}
	files, err := walFiles(dir)
	return len(files) > 0, err
}

// walFiles returns the paths of the files of the log in dir.
func walFiles(dir string) (paths []string, err error) {
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, e := range list {
		if filepath.Ext(e.Name()) == ".wal" {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, nil
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
	defer n.under.begin("writing " + path)()
	if there, err := exists(path); err != nil || there {
		return err
	}
	return n.writeFile(begunFile, "this node has taken part in a cluster\n")
}

// writeFile makes a small file in the directory of this node, unless another one has that by now: the
// directory may have been moved, and another node begun in its place, while this one runs.
func (n *Node) writeFile(name, text string) error {
	if err := n.verify(); err != nil {
		return err
	}
	return writeDurably(filepath.Join(n.dir, name), []byte(text))
}

// removeFile removes a file, as writeFile makes one. It may be gone.
func (n *Node) removeFile(name string) error {
	if err := n.verify(); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(n.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return syncDir(n.dir)
}

// A snapshotStore is raft's, but for this: while the node is opened, it does not let
// raft fall back to a snapshot before which the log has been dropped.
type snapshotStore struct {
	*fileSnapshots
	first   uint64 // entry of the log
	last    uint64 // the same; 0: the log is empty
	newest  uint64 // entry up to which there is a snapshot, by the names of all
	opening atomic.Bool
	members *settled       // is told of the members that a snapshot has
	stats   *snapshotStats // are told how large it is
	unread  func(error)    // is told of one that can't be read, once there is a node
	held    func() error   // that the directory is still this node's
	refused error          // why a snapshot was not used, while it was opened
}

// Create implements raft.SnapshotStore. A snapshot of this node has the members that are committed.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, members raft.Configuration, membersIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	if err := s.held(); err != nil { // raft would make the directory again, or drop the snapshots of another node
		return nil, err
	}
	members, membersIndex = s.members.of(index, members, membersIndex)
	return s.fileSnapshots.Create(version, index, term, members, membersIndex, trans)
}

// notUsed says why no snapshot is used: some were refused, and the newest of the others could not be
// restored. If that is for the machine, or this release, there is no damage: an older snapshot may
// have been refused for what is not there because it is not needed.
func notUsed(refused, unrestored error) error {
	if unrestored != nil && !errors.Is(unrestored, errDamagedSnapshot) {
		return fmt.Errorf("cluster: restoring a snapshot: %w", unrestored)
	}
	return damagedErr(fmt.Errorf("cluster: no snapshot can be used: %w", errors.Join(refused, unrestored)))
}

// Open implements raft.SnapshotStore.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, r, err := s.fileSnapshots.Open(id)
	if !s.opening.Load() {
		if err == nil { // the newest: raft is about to send or to restore it
			s.members.note(meta.ConfigurationIndex, meta.Configuration)
			s.stats.sized(meta.Size)
		} else {
			s.unread(fmt.Errorf("cluster: snapshot %s can't be read: %w", id, err))
		}
		return meta, r, err
	}
	if err == nil && meta.Index+1 < s.first {
		err = errors.Join(fmt.Errorf("the entries %d to %d are not there", meta.Index+1, s.first-1), r.Close())
	} else if err == nil && max(meta.Index, s.last) < s.newest {
		err = errors.Join(fmt.Errorf("the entries up to %d, of a later snapshot, are not there", s.newest), r.Close())
	}
	if err != nil {
		s.refused = errors.Join(s.refused, fmt.Errorf("snapshot %s: %w", id, err))
		return nil, nil, err
	}
	s.members.note(meta.ConfigurationIndex, meta.Configuration)
	return meta, r, nil
}

// openSnapshots opens the snapshots, and makes sure that they and the log have no gap
// between them.
func (n *Node) openSnapshots() (*snapshotStore, error) {
	files, err := openFileSnapshots(n.dir, n.opts)
	if err != nil {
		return nil, err
	}
	s := &snapshotStore{fileSnapshots: files, members: &n.fsm.members, stats: &n.snapshot, held: n.verify}
	s.opening.Store(true)
	if s.first, err = n.logs.FirstIndex(); err != nil {
		return nil, fmt.Errorf("cluster: opening the log: %w", err)
	}
	if s.last, err = n.logs.LastIndex(); err != nil {
		return nil, fmt.Errorf("cluster: opening the log: %w", err)
	}
	if s.newest, err = newestSnapshot(n.dir); err != nil {
		return nil, fmt.Errorf("cluster: opening the snapshots: %w", err)
	}
	list, err := s.List()
	if err != nil {
		return nil, fmt.Errorf("cluster: opening the snapshots: %w", err)
	}
	if len(list) > 0 {
		n.snapshot.sized(list[0].Size)
	} else if s.last < s.newest {
		return nil, damagedErr(fmt.Errorf("cluster: no snapshot in %s can be read, of which one has the entries up to %d", filepath.Join(n.dir, "snapshots"), s.newest))
	} else if s.first > 1 {
		return nil, damagedErr(fmt.Errorf("cluster: there is no snapshot in %s, and the log begins with entry %d", filepath.Join(n.dir, "snapshots"), s.first))
	}
	return s, nil
}
