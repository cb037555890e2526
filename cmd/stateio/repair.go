package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/stateio/stateio/store"
)

const repairHelp = `repair makes a new store in the directory DST of what can be had of the damaged one
in SRC, and says what that is. It never changes SRC, and refuses a DST that exists.
Stop the program that uses SRC first.

Without options DST gets the newest state that is exactly one that the store had:
with its indexes and its identity, it can take the place of SRC. --salvage keeps every
update that can be read, also those after others that are lost: look whether the state
that comes out makes sense. --drop leaves out the update of an index, such as one that
the program refuses in a replay.

The exit status is 0 when nothing was lost, and 1 when something was, or when nothing can
be had: then there is no DST, and no line about it. It is 3 if an update to drop is
not there, and 1 if that shows only when DST is made. A repair that fails after it has
begun, as on a full disk, leaves a DST that programs refuse to open: remove it. --json prints an object with the
fields snapshot, updates, index, exact, state_lost, lost (first, last, known, after, before), dropped,
not_dropped and damage (path, offset, reason).`

const repairExample = `  stateio repair /var/lib/app /var/lib/app.repaired
  stateio repair --salvage /var/lib/app /tmp/all
  stateio repair --drop 120001 /var/lib/app /var/lib/app.without`

func newRepair() *cobra.Command {
	var o store.RepairOptions
	var drop []uint
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "repair SRC DST",
		Short:   "Make a new store of what can be had of a damaged one",
		Long:    repairHelp,
		Example: repairExample,
		Args:    arguments("SRC", "DST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := forStores(args[0], "%s is no directory: repair is for stores; of a state file, restore --epoch gives what is before the damage"); err != nil {
				return err
			}
			for _, index := range drop {
				o.Drop = append(o.Drop, uint64(index))
			}
			if err := canDrop(cmd.Context(), args[0], o.Drop); err != nil {
				return err
			}
			bar := newProgress(cmd.OutOrStdout(), cmd.ErrOrStderr(), "repair "+args[0], 0)
			o.Progress = bar.of
			rep, err := store.Repair(cmd.Context(), args[0], args[1], &o)
			bar.finish()
			if cause := context.Cause(cmd.Context()); err != nil && cause != nil && !anothers(err) {
				err = fmt.Errorf("%w: repairing %s is not complete%s", cause, args[0], remains(args[1], "repair"))
			}
			if err != nil {
				return err
			}
			if asJSON {
				err = writeJSON(cmd.OutOrStdout(), jsonReport(rep, o.Drop))
			} else {
				err = tellRepair(cmd.OutOrStdout(), args[1], rep, o.Drop)
			}
			return errors.Join(untold(err, args[1]+" is made"), notWhole(args[0], args[1], rep, o.Drop))
		},
	}
	cmd.Flags().BoolVar(&o.Salvage, "salvage", false, "keep every update that can be read")
	cmd.Flags().UintSliceVar(&drop, "drop", nil, "leave out the update `INDEX`")
	cmd.Flags().Lookup("drop").DefValue = "" // not (default []), which is no INDEX
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	noValues(cmd, "drop")
	return cmd
}

// remains says what to do before what was interrupted is done again, if it has left something.
func remains(dst, do string) string {
	if _, err := os.Lstat(dst); err != nil {
		return ""
	}
	return fmt.Sprintf(": remove %s before you %s again", dst, do)
}

// canDrop returns an error if it is certain that the store in dir has not each of the
// updates to drop. What it has after damage, the report tells.
func canDrop(ctx context.Context, dir string, drop []uint64) error {
	if len(drop) == 0 {
		return nil
	}
	files, err := store.Files(dir)
	if err != nil {
		return err
	}
	last, err := lastIndex(ctx, dir)
	if err != nil {
		return context.Cause(ctx)
	}
	for _, index := range drop {
		if index < files[0].First || index > last {
			return fmt.Errorf("--drop %d: %s has no such update: it has %s. Nothing was made", index, dir, updatesOf(files[0].First, last))
		}
	}
	return nil
}

// notDropped returns those of the updates to drop that were not found.
func notDropped(rep store.RepairReport, drop []uint64) []uint64 {
	missed := []uint64{}
	for _, index := range drop {
		if !slices.Contains(rep.Dropped, index) {
			missed = append(missed, index)
		}
	}
	return missed
}

// notWhole returns an error unless everything is in the new store but what was to be
// dropped.
func notWhole(src, dst string, rep store.RepairReport, drop []uint64) error {
	var err error
	switch {
	case rep.StateLost:
		err = fmt.Errorf("%s: %w: the state before the first update is not in %s", src, errDamage, dst)
	case len(rep.Lost) > 0:
		err = fmt.Errorf("%s: %w: some updates are not in %s", src, errDamage, dst)
	}
	for _, index := range notDropped(rep, drop) {
		err = errors.Join(err, fmt.Errorf("%w: %d", errNotDropped, index))
	}
	return err
}

// errNotDropped is the error for an update that was to be dropped, and is not in the log.
var errNotDropped = errors.New("an update that was to be left out is not among those after the snapshot that the new store begins with")

// tellRepair says what was made, and what is lost.
func tellRepair(w io.Writer, dst string, rep store.RepairReport, drop []uint64) error {
	var err error
	say := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, format+"\n", args...)
		}
	}
	lost := red.in(w, "lost")
	for _, d := range rep.Damage {
		say(red.in(w, "damage")+": %s, offset %d: %s", printable(d.Path), d.Offset, escaped(d.Err.Error()))
	}
	if rep.StateLost {
		say(lost + ": the state that the updates were made on: no snapshot of it can be read")
	}
	for _, l := range rep.Lost {
		what := "can't be read"
		if l.Known {
			what = "can be read, and --salvage keeps it"
			if l.Last > l.First {
				what = "can be read, and --salvage keeps them"
			}
		}
		if l.Last == 0 {
			say(lost+": all updates from %d on, if there were any: the log is missing or can't be read%s", l.First, between(l.After, l.Before))
			continue
		}
		say(lost+": %s, which %s%s", updatesOf(l.First, l.Last), what, between(l.After, l.Before))
	}
	for _, index := range rep.Dropped {
		say("dropped: update %d", index)
	}
	for _, index := range notDropped(rep, drop) {
		say("not dropped: update %d, which is not among those after the snapshot", index)
	}
	from := "the beginning"
	if rep.StateLost {
		from = "no state"
	}
	if rep.Snapshot > 0 {
		from = fmt.Sprintf("a snapshot of index %d", rep.Snapshot)
	}
	kind := "the exact state of the old store at that index"
	if !rep.Exact {
		kind = "a state that the old store never had: look whether it makes sense"
	}
	say("%s: index %d, %s after %s; %s", printable(dst), rep.Index, count(int64(rep.Updates), "update"), from, kind)
	return err
}

// updatesOf names the updates of some indexes.
func updatesOf(first, last uint64) string {
	if first == last {
		return fmt.Sprintf("update %d", first)
	}
	return fmt.Sprintf("updates %d to %d", first, last)
}

// between says when something was, by the times of what is known before and after.
func between(after, before time.Time) string {
	switch {
	case !after.IsZero() && !before.IsZero():
		return fmt.Sprintf(", between %s and %s", stamp(after), stamp(before))
	case !after.IsZero():
		return fmt.Sprintf(", after %s", stamp(after))
	case !before.IsZero():
		return fmt.Sprintf(", before %s", stamp(before))
	}
	return ""
}

// stamp returns a time as it is printed, and as --at and --from take it.
func stamp(t time.Time) string { // in milliseconds, rounded down; see indexOf
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

type jsonLoss struct {
	First  uint64     `json:"first"`
	Last   uint64     `json:"last"`
	Known  bool       `json:"known"`
	After  *time.Time `json:"after,omitempty"`
	Before *time.Time `json:"before,omitempty"`
}

type jsonDamage struct {
	Path   string `json:"path"`
	Offset int64  `json:"offset"`
	Reason string `json:"reason"`
}

type jsonRepair struct {
	Snapshot uint64       `json:"snapshot"`
	Updates  uint64       `json:"updates"`
	Index    uint64       `json:"index"`
	Exact    bool         `json:"exact"`
	NoState  bool         `json:"state_lost"`
	Lost     []jsonLoss   `json:"lost"`
	Dropped  []uint64     `json:"dropped"`
	Missed   []uint64     `json:"not_dropped"`
	Damage   []jsonDamage `json:"damage"`
}

// jsonReport returns what --json prints.
func jsonReport(rep store.RepairReport, drop []uint64) jsonRepair {
	out := jsonRepair{rep.Snapshot, rep.Updates, rep.Index, rep.Exact, rep.StateLost, []jsonLoss{}, []uint64{}, notDropped(rep, drop), []jsonDamage{}}
	for _, l := range rep.Lost {
		out.Lost = append(out.Lost, jsonLoss{l.First, l.Last, l.Known, known(l.After), known(l.Before)})
	}
	out.Dropped = append(out.Dropped, rep.Dropped...)
	for _, d := range rep.Damage {
		out.Damage = append(out.Damage, jsonDamage{d.Path, d.Offset, d.Err.Error()})
	}
	return out
}

// known returns a time for JSON: nothing, if it is not known.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
