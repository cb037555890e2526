package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/stateio/stateio/inspect"
	"github.com/stateio/stateio/store"
)

const statHelp = `stat tells how large a store, a state file or a backup is and what takes the space, how
many updates there are, when and how fast they were made, how old the last snapshot is,
what one more would free, and whether a crash has left a torn tail. It reads all of it once,
changes nothing, and works while it is in use.

What a snapshot would free are the files that the store drops when it has one more than
--keep: give what the program has as Options.KeepSnapshots. Of a state file it is what
stateio compact gives back. State files have no times.

The exit status is 1 if something is damaged: stateio verify says what.

--json prints an object with the fields path, kind (store, file or backup), size, sizes
(kind, count, bytes), updates, payload (bytes in them), first and last (indexes), from and
until (times), rate (per_second, most_per_second, step_seconds, counts: of updates in each
step), snapshot (index, time, age_seconds, size, updates_since), free (bytes, keep), torn
(bytes) and damaged (places). What is not known, or is not there, is left out.`

const statExample = `  stateio stat /var/lib/app
  stateio stat --json /var/lib/app | jq .snapshot.age_seconds
  stateio stat app.state`

func newStat() *cobra.Command {
	var asJSON bool
	keep := 2
	cmd := &cobra.Command{
		Use:     "stat FILE|DIR",
		Short:   "Tell sizes, rates, and what a snapshot would free",
		Long:    statHelp,
		Example: statExample,
		Args:    arguments("FILE or DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if keep < 1 {
				return usageError{fmt.Errorf("--keep is %d: a store keeps at least 1 snapshot", keep)}
			}
			if cmd.Flags().Changed("keep") {
				if err := forStores(args[0], "--keep is for stores, and %s is no directory"); err != nil {
					return err
				}
			}
			s := &stat{Path: args[0], Sizes: []kindSize{}}
			out := &heedless{w: cmd.OutOrStdout()}
			text := &statText{w: out, quiet: asJSON}
			err := s.find(cmd, keep, text)
			broken := s.Kind == "backup" && s.Damaged > 0 // the error has the place
			switch {
			case err != nil && !errors.Is(err, errIncomplete) && !broken: // of such a file it is known what there is
				return err
			case asJSON:
				err = errors.Join(err, writeJSON(out, s))
			case err == nil:
				err = text.rest(s)
			}
			if s.Damaged > 0 && !broken {
				err = errors.Join(err, fmt.Errorf("%s: %w in %s; stateio verify %s lists all of it", s.Path, errDamage, count(s.Damaged, "place"), shellWord(s.Path)))
			}
			return out.or(err)
		},
	}
	cmd.Flags().IntVar(&keep, "keep", keep, "the store keeps `N` snapshots")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	noValues(cmd, "keep")
	return cmd
}

// A stat is what is told about a store, a state file or a backup.
type stat struct {
	Path     string        `json:"path"`
	Kind     string        `json:"kind"`
	Size     int64         `json:"size"`
	Sizes    []kindSize    `json:"sizes"`
	Updates  uint64        `json:"updates"`
	Payload  int64         `json:"payload"`
	First    uint64        `json:"first,omitempty"`
	Last     *uint64       `json:"last,omitempty"`
	From     *time.Time    `json:"from,omitempty"`
	Until    *time.Time    `json:"until,omitempty"`
	Rate     *jsonRate     `json:"rate,omitempty"`
	Snapshot *lastSnapshot `json:"snapshot,omitempty"`
	Free     *freed        `json:"free,omitempty"`
	Torn     int64         `json:"torn"`
	Damaged  int64         `json:"damaged"`
}

// A kindSize is how many of a kind there are, and how much space they take.
type kindSize struct {
	Kind  string `json:"kind"`
	Count int64  `json:"count"`
	Bytes int64  `json:"bytes"`
}

// A lastSnapshot is the newest snapshot of a store or file.
type lastSnapshot struct {
	Index   *uint64    `json:"index,omitempty"`
	Time    *time.Time `json:"time,omitempty"`
	Age     *float64   `json:"age_seconds,omitempty"`
	Size    int64      `json:"size"`
	Updates uint64     `json:"updates_since"`
}

// A freed is the space that a snapshot, or a compaction, would free.
type freed struct {
	Bytes int64 `json:"bytes"`
	Keep  int   `json:"keep,omitempty"`
}

// find finds out about what is at the path, and has text tell what is known before all of
// it is read.
func (s *stat) find(cmd *cobra.Command, keep int, text *statText) error {
	if isDir(s.Path) {
		return s.ofStore(cmd, keep, text)
	}
	file, size, err := openRead(s.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	s.Size = size
	is, err := store.IsBackup(file, size)
	if err != nil {
		return err
	}
	of := s.ofFile
	if s.Kind = "file"; is {
		s.Kind, of = "backup", s.ofBackup
	}
	if err := text.first(cmd.Context(), s); err != nil {
		return err
	}
	return of(cmd, file)
}

// add counts one of a kind.
func (s *stat) add(kind string, bytes int64) {
	for i := range s.Sizes {
		if s.Sizes[i].Kind == kind {
			s.Sizes[i].Count++
			s.Sizes[i].Bytes += bytes
			return
		}
	}
	s.Sizes = append(s.Sizes, kindSize{kind, 1, bytes})
}

// ofBackup finds out about a backup.
func (s *stat) ofBackup(cmd *cobra.Command, file *os.File) error {
	bar := newProgress(cmd.OutOrStdout(), cmd.ErrOrStderr(), "stat "+s.Path, s.Size)
	info, err := store.RestoreBackup(cmd.Context(), &barWriter{bar: bar}, file, s.Size)
	bar.finish()
	if cmd.Context().Err() != nil {
		return notRead(cmd.Context(), s.Path)
	}
	if errors.Is(err, store.ErrCorrupt) {
		s.Damaged = 1 // what follows it nobody reads
	}
	if err != nil {
		return err
	}
	s.add("snapshot", info.Bytes)
	s.Last, s.Until = &info.Index, known(info.Time)
	s.Snapshot = &lastSnapshot{Index: &info.Index, Time: known(info.Time), Age: age(info.Time), Size: info.Bytes}
	return nil
}

// ofFile finds out about a state file.
func (s *stat) ofFile(cmd *cobra.Command, file *os.File) error {
	bar := newProgress(cmd.OutOrStdout(), cmd.ErrOrStderr(), "stat "+s.Path, s.Size)
	defer bar.finish()
	current, all := int64(0), int64(0) // bytes: of the entries of the newest epoch, and of all that is there
	refused := false                   // by compact
	for e, err := range inspect.Entries(file, s.Size) {
		var d *inspect.Damage
		switch {
		case cmd.Context().Err() != nil:
			return notRead(cmd.Context(), s.Path)
		case errors.As(err, &d):
			s.addDamage(d)
			switch d.Place {
			case inspect.Obsolete, inspect.TornTail: // compact leaves them out
				all += d.Length
			case inspect.Current:
				refused = true
			}
			continue
		case err != nil:
			return err
		case e.Kind == inspect.Snapshot:
			current, s.Snapshot = 0, &lastSnapshot{Size: e.Size}
		default:
			s.Updates++
			s.Payload += e.Size
			if s.Snapshot != nil {
				s.Snapshot.Updates++
			}
		}
		current += e.End - e.Offset
		all += e.End - e.Offset
		s.add(e.Kind.String(), e.End-e.Offset)
		bar.at(e.End)
	}
	if s.Damaged == 0 {
		if err := complete(file, s.Size); err != nil {
			return err
		}
	}
	if !refused {
		s.Free = &freed{Bytes: all - current}
	}
	return nil
}

// addDamage counts damage in a state file.
func (s *stat) addDamage(d *inspect.Damage) {
	s.add(kindOf(d), d.Length)
	if d.Place == inspect.TornTail {
		s.Torn = d.Length
		return
	}
	s.Damaged++
}

// age returns the seconds since a time, if it is known.
func age(t time.Time) *float64 {
	if t.IsZero() {
		return nil
	}
	seconds := time.Since(t).Round(time.Millisecond).Seconds()
	return &seconds
}
