package raftfsm

import (
	"errors"
	"io"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stateio/stateio/store"
)

// Machine returns the machine that fsm is. Each update is a command: Apply of fsm gets it
// as raft.Log.Data, with its index, the time of its commit as AppendedAt, and term 1.
//
// What Apply of fsm returns is the result, also if it is an error: raft has logged the
// command by then, and whatever fsm has done stays. So such a machine refuses nothing, and
// the caller of Update looks at the result. Data belongs to fsm, which may keep it.
//
// Persist of a snapshot runs concurrently with Apply, as raft does it, and Release is
// called at its end.
func Machine(fsm raft.FSM) store.TimedMachine { return &machine{fsm: fsm} }

type machine struct {
	store.NoApply
	fsm raft.FSM
}

// ApplyAt implements store.TimedMachine.
func (m *machine) ApplyAt(at time.Time, index uint64, update []byte) (any, error) {
	data := append([]byte(nil), update...)
	return m.fsm.Apply(&raft.Log{Index: index, Term: 1, Type: raft.LogCommand, Data: data, AppendedAt: at}), nil
}

// Snapshot implements store.Machine.
func (m *machine) Snapshot() (io.WriterTo, error) {
	s, err := m.fsm.Snapshot()
	if err == nil && s == nil {
		err = errors.New("raftfsm: Snapshot of the FSM returned neither a snapshot nor an error")
	}
	if err != nil {
		return nil, err
	}
	return &captured{s}, nil
}

// Restore implements store.Machine.
func (m *machine) Restore(snapshot io.Reader) error { return m.fsm.Restore(io.NopCloser(snapshot)) }

// captured is a state that was captured.
type captured struct{ raft.FSMSnapshot }

// WriteTo implements io.WriterTo.
func (c *captured) WriteTo(w io.Writer) (int64, error) {
	s := &sink{w: w}
	err := c.Persist(s)
	switch {
	case err == nil && s.canceled:
		err = errors.New("raftfsm: the snapshot was canceled by Persist")
	case err == nil && !s.closed:
		err = errors.New("raftfsm: Persist has returned without closing the sink")
	}
	return s.n, errors.Join(err, s.err)
}

// Close implements io.Closer.
func (c *captured) Close() error {
	c.Release()
	return nil
}

// A sink is what Persist writes to.
type sink struct {
	w                io.Writer
	n                int64
	err              error // the first of w
	closed, canceled bool
}

func (s *sink) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.w.Write(p)
	s.n, s.err = s.n+int64(n), err
	return n, err
}

func (s *sink) Close() error  { s.closed = true; return s.err }
func (s *sink) Cancel() error { s.canceled = true; return nil }
func (s *sink) ID() string    { return "raftfsm" }
