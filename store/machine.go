package store

import "io"

// An UpdateChecker is a [Machine] that can tell whether it understands an update without
// applying it: those that [Untyped] returns do, and so do all that are typed.
//
// A store needs no such thing: an update that Apply refuses is not logged. A node of a
// cluster does, since there updates are logged before they are applied. It asks before it
// sends an update, and one that it meets in the log and does not understand ends the
// process: a newer release has made it, and to pass it over would be to lose it.
type UpdateChecker interface {
	// CheckUpdate returns why the machine does not understand an update, and nil if it
	// does. The answer rests on the bytes alone, and is the same on all nodes of one
	// release. It may be called from several goroutines at once, also while Apply runs. It
	// must not keep or change the slice.
	CheckUpdate(update []byte) error
}

// A Machine is the state that a [Store] keeps, with the code that changes it.
//
// The store calls Apply, Snapshot and Restore one at a time, and never while a
// function passed to [Store.View] runs. The io.WriterTo that Snapshot returned
// runs concurrently with all of them.
type Machine interface {
	// Apply changes the state as update says. It must be deterministic: the same
	// updates in the same order, applied to the same state, give the same state
	// at any time and on any machine, so it must not look at clocks, random
	// numbers, the environment or the order of a map.
	//
	// The result is returned to the caller of [Store.Update], and not kept. A result
	// that points into the state is read there while Apply changes it: return a copy.
	// An error
	// says that the update is refused: the state is then as it was before, the
	// update is not logged, and the error goes to the caller as it is. Apply must
	// not keep update, which belongs to the caller, nor change it (what it leaves
	// there is logged), nor call methods of the store. A panic in Apply fails the store and goes on to the caller.
	Apply(update []byte) (result any, err error)

	// Snapshot captures the state as it is now, and should be quick, since
	// updates wait for it: take a copy, clone a map, keep the root of a
	// persistent tree. Several captured states may be there at once, as when
	// Backup runs during a snapshot. The WriteTo of what it returns writes the captured state
	// later, in the background, concurrently with calls of Apply, which must not change it.
	// It is called once, or not at all when the snapshot is given up. If it is
	// also an io.Closer, it is closed at the end, whatever happened.
	Snapshot() (io.WriterTo, error)

	// Restore replaces the whole state by the one that WriteTo wrote, whatever
	// the state was before. It need not read up to the end. The store has
	// verified the snapshot before; an error makes [Open] fail. [Store.Replace] calls
	// it, too, and Open again for what that has logged.
	Restore(snapshot io.Reader) error
}
