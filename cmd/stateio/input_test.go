package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// collect returns what comes from pieces.
func collect(pieces <-chan piece) (updates []string, err error) {
	for {
		p := <-pieces
		if p.err != nil {
			return updates, p.err
		}
		updates = append(updates, string(p.update))
	}
}

func TestInputIsSplitIntoUpdates(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"", nil},
		{"a", []string{"a"}},
		{"a\n", []string{"a"}},
		{"\n", []string{""}},
		{"a\n\nb", []string{"a", "", "b"}},
		{"a\r\nb\x00c\n", []string{"a\r", "b\x00c"}},
		{long + "\n" + long, []string{long, long}},
	} {
		got, err := collect(readUpdates(t.Context(), iotest.HalfReader(strings.NewReader(c.in)), '\n'))
		if err != io.EOF || !slices.Equal(got, c.want) {
			t.Errorf("%.20q: got %.50q, %v, want %.50q", c.in, got, err, c.want)
		}
		whole, err := collect(readWhole(t.Context(), strings.NewReader(c.in)))
		if err != io.EOF || !slices.Equal(whole, []string{c.in}) {
			t.Errorf("%.20q as a whole: got %.50q, %v", c.in, whole, err)
		}
	}
}

func TestInputThatBreaksOffEndsWithAWholeLine(t *testing.T) {
	broken := errors.New("broken")
	in := io.MultiReader(strings.NewReader("one\ntw"), iotest.ErrReader(broken))
	if got, err := collect(readUpdates(t.Context(), in, '\n')); !errors.Is(err, broken) || !slices.Equal(got, []string{"one"}) {
		t.Fatalf("got %q, %v", got, err)
	}
}

// A countingJournal counts what is appended to it.
type countingJournal struct {
	durable, pending int
	commits          []int // sizes of the batches
}

func (j *countingJournal) add([]byte) error { j.pending++; return nil }
func (j *countingJournal) commit() error {
	j.commits = append(j.commits, j.pending)
	j.durable, j.pending = j.durable+j.pending, 0
	return nil
}
func (j *countingJournal) snapshot([]byte) error            { panic("not used") }
func (j *countingJournal) close() error                     { return nil }
func (j *countingJournal) progress() (durable, pending int) { return j.durable, j.pending }
func (j *countingJournal) name() string                     { return "journal" }

func TestBatchIsCommittedWhenFullWhenInputPausesAndOnASignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		pieces := make(chan piece)
		j := &countingJournal{}
		done := make(chan error, 1)
		go func() { done <- appendAll(ctx, j, pieces, 10, io.Discard) }()
		add := func(n int) {
			for range n {
				pieces <- piece{update: []byte("x")}
			}
			synctest.Wait()
		}
		add(25)
		if !slices.Equal(j.commits, []int{10, 10}) {
			t.Fatalf("batches of %d", j.commits)
		}
		time.Sleep(pause - time.Millisecond)
		if len(j.commits) != 2 {
			t.Fatal("committed before the pause was over")
		}
		add(1)
		time.Sleep(pause)
		synctest.Wait()
		if !slices.Equal(j.commits, []int{10, 10, 6}) {
			t.Fatalf("batches of %d", j.commits)
		}
		add(3)
		cancel(errors.New("a signal"))
		if err := <-done; err == nil || err.Error() != "a signal: 29 updates of this run are durable in journal" {
			t.Fatal(err)
		}
		if !slices.Equal(j.commits, []int{10, 10, 6, 3}) {
			t.Fatalf("batches of %d", j.commits)
		}
	})
}

// What waits for the rest of a batch has a limit, however large the batch may be.
func TestABatchIsCommittedWhenItIsLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pieces := make(chan piece)
		j := &countingJournal{}
		var acks strings.Builder
		done := make(chan error, 1)
		go func() { done <- appendAll(t.Context(), j, pieces, 1_000_000, &acks) }()
		for range 7 {
			pieces <- piece{update: make([]byte, maxBatch*3/8)}
		}
		for range maxBatch/overhead + 10 { // those of no bytes take memory as well
			pieces <- piece{}
		}
		pieces <- piece{err: io.EOF}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		rest := j.commits[len(j.commits)-1]
		if len(j.commits) != 4 || j.commits[0] != 3 || j.commits[1] != 3 || rest <= 10 || rest > maxBatch/overhead || strings.Count(acks.String(), "\n") != 4 {
			t.Errorf("batches of %d, acknowledged as %q", j.commits, acks.String())
		}
	})
}

// What would be appended to the file that it is read from would have no end.
func TestAFileIsNotAppendedToItself(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "app.state")
	for _, path := range []string{dir, file} {
		runStateio(t, 0, strings.NewReader(numbered(0, 100)), "append", path)
	}
	for _, c := range []struct{ to, from string }{{file, file}, {dir, filepath.Join(dir, "00000000000000000000.log")}} {
		before, err := os.ReadFile(c.from)
		if err != nil {
			t.Fatal(err)
		}
		in, err := os.Open(c.from)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		acks, errs := &endsAt{1000, func() { cancel(errors.New("too many")) }}, &strings.Builder{}
		status := run(ctx, []string{"append", "-0", "--ack", c.to}, in, acks, errs)
		in.Close()
		if status != exitUsage || !strings.Contains(errs.String(), "standard input is "+c.from) {
			t.Errorf("status %d: %s", status, errs)
		}
		if after, err := os.ReadFile(c.from); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s has changed, error %v", c.from, err)
		}
	}
}

// An endsAt writer calls end at the write of that number.
type endsAt struct {
	left int
	end  func()
}

func (e *endsAt) Write(b []byte) (int, error) {
	if e.left--; e.left == 0 {
		e.end()
	}
	return len(b), nil
}
