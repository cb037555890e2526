// Package inspect reads state files and stores without ever writing: it tells what is in
// them, entry by entry, and which parts are damaged.
//
// Package stateio reads what a program needs, the current epoch, and stops at
// damage. This package reads all there is, and goes on after damage:
//
//   - [Verify] checks a whole file and reports every damaged range.
//
//   - [Entries] gives every intact entry, and the damage between them.
//
//   - [OpenMap] tells what is in each range of a state file, or of all files of a
//     store: headers, updates with index and time, states, space set aside, and damage
//     with the updates that it has cost. A walk may begin in the middle.
//
// The first two need an [io.ReaderAt] and little memory, whatever the sizes of the file
// and of its entries, and may run while the file is appended to.
//
// # What counts as damage
//
// The verdict is that of package stateio: [stateio.NewFileWriter] accepts a file
// exactly if [Report.Err] is nil, and [stateio.Restore] and its updates then
// give the current state. Each [Damage] says where it is:
//
//   - [Current]: the current epoch, or what follows it, has lost data.
//   - [Obsolete]: an epoch before the current one is damaged. That is of no
//     consequence for the current state.
//   - [Padding]: a byte that no entry uses is not zero. It shows that storage
//     fails, but no data is lost.
//   - [TornTail]: what a crash left of the last write, or what a writer is
//     writing right now. It was never acknowledged, and the next
//     [stateio.NewFileWriter] cuts it off.
//
// The zeros at the front of a file, as [stateio.Truncate] leaves them, and those
// at its end, from preallocation, are no damage.
package inspect
