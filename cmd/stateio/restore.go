package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/stateio/stateio"
)

const restoreHelp = `restore gives back the state: the last snapshot, and the updates made since.

Without options it writes both to standard output: the snapshot as it is, then
each update with a newline behind it. What stateio append took line by line thus
comes out again, and so it does after a snapshot of just that output.

With --state or --updates it writes only what is asked for, to a file or, for -,
to standard output. Such a file appears when all of it is there, and durable.
An epoch without a snapshot has no state: then --state writes no file and says so.

--epoch gives an older state, or one before damage; stateio epochs lists them.`

const restoreExample = `  stateio restore app.state
  stateio restore app.state --state state.json --updates updates.txt
  stateio restore app.state --updates - -0 | xargs -0 -n 1 echo
  stateio restore app.state --epoch 4096`

// restoreOptions are the flags of restore.
type restoreOptions struct {
	null, force, older bool
	epoch              uint64
	state, updates     string
}

func newRestore() *cobra.Command {
	var o restoreOptions
	cmd := &cobra.Command{
		Use:     "restore FILE",
		Short:   "Give back the state and the updates made since",
		Long:    restoreHelp,
		Example: restoreExample,
		Args:    arguments("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.older = cmd.Flags().Changed("epoch")
			if o.state == "" && o.updates == "" {
				o.state, o.updates = "-", "-"
			}
			if o.state == o.updates && o.state != "-" {
				return usageError{fmt.Errorf("--state and --updates both name %s", o.state)}
			}
			return runRestore(cmd, args[0], o)
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&o.epoch, "epoch", 0, "restore the epoch at `OFFSET` instead of the current one")
	f.StringVar(&o.state, "state", "", "write the snapshot to `OUT`, - for standard output")
	f.StringVar(&o.updates, "updates", "", "write the updates to `OUT`, - for standard output")
	f.BoolVarP(&o.null, "null", "0", false, "end updates with a NUL byte instead of a newline")
	f.BoolVarP(&o.force, "force", "f", false, "replace OUT if it exists")
	return cmd
}

func runRestore(cmd *cobra.Command, path string, o restoreOptions) error {
	file, size, err := openRead(path)
	if err != nil {
		return err
	}
	defer file.Close()
	state, updates, err := o.open(file, size)
	if err != nil {
		return advise(err, path)
	}
	if o.state != "" {
		if err := o.writeState(cmd, path, state); err != nil {
			return err
		}
	}
	if o.updates == "" {
		return nil
	}
	out, err := newOutput(o.updates, cmd.OutOrStdout(), o.force)
	if err != nil {
		return err
	}
	defer out.discard()
	if err := o.writeUpdates(cmd.Context(), out, updates, path); err != nil {
		return err
	}
	return out.commit()
}

// open restores the epoch that is asked for.
func (o restoreOptions) open(file *os.File, size int64) (state []byte, updates *stateio.Reader, err error) {
	if !o.older {
		state, _, updates, err = stateio.Restore(file, size)
		return state, updates, err
	}
	state, updates, err = stateio.RestoreEpoch(file, size, o.epoch)
	if errors.Is(err, stateio.ErrNoEpoch) {
		err = fmt.Errorf("%w; stateio epochs %s lists those there are", err, file.Name())
	}
	return state, updates, err
}

// writeState writes the snapshot to where it is wanted.
func (o restoreOptions) writeState(cmd *cobra.Command, path string, state []byte) error {
	if state == nil {
		if o.state != "-" {
			fmt.Fprintf(cmd.ErrOrStderr(), "stateio: %s has no snapshot in this epoch: %s was not written\n", path, o.state)
		}
		return nil
	}
	out, err := newOutput(o.state, cmd.OutOrStdout(), o.force)
	if err != nil {
		return err
	}
	defer out.discard()
	if _, err := out.Write(state); err != nil {
		return err
	}
	return out.commit()
}

// writeUpdates writes each update and a delimiter to out.
func (o restoreOptions) writeUpdates(ctx context.Context, out *output, updates *stateio.Reader, path string) error {
	delim := byte('\n')
	if o.null {
		delim = 0
	}
	for n := 0; ; n++ {
		update, err := updates.Read()
		switch {
		case err == io.EOF:
			return nil
		case err != nil && out.path == "":
			return fmt.Errorf("%w. The %s before that are intact and were written", err, count(n, "update"))
		case err != nil:
			return fmt.Errorf("%w. The %s before that are intact: write them to standard output to have them", err, count(n, "update"))
		case ctx.Err() != nil:
			return fmt.Errorf("%w: restoring %s is not complete", context.Cause(ctx), path)
		}
		if _, err := out.Write(update); err != nil {
			return err
		}
		if err := out.WriteByte(delim); err != nil {
			return err
		}
	}
}
