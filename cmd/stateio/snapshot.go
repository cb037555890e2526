package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

const snapshotHelp = `snapshot appends all of standard input as a snapshot of the state, durably. It
begins a new epoch: what restore gives is from then on this state and the updates
after it. Earlier epochs stay in the file until stateio truncate or stateio
compact gives their space back.

If FILE is a directory, the snapshot goes into the store in it: standard input
must be the state after the last update there, in the form in which the program
that uses the store writes it. No program may have it open meanwhile. Nothing is
dropped: that is left to the program's own next snapshot.`

const snapshotExample = `  stateio snapshot app.state < state.json

  # fold the updates of a file into its state
  stateio restore app.state > lines.txt && stateio snapshot app.state < lines.txt`

func newSnapshot() *cobra.Command {
	return &cobra.Command{
		Use:     "snapshot FILE|DIR",
		Short:   "Append standard input as a snapshot of the state, durably",
		Long:    snapshotHelp,
		Example: snapshotExample,
		Args:    arguments("FILE or DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runSnapshot(cmd.Context(), args[0], cmd.InOrStdin())
		},
	}
}

func runSnapshot(ctx context.Context, path string, in io.Reader) error {
	j, err := openJournal(path, false)
	if err != nil {
		return err
	}
	var p piece
	select {
	case p = <-readWhole(ctx, in):
	case <-ctx.Done():
		p.err = context.Cause(ctx)
	}
	if p.err != nil {
		err = fmt.Errorf("%w: nothing was appended to %s", p.err, path)
	} else {
		err = j.snapshot(p.update)
	}
	return errors.Join(err, j.close())
}
