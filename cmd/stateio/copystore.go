package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/stateio/stateio/store"
)

const backupHelp = `backup copies the store in the directory DIR to the new directory COPY, and verifies the
copy. The program that uses the store may go on: the copy has all that was durable when
the command began, and maybe more, also updates whose sync has not ended, or fails: the
store then goes on without them. It has the newest snapshot and the updates after it,
with their indexes, times and the identity of the store, so it can take the place of DIR.

The exit status is 1 if what is to be copied is damaged, for which there is repair, and 3
for other failures: then do not use what is in COPY. If that is another's, made meanwhile,
or only the telling of a copy that is complete has failed, the message says so.
--json prints an object with the fields path, index (of the last update), snapshot (index
of the snapshot; absent if there is none), updates (after it) and size.

A state file is copied by compact.`

const backupExample = `  stateio backup /var/lib/app /backup/app-$(date +%F)`

func newBackup() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "backup DIR COPY",
		Short:   "Copy a store, in use or not, and verify the copy",
		Long:    backupHelp,
		Example: backupExample,
		Args:    arguments("DIR", "COPY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := forStores(args[0], "%s is no directory: backup is for stores; compact copies a state file"); err != nil {
				return err
			}
			made, err := backup(cmd, args[0], args[1])
			if err != nil {
				return err
			}
			if asJSON {
				err = writeJSON(cmd.OutOrStdout(), made)
			} else {
				err = made.tell(cmd, "; verified")
			}
			return untold(err, args[1]+" is complete and verified")
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

// A madeStore is what --json prints of a new store.
type madeStore struct {
	Path     string  `json:"path"`
	Index    uint64  `json:"index"`
	Snapshot *uint64 `json:"snapshot,omitempty"`
	Updates  uint64  `json:"updates"`
	Size     int64   `json:"size"`
}

// backup makes the copy.
func backup(cmd *cobra.Command, dir, to string) (*madeStore, error) {
	bar := newProgress(cmd.OutOrStdout(), cmd.ErrOrStderr(), "backup "+dir, 0)
	_, err := store.Copy(cmd.Context(), dir, to, &store.CopyOptions{Progress: bar.of})
	bar.finish()
	switch cause := context.Cause(cmd.Context()); {
	case err != nil && cause != nil && !anothers(err):
		return nil, fmt.Errorf("%w: the copy of %s is not complete%s", cause, dir, remains(to, "copy"))
	case errors.Is(err, store.ErrCorrupt):
		return nil, fmt.Errorf("%w; stateio verify %s lists all of the damage, stateio repair makes a store of what can be had", err, shellWord(dir))
	case err != nil:
		return nil, err
	}
	return storeIn(to)
}

// anothers reports whether what is where a store was to be made is another's, or the store to be
// read is.
func anothers(err error) bool {
	return errors.Is(err, store.ErrLocked) || errors.Is(err, fs.ErrExist)
}

// storeIn returns what is told of the store that was just made in a directory. Its last log is
// an empty one.
func storeIn(dir string) (*madeStore, error) {
	files, err := store.Files(dir)
	if err != nil {
		return nil, fmt.Errorf("%s is made; looking at it has failed: %w", dir, err)
	}
	made := &madeStore{Path: dir}
	for _, f := range files {
		made.Size += f.Size
		if f.Snapshot {
			made.Snapshot = &f.Last
		} else {
			made.Index = max(made.Index, f.First-1)
		}
	}
	made.Updates = made.Index
	if made.Snapshot != nil {
		made.Updates -= *made.Snapshot
	}
	return made, nil
}

// untold returns the error of telling what was done, which is done all the same.
func untold(err error, done string) error {
	if err == nil || onlyClosed(err) {
		return err
	}
	return fmt.Errorf("%s; telling so has failed: %w", done, err)
}

// tell says what was made, and at its end what else is so.
func (m *madeStore) tell(cmd *cobra.Command, end string) error {
	from := "the beginning"
	if m.Snapshot != nil {
		from = fmt.Sprintf("a snapshot of index %d", *m.Snapshot)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: index %d, %s after %s, %s%s\n",
		printable(m.Path), m.Index, count(int64(m.Updates), "update"), from, count(m.Size, "byte"), end)
	return err
}
