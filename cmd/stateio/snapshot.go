package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/stateio/stateio/store"
)

const snapshotHelp = `snapshot appends all of standard input as a snapshot of the state, durably. It
begins a new epoch: what restore gives is from then on this state and the updates
after it. Earlier epochs stay in the file until stateio truncate or stateio
compact gives their space back.

If FILE is a directory, the snapshot goes into the store in it: standard input
must be the state after the last update there, in the form in which the program
that uses the store writes it. No program may have it open meanwhile. Nothing is
dropped: that is left to the program's own next snapshot. In an empty directory, a
store is made that begins with this state. A store does not take an empty state,
which a command that failed may have left in a pipe, unless --empty says so.`

const snapshotExample = `  stateio snapshot app.state < state.json

  # fold the updates of a file into its state
  stateio restore app.state > lines.txt && stateio snapshot app.state < lines.txt`

func newSnapshot() *cobra.Command {
	var cut, empty bool
	cmd := &cobra.Command{
		Use:     "snapshot FILE|DIR",
		Short:   "Append standard input as a snapshot of the state, durably",
		Long:    snapshotHelp,
		Example: snapshotExample,
		Args:    arguments("FILE or DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := cutOfFile(args[0], cut); err != nil {
				return err
			}
			if empty {
				if err := forStores(args[0], "--empty is for stores, and %s is no directory: a state file takes an empty state without it"); err != nil {
					return err
				}
			}
			tellWaiting(cmd, "the state ends with Ctrl-D")
			return runSnapshot(cmd.Context(), args[0], opening{cut: cut, warn: cmd.ErrOrStderr()}, empty, cmd.InOrStdin())
		},
	}
	cmd.Flags().BoolVar(&cut, "cut-incomplete", false, cutUsage)
	cmd.Flags().BoolVar(&empty, "empty", false, "accept an empty state for a store")
	return cmd
}

func runSnapshot(ctx context.Context, path string, how opening, empty bool, in io.Reader) error {
	if noStore(path) {
		return createStore(ctx, path, empty, in)
	}
	j, err := openJournal(path, how)
	if err != nil {
		return err
	}
	_, isStore := j.(*storeJournal)
	state, err := readState(ctx, in, empty || !isStore)
	if err != nil {
		err = fmt.Errorf("%w: nothing was appended to %s", err, path)
	} else {
		err = durably(func() error { return j.snapshot(state) })
	}
	return closed(j, err, "the snapshot is durable in "+path)
}

var errEmptyState = errors.New("standard input is empty: pass --empty if that is the state")

// readState reads a state, which may be empty or not.
func readState(ctx context.Context, in io.Reader, empty bool) ([]byte, error) {
	select {
	case p := <-readWhole(ctx, in):
		if p.err == nil && len(p.update) == 0 && !empty {
			return nil, errEmptyState
		}
		return p.update, p.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// noStore reports whether path is a directory, and no store is in it: it may be empty, as one
// to make a store in.
func noStore(path string) bool {
	_, err := store.Files(path)
	return isDir(path) && errors.Is(err, fs.ErrNotExist)
}

// createStore makes a store that begins with the state that in gives.
func createStore(ctx context.Context, dir string, empty bool, in io.Reader) error {
	state, err := readState(ctx, in, empty)
	if err != nil {
		return fmt.Errorf("%w: no store was made in %s", err, dir)
	}
	return durably(func() error {
		return store.Create(dir, bytes.NewReader(state), &store.Options{Logger: slog.New(slog.DiscardHandler)})
	})
}
