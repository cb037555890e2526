package statetest_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

// applies returns a function that makes machines whose Apply calls f first.
func applies(f func()) func() store.Machine {
	return changed(planted{apply: func(p *planted, update []byte) error {
		f()
		return p.correct(update)
	}})
}

func TestACheckThatHangsIsNamedWhileItHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stderr")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	defer func(old *os.File) { os.Stderr = old }(os.Stderr)
	os.Stderr = f
	synctest.Test(t, func(t *testing.T) {
		hung := false
		mustPass(t, applies(func() {
			if !hung {
				hung = true
				waitForGodot()
			}
		}), commands(1), &statetest.Options{Updates: 10, CrashStates: 1})
	})
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`statetest: TestRecorded/some_case: check "equal states have equal snapshots" has made no progress for 10s.`,
		"\nThe contract: statetest compares", "statetest_test.waitForGodot(",
	} {
		if strings.Count(string(text), want) != 1 {
			t.Errorf("standard error does not say %q once:\n%s", want, text)
		}
	}
}

func waitForGodot() { time.Sleep(time.Minute) } // of a synctest bubble

// locking is a machine with a lock that a captured state holds until Close. It is
// a channel, for which a synctest bubble can wait.
type locking struct {
	cloned
	lock chan struct{}
}

func (l *locking) Apply(update []byte) (any, error) {
	l.lock <- struct{}{}
	defer func() { <-l.lock }()
	return l.cloned.Apply(update)
}

func (l *locking) Snapshot() (io.WriterTo, error) {
	l.lock <- struct{}{}
	state, err := l.cloned.Snapshot()
	return unlocking{state, l}, err
}

type unlocking struct {
	io.WriterTo
	l *locking
}

func (u unlocking) Close() error { <-u.l.lock; return nil }

func TestASnapshotThatLocksUntilCloseIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		newMachine := func() store.Machine { return &locking{*newCloned().(*cloned), make(chan struct{}, 1)} }
		mustFail(t, newMachine, commands(1), nil,
			`check "a captured snapshot does not change" failed: Apply waits until the states captured before are closed`, "\n   1  ")
	})
}

// A machine that ends the goroutine of the test, as FailNow does, is named too.
func TestAMachineThatEndsTheGoroutineIsNamed(t *testing.T) {
	var r *recorder
	done := make(chan struct{})
	go func() {
		defer close(done)
		r = &recorder{name: "TestRecorded"}
		statetest.Run(r, applies(runtime.Goexit), commands(1), nil)
	}()
	<-done
	if len(r.errors) != 1 || !strings.Contains(r.errors[0], `statetest: check "equal states have equal snapshots" did not end: the machine has ended the goroutine`) {
		t.Errorf("Run says %q", r.errors)
	}
	exits := changed(planted{snapshot: func(p *planted) (io.WriterTo, error) {
		state, err := p.cloned.Snapshot()
		return writerTo(func(w io.Writer) error {
			var pcs [64]uintptr
			frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs[:])])
			for f, more := frames.Next(); more; f, more = frames.Next() {
				if strings.Contains(f.Function, ".race.") {
					runtime.Goexit()
				}
			}
			_, err := state.WriteTo(w)
			return err
		}), err
	}})
	mustFail(t, exits, commands(1), &statetest.Options{Updates: 10}, `check "snapshots are made during updates" failed: the machine has ended the goroutine`)
}

// endings is how a machine may end the process, as subprocesses of this test do.
var endings = map[string]func(){
	"exit":     func() { os.Exit(3) },
	"overflow": overflow,
}

//lint:ignore SA5007 it is to recurse without end
func overflow() { var b [1 << 10]byte; overflow(); _ = fmt.Sprint(b) } //nolint:staticcheck // it is to recurse without end

const endingVariable = "STATETEST_ENDING"

// TestEnding is the test in the subprocess.
func TestEnding(t *testing.T) {
	end, ok := endings[os.Getenv(endingVariable)]
	if !ok {
		t.Skip("run by TestTheCheckIsNamedWhenTheMachineEndsTheProcess")
	}
	statetest.Run(t, applies(end), commands(1), nil)
}

// With -v, the check is named before it begins. Without, the traces of the runtime
// name its file.
func TestTheCheckIsNamedWhenTheMachineEndsTheProcess(t *testing.T) {
	for ending := range endings {
		for flag, want := range map[string]string{"-test.v": `statetest: check "equal states have equal snapshots"`, "-test.v=false": "statetest/encoding.go"} {
			if ending == "exit" && flag != "-test.v" {
				continue // nothing can be told
			}
			path, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), path, "-test.run", "^TestEnding$", flag)
			cmd.Env = append(os.Environ(), endingVariable+"="+ending)
			out, err := cmd.CombinedOutput()
			if _, after, ok := strings.Cut(string(out), want); err == nil || !ok || strings.Contains(after, "statetest: check") {
				t.Errorf("%s with %s: %v, and %q is not the last check it names:\n%.3000s", ending, flag, err, want, out)
			}
		}
	}
}

// With -short there is less to do, unless Options say how much.
func TestShortRunsAreShort(t *testing.T) {
	r := mustPass(t, newCloned, commands(1), nil)
	want := "statetest: 256 updates, "
	if testing.Short() {
		want = "statetest: 64 updates, "
	}
	if s := r.logs[len(r.logs)-1]; !strings.HasPrefix(s, want) {
		t.Errorf("Run says %q, want %q", s, want)
	}
}
