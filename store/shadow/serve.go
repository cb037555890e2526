package shadow

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/stateio/stateio/store"
)

// Serve is what a process of [Process] runs, with a machine in its initial state,
// before it prints anything, and within 30 seconds. It replays what it is told through
// standard input and tells the state through standard output, which belongs to it
// alone: os.Stdout is standard error from then on. The signals that end a process on
// demand are ignored, since they reach all processes of a terminal or a service.
//
// It returns nil when standard input ends, as it does with the other process: end this one
// then. Where that happens during a call of the machine, it ends the process itself a
// second later. An error is one of the pipes, or says that no store is on the other side.
func Serve(m store.Machine) error {
	if m == nil {
		return errors.New("shadow: Serve needs a Machine, not nil")
	}
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	out := os.Stdout
	os.Stdout = os.Stderr
	go endWithParent(os.Getppid())
	return serve(m, newLine(os.Stdin, out, mostAsked))
}

// endWithParent ends the process after its parent, also during a call of the machine. Where
// the system does not tell that a parent has gone, the end of standard input does, later.
func endWithParent(parent int) {
	for range time.Tick(time.Second) {
		if os.Getppid() != parent {
			os.Exit(1)
		}
	}
}

// A server has the machine, and the state that was captured of it.
type server struct {
	*line
	m     store.Machine
	timed store.TimedMachine // m, if it is one, or nil
	state io.WriterTo

	refused   error // why an update was not applied, of which none was after that
	refusedAt uint64
}

func serve(m store.Machine, l *line) error {
	s := &server{line: l, m: m}
	s.timed, _ = m.(store.TimedMachine)
	_, digests := store.StateDigest(m)
	hello := []byte{version, 0}
	if digests {
		hello[1] = 1
	}
	if err := s.send(greeting, hello, build()); err != nil {
		return fmt.Errorf("shadow: telling the store: %w", err)
	}
	for {
		kind, data, err := s.get()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = s.serve(kind, data)
		}
		if err != nil {
			return fmt.Errorf("shadow: serving the store: %w", err)
		}
	}
}

// serve answers one question. The error is one of the pipes.
func (s *server) serve(kind byte, data []byte) error {
	switch kind {
	case askApply:
		return s.apply(data)
	case askSettle:
		if s.refused == nil {
			return s.tell(nil)
		}
		return s.send(refusal, binary.LittleEndian.AppendUint64(nil, s.refusedAt), textOf(s.refused))
	case askRestore:
		state := &pieces{l: s.line}
		refused := s.m.Restore(state)
		if _, err := io.Copy(io.Discard, state); err != nil && !state.half { // it need not read up to the end
			return err
		}
		return s.tell(refused)
	case askSnapshot:
		state, err := s.m.Snapshot()
		if err == nil && state == nil {
			err = errors.New("Snapshot returned nil, and no state")
		}
		s.state = state
		return s.tell(err)
	case askWrite:
		_, err := s.state.WriteTo(pieceWriter{s.line})
		return errors.Join(s.put(end), s.tell(err))
	case askClose:
		return s.tell(s.closeState())
	case askDigest:
		digest, _ := store.StateDigest(s.m)
		return s.send(answer, binary.LittleEndian.AppendUint64(nil, digest))
	}
	return fmt.Errorf("a question %q that this release does not know", kind)
}

// tell answers with an error, or with none.
func (s *server) tell(err error) error {
	if err != nil {
		return s.send(refusal, textOf(err))
	}
	return s.send(answer)
}

// textOf returns the text of an error, as far as an answer has room for it.
func textOf(err error) []byte {
	text := err.Error()
	return []byte(text[:min(len(text), mostAnswered/2)])
}

// apply applies an update, unless one before was refused. Data has its time and index
// before it.
func (s *server) apply(data []byte) error {
	if len(data) < 16 {
		return errors.New("half an update was passed on")
	}
	if s.refused != nil {
		return nil
	}
	at, index, update := int64(binary.LittleEndian.Uint64(data)), binary.LittleEndian.Uint64(data[8:]), data[16:]
	if s.timed == nil {
		_, s.refused = s.m.Apply(update)
	} else {
		moment := time.Time{}
		if at != 0 {
			moment = time.Unix(0, at).UTC()
		}
		_, s.refused = s.timed.ApplyAt(moment, index, update)
	}
	s.refusedAt = index
	return nil
}

// closeState gives the captured state back.
func (s *server) closeState() error {
	c, ok := s.state.(io.Closer)
	s.state = nil
	if !ok {
		return nil
	}
	return c.Close()
}
