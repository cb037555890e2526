package raftfsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stateio/stateio/store"
)

// FSM returns the raft.FSM that m is. Each command is an update. What the future of Apply
// has as its response is the result of m, or the error with which it has refused the
// update; such a command has no index of its own in a [store.TimedMachine].
//
// A TimedMachine gets the time at which the leader has appended the command, which raft
// replicates, and which never goes back here, also when leaders' clocks differ. Snapshots
// begin with 24 bytes for the index and that time, so they are not those of m alone.
//
// Raft has logged a command before it is applied, so one that a [store.UpdateChecker] has refused, and
// does not understand, makes Apply panic: a later release of the program has made it, and to pass it
// over would leave this node with another state than the others, for good. Ask m before you call
// raft.Apply for what a caller has sent.
//
// After a Restore of m that has failed, its state may be any part of the snapshot. Until
// another Restore succeeds, Snapshot is an error, and Apply panics, which is the only way that
// raft has for an FSM that can't go on. So does runtime.Goexit in a function of m, as t.FailNow
// calls it: raft would never apply anything again.
func FSM(m store.Machine) raft.FSM {
	f := &fsm{m: m}
	f.timed, _ = m.(store.TimedMachine)
	f.check = func([]byte) error { return nil }
	if c, ok := m.(store.UpdateChecker); ok {
		f.check = c.CheckUpdate
	}
	return f
}

type fsm struct {
	m     store.Machine
	timed store.TimedMachine        // m, if it is one
	check func(update []byte) error // whether m understands an update
	index uint64                    // of the last update
	at    int64                     // its time, in nanoseconds since 1970

	broken error // why the state of m is not to be used
}

// returns calls do, which calls a function of the machine. One that ends its goroutine would
// end raft's.
func returns(function string, do func()) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if r := recover(); r != nil {
			panic(r)
		}
		panic("raftfsm: " + function + " of the machine has called runtime.Goexit, as t.FailNow does: it must return")
	}()
	do()
	returned = true
}

// Apply implements raft.FSM.
func (f *fsm) Apply(l *raft.Log) (result any) {
	if f.broken != nil {
		panic(fmt.Sprintf("raftfsm: raft applies entry %d to a state that is not whole: %v; start this node again, or have the leader send it a snapshot", l.Index, f.broken))
	}
	returns("Apply", func() { result = f.apply(l) })
	return result
}

// apply is Apply, of a machine that returns.
func (f *fsm) apply(l *raft.Log) any {
	at := f.at
	if !l.AppendedAt.IsZero() {
		at = max(at, l.AppendedAt.UnixNano())
	}
	var result any
	var err error
	if f.timed != nil {
		result, err = f.timed.ApplyAt(time.Unix(0, at).UTC(), f.index+1, l.Data)
	} else {
		result, err = f.m.Apply(l.Data)
	}
	if err != nil {
		if why := f.check(l.Data); why != nil {
			panic(fmt.Sprintf("raftfsm: entry %d was made by another release of this program, which this one does not understand; run that release, or a later one, on this node: %v", l.Index, why))
		}
		return err
	}
	f.index, f.at = f.index+1, at
	return result
}

// head begins a snapshot: magic, index, time.
const (
	magic    = "stateio1"
	headSize = len(magic) + 8 + 8
)

// Snapshot implements raft.FSM.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if f.broken != nil {
		return nil, fmt.Errorf("raftfsm: no snapshot is made of a state that is not whole: %w", f.broken)
	}
	var state io.WriterTo
	var err error
	returns("Snapshot", func() { state, err = f.m.Snapshot() })
	if err == nil && state == nil {
		err = errNoState
	}
	if err != nil {
		return nil, err
	}
	head := append(make([]byte, 0, headSize), magic...)
	head = binary.LittleEndian.AppendUint64(head, f.index)
	head = binary.LittleEndian.AppendUint64(head, uint64(f.at))
	return &snapshot{head, state}, nil
}

var errNoState = errors.New("raftfsm: Snapshot of the machine returned neither a snapshot nor an error")

// Restore implements raft.FSM.
func (f *fsm) Restore(r io.ReadCloser) error {
	defer r.Close()
	head := make([]byte, headSize)
	if _, err := io.ReadFull(r, head); err != nil {
		return fmt.Errorf("raftfsm: reading a snapshot: %w", err)
	}
	if string(head[:len(magic)]) != magic {
		return fmt.Errorf("raftfsm: the snapshot was not made by this package: it begins with %q", head[:len(magic)])
	}
	f.broken = errors.New("a snapshot is being restored")
	var err error
	returns("Restore", func() { err = f.m.Restore(r) })
	if err != nil {
		f.broken = fmt.Errorf("a snapshot could not be restored: %w", err)
		return err
	}
	f.broken = nil
	f.index = binary.LittleEndian.Uint64(head[len(magic):])
	f.at = int64(binary.LittleEndian.Uint64(head[len(magic)+8:]))
	return nil
}

// snapshot is a state that was captured.
type snapshot struct {
	head  []byte
	state io.WriterTo
}

// Persist implements raft.FSMSnapshot.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	_, err := sink.Write(s.head)
	if err == nil {
		returns("WriteTo of a snapshot", func() { _, err = s.state.WriteTo(sink) })
	}
	if err != nil {
		_ = sink.Cancel() // err says why
		return err
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (s *snapshot) Release() {
	if c, ok := s.state.(io.Closer); ok {
		_ = c.Close() // raft has no use for its error
	}
}
