package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

// asProgram in the environment makes the test binary the program.
const asProgram = "QUEUE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// What is no flag is refused, and nothing is made.
func TestAnArgumentIsRefused(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "5s tea")
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), asProgram+"=1")
	if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), `unexpected argument "5s tea"`) {
		t.Errorf("status %d: %s", cmd.ProcessState.ExitCode(), out)
	}
	if made, err := os.ReadDir(cmd.Dir); len(made) > 0 || err != nil {
		t.Errorf("it has made %v, %v", made, err)
	}
}

// The state machine keeps what store.TimedMachine asks of it.
func TestMachine(t *testing.T) {
	updates := func(yield func([]byte) bool) {
		for i := range 60 {
			u := update{Add: &add{Text: "x", After: time.Duration(i%5) * time.Second}}
			switch i % 4 {
			case 1, 2:
				u = update{Take: &take{Lease: time.Second}} // some find nothing
			case 3:
				u = update{Done: &done{ID: uint64(i - 2), Attempt: 1}} // some are refused
			}
			b, err := json.Marshal(u)
			if err != nil {
				t.Fatal(err)
			}
			if !yield(b) {
				return
			}
		}
	}
	statetest.Run(t, func() store.Machine { return store.Untyped(&jobs{}, nil) }, updates, nil)
}

// at returns a time.
func at(seconds int) time.Time { return time.Unix(int64(seconds), 0).UTC() }

func TestJobsAreTakenWhenTheyAreDue(t *testing.T) {
	q := &jobs{}
	index := uint64(0)
	apply := func(seconds int, u update) (job, error) {
		index++
		return q.ApplyAt(at(seconds), index, u)
	}
	takeOne := update{Take: &take{Lease: 10 * time.Second}}
	for text, after := range map[string]time.Duration{"late": 5 * time.Second, "soon": time.Second} {
		if _, err := apply(0, update{Add: &add{text, after}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := apply(0, takeOne); !errors.Is(err, errNotDue) {
		t.Errorf("before any is due: %v", err)
	}
	soon, err := apply(1, takeOne)
	if err != nil || soon.Text != "soon" || soon.Attempt != 1 || !soon.Due.Equal(at(11)) {
		t.Fatalf("%+v, %v", soon, err)
	}
	if _, err := apply(4, takeOne); !errors.Is(err, errNotDue) {
		t.Errorf("while it is taken: %v", err)
	}
	if late, err := apply(5, takeOne); err != nil || late.Text != "late" {
		t.Errorf("%+v, %v", late, err)
	}
	again, err := apply(11, takeOne) // its lease has ended
	if err != nil || again.ID != soon.ID || again.Attempt != 2 {
		t.Errorf("%+v, %v", again, err)
	}
	if _, err := apply(12, update{Done: &done{soon.ID, soon.Attempt}}); !errors.Is(err, errGone) {
		t.Errorf("done by the one that has lost it: %v", err)
	}
	if _, err := apply(12, update{Done: &done{again.ID, again.Attempt}}); err != nil || len(q.waiting) != 1 {
		t.Errorf("done: %v, %d are left", err, len(q.waiting))
	}
	if _, err := apply(12, update{}); err == nil {
		t.Error("an empty update: no error")
	}
}

// A lineWriter passes on each line that is written.
type lineWriter chan string

func (w lineWriter) Write(b []byte) (int, error) {
	w <- string(bytes.TrimSpace(b))
	return len(b), nil
}

// openQueue opens the queue in dir.
func openQueue(t *testing.T, dir string) *queue {
	t.Helper()
	q, err := open(dir, &store.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// A line that can't be a job is told of, and those after it are taken.
func TestALineThatIsNoJobIsToldOf(t *testing.T) {
	q := openQueue(t, t.TempDir())
	var acks strings.Builder
	long := strings.Repeat("x", maxText)
	in := "1h caf\xe9\n\xff\n1h " + long + "y\n1h " + long + "\r\n\n1h last"
	if err := q.read(t.Context(), strings.NewReader(in), &acks); err != nil {
		t.Fatal(err)
	}
	got := strings.Split(acks.String(), "\n")
	for i, want := range []string{`not a job: "1h caf\xe9": it is not valid UTF-8`, "not a job: ", "not a job: it has 1048577 bytes", "1: due at ", "not a job: ", "2: due at "} {
		if i >= len(got) || !strings.HasPrefix(got[i], want) {
			t.Errorf("line %d of the answers is not %q:\n%s", i+1, want, acks.String())
		}
	}
	if err := q.store.Close(); err != nil {
		t.Fatal(err)
	}
}

// A signal that comes while a line is read ends the program without an error.
func TestTheEndOfReadingIsNoError(t *testing.T) {
	q := openQueue(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	in := io.MultiReader(strings.NewReader("1h kept\n"), readerFunc(func(p []byte) (int, error) {
		cancel()
		return copy(p, "1h too late\n"), nil
	}))
	if err := q.read(ctx, in, io.Discard); err != nil || len(q.jobs.waiting) != 1 {
		t.Errorf("%d jobs, %v", len(q.jobs.waiting), err)
	}
	if err := q.store.Close(); err != nil {
		t.Fatal(err)
	}
}

// A readerFunc is a reader.
type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A job that can't be written stays in the queue.
func TestAJobThatIsNotWrittenIsNotDone(t *testing.T) {
	q := openQueue(t, t.TempDir())
	if err := q.read(t.Context(), strings.NewReader("0s job\n"), io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := q.run(t.Context(), full{}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("run returned %v", err)
	}
	if n := len(q.jobs.waiting); n != 1 {
		t.Errorf("%d jobs are left", n)
	}
	if err := q.store.Close(); err != nil {
		t.Fatal(err)
	}
}

// full is an output without space.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// Jobs that were acknowledged are run by a later use, in the order in which they are
// due, and once.
func TestJobsSurvive(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { jobsSurvive(t, dir) }) // or an update may take longer than another waits
}

func jobsSurvive(t *testing.T, dir string) {
	q := openQueue(t, dir)
	var acks strings.Builder
	if err := q.read(t.Context(), strings.NewReader("20ms second\n0s first\nnonsense\n40ms third\n"), &acks); err != nil {
		t.Fatal(err)
	}
	if strings.Count(acks.String(), ": due at ") != 3 || !strings.Contains(acks.String(), "not a job") {
		t.Errorf("acknowledged:\n%s", acks.String())
	}
	if err := q.store.Close(); err != nil {
		t.Fatal(err)
	}
	q = openQueue(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	out, ended := make(lineWriter, 4), make(chan error)
	go func() { ended <- q.run(ctx, out) }()
	got := []string{<-out, <-out, <-out}
	if err := q.read(t.Context(), strings.NewReader("0s fourth\n"), io.Discard); err != nil { // which wakes it
		t.Fatal(err)
	}
	got = append(got, <-out)
	if want := []string{"first", "second", "third", "fourth"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	cancel()
	if err := errors.Join(<-ended, q.store.Close()); err != nil {
		t.Error(err)
	}
}
