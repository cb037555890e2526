package raftfsm

import (
	"encoding/binary"
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
func FSM(m store.Machine) raft.FSM {
	f := &fsm{m: m}
	f.timed, _ = m.(store.TimedMachine)
	return f
}

type fsm struct {
	m     store.Machine
	timed store.TimedMachine // m, if it is one
	index uint64             // of the last update
	at    int64              // its time, in nanoseconds since 1970
}

// Apply implements raft.FSM.
func (f *fsm) Apply(l *raft.Log) any {
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
	state, err := f.m.Snapshot()
	if err != nil {
		return nil, err
	}
	head := append(make([]byte, 0, headSize), magic...)
	head = binary.LittleEndian.AppendUint64(head, f.index)
	head = binary.LittleEndian.AppendUint64(head, uint64(f.at))
	return &snapshot{head, state}, nil
}

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
	if err := f.m.Restore(r); err != nil {
		return err
	}
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
		_, err = s.state.WriteTo(sink)
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
