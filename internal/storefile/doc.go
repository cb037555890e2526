// Package storefile is all that knows the names and bytes of the files of a store: the
// listing of a directory, the header of a file, the tags of entries, control entries, the
// readers and writers of logs, snapshots and backups, and the rule that tells a torn tail
// from damage. docs/FORMAT.md, sections 4 and 5, says what is written.
//
// A [Dir] lists the files, reads their headers, tells which logs are in use, and opens
// them: a [LogReader] gives the updates of one log, a [SnapReader] the state in a snapshot.
// [HeaderOf] and a [BackupReader] are for files by themselves; [AppendEntry] and
// [SnapWriter] write. Readers change nothing, and are for one goroutine each. A slice that
// a reader returns is valid until its next call.
//
// Damage is an error of type [CorruptError], with path and offset. A file of
// another version, or one that needs what this version does not have, is an
// [ErrVersion]. What else goes wrong is the file system's error.
package storefile
