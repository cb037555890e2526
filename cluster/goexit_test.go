package cluster

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stateio/stateio/store"
)

// A quitter is a machine one of whose functions ends its goroutine.
type quitter struct {
	*ledger
	in string
}

func (q quitter) Apply(update []byte) (any, error) {
	q.quit("Apply")
	return q.ledger.Apply(update)
}

func (q quitter) Snapshot() (io.WriterTo, error) {
	q.quit("Snapshot")
	return writerTo(func(io.Writer) error { q.quit("WriteTo"); return nil }), nil
}

func (q quitter) quit(in string) {
	if q.in == in {
		runtime.Goexit()
	}
}

// TestGoexitInTheMachineEndsTheProcess has a function of the machine end its goroutine, in a
// process of its own, which must end as by a panic.
func TestGoexitInTheMachineEndsTheProcess(t *testing.T) {
	concurrently(t)
	if in := os.Getenv("STATEIO_GOEXIT"); in != "" {
		n, err := Open(t.TempDir(), quitter{newLedger(), in}, &Options{ID: "a", Listen: "127.0.0.1:0", Logger: quiet(t)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = n.Update(t.Context(), []byte("add x"))
		t.Log("the update has returned: ", err)
		t.Log("the snapshot has returned: ", n.Snapshot(t.Context()))
		return
	}
	for _, in := range []string{"Apply", "Snapshot", "WriteTo"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestGoexitInTheMachineEndsTheProcess$", "-test.timeout=1m", "-test.v")
		cmd.Env = append(os.Environ(), "STATEIO_GOEXIT="+in, "TMPDIR="+t.TempDir()) // of which it removes nothing
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "panic: cluster: "+in) || !strings.Contains(string(out), "runtime.Goexit") {
			t.Errorf("%s: the process has ended with %v:\n%s", in, err, out)
		}
	}
}

// goingMachine ends the goroutine that calls one of its functions.
type goingMachine struct {
	*ledger
	apply bool
	write *atomic.Bool // of all captured states
}

func (m *goingMachine) Apply(u []byte) (any, error) {
	if m.apply {
		runtime.Goexit()
	}
	return m.ledger.Apply(u)
}

func (m *goingMachine) Snapshot() (io.WriterTo, error) {
	s, err := m.ledger.Snapshot()
	return writerTo(func(w io.Writer) error {
		if m.write.Load() {
			runtime.Goexit()
		}
		_, err := s.WriteTo(w)
		return err
	}), err
}

// TestGoexitInAMachineThatFollowsIsAnError has the functions of both machines end their
// goroutines: nothing hangs, and the follower says why it has ended.
func TestGoexitInAMachineThatFollowsIsAnError(t *testing.T) {
	noLeaks(t)
	tr := newTrial(t, 1, nil)
	var write atomic.Bool
	n, err := Open(tr.path(0), &goingMachine{ledger: newLedger(), write: &write}, tr.opts[0])
	if err != nil {
		t.Fatal(err)
	}
	update(t, n, "add x")
	write.Store(true)
	if _, err := n.Follow(t.Context(), newLedger()); !errors.Is(err, errNotReturned) {
		t.Errorf("WriteTo has not returned: %v", err)
	}
	write.Store(false)
	f, err := n.Follow(t.Context(), &goingMachine{ledger: newLedger(), apply: true, write: &write})
	if err != nil {
		t.Fatal(err)
	}
	update(t, n, "add x")
	<-f.Done()
	if err := f.Close(); !errors.Is(err, errNotReturned) || !errors.Is(err, store.ErrFailed) {
		t.Errorf("Apply has not returned: %v", err)
	}
	if err := f.View(func() error { return nil }); err != nil {
		t.Errorf("View: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}
