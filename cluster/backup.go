package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync/atomic"

	"github.com/stateio/stateio/internal/storefile"
	"github.com/stateio/stateio/store"
)

// Backup writes the state as this node has it now to w, as one state file, and
// returns the index of the last update in it. The file is a backup as store.Backup
// writes it: store.VerifyBackup checks it, and store.Import makes a store of it. The
// store goes on at that index, with the time of the last entry of the log; what was
// remembered of keys of UpdateOnce is not in it. Updates go on meanwhile, and memory does not
// depend on the size of the state.
//
// What was acknowledged before a call of Sync that precedes it is in the backup. A node
// that has found no leader since it was opened may not have applied all that it has, so
// its backup may lack something: see [Recover]. The errors are those of w, of
// Machine.Snapshot and its io.WriterTo, which a panic there is, too, of ctx, store.ErrClosed,
// store.ErrFailed if the directory was removed or replaced, and those of making an empty
// directory beside the log. Backup does not wait longer than ctx
// for a function of View that reads, nor more than seconds longer for a WriteTo that does not
// return.
func (n *Node) Backup(ctx context.Context, w io.Writer) (index uint64, err error) {
	if err := n.closedErr("backup not made"); err != nil {
		return 0, err
	}
	if err := n.verify(); err != nil { // the directory may be that of another node
		return 0, &opError{msg: "backup not made", errs: []error{err}}
	}
	c, err := n.fsm.capture(ctx, n.ctx.Done(), "backup not made")
	if err != nil {
		return 0, err
	}
	if err := n.backup(ctx, c, w); err != nil {
		return 0, &opError{msg: "writing a backup", errs: []error{err}}
	}
	return c.header.index, nil
}

// backup writes a backup of a store that has the captured state, index and time, and nothing
// else, so that package store alone decides what a backup is. It releases the state.
func (n *Node) backup(ctx context.Context, c *capturedState, w io.Writer) (err error) {
	m := &once{state: c.state}
	defer func() {
		if m.take() {
			c.Release()
		}
	}()
	dir, err := os.MkdirTemp(n.dir, "backup-*.tmp")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	is := c.header.is
	if !is.known() {
		is = newCluster()
	}
	begin, err := storefile.EmptyBackup(storefile.Header{
		Store: is.cluster, Base: c.header.index, Salt: rand.Uint64(), Time: c.header.time,
	})
	if err != nil {
		return err
	}
	if err := store.Import(dir, bytes.NewReader(begin), int64(len(begin))); err != nil {
		return err
	}
	s, err := store.OpenContext(ctx, dir, m, &store.Options{SnapshotBytes: -1, Logger: n.log})
	if err != nil {
		return err
	}
	_, err = s.Backup(ctx, w)
	return errors.Join(err, s.Close())
}

// once is a machine whose state is captured already: what it restores is empty. The store that
// takes the state closes it, when WriteTo has returned: that may be after the backup was given
// up.
type once struct {
	state io.WriterTo
	taken atomic.Bool
}

var errOnce = errors.New("cluster: a machine that is only there to be backed up")

// take reports whether the state is the caller's from here on: it is nobody else's.
func (o *once) take() bool { return o.taken.CompareAndSwap(false, true) }

// Apply implements store.Machine.
func (o *once) Apply([]byte) (any, error) { return nil, errOnce }

// Restore implements store.Machine.
func (o *once) Restore(io.Reader) error { return nil }

// Snapshot implements store.Machine.
func (o *once) Snapshot() (io.WriterTo, error) {
	if !o.take() {
		return nil, errOnce
	}
	return o.state, nil
}
