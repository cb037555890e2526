package raftfsm_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/stateio/stateio/raftfsm"
	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

var errRefused = errors.New("refused")

// journal is a machine that keeps each update with its index and time.
type journal struct {
	store.NoApply
	lines []string
}

func (j *journal) ApplyAt(at time.Time, index uint64, update []byte) (any, error) {
	if string(update) == "refuse" {
		return nil, errRefused
	}
	j.lines = append(j.lines, fmt.Sprintf("%d %s %q", index, at.Format(time.RFC3339Nano), update))
	return len(j.lines), nil
}

func (j *journal) Snapshot() (io.WriterTo, error) {
	lines := j.lines[:len(j.lines):len(j.lines)]
	return store.WriterFunc(func(w io.Writer) error {
		for _, l := range lines {
			if _, err := fmt.Fprintln(w, l); err != nil {
				return err
			}
		}
		return nil
	}), nil
}

func (j *journal) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	j.lines = nil
	for l := range strings.Lines(string(b)) {
		j.lines = append(j.lines, strings.TrimSuffix(l, "\n"))
	}
	return nil
}

func commands(yield func([]byte) bool) {
	for i := range 80 {
		u := fmt.Sprint("update ", i)
		if i%9 == 4 {
			u = "refuse"
		}
		if !yield([]byte(u)) {
			return
		}
	}
}

// A machine that is made an FSM, and a machine again, keeps what is asked of machines.
func TestThereAndBack(t *testing.T) {
	statetest.Run(t, func() store.Machine { return raftfsm.Machine(raftfsm.FSM(&journal{})) }, commands, &statetest.Options{CrashStates: 300})
}

// A raft of one node runs a machine, and gives it its state back.
func TestRaftRunsAMachine(t *testing.T) {
	logs, stable, snaps := raft.NewInmemStore(), raft.NewInmemStore(), raft.NewInmemSnapshotStore()
	start := func(m store.Machine) *raft.Raft {
		addr, transport := raft.NewInmemTransport("")
		c := raft.DefaultConfig()
		c.LocalID, c.LogOutput, c.TrailingLogs = "a", io.Discard, 1
		c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
		r, err := raft.NewRaft(c, raftfsm.FSM(m), logs, stable, snaps, transport)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.BootstrapCluster(raft.Configuration{Servers: []raft.Server{{ID: "a", Address: addr}}}).Error() // once
		for leading := range r.LeaderCh() {
			if leading {
				break
			}
		}
		return r
	}
	m := &journal{}
	r := start(m)
	apply := func(update string) any {
		f := r.Apply([]byte(update), time.Minute)
		if err := f.Error(); err != nil {
			t.Fatal(err)
		}
		return f.Response()
	}
	if got := apply("one"); got != 1 {
		t.Errorf("the result is %v", got)
	}
	if err, ok := apply("refuse").(error); !ok || !errors.Is(err, errRefused) {
		t.Errorf("the refusal is %v", err)
	}
	if err := r.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	if got := apply("two"); got != 2 {
		t.Errorf("the result is %v", got)
	}
	if err := r.Shutdown().Error(); err != nil {
		t.Fatal(err)
	}
	again := &journal{}
	r = start(again)
	if err := r.Barrier(time.Minute).Error(); err != nil {
		t.Fatal(err)
	}
	if err := r.Shutdown().Error(); err != nil {
		t.Fatal(err)
	}
	if want := strings.Join(m.lines, "\n"); strings.Join(again.lines, "\n") != want || !strings.HasPrefix(m.lines[1], "2 2") {
		t.Errorf("raft gave back %q, want %q", again.lines, m.lines)
	}
}

// What raft sets in a command, and time that does not go back.
func TestTheTimeOfLeadersDoesNotGoBack(t *testing.T) {
	m := &journal{}
	f := raftfsm.FSM(m)
	for i, at := range []int64{100, 50, 200, 0} {
		l := &raft.Log{Data: fmt.Append(nil, i)}
		if at > 0 {
			l.AppendedAt = time.Unix(at, 0)
		}
		f.Apply(l)
	}
	for i, want := range []int64{100, 100, 200, 200} {
		if line := fmt.Sprintf("%d %s %q", i+1, time.Unix(want, 0).UTC().Format(time.RFC3339Nano), fmt.Sprint(i)); m.lines[i] != line {
			t.Errorf("%s, want %s", m.lines[i], line)
		}
	}
	if err := f.Restore(io.NopCloser(strings.NewReader("another snapshot, of 24 bytes or more"))); err == nil || !strings.Contains(err.Error(), "not made by this package") {
		t.Errorf("a foreign snapshot is restored with %v", err)
	}
	if err := f.Restore(io.NopCloser(strings.NewReader("short"))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a short snapshot is restored with %v", err)
	}
}

// lazy is an FSM whose snapshots end in another way each time.
type lazy struct {
	how      func(raft.SnapshotSink) error
	released int
}

func (*lazy) Apply(*raft.Log) any                    { return errRefused }
func (l *lazy) Snapshot() (raft.FSMSnapshot, error)  { return l, nil }
func (*lazy) Restore(io.ReadCloser) error            { return nil }
func (l *lazy) Persist(sink raft.SnapshotSink) error { return l.how(sink) }
func (l *lazy) Release()                             { l.released++ }

// A snapshot that Persist has not finished is none, and every one is released.
func TestPersistMustFinish(t *testing.T) {
	l := &lazy{}
	s, err := store.OpenMemory(raftfsm.Machine(l), &store.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if result, err := s.Update(t.Context(), []byte("x")); err != nil || result != errRefused {
		t.Errorf("an error of Apply is not the result: %v, %v", result, err)
	}
	for name, tt := range map[string]struct {
		how  func(raft.SnapshotSink) error
		want string
	}{
		"canceled":   {func(s raft.SnapshotSink) error { return s.Cancel() }, "canceled by Persist"},
		"not closed": {func(s raft.SnapshotSink) error { _, err := s.Write([]byte("x")); return err }, "without closing"},
		"failed":     {func(raft.SnapshotSink) error { return errRefused }, "refused"},
	} {
		l.how = tt.how
		if err := s.Snapshot(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	l.how = func(s raft.SnapshotSink) error {
		if s.ID() == "" {
			t.Error("the sink has no ID")
		}
		return s.Close()
	}
	if err := s.Snapshot(t.Context()); err != nil {
		t.Error(err)
	}
	if l.released != 4 {
		t.Errorf("%d of 4 snapshots were released", l.released)
	}
}

func ExampleMachine() {
	fsm := raftfsm.FSM(&journal{}) // stands for an FSM of yours
	s, err := store.OpenMemory(raftfsm.Machine(fsm), &store.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	fmt.Println(s.Index(), s.Close())
	// Output: 0 <nil>
}

func ExampleFSM() {
	fsm := raftfsm.FSM(&journal{}) // for raft.NewRaft
	fmt.Println(fsm.Apply(&raft.Log{Data: []byte("update")}))
	// Output: 1
}

// half is a machine that restores a byte at a time.
type half struct {
	state string
	does  func() // in each function; nil: nothing
}

func (h *half) do() {
	if h.does != nil {
		h.does()
	}
}

func (h *half) Apply(u []byte) (any, error) { h.do(); h.state += string(u); return nil, nil }

func (h *half) Snapshot() (io.WriterTo, error) {
	h.do()
	state := h.state
	return store.WriterFunc(func(w io.Writer) error { h.do(); _, err := io.WriteString(w, state); return err }), nil
}

func (h *half) Restore(r io.Reader) error {
	h.do()
	h.state = ""
	for b := make([]byte, 1); ; h.state += string(b) {
		if _, err := io.ReadFull(r, b); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// A sink is raft's, in memory.
type sink struct{ bytes.Buffer }

func (*sink) Close() error  { return nil }
func (*sink) Cancel() error { return nil }
func (*sink) ID() string    { return "" }

// panics returns what do panics with.
func panics(do func()) (r any) {
	defer func() { r = recover() }()
	do()
	return nil
}

// TestAStateThatIsNotWholeIsNotUsed has a Restore fail in the middle.
func TestAStateThatIsNotWholeIsNotUsed(t *testing.T) {
	whole := raftfsm.FSM(&half{state: "abcd"})
	c, err := whole.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var s sink
	if err := c.Persist(&s); err != nil {
		t.Fatal(err)
	}
	restore := func(f raft.FSM, r io.Reader) error { return f.Restore(io.NopCloser(r)) }
	m := &half{state: "x"}
	f := raftfsm.FSM(m)
	torn := io.MultiReader(bytes.NewReader(s.Bytes()[:s.Len()-2]), iotest.ErrReader(errRefused))
	if err := restore(f, torn); !errors.Is(err, errRefused) {
		t.Errorf("the error of Restore is %v", err)
	}
	apply := func() { f.Apply(&raft.Log{Index: 9, Data: []byte("y")}) }
	if got := fmt.Sprint(panics(apply)); !strings.Contains(got, "not whole") || !strings.Contains(got, errRefused.Error()) {
		t.Errorf("Apply panics with %v", got)
	}
	if _, err := f.Snapshot(); !errors.Is(err, errRefused) {
		t.Errorf("the error of Snapshot is %v", err)
	}
	if err := restore(f, strings.NewReader("foreign")); err == nil {
		t.Error("what is no snapshot is restored")
	}
	if panics(apply) == nil {
		t.Error("Apply goes on after a snapshot that has not touched the state")
	}
	if err := restore(f, bytes.NewReader(s.Bytes())); err != nil {
		t.Fatal(err)
	}
	if apply(); m.state != "abcdy" {
		t.Errorf("the state is %q", m.state)
	}
}

func TestAMachineThatDoesNotReturnPanics(t *testing.T) {
	m := &half{}
	f := raftfsm.FSM(m)
	c, err := f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var s sink
	if err := c.Persist(&s); err != nil {
		t.Fatal(err)
	}
	m.does = runtime.Goexit
	for _, c := range []struct {
		name string
		do   func()
	}{
		{"Apply", func() { f.Apply(&raft.Log{}) }},
		{"Snapshot", func() { _, _ = f.Snapshot() }},
		{"WriteTo", func() { _ = c.Persist(&sink{}) }},
		{"Restore", func() { _ = f.Restore(io.NopCloser(bytes.NewReader(s.Bytes()))) }}, // then the state is not whole
	} {
		got := make(chan any, 1)
		go func() {
			defer func() { got <- recover() }() // Goexit goes on after that
			c.do()
		}()
		if r := fmt.Sprint(<-got); !strings.Contains(r, c.name) || !strings.Contains(r, "must return") {
			t.Errorf("%s: %v", c.name, r)
		}
	}
}

// later is a machine of a release that does not know the updates of a later one.
type later struct{ journal }

func (l *later) ApplyAt(at time.Time, index uint64, update []byte) (any, error) {
	if err := l.CheckUpdate(update); err != nil {
		return nil, err
	}
	return l.journal.ApplyAt(at, index, update)
}

func (*later) CheckUpdate(update []byte) error {
	if bytes.HasPrefix(update, []byte("v2 ")) {
		return errUnknown
	}
	return nil
}

var errUnknown = errors.New("version 2")

// TestAnUpdateOfALaterReleaseIsNotPassedOver applies one, and one that is understood and refused.
func TestAnUpdateOfALaterReleaseIsNotPassedOver(t *testing.T) {
	f := raftfsm.FSM(&later{})
	if err, _ := f.Apply(&raft.Log{Index: 8, Data: []byte("refuse")}).(error); !errors.Is(err, errRefused) {
		t.Errorf("the refusal is %v", err)
	}
	got := fmt.Sprint(panics(func() { f.Apply(&raft.Log{Index: 9, Data: []byte("v2 x")}) }))
	if !strings.Contains(got, "entry 9") || !strings.Contains(got, errUnknown.Error()) || !strings.Contains(got, "a later one") {
		t.Errorf("Apply panics with %v", got)
	}
}

// stateless has no state to make a snapshot of, and no error.
type stateless struct{ half }

func (*stateless) Snapshot() (io.WriterTo, error) { return nil, nil }

// mute is the same, as an FSM.
type mute struct{ lazy }

func (*mute) Snapshot() (raft.FSMSnapshot, error) { return nil, nil }

func TestNoStateIsNoSnapshot(t *testing.T) {
	if s, err := raftfsm.FSM(&stateless{}).Snapshot(); s != nil || err == nil || !strings.Contains(err.Error(), "neither") {
		t.Errorf("%v, %v", s, err)
	}
	if s, err := raftfsm.Machine(&mute{}).Snapshot(); s != nil || err == nil || !strings.Contains(err.Error(), "neither") {
		t.Errorf("%v, %v", s, err)
	}
}
