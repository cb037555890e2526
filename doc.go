// Package stateio keeps the state of a program in a file: a log of snapshots
// of the state and of the updates made to it since. After a crash the last
// snapshot and the updates that follow it give the state back.
//
// The package has the API of github.com/grailbio/base/stateio; programs for that work
// after changing the import path, and the files are the same byte for byte. What they are
// told of damage differs in two respects, which docs/MIGRATING.md names.
// Package store builds on it what most programs want: a directory with the
// state of a machine, and nothing to do by hand.
//
// # Use
//
//	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
//	w, err := stateio.NewFileWriter(file) // first: nobody else writes from here on
//	state, epoch, updates, err := stateio.RestoreFile(file)
//	// Make state the program's state, if it is not nil, and apply all updates.
//	err = w.Update(update)    // nil: it is on disk
//	err = w.Updates(batch...) // nil: all of them are, with one sync
//	err = w.Snapshot(state)   // now and then: earlier entries are obsolete
//
// The order matters. A program that restores before it has the file may miss updates that
// another process, such as its own earlier instance, makes until then, and its next snapshot
// would make those obsolete.
//
// # Format
//
// A state file is a log of package logio. Each entry is
//
//	type uint8 | epoch uint64 | payload
//
// little endian, with type 1 for an update and 2 for a snapshot. An epoch is a
// snapshot and the updates that follow it. Its name is the file offset of the
// snapshot's entry, that is, of the entry's first record. Updates carry the
// epoch they belong to, and a snapshot carries the epoch before its own, so
// that epochs can be walked backwards. The first epoch is 0; it needs no
// snapshot.
//
// # Recovery
//
// A crash may leave the last entry written in part: cut short, with pages
// missing from its middle, or followed by zeros. What follows the last whole
// entry is such a torn tail if no valid record lies after it, other than those
// inside of the broken entry itself. [Restore] passes over a torn tail, and
// [NewFileWriter] cuts it off before anything is appended.
//
// If a valid record does follow, then what is broken was once whole and may
// have been acknowledged: that is damage, reported as a [CorruptError]. Nothing
// is cut, and no older epoch is taken for the current one. Damage in obsolete
// epochs is of no consequence; [Epochs] and [RestoreEpoch] reach the epochs
// that are intact.
//
// The format carries neither sequence numbers nor the identity of its file, so
// there is damage that can't be seen in a single file: blocks of 32 KiB that
// are removed, doubled, exchanged or replaced as a whole, when records happen
// to begin and end with them. The files of package store do carry both.
package stateio
