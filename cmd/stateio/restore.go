package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/stateio/stateio"
	"github.com/stateio/stateio/store"
)

const restoreHelp = `restore gives back the state: the last snapshot, and the updates made since.

Without options it writes both to standard output: the snapshot as it is, then
each update with a newline behind it. What stateio append took line by line thus
comes out again, and so it does after a snapshot of just that output.

With --state or --updates it writes only what is asked for, to a file or, for -,
to standard output. Such a file appears when all of it is there, and durable.
An epoch without a snapshot has no state: then --state writes no file and says so.

--epoch gives an older state, or one before damage; stateio epochs lists them.

If FILE is a directory, the store in it is restored, which may be in use: the state
is then in the form in which the program that uses the store writes it. --at gives
the newest snapshot up to the update with that index, and the updates up to it.`

const restoreExample = `  stateio restore app.state
  stateio restore app.state --state state.json --updates updates.txt
  stateio restore app.state --updates - -0 | xargs -0 -n 1 echo
  stateio restore app.state --epoch 4096
  stateio restore /var/lib/app --at 120000 --state - --updates updates.txt`

// restoreOptions are the flags of restore.
type restoreOptions struct {
	null, force    bool
	older, past    bool // epoch, at was given
	epoch, at      uint64
	state, updates string
}

func newRestore() *cobra.Command {
	var o restoreOptions
	cmd := &cobra.Command{
		Use:     "restore FILE|DIR",
		Short:   "Give back the state and the updates made since",
		Long:    restoreHelp,
		Example: restoreExample,
		Args:    arguments("FILE or DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.older = cmd.Flags().Changed("epoch")
			o.past = cmd.Flags().Changed("at")
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
	f.Uint64Var(&o.at, "at", 0, "restore a store as it was after update `INDEX`")
	f.StringVar(&o.state, "state", "", "write the snapshot to `OUT`, - for standard output")
	f.StringVar(&o.updates, "updates", "", "write the updates to `OUT`, - for standard output")
	f.BoolVarP(&o.null, "null", "0", false, "end updates with a NUL byte instead of a newline")
	f.BoolVarP(&o.force, "force", "f", false, "replace OUT if it exists")
	return cmd
}

func runRestore(cmd *cobra.Command, path string, o restoreOptions) error {
	if isDir(path) {
		return restoreStore(cmd, path, o)
	}
	if o.past {
		return usageError{fmt.Errorf("--at is for stores, and %s is no directory: a file has --epoch", path)}
	}
	file, size, err := openRead(path)
	if err != nil {
		return err
	}
	defer file.Close()
	state, updates, err := o.open(file, size)
	if err != nil {
		return advise(err, path)
	}
	if o.state != "" && state != nil {
		err = o.writeState(cmd, bytes.NewReader(state))
	} else if o.state != "" {
		o.noState(cmd, path+" has no snapshot in this epoch")
	}
	if err != nil || o.updates == "" {
		return err
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

// noState tells that there is no state, and why, if a file should have it.
func (o restoreOptions) noState(cmd *cobra.Command, why string) {
	if o.state != "-" {
		cmd.PrintErrf("stateio: %s: %s was not written\n", why, o.state)
	}
}

// writeState writes the snapshot to where it is wanted.
func (o restoreOptions) writeState(cmd *cobra.Command, state io.Reader) error {
	out, err := newOutput(o.state, cmd.OutOrStdout(), o.force)
	if err != nil {
		return err
	}
	defer out.discard()
	if _, err := io.Copy(out, state); err != nil {
		return err
	}
	return out.commit()
}

// writeUpdate writes an update and a delimiter to out.
func (o restoreOptions) writeUpdate(out *output, update []byte) error {
	if _, err := out.Write(update); err != nil {
		return err
	}
	delim := byte('\n')
	if o.null {
		delim = 0
	}
	return out.WriteByte(delim)
}

// writeUpdates writes all updates to out.
func (o restoreOptions) writeUpdates(ctx context.Context, out *output, updates *stateio.Reader, path string) error {
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
			return notComplete(ctx, path)
		}
		if err := o.writeUpdate(out, update); err != nil {
			return err
		}
	}
}

// notComplete returns the error of a restore that was interrupted.
func notComplete(ctx context.Context, path string) error {
	return fmt.Errorf("%w: restoring %s is not complete", context.Cause(ctx), path)
}

// restoreStore gives back what is in the store in a directory.
func restoreStore(cmd *cobra.Command, dir string, o restoreOptions) error {
	if o.older {
		return usageError{fmt.Errorf("--epoch is for files, and %s is a directory: a store has --at", dir)}
	}
	ctx := cmd.Context()
	if !o.past {
		var err error
		if o.at, err = lastIndex(ctx, dir); err != nil {
			return adviseStore(err, dir)
		}
	}
	out := &output{Writer: bufio.NewWriter(io.Discard)}
	if o.updates != "" {
		var err error
		if out, err = newOutput(o.updates, cmd.OutOrStdout(), o.force); err != nil {
			return err
		}
	}
	defer out.discard()
	restored := false
	err := store.RestoreAt(dir, &replayMachine{
		state: func(snapshot io.Reader) error {
			restored = true
			if o.state == "" {
				return nil
			}
			return o.writeState(cmd, snapshot)
		},
		update: func(update []byte) error {
			if ctx.Err() != nil {
				return notComplete(ctx, dir)
			}
			return o.writeUpdate(out, update)
		},
	}, o.at)
	if err != nil {
		return adviseStore(err, dir)
	}
	if !restored && o.state != "" {
		o.noState(cmd, dir+" has no snapshot up to there")
	}
	return out.commit()
}
