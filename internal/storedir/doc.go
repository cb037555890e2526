// Package storedir is the writing side of a store's directory: what keeps others out of it,
// the logs and snapshots that are made there, and the disk space that they get. It knows
// neither machine nor pipeline: package store says when, and this package how.
//
//	d := storedir.New(fsy, dir, 0o600, 0o700, say)
//	err := d.Acquire(false)                          // locked, until d.Release
//	log, _, err := d.PrepareLog(tmp, piece, most)    // under a temporary name
//	err = d.PublishLog(log, d.Log(base), base, time) // durably
//	_, err = log.File.WriteAt(b, log.End)            // a commit, and then
//	err = log.File.Datasync()
//	size, err := (&storedir.SnapshotMaker{...}).Write(state)
//
// A [Dir] is also a storefile.Dir, which reads the directory; bytes and names are that
// package's. Each function that makes something durable says where its commit point is.
// What a log is written through is an [OwnFile], which sees to it that no other store has
// the same file by a hard link.
//
// Errors are those of the file system, as [Wrap] makes them; [ErrLocked] and [ErrNoSpace]
// among them. They begin with "store: ", since the users of a store get them as they are.
package storedir
