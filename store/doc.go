// Package store makes a state machine durable. A program keeps its state as
// ordinary Go values, changes it through updates, and finds it again after any
// crash: every update is in a log, on the disk, before it is acknowledged, and
// snapshots keep the log short.
//
//	s, err := store.Open(dir, machine, nil)       // machine has its state back
//	result, err := s.Update(ctx, []byte("..."))   // applied and on the disk
//	err = s.View(func() error { ... })            // reads; no update is applied meanwhile
//	err = s.Close()
//
// The machine is the program's: see [Machine], and [OpenTyped] for updates that
// are Go values. It must be deterministic, for the state is found again by
// applying the same updates.
//
// # What is assumed of disks
//
//   - What was written before a sync that returned nil is found after a power
//     cut. What was written since may be there in any part, down to single
//     sectors, in any order, and sectors never written before may hold
//     anything. Writing to a part of a sector or page does not harm the rest.
//   - A name that was created, changed or removed is durable when its directory
//     was synced. A rename happens or does not.
//   - When a sync fails, what it was to make durable is lost for good, even if
//     the next sync succeeds, and even if the page cache goes on showing it.
//   - Disks and people damage data at rest: bits, sectors, blocks and files
//     change, vanish, or show up in another's place. That must be noticed.
//
// # Files
//
//	LOCK                       whoever has the store open holds its lock
//	<index, 20 digits>.log     the updates behind index
//	<index, 20 digits>.snap    the state after update index
//	<name>.tmp                 being written; removed by Open
//
// Every file is a state file of package stateio: a log of package logio whose
// entries have heads. The first entry is a snapshot of epoch 0 whose payload is
// the file's header, the others are updates of epoch 0 whose payload begins with
// a tag. Integers are little endian.
//
//	header  = "stateio\n" | version uint16 = 1 | kind uint8
//	        | store [16]byte | base uint64 | salt uint64
//	entry   = tag | sum uint64, if it is of several records | payload
//	tag     = salt + (index<<1 | control) uint64 | back uint32
//	control = kind uint8 | count uint64 | digest uint64
//
// kind is 'L' in a log and 'S' in a snapshot, and 'I' in a log of index 0 behind a
// state that was imported, which is of no use without a snapshot. store is the same
// in all files of a store, salt is drawn for each file. Index counts updates, or in
// a snapshot its chunks; back counts the entries of the same commit before this one.
// So no block, page or file can be missing, doubled, or in another's place without
// being noticed, and no payload can pose as an entry. The sum of an entry of several
// records binds them together: it is the XXH64 of head and tag, times
// 0x9E3779B185EBCA87, exclusive-or the digest of the checksums of all records but the
// first (or the XXH64 of the payload, if head, tag and sum do not fit the first
// record).
//
// The digest of checksums is d = (d ^ checksum) * 0x9E3779B185EBCA87 for one after
// the other, from 0.
//
// A log ends with a control entry of kind 1, the seal, and another log follows;
// only the newest that is in use has none. Its count is that of the updates, its
// digest that of the checksums of all records before. A snapshot ends with one of kind 2, the trailer:
// count and XXH64 of the bytes of the state.
//
// # Commit points
//
//  1. Update. The commit that holds it: one write and one sync (Datasync) of
//     the newest log, in disk space that was set aside before Apply was called.
//     Nobody is told before the sync returned nil. The next commit is written
//     after that, so an entry of a later commit proves an earlier one durable.
//  2. Beginning a log, for a snapshot or at Close. The new log is prepared under
//     a temporary name; what is pending is committed; the new log gets its
//     header, its name, and the directory is synced: from here on it shows that
//     every update before it is durable. Then the old log gets its seal and is
//     synced: from here on the new one is in use.
//  3. Snapshot. The state is captured where a log begins, written and synced
//     under a temporary name, read back from the disk and verified, and renamed;
//     the snapshot counts when the directory is synced.
//  4. Retention. Snapshots beyond Options.KeepSnapshots are removed and the
//     directory is synced, before logs older than the oldest snapshot are. So
//     every snapshot found has all the logs behind it.
//  5. Open. The newest snapshot that verifies is restored and the logs behind it
//     are replayed. What cached pages show is not trusted: those of logs whose
//     end may not be durable are dropped first, and the files synced before
//     anything is acknowledged on top. What follows the last good entry of the
//     newest log is a torn tail, and cut off, if it can be the remainder of its
//     last commit; if any entry or file proves more, it is damage, ErrCorrupt,
//     and nothing is touched. A read error is never taken for either.
//  6. Import. The name of the log, when the directory is synced.
//
// The first write or sync that fails after Apply is final: the store has failed,
// and nothing is acknowledged any more; see [ErrFailed].
//
// # What can't be noticed
//
// After a crash, damage that reaches from some commit of the newest log to the
// last one, with nothing whole behind it, looks like a commit that the crash
// interrupted: it is cut off with a warning, or taken for the end if it is all
// zeros. A page may hold several commits. After Close there is no such case, unless
// the disk was full: the seal and the empty log behind it give any damage away. A
// directory whose logs and snapshots are all gone is a new store.
package store
