// Package cluster keeps the state of a machine on several computers, so that it
// survives the loss of some of them: the same store.Machine, Update and View as in
// package store, and another line that opens it.
//
//	n, err := cluster.Open(dir, machine, &cluster.Options{ID: "a", Listen: "10.0.0.1:7000",
//		Join: []string{"10.0.0.2:7000"}, TLS: tls})
//	result, err := n.Update(ctx, []byte("..."))   // on any node: applied here, and on the disks of a majority
//	err = n.View(ctx, func() error { ... })       // on any node: sees every update acknowledged before
//	err = n.Close()                               // hands over first, if this node leads
//
// A cluster of three works on while one node is down, one of five while two are.
// The nodes agree on one log of updates by the raft protocol, in the implementation
// github.com/hashicorp/raft with the log of github.com/hashicorp/raft-wal. A program
// that takes a [Keeper] works with a store and with a node.
//
// docs/CLUSTER.md says how clusters are run: members, certificates, upgrades, and
// the way back after a majority is lost.
//
// # An update, from call to result
//
//   - The node numbers it, and puts it into a group with all that wait (outbox.go).
//     Two groups are on their way at a time.
//   - The group goes to the leader, if that is another node (peers.go, serve.go).
//   - The leader makes one raft entry of all groups that wait (proposer.go). Two
//     entries are on their way at a time.
//   - When a majority has the entry on its disks, raft gives it to every node, which
//     applies the updates that were not applied before (fsm.go, table.go). The node
//     that was called finds its own among them and returns what its own machine has
//     returned: machines are deterministic, so no result travels.
//
// # Once
//
// A group that was sent and not acknowledged may have been lost with its leader, or
// may be in the log. The node sends its updates again, under the same numbers, until
// the caller's context ends. The table of what was applied is part of the replicated
// state. It holds, for each node since its last start (a session), which numbers
// were applied above the lowest that the node still waits for. A session that was
// forgotten, or never was, is told apart from a new one, since the log itself
// numbers sessions: an update of an unknown session is not applied. A node that is sent the
// state without its session can't tell what was applied of what it had sent, and says that
// (store.ErrUnknown). Keys of
// [Node.UpdateOnce] are in the table, too, for [KeyLife].
//
// # Reads
//
// [Node.View] is linearizable. The leader notes how far the log is committed, then
// asks the others for the term that they are in; if a majority has promised no later
// one, no other leader can have acknowledged anything before. The node that was
// called then waits until it has applied that much. Clocks play no part in this.
// [Node.ViewLocal] asks nobody. [Node.Follow] gives a second machine the state, for
// reads that take long, and [Node.Updates] the updates themselves.
//
// # What is assumed
//
//   - Machines are deterministic: the same updates in the same order lead to the same
//     state, the same results and the same refusals on every node. Package statetest
//     tests that. A panic in Apply ends the process, on one node after the other.
//   - Disks keep what was synced. A node whose directory was lost, or put back from a
//     copy, must not come back under its ID as if nothing had happened: call [Rejoin]
//     first. One that has lost a part of its directory is refused, and so is one with
//     an empty directory that wants to Join under the ID of a member.
//   - Clocks may be wrong. They only decide how long sessions and keys are
//     remembered, by the clock of the leader, which the log does not let go back; and
//     when a node looks for another leader.
//   - Nodes are not hostile to each other. Everybody else is kept out by TLS.
//
// # Time
//
// Each raft entry carries the leader's time, and never an earlier one than the entry
// before it. A machine that has a method
//
//	ApplyAt(at time.Time, index uint64, update []byte) (result any, err error)
//
// gets that time with each update, the same on every node, in place of Apply.
package cluster
