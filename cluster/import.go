package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"

	"github.com/stateio/stateio/store"
)

// importFile is there while a directory is imported into. It is the first that is made,
// and the last that goes: until then there is no node.
const importFile = "IMPORTING"

// Import makes the directory of the first node of a new cluster, whose state is that
// of the backup in the first limit bytes of r, as the method Backup of a store or a
// node has written it. Open it with the same options afterwards; the other nodes
// Join. Index goes on from the backup's, and so does the time that ApplyAt gets. Memory does
// not depend on the size of the state.
//
// When Import returns nil, the node is durable. After an error or a crash before that,
// Open refuses what was begun (ErrUnfinished), and Import can be called again: it begins
// anew.
//
// The errors are fs.ErrExist if dir has a node already, or anything in its directories wal and
// snapshots that no interrupted Import has made; ErrIdentity if it is that of a
// store; store.ErrLocked; those of store.VerifyBackup; of options; and of the file system.
func Import(ctx context.Context, dir string, r io.ReaderAt, limit int64, opts *Options) error {
	o, err := opts.withDefaults()
	if err != nil {
		return err
	}
	if len(o.Members) > 1 || len(o.Join) > 0 {
		return errors.New("cluster: importing makes a cluster of one node: leave Options.Members and Options.Join empty, and let the others Join")
	}
	info, err := store.VerifyBackup(ctx, r, limit)
	if err != nil {
		return err
	}
	if dir, err = absolute(dir); err != nil {
		return err
	}
	n := &Node{dir: dir, opts: o, log: o.Logger}
	err = n.importInto(info, func(w io.Writer) error {
		_, err := store.RestoreBackup(ctx, w, r, limit)
		return err
	})
	if n.lock != nil {
		err = errors.Join(err, n.lock.Close())
	}
	if err != nil {
		return &opError{msg: "importing into " + dir, errs: []error{err}}
	}
	return nil
}

// importInto makes the node, in an order that bears to be interrupted anywhere.
func (n *Node) importInto(info store.BackupInfo, state func(io.Writer) error) error {
	if err := checkVacant(n.dir); err != nil {
		return err
	}
	if err := n.lockDir(); err != nil {
		return err
	}
	if err := checkVacant(n.dir); err != nil { // what was there before it was locked is not certain
		return err
	}
	if err := n.clear(); err != nil {
		return err
	}
	n.opts.hooks.at("marked")
	if err := n.makeDirs(); err != nil {
		return err
	}
	n.opts.hooks.at("directories")
	n.self = &self{id: n.opts.ID, path: filepath.Join(n.dir, nodeFile)}
	if err := n.self.become(newCluster(), false); err != nil {
		return err
	}
	n.opts.hooks.at("identity")
	if err := n.importState(info, state); err != nil {
		return err
	}
	n.opts.hooks.at("state")
	// The commit point: all else is durable.
	if err := os.Remove(filepath.Join(n.dir, importFile)); err != nil {
		return err
	}
	n.opts.hooks.at("unmarked")
	return syncDir(n.dir)
}

// checkVacant returns an error that is fs.ErrExist if the directory has anything that an
// import would remove, and that no import has made.
func checkVacant(dir string) error {
	err := checkDir(dir)
	if errors.Is(err, ErrUnfinished) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range append([]string{joinFile}, nodeFiles...) {
		path := filepath.Join(dir, name)
		if there, err := exists(path); err != nil || there {
			return errors.Join(err, fmt.Errorf("there is a node already, as %s shows: import into another directory: %w", path, fs.ErrExist))
		}
	}
	for _, name := range []string{"wal", "snapshots"} {
		place := filepath.Join(dir, name)
		list, err := os.ReadDir(place)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case len(list) > 0:
			return fmt.Errorf("there is %s, of a node that has lost other files, or of another program: import into another directory, or move %s away: %w", filepath.Join(place, list[0].Name()), place, fs.ErrExist)
		}
	}
	return nil
}

// clear marks the directory as one that is imported into, and removes what an import that
// was interrupted has made.
func (n *Node) clear() error {
	mark := filepath.Join(n.dir, importFile)
	if err := writeDurably(mark, []byte("an import is not finished: call Import again, or remove this directory\n")); err != nil {
		return err
	}
	for _, name := range []string{nodeFile, "wal", "snapshots"} {
		if err := os.RemoveAll(filepath.Join(n.dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// importState writes the first snapshot, which also says which members there are, and
// the term that it belongs to.
func (n *Node) importState(info store.BackupInfo, state func(io.Writer) error) error {
	logger := raftLogger(n.opts.Logger, n.opts.ID)
	w, err := wal.Open(filepath.Join(n.dir, "wal"), wal.WithLogger(logger), wal.WithSegmentSize(n.opts.SegmentBytes))
	if err != nil {
		return err
	}
	err = w.SetUint64([]byte("CurrentTerm"), 1)
	if err = errors.Join(err, w.Close(), syncDir(filepath.Join(n.dir, "wal"))); err != nil {
		return err
	}
	n.opts.hooks.at("term")
	snaps, err := openFileSnapshots(n.dir, n.opts)
	if err != nil {
		return err
	}
	first := raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(n.opts.ID), Address: raft.ServerAddress(n.opts.Advertise)}}}
	_, trans := raft.NewInmemTransport("") // only encodes the address for old versions of raft
	sink, err := snaps.Create(raft.SnapshotVersionMax, 1, 1, first, 1, trans)
	if err != nil {
		return err
	}
	h := snapshotHeader{index: info.Index, applied: 1, term: 1, is: n.self.identity()}
	if !info.Time.IsZero() {
		h.time = info.Time.UnixNano()
	}
	if err := writeImported(sink, h, state); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// writeImported writes a snapshot of a state that was made elsewhere.
func writeImported(w io.Writer, h snapshotHeader, state func(io.Writer) error) error {
	chunks := newChunkWriter(w)
	buffered := bufio.NewWriter(chunks)
	if _, err := buffered.Write(h.encode()); err != nil {
		return err
	}
	if err := newTable().capture().writeTo(buffered); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	if err := state(chunks); err != nil {
		return err
	}
	return chunks.Close()
}
