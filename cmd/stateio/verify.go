package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/stateio/stateio/inspect"
	"github.com/stateio/stateio/store"
)

const verifyHelp = `verify reads all of each file, checks every record and every entry, and prints
every damaged range. It writes nothing, needs little memory, and may run while the
file is in use.

The exit status is 0 if nothing is damaged. A torn tail is no damage: that is what
a crash left of a write that was never acknowledged, and the next append cuts it
off. It is 1 on any damage, also where that is of no consequence for the current
state: the last line for each file says whether it is. And it is 1 if a file holds
something, but no whole entry: the beginning of a copy looks like that, too.

A directory is verified as a store: all of its files, and that none is missing.

With --json each line is an object about a path, with the fields path, kind (file, store
or backup), sound, verdict (ok; incomplete; damaged: but the current state is intact; lost:
it is not; or unknown: error says why), size, updates, snapshots, index (of the current state of a store, or in
a backup), intact (index of the newest state that can be had, if the current one can't),
torn (bytes), damage (path, offset, length, place, reason), damaged (the number of places,
of which damage names the first 1,000), summary and error.`

const verifyExample = `  stateio verify app.state
  stateio verify /var/lib/*/*.state || echo damaged
  stateio verify --json /var/lib/app | jq -r .verdict`

func newVerify() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "verify FILE|DIR...",
		Short:   "Check stores and state files, and print every damaged range",
		Long:    verifyHelp,
		Example: verifyExample,
		Args:    arguments("FILE or DIR..."),
		RunE: func(cmd *cobra.Command, args []string) error {
			v := verifier{&heedless{w: cmd.OutOrStdout()}, cmd.ErrOrStderr(), asJSON}
			return v.all(cmd.Context(), args)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object for each path")
	return cmd
}

// A verifier verifies files, and tells what it finds.
type verifier struct {
	stdout *heedless
	stderr io.Writer // for progress
	json   bool      // tell it in JSON, in the end
}

// all verifies all files, whatever is wrong with some, and whether or not somebody
// still listens.
func (v *verifier) all(ctx context.Context, paths []string) error {
	var failed []error
	damaged := 0
	for _, path := range paths {
		found, err := v.one(ctx, path)
		if err == nil {
			err = v.conclude(found)
		}
		if err != nil && ctx.Err() != nil {
			return err
		}
		if failed = append(failed, err); found.Path == "" {
			failed = append(failed, v.unknown(path, err))
			continue
		}
		switch { // what was found counts, also if it could not be told
		case found.Verdict == verdictIncomplete:
			failed = append(failed, fmt.Errorf("%s: %w", found.Path, errIncomplete))
		case !found.Sound:
			damaged++
		}
	}
	if damaged > 0 {
		failed = append(failed, fmt.Errorf("%w in %s", errDamage, count(damaged, "file")))
	}
	return v.stdout.or(errors.Join(failed...))
}

// one verifies what is at path, and tells damage as soon as it is found. With a verdict, the
// error is that of telling.
func (v *verifier) one(ctx context.Context, path string) (verdict, error) {
	if isDir(path) {
		return v.store(ctx, path)
	}
	file, size, err := openJudged(path)
	if err != nil {
		return verdict{}, err
	}
	defer file.Close()
	is, err := store.IsBackup(file, size)
	switch {
	case err != nil:
		return verdict{}, err
	case is:
		return v.backup(ctx, path, file, size)
	}
	return v.file(ctx, path, file, size)
}

// file verifies a state file.
func (v *verifier) file(ctx context.Context, path string, file *os.File, size int64) (verdict, error) {
	bar := newProgress(v.stdout, v.stderr, "verify "+path, size)
	var printErr error
	torn := int64(0) // what is found last, and the report has only the first damage
	report, err := inspect.Verify(ctx, file, size, &inspect.Options{
		Progress: bar.at,
		Found: func(d inspect.Damage) {
			bar.hide()
			c := red
			if d.Place == inspect.TornTail {
				c, torn = yellow, d.Length
			}
			if err := v.say(c, path, describe(d)); printErr == nil {
				printErr = err
			}
		},
	})
	bar.finish()
	if ctx.Err() != nil {
		return verdict{}, fmt.Errorf("%w: verifying %s is not complete", context.Cause(ctx), path)
	}
	if err != nil {
		return verdict{}, errors.Join(err, printErr)
	}
	return verdictOfFile(path, report, torn), printErr
}

// say prints a line about a path, unless all is told in JSON.
func (v *verifier) say(c color, path, what string) error {
	if v.json {
		return nil
	}
	_, err := fmt.Fprintf(v.stdout, "%s: %s\n", printable(path), c.in(v.stdout.w, what))
	return err
}

// conclude tells the verdict.
func (v *verifier) conclude(found verdict) error {
	c := red
	switch {
	case found.Sound:
		c = green
	case found.Verdict == verdictDamaged:
		c = yellow
	}
	err := v.say(c, found.Path, found.Summary)
	if v.json {
		err = writeJSON(v.stdout, found)
	}
	return err
}

// unknown tells in JSON that a path could not be verified.
func (v *verifier) unknown(path string, err error) error {
	if !v.json {
		return nil
	}
	kind := "file"
	if isDir(path) {
		kind = "store"
	}
	return writeJSON(v.stdout, verdict{
		Path: path, Kind: kind, Verdict: verdictUnknown, Damage: []verdictDamage{},
		Summary: "it could not be verified", Error: bare(err.Error()),
	})
}

// describe returns a line about damage.
func describe(d inspect.Damage) string {
	what := "damaged"
	if d.Place == inspect.TornTail {
		what = "torn tail"
	}
	return fmt.Sprintf("%s: offset %d to %d, %s (%v): %s", what, d.Offset, d.End(), count(d.Length, "byte"), place(d.Place), escaped(d.Reason))
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
	case r.Incomplete():
		return "INCOMPLETE: there is no whole entry. " + whatItMayBe
	case !r.Sound():
		return "damaged, of no consequence for the current state: " + holds
	case r.Updates+r.Snapshots == 0:
		return "ok: empty"
	}
	return "ok: " + holds
}
