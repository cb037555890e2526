package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/stateio/stateio"
	"github.com/stateio/stateio/store"
)

const restoreHelp = `restore gives back the state: the last snapshot, and the updates made since.

Without options it writes both to standard output: the snapshot as it is, then
each update with a newline after it. What stateio append took line by line thus
comes out again, and so it does after a snapshot of just that output.

With --state or --updates it writes only what is asked for, to a file or, for -,
to standard output; pipes, devices and /dev/fd/N are written to as well. A file
appears when all of it is there, and durable. One that --force replaces keeps its
owner, its mode and its extended attributes, where the user may give them. One that
appears meanwhile stays, without --force, and restore fails.
A file that holds something, but no whole entry, is an error: it may be the
beginning of a copy. So is a backup of a store that is not whole.
An epoch without a snapshot has no state: then --state writes no file and says so.

--epoch gives an older state, or one before damage; stateio epochs lists them.

If FILE is a directory, the store in it is restored, which may be in use: the state
is then in the form in which the program that uses the store writes it. --at gives
the newest snapshot up to the update with that index, and the updates up to it; or up to
a time, such as 2006-01-02T15:04:05Z, 2006-01-02 15:04, or -10m for ten minutes ago. It
is in UTC, as times are printed, unless it has a zone, as in 2006-01-02T15:04:05+01:00.
A line on standard error tells which update that was; before the first one there was
nothing to restore, and nothing comes out.

--json, for which --state and --updates must name files, prints an object when all is
written, with the fields path, kind (file, store or backup), epoch or index (of what was
restored), state (path, bytes; left out if there is none) and updates (path, count, bytes).`

const restoreExample = `  stateio restore app.state
  stateio restore app.state --state state.json --updates updates.txt
  stateio restore app.state --updates - -0 | xargs -0 -n 1 echo
  stateio restore app.state --epoch 4096
  stateio restore /var/lib/app --at 120000 --state - --updates updates.txt`

// restoreOptions are the flags of restore.
type restoreOptions struct {
	null, force    bool
	json           bool
	older, past    bool // epoch, at was given
	epoch, at      uint64
	moment         string
	state, updates string
	outputs        outputs
	told           *restored // what was written
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
			if o.json && (o.state == "" && o.updates == "" || toStandard(o.state) || toStandard(o.updates)) {
				return usageError{errors.New("--json tells on standard output what was written elsewhere: name files with --state or --updates")}
			}
			if o.state == "" && o.updates == "" {
				o.state, o.updates = "-", "-"
			}
			if o.state != "" && o.updates != "" && o.state != "-" && samePath(o.state, o.updates) {
				return usageError{fmt.Errorf("--state and --updates both name %s", o.state)}
			}
			if err := o.inUse(); err != nil {
				return err
			}
			for _, out := range []string{o.state, o.updates} {
				if err := notSource(out, args[0]); err != nil {
					return err
				}
			}
			o.outputs = outputs{cmd.OutOrStdout(), cmd.ErrOrStderr(), o.force}
			o.told = &restored{Path: args[0]}
			err := runRestore(cmd, args[0], o)
			if file := o.file(); file != "" && err != nil && onlyClosed(err) {
				return fmt.Errorf("the reader of standard output has gone: %s was not written, or not all of it", file)
			}
			if err != nil || !o.json {
				return err
			}
			return untold(writeJSON(cmd.OutOrStdout(), o.told), "what was to be restored is written")
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&o.epoch, "epoch", 0, "restore the epoch at `OFFSET` instead of the current one")
	f.StringVar(&o.moment, "at", "", "restore a store as it was after update `INDEX`, or at a TIME (UTC)")
	f.StringVar(&o.state, "state", "", "write the snapshot to `OUT`, - for standard output")
	f.StringVar(&o.updates, "updates", "", "write the updates to `OUT`, - for standard output")
	f.BoolVarP(&o.null, "null", "0", false, "end updates with a NUL byte instead of a newline")
	f.BoolVar(&o.json, "json", false, "print a JSON object about what was written")
	f.BoolVarP(&o.force, "force", "f", false, "replace OUT if it exists")
	noValues(cmd, "epoch", "at")
	return cmd
}

// file returns what is written elsewhere than to standard output, or nothing.
func (o restoreOptions) file() string {
	for _, path := range []string{o.state, o.updates} {
		if path != "" && !toStandard(path) {
			return path
		}
	}
	return ""
}

// inUse returns an error for a flag that has no effect on what is written.
func (o restoreOptions) inUse() error {
	switch {
	case o.force && o.file() == "":
		return usageError{errors.New("--force is for a file that exists, and neither --state nor --updates names one")}
	case o.null && o.updates == "":
		return usageError{errors.New("-0 is for updates, which are not written: name a place with --updates")}
	}
	return nil
}

func runRestore(cmd *cobra.Command, path string, o restoreOptions) error {
	if isDir(path) {
		return restoreStore(cmd, path, o)
	}
	if o.past {
		if err := forStores(path, "--at is for stores, and %s is no directory: a file has --epoch"); err != nil {
			return err
		}
	}
	file, size, err := openJudged(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if is, err := store.IsBackup(file, size); err != nil {
		return err
	} else if is {
		return restoreBackup(cmd, path, file, size, o)
	}
	bar := newProgress(o.outputs.stdout, o.outputs.progress(o.state, o.updates), "restore "+path, 0)
	defer bar.finish()
	state, updates, err := o.open(file, size)
	if err != nil {
		return advise(err, path)
	}
	o.told.Kind, o.told.Epoch = "file", &o.told.epoch
	var out written
	defer out.discard()
	if o.state != "" && state != nil {
		err = advise(o.writeState(&out, state), path)
	} else if o.state != "" {
		o.noState(cmd, path+" has no snapshot in this epoch")
	}
	if err == nil && o.updates != "" {
		err = o.writeUpdates(cmd.Context(), &out, updates, path, bar)
	}
	if err != nil {
		return err
	}
	return out.commit()
}

// open restores the epoch that is asked for. The state, nil if there is none, is to be read
// before the updates. That of the current epoch need not fit in memory.
func (o restoreOptions) open(file *os.File, size int64) (state io.Reader, updates *stateio.Reader, err error) {
	if !o.older {
		if err := complete(file, size); err != nil {
			return nil, nil, err
		}
		state, _, o.told.epoch, updates, err = stateio.RestoreStream(file, size)
		return state, updates, err
	}
	o.told.epoch = o.epoch
	b, updates, err := stateio.RestoreEpoch(file, size, o.epoch)
	if errors.Is(err, stateio.ErrNoEpoch) {
		err = fmt.Errorf("%w; stateio epochs %s lists those there are", err, shellWord(file.Name()))
	}
	if b != nil {
		state = bytes.NewReader(b)
	}
	return state, updates, err
}

// noState tells that there is no state, and why, if a file should have it.
func (o restoreOptions) noState(cmd *cobra.Command, why string) {
	if o.state != "-" {
		cmd.PrintErrf("stateio: %s: %s was not written\n", escaped(why), printable(o.state))
	}
}

// writeState writes the snapshot to where it is wanted. A new file has no name yet.
func (o restoreOptions) writeState(to *written, state io.Reader) error {
	out, err := to.open(o.outputs, o.state)
	if err != nil {
		return err
	}
	return o.copyState(out, state)
}

// copyState writes the snapshot to out.
func (o restoreOptions) copyState(out *output, state io.Reader) error {
	n, err := io.Copy(out, state)
	o.told.State = &restoredState{o.state, n}
	if err == nil && !out.temp {
		err = out.commit() // updates may come out at the same place, or be read after it
	}
	return err
}

// openUpdates opens the output for updates.
func (o restoreOptions) openUpdates(to *written) (*output, error) {
	o.told.Updates = &restoredUpdates{Path: o.updates}
	return to.open(o.outputs, o.updates)
}

// writeUpdate writes an update and a delimiter to out.
func (o restoreOptions) writeUpdate(out *output, update []byte) error {
	o.told.add(update)
	if _, err := out.Write(update); err != nil {
		return err
	}
	delim := byte('\n')
	if o.null {
		delim = 0
	}
	return out.WriteByte(delim)
}

// writeUpdates writes all updates to where they are wanted. A new file has no name yet.
func (o restoreOptions) writeUpdates(ctx context.Context, to *written, updates *stateio.Reader, path string, bar *progress) error {
	out, err := o.openUpdates(to)
	if err != nil {
		return err
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
			return notComplete(ctx, path)
		}
		if err := o.writeUpdate(out, update); err != nil {
			return err
		}
		bar.of(updates.Progress())
	}
}

// What was written to files gets its names when all of it is on the disk, and a stream has taken
// all that goes there. Only if it goes wrong at the second name, the first one is there.
type written []*output

// open opens an output as outputs.open does.
func (w *written) open(o outputs, path string) (*output, error) {
	out, err := o.open(path)
	if err == nil {
		*w = append(*w, out)
	}
	return out, err
}

// commit finishes all outputs.
func (w written) commit() error {
	for _, out := range w {
		if out.done {
			continue
		}
		if err := out.sync(); err != nil {
			return err
		}
	}
	for _, out := range w {
		if out.done {
			continue
		}
		if err := out.commit(); err != nil {
			return err
		}
	}
	return nil
}

// discard gives up those that were not committed.
func (w *written) discard() {
	for _, out := range *w {
		out.discard()
	}
}

// samePath reports whether two paths lead to the same file, or would.
func samePath(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	first, err := os.Stat(a)
	if errors.Is(err, fs.ErrNotExist) && filepath.Base(a) == filepath.Base(b) {
		in, err := os.Stat(filepath.Dir(a))
		also, berr := os.Stat(filepath.Dir(b))
		return err == nil && berr == nil && os.SameFile(in, also)
	}
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && first.Mode().IsRegular() && os.SameFile(first, second)
}

// notSource returns an error if out is the file that is restored, or would be a
// file in the store that is.
func notSource(out, source string) error {
	switch {
	case out == "" || out == "-":
		return nil
	case samePath(out, source):
		return usageError{fmt.Errorf("%s is the file that is restored: name another for what is in it", out)}
	case isDir(source):
		dir, err := os.Stat(filepath.Dir(out))
		if err != nil {
			return nil // opening it will say so
		}
		if info, err := os.Stat(source); err == nil && os.SameFile(dir, info) {
			return usageError{fmt.Errorf("%s would be a file in the store that is restored: name one elsewhere", out)}
		}
	}
	return nil
}

// notComplete returns the error of a restore that was interrupted.
func notComplete(ctx context.Context, path string) error {
	return fmt.Errorf("%w: restoring %s is not complete", context.Cause(ctx), path)
}
