package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/stateio/stateio"
)

const truncateHelp = `truncate gives the space of all epochs before the current one back to the file
system, in place: it makes a hole of the file's front, in multiples of 32 KiB. The
file's size, its offsets and what it restores to stay the same, and it may be in
use. The older epochs are gone afterwards.

It works on Linux, on file systems that can make holes (ext4, XFS, Btrfs, tmpfs).
Elsewhere, use stateio compact. A damaged file is refused: what is intact in older
epochs may be all there is. So is a file with several names (hard links): one may be
somebody's copy, with the epochs in it.`

const truncateExample = `  stateio truncate app.state
  du -h app.state`

func newTruncate() *cobra.Command {
	return &cobra.Command{
		Use:     "truncate FILE",
		Short:   "Give back the space of a state file's obsolete epochs, in place",
		Long:    truncateHelp,
		Example: truncateExample,
		Args:    arguments("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runTruncate(cmd.Context(), args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

func runTruncate(ctx context.Context, path string, stdout, stderr io.Writer) error {
	file, err := openDirect(path, false)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err == nil {
		err = complete(file, info.Size())
	}
	if err == nil {
		err = oneName(file, "its older epochs would be gone under all of them")
	}
	if err != nil {
		return err
	}
	bar := newProgress(stdout, stderr, "truncate "+path, 0)
	freed, err := stateio.Truncate(ctx, file, &stateio.TruncateOptions{Progress: bar.of})
	bar.finish()
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return fmt.Errorf("%w: nothing was changed", context.Cause(ctx))
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("%w: no holes can be made here; use stateio compact %s", err, shellWord(path))
	}
	if err != nil {
		return advise(err, path)
	}
	_, err = fmt.Fprintf(stdout, "%s: %s given back\n", printable(path), count(freed, "byte"))
	return untold(err, count(freed, "byte")+" of "+path+" were given back")
}
