// Package store makes a state machine durable. A program keeps its state as
// ordinary Go values, changes it through updates, and finds it again after any
// crash. Every update is in a log on the disk before it is acknowledged, and
// snapshots keep the log short.
//
//	s, err := store.Open(dir, machine, nil)       // machine has its state back
//	result, err := s.Update(ctx, []byte("..."))   // applied and on the disk
//	err = s.View(func() error { ... })            // reads; no update is applied meanwhile
//	err = s.Close()
//
// # How to use it
//
// The machine is the program's: see [Machine], and [OpenTyped] for updates that are Go
// values. It must be deterministic, because Open finds the state by applying the same
// updates again; a [TimedMachine] gets the time and the index of each update, so that it
// need not look at the clock. A program that changes its memory by itself logs what it
// did with [Store.Change], and [Store.Replace] installs a whole state. Package statetest
// tests a machine; [OpenMemory] opens a store for tests.
//
// [Create] and [Import] make a store of a state that was kept elsewhere. [Store.Backup],
// [RestoreAt] and [IndexAt] go back in time; [Load] and [Follow] read a store that
// another process writes; [Check], [Files], [Copy] and [Repair] are for operators, and so is
// docs/OPERATING.md: where to put the directory, how to copy it, what to do about each
// error, and how to use a store in a program that has a mutex of its own.
//
// # Concurrency
//
// All methods of a [Store] may be called from any number of goroutines at once, but not
// from within the machine or the function passed to View: those calls return
// [ErrReentrant]. Apply, Snapshot and Restore never run at the same time, nor during a
// View. WriteTo of a snapshot runs concurrently with all of them.
//
// # Errors
//
// An error of Update says that the update was not applied, unless it is [ErrUnknown]: then
// it was applied, and may or may not survive a crash. [ErrNoSpace] passes when there is
// space; [ErrFailed] does not pass: close the store and open it again, or end the process.
// [ErrCorrupt] names the file and the offset of damage, of which nothing is ever cut off.
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
//	LOCK                       the process that has the store open holds its lock
//	<index, 20 digits>.log     the updates after index
//	<index, 20 digits>.snap    the state after update index
//	<name>.tmp                 being written; removed by Open
//
// docs/FORMAT.md has their bytes. Each entry of a log says which update it is, of which
// file and of which commit. So no block, page or file can be missing, doubled or in
// another's place without being noticed, and no payload can pose as an entry. A log ends
// with a seal, which proves all of it, and another log follows; only the newest that is in
// use has none. A snapshot ends with a trailer, which proves the state.
//
// While a store is open, its directory is held: everything that is done in it goes
// into the directory that was opened. If that is moved, updates go on, a snapshot is
// refused until the directory has its name again, and Close says that it could not
// seal the log.
//
// # An update, from call to disk and back
//
//   - The caller queues it (update.go, queue.go). Until its turn has come, it can take it
//     back.
//   - The goroutine that holds apply applies all that waits, and locks readers out once
//     for that (apply.go). It is the caller itself if nothing is in its way, or else the
//     applier. First it sets disk space aside, if that is short.
//   - The entry goes into the batch, and the caller waits there (commit.go). A refusal
//     waits, too: it may rest on what is not durable. The first update of a batch fixes the
//     time of the commit.
//   - The caller that finds the log free commits the batch, or the committer does.
//     That is commit point 1.
//   - The first caller in the batch is told, and each tells the next (queue.go).
//
// # Commit points
//
//  1. Update. The commit that holds it: one write and one sync (Datasync) of
//     the newest log, in disk space that was set aside before Apply was called.
//     Nobody is told before the sync returned nil. The next commit is written
//     after that, so an entry of a later commit proves an earlier one durable. If
//     there is no space for the write, as on a file system that copies on write, the
//     batch stays, and is written again when there is.
//  2. Beginning a log, for a snapshot or at Close. The new log is prepared under
//     a temporary name; what is pending is committed; the new log gets its
//     header, its name, and the directory is synced: from here on it shows that
//     every update before it is durable. Then the old log gets its seal and is
//     synced: from here on the new one is in use. If there is no space for the seal,
//     the new log is removed, durably, and the old one goes on.
//  3. Snapshot. The state is captured where a log begins, written and synced
//     under a temporary name, read back from the disk and verified, and renamed;
//     the snapshot counts when the directory is synced.
//  4. Retention. Snapshots beyond Options.KeepSnapshots are removed and the
//     directory is synced, before logs older than the oldest snapshot are. So
//     every snapshot found has all the logs after it.
//  5. Open. The newest snapshot that verifies is restored and the logs after it
//     are replayed. What cached pages show is not trusted: those of logs whose
//     end may not be durable are dropped first, and the files synced before
//     anything is acknowledged on top. What follows the last good entry of the
//     newest log is a torn tail, and cut off, if it can be the remainder of its
//     last commit; if any entry or file proves more, it is damage, ErrCorrupt,
//     and nothing is touched. A read error is never taken for either.
//  6. Import, Create, Copy, Repair. The name of the first log, when the directory is
//     synced. The snapshot is there before, the log has its seal, and the empty one after
//     it is there; until then a temporary name of the log says that there is no store.
//  7. A snapshot before the first update. As in 3, while no update is applied; then
//     the log, which is empty, is exchanged for one that needs the snapshot. If a crash
//     comes between, Open does that; where it has no space, no update is made before.
//  8. A copy in place of a log that has another name; see below. The rename, when
//     the directory is synced. The copy has all of the log, and is synced before.
//
// The first write or sync that fails after Apply is final: the store has failed,
// and nothing is acknowledged any more.
//
// # One process at a time
//
// A process that has a store open holds three locks, each exclusive and advisory (flock,
// LockFileEx), until Close or the end of the process in whichever way: that of the
// file LOCK, that of the directory, and that of the newest log, which every log has
// before it gets its name. Removing LOCK therefore lets nobody in. Network file
// systems and Windows do not lock directories; where a lock of a file keeps others
// from reading it (SMB on Linux), logs are not locked. One of the three locks must be
// had: without any, Open fails. The functions that only read take none, and are
// kept out by none.
//
// # Hard links
//
// A copy of a directory that was made with hard links (cp -al) is a store of its own.
// A log with two names is not written, cut or sealed, but replaced by a copy before,
// and LOCK likewise: when the store is opened, and while it is open, because the link
// count is looked at after each commit and before each seal. A commit that was
// on its way when the link was made, or the first one after, can go to both stores;
// it is whole in both. A copy of a store that is open can be opened after
// that store has made two updates. Logs that are sealed, and snapshots, are never
// written.
//
// # Systems that refuse calls
//
// A sandbox or a file system may refuse statx, fallocate and fadvise, with any of
// EPERM, EACCES, EINVAL, EOPNOTSUPP and ENOSYS; the store does without. Without
// fadvise, an Open of the same uptime of the machine can't tell what a failed sync has
// left in the cache from what is on the disk. Where directories can't be
// synced (CIFS, 9p, vboxsf), a log or snapshot may lose its name in a power cut, with
// what was acknowledged since. The directory above need not be readable: where it is
// not, Linux writes back the whole file system once, when the store is made.
//
// # What can't be noticed
//
// After a crash, damage that reaches from some commit of the newest log to the
// last one, with nothing whole after it, looks like a commit that the crash
// interrupted: it is cut off with a warning, or taken for the end if it is all
// zeros. A page may hold several commits. After Close there is no such case, unless
// the disk was full, nor in what Import, Copy and Repair have made: the seal and the empty
// log after it give any damage away. A
// directory whose logs and snapshots are all gone is a new store.
package store
