package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// endingOf gives up a command as ended by a request to terminate, as soon as ticks says so
// often enough. What it says goes to stderr, and its exit status to the channel.
func endingOf(ticks <-chan time.Time, stderr io.Writer) (exited <-chan int) {
	status := make(chan int)
	e := ending{func() <-chan time.Time { return ticks }, stderr, func(n int) { status <- n }}
	go e.giveUp(interrupted{syscall.SIGTERM})
	return status
}

// A stuckWriter is a pipe that is full: it takes what is written when it is released.
type stuckWriter struct{ stuck, release chan struct{} }

func newStuckWriter() stuckWriter { return stuckWriter{make(chan struct{}, 100), make(chan struct{})} }

func (w stuckWriter) Write(b []byte) (int, error) {
	w.stuck <- struct{}{}
	<-w.release
	return len(b), nil
}

// A command that waits for the reader of its output is given up, and leaves no temporary file.
func TestACommandThatDoesNotEndIsGivenUp(t *testing.T) {
	file, dir := filepath.Join(t.TempDir(), "app.state"), t.TempDir()
	runStateio(t, 0, nil, "append", file)
	runStateio(t, 0, strings.NewReader("state"), "snapshot", file)
	runStateio(t, 0, strings.NewReader(numbered(0, 2000)), "append", "--batch", "2000", file) // more than a buffer has room for
	ctx, cancel := context.WithCancelCause(t.Context())
	out, returned := newStuckWriter(), make(chan int)
	go func() {
		returned <- run(ctx, []string{"restore", file, "--state", filepath.Join(dir, "state"), "--updates", "-"}, nil, out, io.Discard)
	}()
	<-out.stuck
	if names, err := os.ReadDir(dir); len(names) != 1 {
		t.Fatalf("while it is written there are %v, %v", names, err)
	}
	cancel(interrupted{syscall.SIGTERM})
	ticks := make(chan time.Time, 1)
	var errs strings.Builder
	exited := endingOf(ticks, &errs)
	ticks <- time.Time{}
	if status := <-exited; status != 143 || !strings.Contains(errs.String(), "terminated: ") {
		t.Errorf("exit status %d: %s", status, errs.String())
	}
	if names, err := os.ReadDir(dir); len(names) != 0 && runtime.GOOS != "windows" { // where it is open
		t.Errorf("there are %v, %v", names, err)
	}
	close(out.release)
	<-returned
}

// What a bench makes is removed, too.
func TestABenchThatDoesNotEndLeavesNothing(t *testing.T) {
	parent := t.TempDir()
	dir, err := newBenchDir(parent, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.lock.Close(); err != nil { // or Windows removes nothing
		t.Fatal(err)
	}
	ticks := make(chan time.Time, 1)
	ticks <- time.Time{}
	<-endingOf(ticks, io.Discard)
	if names, err := os.ReadDir(parent); len(names) != 0 {
		t.Errorf("there are %v, %v", names, err)
	}
	temporary.forget(dir.path)
}

// A standard error that nobody reads keeps nobody, and does not keep the process.
func TestNobodyReadsThatACommandIsGivenUp(t *testing.T) {
	errs, ticks := newStuckWriter(), make(chan time.Time)
	defer close(errs.release)
	exited := endingOf(ticks, errs)
	ticks <- time.Time{}
	<-errs.stuck
	ticks <- time.Time{}
	if status := <-exited; status != 143 {
		t.Errorf("exit status %d", status)
	}
}

// What is being made durable is waited for, and that it is told.
func TestWhatIsMadeDurableIsWaitedFor(t *testing.T) {
	syncing, synced := make(chan struct{}), make(chan struct{})
	done := make(chan error)
	go func() {
		done <- durably(func() error {
			close(syncing)
			<-synced
			return nil
		})
	}()
	<-syncing
	ticks := make(chan time.Time) // each is taken only if the one before has not ended it
	exited := endingOf(ticks, io.Discard)
	for i := range 5 { // after the fourth it has just become durable
		if i == 3 {
			close(synced)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		select {
		case ticks <- time.Time{}:
		case <-exited:
			t.Fatalf("it was given up after %d ticks", i)
		}
	}
	<-exited
}

// append and snapshot have a signal wait for what they make durable, and for what they do
// before they say so: a store is closed with a seal and syncs.
func TestWhatAppendAndSnapshotMakeDurableIsCounted(t *testing.T) {
	store, file := t.TempDir(), filepath.Join(t.TempDir(), "app.state")
	for _, c := range []struct {
		args []string
		want int64
	}{
		{[]string{"snapshot", store}, 1}, // makes it
		{[]string{"append", store}, 3},   // adds, commits, closes
		{[]string{"snapshot", store}, 2},
		{[]string{"append", file}, 3},
		{[]string{"snapshot", file}, 2},
	} {
		before := committing.Load()
		if status := run(t.Context(), c.args, strings.NewReader("one"), io.Discard, io.Discard); status != exitOK {
			t.Fatalf("%q: exit status %d", c.args, status)
		}
		if n := committing.Load() - before; n != 2*c.want {
			t.Errorf("%q: %d beginnings and ends, want %d", c.args, n, 2*c.want)
		}
	}
}

// What is durable is told when only closing the store fails: a script that took it for undone would do it
// again.
func TestWhatIsDurableIsToldWhenClosingFails(t *testing.T) {
	dir := t.TempDir()
	mustRun(t, "one\n", "append", dir)
	inTheWay := afterWrite(func() { // of the next log, which is begun at the end
		if err := os.MkdirAll(filepath.Join(dir, "00000000000000000003.log.tmp", "full"), 0o700); err != nil {
			t.Error(err)
		}
	})
	var errs strings.Builder
	status := run(t.Context(), []string{"append", "--ack", dir}, strings.NewReader("two\nthree\n"), inTheWay, &errs)
	if want := "stateio: 2 updates of this run are durable in " + dir + "; closing it has failed: "; status != exitFailure || !strings.HasPrefix(errs.String(), want) {
		t.Errorf("exit status %d, %q", status, errs.String())
	}
}
