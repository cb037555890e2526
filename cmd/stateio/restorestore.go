package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"math"
	"time"

	"github.com/spf13/cobra"
	"github.com/stateio/stateio/store"
)

// A storeRestore gives back what is in the store in a directory, up to an update.
type storeRestore struct {
	ctx context.Context
	dir string
	o   restoreOptions // at: of the last update to restore

	bar   *progress
	begun int64 // bytes of what was read before

	// What is written begins with the state of index first, as a whole state that Replace
	// has installed takes the place of all before it. It begins with updates if there is
	// no state.
	first   uint64
	noState bool

	out            written
	state, updates *output // of out; nil: it is not wanted

	begins []uint64 // the states that the store was restored by
	writes bool     // what comes is written
	wrote  bool     // something was
}

// restoreStore gives back what is in the store in a directory.
func restoreStore(cmd *cobra.Command, dir string, o restoreOptions) error {
	if o.older {
		return usageError{fmt.Errorf("--epoch is for files, and %s is a directory: a store has --at", dir)}
	}
	r := &storeRestore{ctx: cmd.Context(), dir: dir, o: o}
	r.bar = newProgress(o.outputs.stdout, o.outputs.progress(o.state, o.updates), "restore "+dir, 0)
	defer r.bar.finish()
	defer r.out.discard()
	err := r.all()
	r.bar.finish()
	switch {
	case r.ctx.Err() != nil:
		return notComplete(r.ctx, dir) // and not that the machine refused an update
	case err != nil:
		return adviseStore(ofOutput(err), dir)
	}
	o.told.Kind, o.told.Index = "store", &r.o.at
	return r.commit(cmd)
}

// all writes what is wanted. New files have no name yet.
func (r *storeRestore) all() error {
	last, err := r.limit()
	if err == nil {
		err = r.open()
	}
	if err == nil {
		err = r.survey(last)
	}
	for err == nil && !r.writes {
		err = r.pass()
	}
	return err
}

// limit returns the index of the last update to restore, if that was given.
func (r *storeRestore) limit() (uint64, error) {
	if !r.o.past {
		return math.MaxUint64, nil
	}
	index, at, err := indexOf(r.ctx, r.dir, "--at", r.o.moment)
	if err == nil && !at.IsZero() {
		r.tellMoment(index, at)
	}
	return index, err
}

// tellMoment says what a time stands for.
func (r *storeRestore) tellMoment(index uint64, at time.Time) {
	then := fmt.Sprintf("after update %d", index)
	if index == 0 {
		then = "before its first update"
	}
	_, _ = fmt.Fprintf(r.o.outputs.stderr, "stateio: --at %s is %s: %s %s\n", escaped(r.o.moment), stamp(at), printable(r.dir), then)
}

// open opens what is written to, before anything is read for it.
func (r *storeRestore) open() (err error) {
	if r.o.state != "" {
		r.state, err = r.out.open(r.o.outputs, r.o.state)
	}
	if err == nil && r.o.updates != "" {
		r.updates, err = r.o.openUpdates(&r.out)
	}
	return err
}

// survey finds the last update to restore, of index last at most, and the last whole state
// up to there: it reads the logs after the newest snapshot. It is an error if that can't be
// had, so that nothing is written then.
func (r *storeRestore) survey(last uint64) error {
	files, err := store.Files(r.dir)
	if err != nil {
		return err
	}
	at, size := files[0].First-1, int64(0) // of the snapshot
	r.noState = true
	for _, f := range files {
		if f.Snapshot && f.Last <= last {
			at, size, r.noState = f.Last, f.Size, false
		}
	}
	r.first = at
	state, within := at, false // the last one up to there, and whether updates of a change follow
	w := newWalk(files, at+1, last)
	r.begun = w.total
	for u, err := range updatesBetween(r.ctx, r.dir, at, last) {
		if err != nil {
			return err
		}
		if at = u.Index; u.State {
			r.first, r.noState = at, false
		}
		if within = u.More; !within {
			state = at
		}
		r.bar.of(w.read(u.Index, len(u.Data)), 2*(size+w.total))
	}
	if r.o.past && at < last {
		return fmt.Errorf("%s ends with update %d, before %d. Nothing was written", r.dir, at, last)
	}
	if within {
		return fmt.Errorf("update %d of %s is within a change of several, so there was no state right after it: --at %d is the one before the change. Nothing was written", at, r.dir, state)
	}
	r.o.at = min(at, last) // one that is older than all there is RestoreAt refuses
	return nil
}

// updatesBetween returns the updates in the store in dir after update index up to last. It
// does not look at what is after that.
func updatesBetween(ctx context.Context, dir string, index, last uint64) iter.Seq2[store.Update, error] {
	return func(yield func(store.Update, error) bool) {
		if index >= last {
			return
		}
		for u, err := range store.ReadUpdates(ctx, dir, index+1) {
			if !yield(u, err) || u.Index == last {
				return
			}
		}
	}
}

// pass restores the store, and writes what is wanted of it from the state of index first
// on. If nothing was written, the snapshot to begin with is damaged, and an older one has
// led to the last update: then first is what that has restored last.
func (r *storeRestore) pass() error {
	r.writes, r.begins = r.noState, nil
	all := int64(0)
	err := store.RestoreAt(r.ctx, r.dir, &replayMachine{state: r.restored, update: r.replayed}, r.o.at, &store.RestoreOptions{
		Progress: func(done, total int64) {
			all = total
			r.bar.of(r.begun+done, r.begun+total)
		},
		State: func(index uint64) { r.begins = append(r.begins, index) },
	})
	r.begun += all
	if r.noState = len(r.begins) == 0; !r.noState {
		r.first = r.begins[len(r.begins)-1]
	}
	return err
}

// restored takes a whole state.
func (r *storeRestore) restored(state io.Reader) error {
	index := r.begins[len(r.begins)-1]
	switch {
	case r.wrote:
		return fmt.Errorf("what was being restored of %s was dropped meanwhile, for a snapshot of update %d: begin anew", r.dir, index)
	case !r.noState && index < r.first:
		return nil
	}
	r.writes, r.wrote = true, true
	if r.state == nil {
		return nil
	}
	r.bar.hide()
	return r.o.copyState(r.state, state)
}

// replayed takes an update.
func (r *storeRestore) replayed(update []byte) error {
	if !r.writes || r.updates == nil {
		return nil
	}
	if !r.wrote && r.noState { // none comes after this
		if err := r.endState(); err != nil {
			return err
		}
	}
	r.wrote = true
	return r.o.writeUpdate(r.updates, update)
}

// endState ends what the reader of a pipe waits for that the state should go to, and there is
// none: updates may be read after it.
func (r *storeRestore) endState() error {
	if r.state == nil || r.state.pipe == nil || r.state.done {
		return nil
	}
	return r.state.commit()
}

// commit gives new files their names, all but that of a state if there is none.
func (r *storeRestore) commit(cmd *cobra.Command) error {
	if r.noState && r.state != nil {
		r.o.noState(cmd, r.dir+" has no snapshot up to there")
		if err := r.endState(); err != nil {
			return err
		}
		r.state.discard()
		r.out = r.out[1:]
	}
	return r.out.commit()
}
