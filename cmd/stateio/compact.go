package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/stateio/stateio"
	"github.com/stateio/stateio/inspect"
)

const compactHelp = `compact writes the current epoch of SRC, and nothing else, to the new file DST. A
torn tail is left out. Offsets begin anew.

Without DST it replaces SRC: no writer may have it open meanwhile (truncate works
beside one), and its older epochs are gone afterwards. Its permissions stay.

The new file is written under a temporary name, read back and compared, synced,
and only then gets its name; a crash leaves the old file or the new one, whole.`

const compactExample = `  stateio compact app.state
  stateio compact app.state backup.state`

func newCompact() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:     "compact SRC [DST]",
		Short:   "Rewrite a file with its current epoch alone",
		Long:    compactHelp,
		Example: compactExample,
		Args:    arguments("SRC", "[DST]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return compactInPlace(cmd.Context(), args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			return compactTo(cmd.Context(), args[0], args[1], force, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "replace DST if it exists")
	return cmd
}

// compactInPlace replaces a state file by its current epoch. It holds the lock
// of the file until that has no name any more.
func compactInPlace(ctx context.Context, path string, stdout, stderr io.Writer) error {
	src, err := openWrite(path, false)
	if err != nil {
		return err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return err
	}
	out, err := newTemp(path, info.Mode().Perm())
	if err != nil {
		return err
	}
	defer out.discard()
	return compact(ctx, src, info.Size(), out, stdout, stderr)
}

// compactTo writes the current epoch of the file src to another one.
func compactTo(ctx context.Context, src, dst string, force bool, stdout, stderr io.Writer) error {
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
	out, err := newOutput(dst, nil, force)
	if err != nil {
		return err
	}
	defer out.discard()
	if !out.temp {
		return fmt.Errorf("%s is not a regular file, and can't be read back", dst)
	}
	return compact(ctx, file, size, out, stdout, stderr)
}

// compact writes the current epoch of src to out, and checks what it wrote.
func compact(ctx context.Context, src *os.File, size int64, out *output, stdout, stderr io.Writer) error {
	bar := newProgress(stderr, "compact "+src.Name(), size)
	defer bar.finish()
	n, err := stateio.Compact(&watched{ctx, out, bar, 0}, src, size)
	if err == nil {
		err = out.sync()
	}
	if err == nil {
		err = sameState(ctx, src, size, out.file, n)
	}
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
	_, err = fmt.Fprintf(stdout, "%s: %s, of %d in %s\n", out.path, count(n, "byte"), size, src.Name())
	return err
}

// A watched writer shows its progress and fails when its context ends.
type watched struct {
	ctx context.Context
	io.Writer
	bar *progress
	n   int64
}

func (w *watched) Write(b []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	n, err := w.Writer.Write(b)
	w.n += int64(n)
	w.bar.at(w.n)
	return n, err
}

// sameState returns an error unless the file dst of n bytes is sound, and holds
// as its only epoch the current one of src.
func sameState(ctx context.Context, src *os.File, size int64, dst *os.File, n int64) error {
	report, err := inspect.Verify(ctx, dst, n, nil)
	if err != nil {
		return err
	}
	if !report.Sound() || report.End != n || report.Epoch != 0 {
		return fmt.Errorf("what was written is not what was read back: %v", report.Damage)
	}
	want, err := digest(ctx, src, size)
	if err != nil {
		return err
	}
	got, err := digest(ctx, dst, n)
	if err == nil && got != want {
		err = errors.New("the state that was written is not the one that was read")
	}
	return err
}

// digest returns the digest of the entries of the current epoch.
func digest(ctx context.Context, file *os.File, size int64) (sum [sha256.Size]byte, err error) {
	epoch := uint64(0)
	for e, err := range stateio.Epochs(file, size) {
		if err != nil {
			return sum, err
		}
		epoch = e.Offset
		break
	}
	h := sha256.New()
	for e, err := range inspect.Entries(file, size) {
		var d *inspect.Damage
		switch {
		case ctx.Err() != nil:
			return sum, context.Cause(ctx)
		case errors.As(err, &d) || err == nil && e.Epoch != epoch:
			continue // Compact has checked this epoch, the others don't matter
		case err != nil:
			return sum, err
		}
		head := strings.NewReader(fmt.Sprintln(e.Kind, e.Size))
		if _, err := io.Copy(h, io.MultiReader(head, e.Payload())); err != nil {
			return sum, err
		}
	}
	h.Sum(sum[:0])
	return sum, nil
}
