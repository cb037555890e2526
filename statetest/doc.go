// Package statetest tests the state machines of users of package store.
//
// A store keeps what it promises only with a [store.Machine] that keeps the
// contract written there, and a machine that breaks it often works until the
// first crash. [Run] finds that out before, with nothing to write but a function
// that makes a machine and a stream of updates:
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
// The example of Run is this test in full. It takes less than a second.
//
// # What it checks
//
//   - Two snapshots of one state are equal, byte by byte, because that is how
//     states are compared. If a snapshot ranges over a map they are not: then
//     give [Options].Equal.
//   - Machines are independent of each other.
//   - Apply is deterministic: machines with the same updates end in the same
//     state, and refuse the same ones.
//   - Apply that returns an error has left the state as it was.
//   - Apply neither keeps nor changes the slice of the update, nor writes behind
//     its end. The slice is scribbled over afterwards.
//   - A snapshot and the rest of the log give the state of a full replay,
//     wherever the snapshot was taken, and taking one changes nothing.
//   - Restore replaces everything, over a machine in any state, also when
//     it gets the snapshot in pieces, and after a Restore that failed.
//   - Restore returns an error if reading the snapshot does, or has all it needs.
//   - A captured snapshot stays as it is: written after later updates, after
//     other snapshots, after Restore, and while updates are applied between two
//     calls of Write.
//   - A snapshot that is given up, never written or broken off by an error, does
//     no harm, and WriteTo returns that error.
//   - A store makes snapshots beside updates: run the test with -race.
//   - A crash loses nothing. The machine lives in a real store on a file system
//     in memory, the power is cut before every write, sync and rename, also
//     while the store recovers from a power cut, and what a store finds in what
//     is left must be the state after a prefix of the updates, with all that
//     were acknowledged.
//   - Golden logs of earlier versions of the program still replay; see below.
//
// The first check that fails ends the run. The failure tells the check, the
// sentence of the contract, the states that differ, the shortest sequence of
// updates that was found to show it, and the seed that repeats it. Where that
// sequence reaches into chance, as in a machine that looks at the clock, a
// second run may find a longer or a shorter one.
//
// # What it can't check
//
//   - What the updates in the stream don't reach. Let them resemble those of the
//     program, with few different keys so that they meet, and with some that
//     are refused.
//   - State outside of the machine. Package-level variables, files and other
//     services survive the crashes of this package, and not those of a program.
//   - A clock that is looked at in steps of a second or more, an environment that
//     is the same in the whole test, differences between platforms.
//   - That Snapshot is quick, that Apply calls no method of the store, and what
//     functions passed to View do.
//
// # Golden logs
//
// A program that is updated must read the logs and snapshots that it wrote
// before. With [Options].Golden, say "testdata/golden", Run replays the logs
// in that folder and compares the states they lead to with those recorded. Each
// of these is a log:
//
//   - NAME.log, a state file of package stateio: one that Run has recorded, or
//     that store.Backup has written;
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
// writes something new, and commit the folder. When a change is meant, delete
// the file .state, and record it again.
//
// # Longer runs
//
// [Options].CrashStates or CrashTime, or STATEIO_CRASH_COUNT=1000000 or
// STATEIO_CRASH_TIME=1h in the environment, go on with power cuts, and
// Options.Updates takes more of the stream. STATEIO_CRASH_SEED repeats the run of
// a seed.
package statetest
