package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/stateio/stateio/inspect"
)

const verifyHelp = `verify reads all of each file, checks every record and every entry, and prints
every damaged range. It writes nothing, needs little memory, and may run while the
file is in use.

The exit status is 0 if nothing is damaged. A torn tail is no damage: that is what
a crash left of a write that was never acknowledged, and the next append cuts it
off. It is 1 on any damage, also where that is of no consequence for the current
state: the last line for each file says whether it is.

A directory is verified as a store: all of its files, and that none is missing.`

const verifyExample = `  stateio verify app.state
  stateio verify /var/lib/*/*.state || echo damaged`

func newVerify() *cobra.Command {
	return &cobra.Command{
		Use:     "verify FILE|DIR...",
		Short:   "Check files, and print every damaged range",
		Long:    verifyHelp,
		Example: verifyExample,
		Args:    arguments("FILE or DIR..."),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runVerify(cmd.Context(), args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

// runVerify verifies all files, whatever is wrong with some.
func runVerify(ctx context.Context, paths []string, stdout, stderr io.Writer) error {
	var failed []error
	damaged := 0
	for _, path := range paths {
		var sound bool
		var err error
		if isDir(path) {
			sound, err = verifyStore(ctx, path, stdout)
		} else {
			sound, err = verifyFile(ctx, path, stdout, stderr)
		}
		switch {
		case err != nil && (ctx.Err() != nil || isBrokenPipe(err)):
			return err
		case err != nil:
			failed = append(failed, err)
		case !sound:
			damaged++
		}
	}
	if damaged > 0 {
		failed = append(failed, fmt.Errorf("%w in %s", errDamage, count(damaged, "file")))
	}
	return errors.Join(failed...)
}

// verifyFile verifies one file, and reports whether it is sound.
func verifyFile(ctx context.Context, path string, stdout, stderr io.Writer) (sound bool, err error) {
	file, size, err := openRead(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	bar := newProgress(stderr, "verify "+path, size)
	var printErr error
	report, err := inspect.Verify(ctx, file, size, &inspect.Options{
		Progress: bar.at,
		Found: func(d inspect.Damage) {
			bar.hide()
			_, err := fmt.Fprintf(stdout, "%s: %s\n", path, describe(d))
			printErr = errors.Join(printErr, err)
		},
	})
	bar.finish()
	if ctx.Err() != nil {
		return false, fmt.Errorf("%w: verifying %s is not complete", context.Cause(ctx), path)
	}
	if err := errors.Join(err, printErr); err != nil {
		return false, err
	}
	_, err = fmt.Fprintf(stdout, "%s: %s\n", path, summary(report))
	return report.Sound(), err
}

// describe returns a line about damage.
func describe(d inspect.Damage) string {
	what := "damaged"
	if d.Place == inspect.TornTail {
		what = "torn tail"
	}
	return fmt.Sprintf("%s: offset %d to %d, %s (%v): %s", what, d.Offset, d.End(), count(d.Length, "byte"), place(d.Place), d.Reason)
}

// place says in words where damage is.
func place(p inspect.Place) string {
	switch p {
	case inspect.Current:
		return "current epoch"
	case inspect.Obsolete:
		return "obsolete epoch"
	case inspect.TornTail:
		return "not acknowledged"
	}
	return p.String()
}

// summary returns the verdict on a file.
func summary(r *inspect.Report) string {
	holds := fmt.Sprintf("%s and %s in %s; the current one, %d, has %s",
		count(r.Snapshots, "snapshot"), count(r.Updates, "update"), count(r.Epochs, "epoch"), r.Epoch, count(r.Current, "update"))
	switch {
	case r.Err() != nil:
		return "DAMAGED, the current state too: nothing can be appended. " +
			"Keep a copy; stateio log shows what is intact, stateio epochs what restore --epoch gives back"
	case !r.Sound():
		return "damaged, of no consequence for the current state: " + holds
	case r.Updates+r.Snapshots == 0:
		return "ok: empty"
	}
	return "ok: " + holds
}
