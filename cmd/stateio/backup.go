package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/stateio/stateio/store"
)

// backup verifies the backup of a store.
func (v *verifier) backup(ctx context.Context, path string, file *os.File, size int64) (verdict, error) {
	bar := newProgress(v.stdout, v.stderr, "verify "+path, size)
	info, err := store.RestoreBackup(ctx, &barWriter{bar: bar}, file, size)
	bar.finish()
	var damage *store.CorruptError
	switch {
	case ctx.Err() != nil:
		return verdict{}, fmt.Errorf("%w: verifying %s is not complete", context.Cause(ctx), path)
	case errors.As(err, &damage):
		err = v.say(red, path, fmt.Sprintf("damaged: offset %d: %s", damage.Offset, escaped(damage.Err.Error())))
	}
	if err != nil && damage == nil {
		return verdict{}, err
	}
	return verdictOfBackup(path, size, info, damage), err
}

// restoreBackup writes the state in a backup to where it is wanted, if all of it is
// there.
func restoreBackup(cmd *cobra.Command, path string, file *os.File, size int64, o restoreOptions) error {
	if o.older {
		return usageError{fmt.Errorf("--epoch is for state files, and %s is a backup, of one state", path)}
	}
	if o.state == "" {
		return usageError{fmt.Errorf("%s is a backup, which holds a state and no updates: use --state", path)}
	}
	if o.updates != "" && o.updates != "-" {
		return usageError{fmt.Errorf("%s is a backup, which holds a state and no updates: leave out --updates", path)}
	}
	if o.null {
		return usageError{fmt.Errorf("%s is a backup, which holds a state and no updates: leave out -0", path)}
	}
	out, err := o.outputs.open(o.state)
	if err != nil {
		return err
	}
	defer out.discard()
	bar := newProgress(o.outputs.stdout, o.outputs.progress(o.state), "restore "+path, size)
	defer bar.finish()
	info, err := store.RestoreBackup(cmd.Context(), &barWriter{w: out, bar: bar}, file, size)
	bar.finish()
	if err != nil {
		if cmd.Context().Err() != nil {
			return notComplete(cmd.Context(), path)
		}
		return ofOutput(err)
	}
	o.told.Kind, o.told.Index, o.told.State = "backup", &info.Index, &restoredState{o.state, info.Bytes}
	return out.commit()
}
