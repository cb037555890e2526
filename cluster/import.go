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

// Import makes the directory of the first node of a new cluster, whose state is that
// of the backup in the first limit bytes of r, as the method Backup of a store or a
// node has written it. Open it with the same options afterwards; the other nodes
// Join. Index goes on from the backup's. Memory does not depend on the size of the
// state.
//
// The errors are fs.ErrExist if dir has a node already; those of
// store.VerifyBackup; of options; and of the file system. After an error, remove dir
// and begin again.
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
	if _, err := os.Stat(filepath.Join(dir, "NODE")); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cluster: importing into %s: there is a node already: %w", dir, fs.ErrExist)
	}
	n := &Node{dir: dir, opts: o, log: o.Logger}
	if err := n.openDir(); err != nil {
		return &opError{msg: "importing into " + dir, errs: []error{err}}
	}
	err = n.importState(info.Index, func(w io.Writer) error {
		_, err := store.RestoreBackup(ctx, w, r, limit)
		return err
	})
	if err = errors.Join(err, n.lock.Close()); err != nil {
		return &opError{msg: "importing into " + dir, errs: []error{err}}
	}
	return nil
}

// importState writes the first snapshot, which also says which members there are, and
// the term that it belongs to.
func (n *Node) importState(index uint64, state func(io.Writer) error) error {
	logger := raftLogger(n.opts.Logger, n.opts.ID)
	w, err := wal.Open(filepath.Join(n.dir, "wal"), wal.WithLogger(logger), wal.WithSegmentSize(n.opts.SegmentBytes))
	if err != nil {
		return err
	}
	err = w.SetUint64([]byte("CurrentTerm"), 1)
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
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
	if err := writeImported(sink, index, state); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// writeImported writes a snapshot of a state that was made elsewhere.
func writeImported(w io.Writer, index uint64, state func(io.Writer) error) error {
	chunks := newChunkWriter(w)
	buffered := bufio.NewWriter(chunks)
	if _, err := buffered.Write(snapshotHeader{index: index, applied: 1, term: 1}.encode()); err != nil {
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
