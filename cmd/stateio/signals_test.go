package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// What a command is interrupted at does not matter: the exit status is that of the signal.
func TestWhateverIsInterruptedExitsWithTheSignal(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "app.state")
	for _, path := range []string{dir, file} {
		runStateio(t, 0, strings.NewReader(numbered(0, 2000)), "append", "--batch", "2000", path)
		runStateio(t, 0, strings.NewReader("state"), "snapshot", path)
		runStateio(t, 0, strings.NewReader(numbered(2000, 4000)), "append", "--batch", "2000", path)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(interrupted{syscall.SIGINT})
	const out = "OUT" // a path of its own
	for _, args := range [][]string{
		{"append", file},
		{"append", dir},
		{"snapshot", file},
		{"snapshot", dir},
		{"log", file},
		{"log", dir},
		{"log", "--follow", dir},
		{"log", "--json", dir},
		{"log", "--from", "-1h", dir},
		{"log", "--to", "-1h", dir},
		{"log", "--follow", "--from", "-1h", dir},
		{"restore", dir, "--updates", out},
		{"restore", "--at", "3000", dir},
		{"restore", "--at", "-1h", dir},
		{"restore", file},
		{"epochs", file},
		{"verify", file},
		{"verify", dir},
		{"verify", "--json", file, dir},
		{"stat", file},
		{"stat", dir},
		{"diff", dir, dir},
		{"diff", "--json", dir, dir},
		{"backup", dir, out},
		{"import", file, out},
		{"repair", dir, out},
		{"repair", "--salvage", dir, out},
		{"repair", "--drop", "3000", dir, out},
		{"compact", file},
		{"compact", file, out},
		{"view", dir},
		{"bench", t.TempDir()},
	} {
		for i := range args {
			if args[i] == out {
				args[i] = filepath.Join(t.TempDir(), out)
			}
		}
		stdin, input := io.Pipe() // nothing comes
		var errs strings.Builder
		status := run(ctx, args, stdin, io.Discard, &errs)
		if status != 130 || !strings.Contains(errs.String(), ": interrupt") || strings.Contains(errs.String(), context.Canceled.Error()) {
			t.Errorf("%q: exit status %d: %s", args, status, errs.String())
		}
		input.Close()
	}
}

// bench waits for the store in its last step, which says only that the context has ended.
func TestBenchIsInterruptedInEachOfItsSteps(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(interrupted{syscall.SIGINT})
	b := bench{dir: t.TempDir(), span: time.Millisecond, writers: []int{1}, sizes: []int{128}, out: io.Discard}
	for i, step := range []func(context.Context) error{b.syncs, b.rates, b.replay, b.snapshot} {
		if err := step(ctx); err != nil && statusOf(because(err, context.Cause(ctx))) != 130 || err == nil && i == 3 {
			t.Errorf("step %d: %v", i, err)
		}
	}
}

// Only what a signal has caused is told as one.
func TestTheCauseTakesThePlaceOfWhatItHasEnded(t *testing.T) {
	other := errors.New("other")
	ended := fmt.Errorf("reading: %w", context.Canceled)
	for _, c := range []struct{ err, want error }{
		{nil, nil},
		{other, other},
		{ended, errors.New("interrupt")},
		{errors.Join(errors.Join(ended, other), other), errors.New("interrupt\nother\nother")},
		{fmt.Errorf("two %w in a %w", other, other), errors.New("two other in a other")},
	} {
		if got := because(c.err, interrupted{syscall.SIGINT}); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("of %v comes %v, want %v", c.err, got, c.want)
		}
	}
}

// A countedContext is interrupted when it was asked so many times whether it has ended.
type countedContext struct {
	context.Context
	cancel context.CancelCauseFunc
	left   atomic.Int64
}

func (c *countedContext) Err() error {
	if c.left.Add(-1) < 0 {
		c.cancel(interrupted{syscall.SIGINT})
	}
	return c.Context.Err()
}

// Wherever a repair or a backup is interrupted, it says to remove what it has made, if it has
// made something.
func TestWhatIsInterruptedSaysWhatToRemove(t *testing.T) {
	dir := t.TempDir()
	runStateio(t, 0, strings.NewReader(numbered(0, 5)), "append", dir)
	for command, again := range map[string]string{"repair": "repair", "backup": "copy"} {
		left := 0
		for times := int64(0); ; times++ {
			made := filepath.Join(t.TempDir(), "made")
			var errs strings.Builder
			ctx := &countedContext{}
			ctx.Context, ctx.cancel = context.WithCancelCause(t.Context())
			ctx.left.Store(times)
			if status := run(ctx, []string{command, dir, made}, nil, io.Discard, &errs); status == 0 {
				break
			}
			there := 0
			if _, err := os.Lstat(made); err == nil {
				there = 1
			}
			if n := strings.Count(errs.String(), "remove "+made+" before you "+again+" again"); n != there {
				t.Errorf("%s, asked %d times: it says %d times to remove what is there %d times: %s", command, times, n, there, errs.String())
			}
			left += there
		}
		if left == 0 {
			t.Errorf("no %s has left anything", command)
		}
	}
}
