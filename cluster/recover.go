package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stateio/stateio/store"
)

// A Recovery says what Recover has found in a directory.
type Recovery struct {
	Index   uint64    // of the last update: the number of those since the beginning of time
	Time    time.Time // of the last entry of the log, by the clock of its leader; zero if there is none
	Cluster string    // identity of the cluster, as in Status; empty: it is not known

	// The last entry of the log. Of several nodes that are left, the one with the highest
	// Term has the most, and among those with the same Term the one with the highest Entry.
	Term, Entry uint64
}

// Recover writes a backup of all that the directory of a node holds to w. It is for a
// cluster that has lost its majority for good: a node that finds no leader can't know
// which entries of its log were acknowledged, and applies none that its newest snapshot
// does not have, so its Backup may lack some. Recover applies them all to m, which must be
// in its initial state. What was acknowledged and had reached this node is in the backup.
// Updates whose callers were told store.ErrUnknown may be.
//
// The backup is as Node.Backup writes it: Import makes the first node of a new cluster of
// it, in a new directory. The nodes of the old one are refused there (ErrOtherCluster).
// Options are those for Open. The node must not run, and nothing listens or connects.
// The node keeps what it has, so Recover can be called again.
//
// The errors are fs.ErrNotExist if there is no log of a node in dir; store.ErrLocked;
// ErrIdentity if dir is that of another node, or of a store; ErrUnfinished if an Import was
// interrupted there; store.ErrCorrupt if the log or all snapshots are damaged; that of an update
// which another release has made, and m does not understand (store.UpdateChecker); what
// Restore and Snapshot return; and those of options, of ctx, of w, and of the file system. A
// panic of m is an error, too, which says at which entry it was.
// After an error, what was written to w is of no use.
func Recover(ctx context.Context, dir string, m store.Machine, w io.Writer, opts *Options) (Recovery, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return Recovery{}, err
	}
	if m == nil {
		return Recovery{}, errors.New("cluster: no machine")
	}
	if dir, err = absolute(dir); err != nil {
		return Recovery{}, err
	}
	n := &Node{dir: dir, opts: o, log: o.Logger}
	n.ctx, n.cancel = context.WithCancel(ctx)
	n.out = newOutbox(o.MaxPending, n.leader.Load, func(*leader, *parcel) {})
	n.fsm = newFSM(m, n.out)
	defer n.abandon() // the machine may also panic
	r, err := n.recover(ctx, w)
	if err != nil {
		return Recovery{}, &opError{msg: "recovering what is in " + dir, errs: []error{advised(err, toRecover)}}
	}
	return r, nil
}

// recover is Recover, with options that are good.
func (n *Node) recover(ctx context.Context, w io.Writer) (r Recovery, err error) {
	if err := n.mustHaveLog(); err != nil {
		return r, err
	}
	if err := n.lockDir(); err != nil {
		return r, err
	}
	if err := n.mustHaveLog(); err != nil { // what was there before it was locked is not certain
		return r, err
	}
	// What the log says of the cluster is learned, and not written down.
	n.fsm.self = &self{id: n.opts.ID, is: n.self.identity()}
	n.fsm.found = func(is identity) { _ = n.fsm.self.found(is) } // never fails without a file
	if err := n.openLog(); err != nil {
		return r, err
	}
	next, err := n.restoreNewest()
	if err != nil {
		return r, err
	}
	r.Entry, r.Term = next-1, n.fsm.term.Load()
	last, err := n.logs.LastIndex()
	if err != nil {
		return r, err
	}
	for ; next <= last; next++ {
		if err := ctx.Err(); err != nil {
			return r, err
		}
		if r.Term, err = n.applyFromLog(next); err != nil {
			return r, err
		}
		r.Entry = next
	}
	r.Index = n.fsm.index.Load()
	if at := n.fsm.clock.Load(); at != 0 {
		r.Time = time.Unix(0, at).UTC()
	}
	if is := n.fsm.self.identity(); is.known() {
		r.Cluster = is.String()
	}
	c, err := n.fsm.capture(ctx, n.ctx.Done(), "backup not made")
	if err != nil {
		return r, err
	}
	return r, n.backup(ctx, c, w)
}

// applyFromLog applies an entry of the log, and returns its term. A panic of the machine is an
// error: it is good to know which entry that was.
func (n *Node) applyFromLog(index uint64) (term uint64, err error) {
	var l raft.Log
	if err := n.logs.GetLog(index, &l); err != nil {
		return 0, fmt.Errorf("reading entry %d of the log: %w", index, err)
	}
	err = guarded("Apply of the machine", func() error { return n.fsm.applyBatch([]*raft.Log{&l}) })
	if err != nil {
		return 0, fmt.Errorf("entry %d of the log can't be applied (nothing of this directory was changed: correct the program, and call Recover again): %w", index, err)
	}
	return l.Term, nil
}

// mustHaveLog makes sure that the directory is that of this node, and has its log.
func (n *Node) mustHaveLog() error {
	if err := errors.Join(n.checkMine(), n.readJoin()); err != nil {
		return err
	}
	wal := filepath.Join(n.dir, "wal")
	if err := n.checkWhole(); err != nil {
		return err
	}
	there, err := hasLog(wal)
	if err == nil && !there {
		err = fmt.Errorf("there is no log of a node in %s: %w", wal, fs.ErrNotExist)
	}
	return err
}

// restoreNewest restores the newest snapshot that can be restored, and returns the entry
// with which the log goes on.
func (n *Node) restoreNewest() (next uint64, err error) {
	snaps, err := n.openSnapshots()
	if err != nil {
		return 0, err
	}
	list, err := snaps.List()
	if err != nil {
		return 0, err
	}
	var unrestored error
	for _, meta := range list {
		_, r, err := snaps.Open(meta.ID)
		if err != nil {
			continue // snaps.refused has it
		}
		err = errors.Join(guarded("Restore of the machine", func() error { return n.fsm.Restore(r) }), r.Close())
		if err == nil {
			return meta.Index + 1, nil
		}
		unrestored = errors.Join(unrestored, fmt.Errorf("snapshot %s: %w", meta.ID, err))
	}
	if len(list) > 0 {
		return 0, notUsed(snaps.refused, unrestored)
	}
	return 1, nil
}
