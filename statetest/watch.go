package statetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stateio/stateio/store"
)

// stall is how long a check may go without a new machine before Run tells which
// check that is. Most make thousands a second.
const stall = 10 * time.Second

// A watch tells that a check hangs while it does: when the time limit of the test
// ends it, nobody learns which check it was.
type watch struct {
	test     string
	machines atomic.Uint64 // made so far: the progress of a check
	out      io.Writer
}

func newWatch(test string) *watch { return &watch{test: test, out: os.Stderr} }

// count returns newMachine, with its calls counted.
func (w *watch) count(newMachine func() store.Machine) func() store.Machine {
	return func() store.Machine {
		w.machines.Add(1)
		return newMachine()
	}
}

// over watches check c until the returned function is called.
func (w *watch) over(c *check) (end func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(stall)
		defer tick.Stop()
		for last := w.machines.Load(); ; {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			now := w.machines.Load()
			if now == last {
				w.tell(c)
				return
			}
			last = now
		}
	}()
	return func() { close(done); <-ended }
}

// tell writes what hangs, and where.
func (w *watch) tell(c *check) {
	_, _ = fmt.Fprintf(w.out, "statetest: %s: check %q has made no progress for %v. "+
		"A method of the machine waits for something, or takes that long.\n\nThe contract: %s.\n\n%s\n",
		w.test, c.name, stall, c.promise, checking())
}

// checking returns the stacks of the goroutines that check a machine.
func checking() string {
	var all bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&all, 2) // to memory
	var stacks []string
	for s := range strings.SplitSeq(all.String(), "\n\n") {
		if strings.Contains(s, "/statetest.") && !strings.Contains(s, "statetest.checking(") {
			stacks = append(stacks, s)
		}
	}
	return strings.Join(stacks, "\n\n")
}

var errGoexit = errors.New("the machine has ended the goroutine that called it, by runtime.Goexit or a method like FailNow of a test")

// start calls f in a goroutine of its own, and sends what it returns.
func start(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() {
		err := errGoexit
		defer func() { done <- err }()
		err = guarded(f)
	}()
	return done
}
