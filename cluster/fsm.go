package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stateio/stateio/store"
)

// A timedMachine is a machine whose Apply wants the time of the update and its
// index.
type timedMachine interface {
	ApplyAt(at time.Time, index uint64, update []byte) (result any, err error)
}

// An fsm is the replicated state: the machine, with what is needed to apply each
// update once. Raft calls Apply, ApplyBatch, Snapshot and Restore one at a time, in
// one goroutine.
type fsm struct {
	m     store.Machine
	timed timedMachine              // m, if it is one
	check func(update []byte) error // whether m understands an update
	out   *outbox                   // gets the results of this node's updates
	again bool                      // see hooks

	recent recent // what was applied lately
	// installed is told which snapshot of another node the state is that of.
	installed func(index, term uint64)
	// found is told which cluster this is, when the log has said so.
	found func(identity)

	self *self // has the first identity that the log says

	members settled

	state  stateLock // what Apply changes; held while a function of View reads
	table  *table
	time   int64 // of the last entry, never going back
	broken error // why the machine's state is not to be used

	index    atomic.Uint64          // updates applied since the beginning of time
	clock    atomic.Int64           // time, for whoever does not hold state
	applied  atomic.Uint64          // raft index of the last entry applied
	term     atomic.Uint64          // and its term
	bytes    atomic.Int64           // of entries applied since the node was opened
	entries  atomic.Uint64          // how many those were
	cut      atomic.Pointer[volume] // those of them that the newest snapshot has; nil: none
	durable  atomic.Uint64          // raft index of the last entry in the newest snapshot that is on the disk
	restores atomic.Uint64          // snapshots restored
	keys     atomic.Int64           // in table
	sessions atomic.Int64           // in table

	stuck atomic.Pointer[opError] // why the last snapshot could not be restored; nil: it could
	alarm func(error)             // is told of that
	// newest opens the newest snapshot; nil: there is none to mend a state with.
	newest  func() (io.ReadCloser, error)
	closing <-chan struct{} // closed when the node is

	inside     atomic.Pointer[string] // function of the machine that holds state
	persisting atomic.Int32           // snapshots that raft writes
	counts     counters

	// Only raft's goroutine uses these, and Open before there is one.
	unrestored error           // with which a snapshot could not be restored last; nil: it could
	passed     uint64          // the entries up to here are in a snapshot that raft does not know of
	mine       map[uint64]bool // the sessions that this node has had since it was opened
	got        []delivery      // results of this node's updates in the batch
	kept       []store.Update  // what was applied in the batch

	mu    sync.Mutex
	waits []*indexWait // for applied; guarded by mu
}

// counters count what the machine was asked since the node was opened.
type counters struct{ updates, refused, duplicates, entries atomic.Uint64 }

// A delivery is the outcome of one of this node's updates.
type delivery struct {
	session uint64
	seq     uint64
	index   uint64
	result  any
	err     error
	lost    bool // the session is not known: the update was not applied
}

func newFSM(m store.Machine, out *outbox) *fsm {
	f := &fsm{m: m, out: out, table: newTable(), mine: map[uint64]bool{}, self: &self{}, installed: func(uint64, uint64) {}, found: func(identity) {}, alarm: func(error) {}}
	f.timed, _ = m.(timedMachine)
	f.check = func([]byte) error { return nil }
	if c, ok := m.(store.UpdateChecker); ok {
		f.check = c.CheckUpdate
	}
	return f
}

// Apply implements raft.FSM. Raft calls ApplyBatch in its place.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	if err := f.applyBatch(logs); err != nil {
		panic(err.Error())
	}
	return make([]any, len(logs))
}

// applyBatch applies entries, and tells whoever waits. After an error it applies nothing more.
func (f *fsm) applyBatch(logs []*raft.Log) error {
	if errors.Is(f.mend(), store.ErrClosed) {
		return nil // nobody hears of it
	}
	if logs = f.unapplied(logs); len(logs) == 0 {
		return nil
	}
	if err := f.applyAll(logs); err != nil {
		return err
	}
	f.stuck.Store(nil)
	last := logs[len(logs)-1]
	f.term.Store(last.Term)
	f.publishKept()
	f.reached(last.Index)
	f.out.deliver(f.got)
	clear(f.got)
	f.got = f.got[:0]
	return nil
}

func (f *fsm) applyAll(logs []*raft.Log) error {
	returned := false
	defer func() {
		if !returned {
			mustReturn("Apply", recover())
		}
	}()
	f.state.Lock()
	defer f.state.Unlock()
	defer f.calling(&inApply)()
	err := f.applyLocked(logs)
	returned = true
	return err
}

// applyLocked is applyAll, of a machine that returns, with state held.
func (f *fsm) applyLocked(logs []*raft.Log) error {
	if f.broken != nil {
		return fmt.Errorf("cluster: raft applies entry %d to a state that is not whole: %w", logs[0].Index, f.broken)
	}
	for _, l := range logs {
		if l.Type == raft.LogConfiguration {
			f.members.note(l.Index, raft.DecodeConfiguration(l.Data))
		}
		if l.Type != raft.LogCommand {
			continue
		}
		f.bytes.Add(int64(len(l.Data)))
		f.entries.Add(1)
		f.counts.entries.Add(1)
		before := len(f.kept)
		if err := f.applyEntry(l.Data); err != nil {
			return fmt.Errorf("cluster: applying entry %d: %w", l.Index, err)
		}
		detach(f.kept[before:], len(l.Data))
	}
	f.countLocked()
	return nil
}

// A volume says how many entries there are, and how large they are together.
type volume struct {
	bytes   int64
	entries uint64
}

// total returns what was applied since the node was opened.
func (f *fsm) total() volume { return volume{f.bytes.Load(), f.entries.Load()} }

// since returns what was applied that the newest snapshot does not have.
func (f *fsm) since() volume {
	var has volume
	if cut := f.cut.Load(); cut != nil {
		has = *cut
	}
	all := f.total()
	return volume{all.bytes - has.bytes, all.entries - has.entries}
}

// cutAt notes that a snapshot has what was applied up to t, unless a later one was restored while it
// was made.
func (f *fsm) cutAt(t volume) {
	for {
		was := f.cut.Load()
		if was != nil && was.entries >= t.entries || f.cut.CompareAndSwap(was, &t) {
			return
		}
	}
}

// countLocked counts what is in the table, for whoever does not hold state.
func (f *fsm) countLocked() {
	f.keys.Store(int64(len(f.table.order)))
	f.sessions.Store(int64(len(f.table.sessions)))
}

// applyEntry applies one entry, all of it.
func (f *fsm) applyEntry(b []byte) error {
	at, groups, err := parseEntry(b)
	if err != nil {
		return err
	}
	if at > f.time {
		f.time = at
		f.clock.Store(at)
	}
	for len(groups) > 0 {
		var g group
		if g, groups, err = nextGroup(groups); err != nil {
			return err
		}
		switch {
		case g.nonce != nil:
			f.begin(*g.nonce)
		case g.cluster != nil:
			f.identify(*g.cluster)
		default:
			if err := f.applyGroup(g); err != nil {
				return err
			}
		}
	}
	return nil
}

// identify takes the first identity that the log, or a snapshot, has.
func (f *fsm) identify(is identity) {
	if is.known() && !f.self.identity().known() {
		f.found(is)
	}
}

// begin begins a session.
func (f *fsm) begin(nonce [nonceSize]byte) {
	id := f.table.begin(nonce, f.time)
	if f.out.began(nonce, id) {
		f.mine[id] = true
	}
}

// applyGroup applies the updates of one session.
func (f *fsm) applyGroup(g group) error {
	s := f.table.sessions[g.session]
	if s != nil {
		s.used = f.time
		s.raise(g.low)
	}
	mine := f.mine[g.session]
	for b := g.updates; len(b) > 0; {
		u, rest, err := nextUpdate(b)
		if err != nil {
			return err
		}
		b = rest
		d := delivery{session: g.session, seq: u.seq, lost: s == nil}
		if s != nil {
			if s.has(u.seq) {
				f.counts.duplicates.Add(1)
				if !f.again {
					continue // it was applied, and whoever waits for it was told
				}
			}
			s.add(u.seq)
			d.result, d.err = f.applyOnce(u)
			if isAlien(d.err) {
				return d.err
			}
			d.index = f.index.Load()
		}
		if mine {
			f.got = append(f.got, d)
		}
	}
	return nil
}

// applyOnce applies an update, unless its key was used before.
func (f *fsm) applyOnce(u encodedUpdate) (any, error) {
	if u.key == nil {
		return f.apply(u.data)
	}
	f.table.expire(f.time)
	if k, ok := f.table.once(u.key); ok {
		f.counts.duplicates.Add(1)
		return nil, &DuplicateError{Index: k.index, Refused: k.refused}
	}
	if len(f.table.order) >= MaxKeys {
		return nil, fmt.Errorf("%w: %d were used within %v", ErrTooManyKeys, MaxKeys, KeyLife)
	}
	result, err := f.apply(u.data)
	if isAlien(err) {
		return nil, err
	}
	f.table.remember(onceKey{key: *u.key, time: f.time, index: f.index.Load(), refused: err != nil})
	return result, err
}

// apply hands an update to the machine.
func (f *fsm) apply(update []byte) (result any, err error) {
	index := f.index.Load() + 1
	if f.timed != nil {
		result, err = f.timed.ApplyAt(time.Unix(0, f.time).UTC(), index, update)
	} else {
		result, err = f.m.Apply(update)
	}
	if err != nil {
		if why := f.check(update); why != nil {
			return nil, &alienError{index, why}
		}
		f.counts.refused.Add(1)
		return nil, err
	}
	f.counts.updates.Add(1)
	f.index.Store(index)
	f.keep(index, update)
	return result, nil
}

// An alienError says that an update was made by another release. The node that has sent it does
// understand it, and others have applied it: it can't be passed over.
type alienError struct {
	index uint64
	why   error
}

func (e *alienError) Error() string {
	return fmt.Sprintf("update %d was made by another release of this program, which this one does not understand; run that release, or a later one, on this node: %v", e.index, e.why)
}

func (e *alienError) Unwrap() error { return e.why }

func isAlien(err error) bool { return err != nil && errors.As(err, new(*alienError)) }

// read calls read while nothing is applied.
func (f *fsm) read(read func() error) error {
	f.state.RLock()
	return f.readLocked(read)
}

// readLocked is read, with state held shared. It lets go of it.
func (f *fsm) readLocked(read func() error) error {
	defer f.state.RUnlock() // also if read ends the goroutine
	if f.broken != nil {
		return f.broken
	}
	return read()
}

// An indexWait waits until raft index index is applied.
type indexWait struct {
	index uint64
	done  chan struct{}
}

// reached says that all up to raft index i is applied.
func (f *fsm) reached(i uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applied.Store(i)
	left := f.waits[:0]
	for _, w := range f.waits {
		if w.index <= i {
			close(w.done)
		} else {
			left = append(left, w)
		}
	}
	clear(f.waits[len(left):])
	f.waits = left
}

// wait waits until raft index i is applied, ctx ends, closed or failed is closed, or a snapshot can't
// be restored.
func (f *fsm) wait(ctx context.Context, i uint64, closed, failed <-chan struct{}) error {
	if f.applied.Load() >= i {
		return nil
	}
	w := &indexWait{index: i, done: make(chan struct{})}
	f.mu.Lock()
	err := f.stuckErr()
	if f.applied.Load() >= i || err != nil {
		f.mu.Unlock()
		return err
	}
	f.waits = append(f.waits, w)
	f.mu.Unlock()
	select {
	case <-w.done:
		if f.applied.Load() < i {
			return cmp.Or(f.stuckErr(), store.ErrFailed)
		}
		return nil
	case <-closed:
		return store.ErrClosed
	case <-failed:
		return store.ErrFailed
	case <-ctx.Done():
		f.forget(w)
		return ctx.Err()
	}
}

func (f *fsm) forget(w *indexWait) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, other := range f.waits {
		if other == w {
			f.waits = append(f.waits[:i], f.waits[i+1:]...)
			return
		}
	}
}

// Restore implements raft.FSM: it replaces the whole state by that of a snapshot. One
// that comes late must not take the state back: a leader that has sent it is not
// waiting for it any more. Nothing is done for one that has what the state has.
func (f *fsm) Restore(r io.ReadCloser) error {
	h, err := f.restoreNewer(r)
	if err == nil {
		f.installed(h.applied, h.term)
	}
	f.unrestored = err
	if !errors.Is(err, errLate) {
		f.noteRestore(err)
	}
	return err
}

// restoreNewer is restoreFrom, of a machine that may not return.
func (f *fsm) restoreNewer(r io.Reader) (snapshotHeader, error) {
	returned := false
	defer func() {
		if !returned {
			mustReturn("Restore", recover())
		}
	}()
	h, err := f.restoreFrom(r)
	returned = true
	return h, err
}

// restoreFrom restores a snapshot, unless the state has as much.
func (f *fsm) restoreFrom(r io.Reader) (h snapshotHeader, err error) {
	chunks := newChunkReader(r)
	h, t, err := readSnapshotHead(chunks)
	if err != nil {
		return h, err
	}
	if is := f.self.identity(); is.relationTo(h.is) == unrelated {
		return h, fmt.Errorf("%w: its snapshot is of cluster %v, and this node is of %v", ErrOtherCluster, h.is, is)
	}
	if h.applied < f.applied.Load() { // also if the state is not whole: raft goes on after what was applied
		return h, f.lateErr(h.applied)
	}
	if f.broken == nil && h.applied == f.applied.Load() && h.applied > 0 {
		f.durable.Store(h.applied)
		return h, nil
	}
	if err := f.restore(h, t, chunks); err != nil {
		return h, err
	}
	f.restores.Add(1)
	f.cutAt(f.total())
	f.durable.Store(h.applied)
	f.term.Store(h.term)
	f.recent.reset(h.index)
	f.reached(h.applied)
	if id := f.out.restored(f.table); id != 0 {
		f.mine[id] = true
	}
	return h, nil
}

// restore is Restore, of a snapshot that is wanted.
func (f *fsm) restore(h snapshotHeader, t *table, chunks *chunkReader) (err error) {
	f.state.Lock()
	defer f.state.Unlock() // also if the machine panics
	defer f.calling(&inRestore)()
	f.broken = errors.New("cluster: a snapshot is being restored")
	defer func() {
		if err != nil {
			f.broken = &opError{msg: "the state is not whole, because a snapshot could not be restored (it is tried again; if that does not help, open the node again)", errs: []error{store.ErrFailed, err}}
		}
	}()
	if err := f.m.Restore(chunks); err != nil {
		return fmt.Errorf("cluster: the machine can't restore a snapshot: %w", err)
	}
	if err := chunks.drain(); err != nil {
		return err
	}
	f.table, f.time = t, h.time
	f.countLocked()
	f.identify(h.is)
	f.clock.Store(h.time)
	f.index.Store(h.index)
	f.broken = nil
	return nil
}
