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

const compactHelp = `compact writes the current epoch of SRC, and nothing else, to the new file DST. A
torn tail is left out. Offsets begin anew.

Without DST it replaces SRC: no writer may have it open meanwhile (truncate can run
while one does), and its older epochs are gone afterwards. Owner, mode and extended
attributes stay, where the user may give them. A file with several names (hard links)
is refused: it would keep its old content under the others.

The new file is written under a temporary name, read back and compared, synced,
and only then gets its name; a crash leaves the old file or the new one, whole. What
a kill leaves under the temporary name, .FILE.N.stateio-tmp, the next run removes.`

const compactExample = `  stateio compact app.state
  stateio compact app.state backup.state`

func newCompact() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:     "compact SRC [DST]",
		Short:   "Rewrite a state file with its current epoch alone",
		Long:    compactHelp,
		Example: compactExample,
		Args:    arguments("SRC", "[DST]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && force {
				return usageError{fmt.Errorf("--force is for a DST that exists, and none is named: %s would be replaced", args[0])}
			}
			if len(args) == 1 {
				return compactInPlace(cmd.Context(), args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			return compactTo(cmd.Context(), args[0], args[1], outputs{cmd.OutOrStdout(), cmd.ErrOrStderr(), force})
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "replace DST if it exists")
	return cmd
}

// compactInPlace replaces a state file by its current epoch. It holds the lock
// of the file until that has no name any more.
func compactInPlace(ctx context.Context, path string, stdout, stderr io.Writer) error {
	src, err := openLocked(path)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := oneName(src, "compact would leave the old content under the others"); err != nil {
		return err
	}
	info, err := src.Stat()
	if err == nil {
		err = complete(src, info.Size())
	}
	if err != nil {
		return err
	}
	out, err := newTemp(path, true, stderr)
	if err != nil {
		return err
	}
	defer out.discard()
	return compact(ctx, src, info.Size(), out, stdout, stderr)
}

// compactTo writes the current epoch of the file src to another one.
func compactTo(ctx context.Context, src, dst string, to outputs) error {
	file, size, err := openRead(src)
	if err != nil {
		return err
	}
	defer file.Close()
	if isAt(file, dst) {
		return usageError{fmt.Errorf("%s and %s are the same file: leave DST out to replace it", src, dst)}
	}
	if dst == "-" {
		return usageError{errors.New("compact writes no standard output, because it reads back what it wrote: name a file")}
	}
	if err := errors.Join(notOfStore(src, file), complete(file, size)); err != nil {
		return err
	}
	out, err := to.open(dst)
	if err != nil {
		return err
	}
	defer out.discard()
	if !out.temp {
		return fmt.Errorf("%s is not a regular file, and can't be read back", dst)
	}
	return compact(ctx, file, size, out, to.stdout, to.stderr)
}

// compact writes the current epoch of src to out, and checks what it wrote.
func compact(ctx context.Context, src *os.File, size int64, out *output, stdout, stderr io.Writer) error {
	bar := newProgress(stdout, stderr, "compact "+src.Name(), 0)
	defer bar.finish()
	n, err := stateio.CompactFile(ctx, out.file, src, &stateio.CompactOptions{Progress: bar.of})
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: nothing was changed", context.Cause(ctx))
	case errors.Is(err, stateio.ErrCorrupt):
		return advise(err, src.Name())
	case err != nil:
		return fmt.Errorf("compacting %s: %w; nothing was changed", src.Name(), err)
	}
	if err := out.commit(); err != nil {
		return fmt.Errorf("compacting %s: %w", src.Name(), err)
	}
	bar.finish()
	_, err = fmt.Fprintf(stdout, "%s: %s, of %d in %s\n", printable(out.path), count(n, "byte"), size, printable(src.Name()))
	return untold(err, out.path+" is written, and durable")
}
