package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

const (
	// pause is how long input may rest before what came is made durable.
	pause = 100 * time.Millisecond
	// maxBatch is how many bytes at most wait for the rest of their batch, but for the
	// update that comes last, with overhead for what an update takes in memory.
	maxBatch, overhead = 8 << 20, 48
)

const appendHelp = `append makes each line of standard input one update of the current epoch, without
the newline at its end. The file is created if there is none, with permissions
for its owner only. A torn tail that a crash left after the last entry is cut off
first. A file that holds something, but no whole entry, is refused: it may be the
wrong file. --cut-incomplete cuts off all of it, if it can be what a crash left of a
first write. A file with several names (hard links) is written under all of them, and
append says so.

If FILE is a directory, the updates are appended to the store in it, or to a new
one if the directory is empty. No program may have it open meanwhile. New files get
the permissions that those of the store have.

An update is durable when it was fsynced. With --batch N, one fsync covers up to N
updates, or 8 MiB of them; input that pauses for 0.1 s is not left waiting for the rest
of a batch.
--ack prints, after each fsync, how many updates of this run are durable: what
was counted survives. On an error or a signal, the same is told on standard error.

A power failure (not a kill) during a batch of more than one update may leave a
state file (not a store) that looks damaged at its end, as the format can't tell such a batch from
lost data. Nothing that was counted is lost then, but append refuses to go on;
stateio restore --epoch takes what is intact to a new file.`

const appendExample = `  stateio append app.state < events.txt
  journalctl -f -o json | stateio append --batch 1000 journal.state
  find /etc -print0 | stateio append -0 files.state
  curl -s https://example.org/ | stateio append --whole pages.state`

const cutUsage = "cut off what FILE holds, if there is no whole entry in it"

// cutOfFile returns an error if --cut-incomplete was given for a store.
func cutOfFile(path string, cut bool) error {
	if cut && isDir(path) {
		return usageError{fmt.Errorf("--cut-incomplete is for state files, and %s is a directory: of a store, what a crash has left is cut off without it", path)}
	}
	return nil
}

// appendOptions are the flags of append.
type appendOptions struct {
	null, whole, ack, cut bool
	batch                 int
}

func newAppend() *cobra.Command {
	var o appendOptions
	cmd := &cobra.Command{
		Use:     "append FILE|DIR",
		Short:   "Append each line of standard input as an update, durably",
		Long:    appendHelp,
		Example: appendExample,
		Args:    arguments("FILE or DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.batch < 1 {
				return usageError{fmt.Errorf("--batch %d: a batch has at least 1 update", o.batch)}
			}
			if o.null && o.whole {
				return usageError{errors.New("-0 and --whole exclude each other")}
			}
			if o.whole && cmd.Flags().Changed("batch") {
				return usageError{errors.New("--whole makes one update, and --batch is for several: leave one of them out")}
			}
			if err := cutOfFile(args[0], o.cut); err != nil {
				return err
			}
			return runAppend(cmd, args[0], o)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&o.null, "null", "0", false, "updates end with a NUL byte instead of a newline")
	f.BoolVar(&o.whole, "whole", false, "all of standard input is one update")
	f.IntVar(&o.batch, "batch", 1, "fsync once for up to `N` updates")
	f.BoolVar(&o.cut, "cut-incomplete", false, cutUsage)
	f.BoolVar(&o.ack, "ack", false, "print the number of durable updates after each fsync")
	noValues(cmd, "batch")
	return cmd
}

func runAppend(cmd *cobra.Command, path string, o appendOptions) error {
	if err := notItself(cmd.InOrStdin(), path); err != nil {
		return err
	}
	j, err := openJournal(path, opening{create: true, cut: o.cut, warn: cmd.ErrOrStderr()})
	if err != nil {
		return err
	}
	ack := &ackWriter{w: io.Discard}
	if o.ack {
		ack.w = cmd.OutOrStdout()
	}
	tellWaiting(cmd, "end it with Ctrl-D")
	err = appendAll(cmd.Context(), j, o.pieces(cmd.Context(), cmd.InOrStdin()), o.batch, ack)
	if err = closed(j, err, durableIn(j)); err != nil {
		return err
	}
	return untold(ack.err, durableIn(j))
}

// An ackWriter remembers the first error of telling what is durable.
type ackWriter struct {
	w   io.Writer
	err error
}

func (a *ackWriter) Write(b []byte) (int, error) {
	n, err := a.w.Write(b)
	if a.err == nil {
		a.err = err
	}
	return n, err
}

// closed closes j after what has ended with err. That only closing it has failed does not hide
// what was done: a script that takes it for undone does it again.
func closed(j journal, err error, done string) error {
	cerr := durably(j.close) // it says what is durable after that
	if err == nil && cerr != nil {
		return fmt.Errorf("%s; closing it has failed: %w", done, cerr)
	}
	return errors.Join(err, cerr)
}

// durableIn says how many updates of this run are durable.
func durableIn(j journal) string {
	durable, _ := j.progress()
	return fmt.Sprintf("%s of this run are durable in %s", count(durable, "update"), j.name())
}

// A journal is what updates and snapshots are appended to: a state file or a
// store.
type journal interface {
	// add appends an update, to be made durable by the next commit. It may keep the
	// slice until then.
	add(update []byte) error
	// commit makes durable what was added.
	commit() error
	// snapshot appends a snapshot, and makes it durable.
	snapshot(state []byte) error
	// close gives up the lock. All that was committed is durable before.
	close() error
	// progress returns how many updates of this run are durable, and how many
	// were added and are not.
	progress() (durable, pending int)
	// name is the path.
	name() string
}

// openJournal opens the state file or the store at path. How says how to open a
// file.
func openJournal(path string, how opening) (journal, error) {
	if isDir(path) {
		return openStore(path)
	}
	return newAppender(path, how)
}

// pieces returns the updates in r.
func (o appendOptions) pieces(ctx context.Context, r io.Reader) <-chan piece {
	switch {
	case o.whole:
		return readWhole(ctx, r)
	case o.null:
		return readUpdates(ctx, r, 0)
	}
	return readUpdates(ctx, r, '\n')
}

// appendAll appends what comes from pieces in batches, and tells ack how many
// updates are durable.
func appendAll(ctx context.Context, j journal, pieces <-chan piece, batch int, ack io.Writer) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	size := 0 // of what is pending
	commit := func() error {
		size = 0
		if _, pending := j.progress(); pending == 0 {
			return nil
		}
		if err := durably(j.commit); err != nil {
			return err
		}
		durable, _ := j.progress()
		_, _ = fmt.Fprintln(ack, durable) // nobody need listen: what is durable is told at the end, too
		return nil
	}
	for {
		select {
		case p := <-pieces:
			if p.err != nil {
				return ended(j, p.err, commit())
			}
			if err := durably(func() error { return j.add(p.update) }); err != nil { // it may wait for a sync
				return err
			}
			timer.Reset(pause)
			size += len(p.update) + overhead
			if _, pending := j.progress(); pending < batch && size < maxBatch {
				continue
			}
		case <-timer.C:
		case <-ctx.Done():
			return ended(j, context.Cause(ctx), commit())
		}
		if err := commit(); err != nil {
			return err
		}
	}
}

// ended returns the error for the end of input by err, after a last commit.
func ended(j journal, err, commit error) error {
	switch {
	case commit != nil:
		return commit
	case errors.Is(err, io.EOF):
		return nil
	}
	return fmt.Errorf("%w: %s", err, durableIn(j))
}
