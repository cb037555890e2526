package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/spf13/cobra"
	"github.com/stateio/stateio/store"
)

const importHelp = `import makes a store in the directory DIR of FILE: a backup, as a program writes it with
Store.Backup, or a state file. DIR is made if it is not there, and must not hold a store.
What is made has permissions for its owner only: run import as the user of the program.

Of a backup, the store has the state, the index and the identity of the store that it was
made of, and can take its place: do not run both. Of a state file it has the last snapshot,
at index 0, and the updates after that, which get the indexes from 1 on.

FILE must be whole: one that is empty, damaged, or was cut is refused. The store is durable
when the exit status is 0. After an error or a signal there is none: DIR is as it was, or
programs refuse to open what was begun, and import can be run again.

The exit status is 1 if FILE is damaged or not whole, and 3 for other failures. If only the
telling of a store that is complete has failed, the message says so.
--json prints an object with the fields path, index (of the last update), snapshot (index
of the snapshot; absent if there is none), updates (after it) and size.

A copy that stateio backup has made is a store already.`

const importExample = `  stateio import /backup/app.backup /var/lib/app
  stateio import app.state app`

func newImport() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "import FILE DIR",
		Short:   "Make a store of a backup or of a state file",
		Long:    importHelp,
		Example: importExample,
		Args:    arguments("FILE", "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if isDir(args[0]) {
				return usageError{fmt.Errorf("%s is a directory: import is for backups and state files; backup copies a store", args[0])}
			}
			made, err := importFile(cmd, args[0], args[1])
			if err != nil {
				return err
			}
			if asJSON {
				err = writeJSON(cmd.OutOrStdout(), made)
			} else {
				err = made.tell(cmd, "")
			}
			return untold(err, args[1]+" is complete")
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

// importFile makes the store.
func importFile(cmd *cobra.Command, path, dir string) (*madeStore, error) {
	if err := notInStore(dir); err != nil {
		return nil, err
	}
	file, size, err := openRead(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	bar := newProgress(cmd.OutOrStdout(), cmd.ErrOrStderr(), "import "+path, size)
	err = durably(func() error {
		return store.Import(dir, &importReader{File: file, ctx: cmd.Context(), bar: bar}, size)
	})
	bar.finish()
	if cause := context.Cause(cmd.Context()); err != nil && cause != nil && !anothers(err) {
		return nil, fmt.Errorf("%w: importing %s is not complete: there is no store in %s, and you can import again", cause, path, dir)
	}
	if err != nil {
		return nil, advise(err, path)
	}
	return storeIn(dir)
}

// notInStore returns an error if a directory would be in one of a store, or has the name of a
// store's file: it would keep a store around it from being opened.
func notInStore(dir string) error {
	dir = filepath.Clean(dir) // a shell puts a slash at the end
	if name := filepath.Base(dir); isLock(name) || storeName(name) {
		return fmt.Errorf("%s is the name of a file of a store: name another directory. Nothing was changed", dir)
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return fmt.Errorf("%s is no directory: name one, which is made if it is not there. Nothing was changed", dir)
	}
	if _, err := store.Files(filepath.Dir(dir)); err == nil {
		return fmt.Errorf("%s would be a directory in the store in %s: name one elsewhere. Nothing was changed", dir, filepath.Dir(dir))
	}
	return nil
}

// An importReader is a file that is imported: until ctx ends, and a progress shows how much of it
// was read. Its methods may be called at any time.
type importReader struct {
	*os.File
	ctx  context.Context
	bar  *progress
	read atomic.Int64
}

func (r *importReader) ReadAt(b []byte, off int64) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	n, err := r.File.ReadAt(b, off)
	r.bar.at(r.read.Add(int64(n))) // of some files a part is read twice
	return n, err
}
