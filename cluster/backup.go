package cluster

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/stateio/stateio/store"
)

// Backup writes the state as this node has it now to w, as one state file, and
// returns the index of the last update in it. The file is a backup as store.Backup
// writes it: store.VerifyBackup checks it, and store.Import makes a store of it. The
// store's own index begins at 0, and what was remembered of keys of UpdateOnce is
// not in it. Updates go on meanwhile, and memory does not depend on the size of the
// state.
//
// What was acknowledged before a call of Sync that precedes it is in the backup. The
// errors are those of w, of Machine.Snapshot and its io.WriterTo, of ctx,
// store.ErrClosed, and those of making an empty directory beside the log.
func (n *Node) Backup(ctx context.Context, w io.Writer) (index uint64, err error) {
	if err := n.closedErr("backup not made"); err != nil {
		return 0, err
	}
	n.fsm.state.Lock()
	c, err := n.fsm.captureLocked()
	n.fsm.state.Unlock()
	if err != nil {
		return 0, err
	}
	defer c.Release()
	if err := n.backup(ctx, &once{state: c.state}, w); err != nil {
		return 0, &opError{msg: "writing a backup", errs: []error{err}}
	}
	return c.header.index, nil
}

// backup writes a backup of a store that has the state and nothing else, so that
// package store alone decides what a backup is.
func (n *Node) backup(ctx context.Context, m store.Machine, w io.Writer) (err error) {
	dir, err := os.MkdirTemp(n.dir, "backup-*.tmp")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := store.OpenContext(ctx, dir, m, &store.Options{SnapshotBytes: -1, Logger: n.log})
	if err != nil {
		return err
	}
	_, err = s.Backup(ctx, w)
	return errors.Join(err, s.Close())
}

// once is a machine whose state is captured already.
type once struct{ state io.WriterTo }

var errOnce = errors.New("cluster: a machine that is only there to be backed up")

// Apply implements store.Machine.
func (o *once) Apply([]byte) (any, error) { return nil, errOnce }

// Restore implements store.Machine.
func (o *once) Restore(io.Reader) error { return errOnce }

// Snapshot implements store.Machine.
func (o *once) Snapshot() (io.WriterTo, error) {
	if o.state == nil {
		return nil, errOnce
	}
	s := struct{ io.WriterTo }{o.state} // without Close
	o.state = nil
	return s, nil
}
