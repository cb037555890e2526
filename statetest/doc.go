// Package statetest tests state machines for package store.
//
// A store keeps its promises only if its [store.Machine] keeps the contract. A
// machine that breaks the contract often works until the first crash. [Run] finds
// it before that. It needs a function that makes a machine, and a stream of
// updates:
//
//	func TestBank(t *testing.T) {
//		statetest.Run(t, newBank, transfers(1), nil)
//	}
//
// where
//
//	func newBank() store.Machine { return &bank{balance: map[string]int{}} }
//
//	func transfers(seed uint64) iter.Seq[[]byte] // typical updates, and some that are refused
//
// The example of Run is this test in full. It takes less than a second. The flag
// -short of go test makes it several times shorter.
//
// # What it checks
//
//   - Two snapshots of one state are equal, byte by byte, because Run compares
//     states by their snapshots. If a snapshot ranges over a map, they are not
//     equal: then give [Options].Equal.
//   - Machines are independent of each other.
//   - Apply is deterministic. Machines that get the same updates reach the same
//     state and refuse the same updates, even years later, and with other times
//     between them. The time passes on the clock of a synctest bubble. This check
//     is skipped without a *testing.T, inside another bubble, and for a machine
//     that leaves goroutines running.
//   - Apply that returns an error leaves the state as it was.
//   - Apply does not keep the slice of the update, change it, or write past its
//     end, also when it refuses the update. Run overwrites the slice after each
//     call.
//   - A snapshot and the rest of the log give the state of a full replay, wherever
//     the snapshot was taken. Taking a snapshot changes nothing.
//   - Restore replaces the whole state, whatever the machine held before, when the
//     snapshot arrives in pieces, and after a Restore that failed.
//   - Restore returns an error if reading the snapshot fails before it has all it
//     needs.
//   - A captured snapshot does not change when it is written after later updates,
//     after other snapshots, after Restore, or while updates are applied between
//     two calls of Write. Neither Apply nor Snapshot waits until it is closed.
//   - A snapshot that is never written, or ends with an error of the writer, does
//     no harm. WriteTo returns that error.
//   - Snapshots work while updates are applied: run the test with -race.
//   - A crash loses nothing. The machine lives in a real store on a file system in
//     memory. Run cuts the power before every write, sync and rename, and again
//     while the store recovers. What the store then recovers must be the state
//     after a prefix of the updates that includes all acknowledged ones.
//   - Golden logs of earlier versions of the program still replay; see below.
//
// The first check that fails ends the run. The failure names the check, quotes the
// contract, and shows the states that differ, the shortest sequence of updates
// that was found to show it, and the seed that repeats it. If the machine depends
// on chance, a second run may find a longer or a shorter sequence.
//
// # When a run does not end
//
// With -v, Run logs each check as it begins. If a check makes no progress for ten
// seconds, Run names it on standard error, with the stacks of its goroutines: the
// machine waits for something, or is very slow. A machine that calls
// runtime.Goexit, or FailNow of a test, fails the test.
//
// A machine that ends the whole process leaves nobody to report it. After os.Exit
// or log.Fatal, run the test with -v: the last check it logs is the one that ran.
// After a stack overflow or another fatal error, the trace of the runtime also
// shows the file of the check, in this package.
//
// # What it can't check
//
//   - What the updates in the stream don't reach. Make them resemble those of the
//     program. Use few different keys, so that updates meet, and include some that
//     Apply refuses.
//   - State outside the machine. Package-level variables, files and other services
//     survive the crashes of this package, but not those of a program.
//   - What depends on the environment or the platform, which are the same during the
//     whole test.
//   - That Snapshot is quick, that Apply calls no method of the store, and what
//     functions passed to View do.
//
// # Codecs
//
// [RoundTrip] tests the codec of a [store.OpenTyped]: what is decoded is what was
// encoded.
//
// # Golden logs
//
// A program that is updated must read the logs and snapshots that it wrote
// before. With [Options].Golden, say "testdata/golden", Run replays the logs
// in that folder and compares the states they lead to with those recorded. Each
// of these is a log:
//
//   - NAME.log, a state file of package stateio: one that Run has recorded, or
//     that [store.Store.Backup] has written;
//   - NAME, a directory: a copy of a store's, which is not changed.
//
// The state is recorded in NAME.state, as a snapshot, so that a failure can show
// what differs. It is compared byte by byte, or with Equal. The snapshots within
// a log must also be restored to the state that the updates before them lead to,
// so a failure tells which few updates have another effect now.
//
// The flag -statetest.update records: the updates of the stream, as a log with
// snapshots, if there is no equal one yet, and the state of each log that has
// none. If the test has a flag -update of its own, that does it too. Nothing that
// is there is ever changed. Record once for each version of the program that
// writes something new, and commit the folder, with the logs: a line *.log in
// a file .gitignore leaves them out, and a line !*.log in one in the folder lets
// them in again. A state whose log is missing fails the test. When a change is
// meant, delete the file .state, and record it again.
//
// A machine with ApplyAt gets the indexes that a store gave the updates. In a
// state file they count from its first update: do not cut off its beginning.
//
// # Longer runs
//
// [Options].CrashStates or CrashTime, or STATEIO_CRASH_COUNT=1000000 or
// STATEIO_CRASH_TIME=1h in the environment, go on with power cuts, and
// Options.Updates takes more of the stream. STATEIO_CRASH_SEED repeats the run of
// a seed.
package statetest
