package cluster

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/stateio/stateio/store"
)

// recent are the latest updates that this node has applied, in memory. The log has
// more, but does not say which of those in it were refused, or came twice.
type recent struct {
	most int // bytes kept, at least the latest update

	mu      sync.Mutex
	all     []store.Update          // without gaps; nobody changes their data
	gone    int                     // how many of all, from the first, are not kept any more
	last    uint64                  // index of the last update applied, which ends all
	bytes   int                     // of those kept
	ended   func(what string) error // the error of waiting for more, once nothing more comes; nil before
	changed chan struct{}           // closed when one of these changes; nil: nobody waits
}

// recentOverhead is what an update takes besides its data.
const recentOverhead = 64

// add adds updates that were applied, the first of which follows the last one.
func (r *recent) add(updates []store.Update) {
	if len(updates) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slideLocked(len(updates))
	r.all = append(r.all, updates...)
	r.last = updates[len(updates)-1].Index
	for _, u := range updates {
		r.bytes += recentOverhead + len(u.Data)
	}
	for ; r.bytes > r.most && r.gone < len(r.all)-1; r.gone++ {
		r.bytes -= recentOverhead + len(r.all[r.gone].Data)
		r.all[r.gone] = store.Update{}
	}
	r.announceLocked()
}

// slideLocked makes room for so many updates in place of those that are gone. While there are more
// of those than others it needs no larger array, and moves each update once, about.
func (r *recent) slideLocked(more int) {
	if len(r.all)+more <= cap(r.all) || r.gone <= len(r.all)/2 {
		return
	}
	kept := copy(r.all, r.all[r.gone:])
	clear(r.all[kept:])
	r.all, r.gone = r.all[:kept], 0
}

// reset says that a snapshot was restored, up to update last.
func (r *recent) reset(last uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all, r.gone, r.bytes, r.last = nil, 0, 0, last
	r.announceLocked()
}

// end lets nobody wait any more: err says why, of what waits.
func (r *recent) end(err func(what string) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = err
	r.announceLocked()
}

func (r *recent) announceLocked() {
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// recentBatch is how many updates are taken at a time.
const recentBatch = 256

// after returns updates from index from on. If there are none yet, it returns a
// channel that is closed when there may be.
func (r *recent) after(from uint64) ([]store.Update, <-chan struct{}, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := r.all[r.gone:]
	first := r.last + 1 - uint64(len(kept))
	switch {
	case from < first:
		return nil, nil, fmt.Errorf("cluster: update %d is not kept in memory any more, only those from %d on (follow with Node.Follow, begin anew with a Backup, or set Options.KeepUpdates): %w", from, first, store.ErrNotRetained)
	case from <= r.last:
		got := kept[from-first:]
		return slices.Clone(got[:min(len(got), recentBatch)]), nil, nil
	case r.ended != nil:
		return nil, nil, r.ended("reading updates")
	}
	return nil, r.changedLocked(), nil
}

// until returns nil if update index was applied, or else a channel that is closed when
// it may be.
func (r *recent) until(index uint64) (changed <-chan struct{}, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.last >= index:
		return nil, nil
	case r.ended != nil:
		return nil, r.ended(fmt.Sprintf("waiting for update %d", index))
	}
	return r.changedLocked(), nil
}

func (r *recent) changedLocked() <-chan struct{} {
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.changed
}

// WaitIndex waits until this node has applied update index, which is on the disks of a
// majority then: ViewLocal sees what a writer was told on another node. One that is not
// made yet is waited for, also on a node that was removed, which may be added again. The
// errors are store.ErrClosed, when the node is closed, store.ErrFailed, when it has failed,
// and that of ctx.
func (n *Node) WaitIndex(ctx context.Context, index uint64) error {
	for {
		changed, err := n.fsm.recent.until(index)
		if changed == nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return &opError{msg: fmt.Sprintf("waiting for update %d", index), errs: []error{ctx.Err()}}
		}
	}
}

// Updates returns the updates that this node has applied, from index from on, in
// order, and then those that it applies, as it does, until ctx ends: then the
// sequence ends, without an error. A from of 0 means 1; one that is not reached yet
// is waited for. Those that Apply refused, and those that came a second time, are not
// among them. Every node returns the same ones, and none is ever taken back: they
// are on the disks of a majority. Time is that of the log, which ApplyAt gets.
//
// The node keeps the latest ones in memory, as many as Options.KeepUpdates says. An
// error ends the sequence: store.ErrNotRetained if the next update is not kept any
// more, because from is too old, or the caller too slow, or this node was away for so
// long that it was sent the state; and store.ErrClosed when the node is closed, or
// store.ErrFailed when it has failed, and all were returned. On a node that was removed, the
// sequence waits: the node may be added again.
//
// The sequence can be used again, from any goroutine, and starts anew.
func (n *Node) Updates(ctx context.Context, from uint64) iter.Seq2[store.Update, error] {
	return func(yield func(store.Update, error) bool) {
		for next := max(from, 1); ctx.Err() == nil; {
			got, changed, err := n.fsm.recent.after(next)
			if err != nil {
				yield(store.Update{}, err)
				return
			}
			for _, u := range got {
				u.Data = slices.Clone(u.Data)
				if ctx.Err() != nil || !yield(u, nil) {
					return
				}
				next++
			}
			if len(got) > 0 {
				continue
			}
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}
}

// keep notes an update that was applied, for Updates.
func (f *fsm) keep(index uint64, update []byte) {
	f.kept = append(f.kept, store.Update{Index: index, Time: time.Unix(0, f.time).UTC(), Data: update})
}

// detach copies what is kept of an entry of so many bytes, if that counts for less: what was refused of
// the entry, or had come before, would stay in memory with it.
func detach(kept []store.Update, entry int) {
	size := 0
	for _, u := range kept {
		size += len(u.Data)
	}
	if size+recentOverhead*len(kept) >= entry {
		return
	}
	data := make([]byte, 0, size)
	for i, u := range kept {
		from := len(data)
		data = append(data, u.Data...)
		kept[i].Data = data[from:len(data):len(data)]
	}
}

// publishKept lets Updates have what was noted.
func (f *fsm) publishKept() {
	f.recent.add(f.kept)
	clear(f.kept)
	f.kept = f.kept[:0]
}
