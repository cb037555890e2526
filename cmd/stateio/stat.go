package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/stateio/stateio/inspect"
	"github.com/stateio/stateio/store"
)

const statHelp = `stat tells how large a store, a state file or a backup is and what takes the space, how
many updates there are, when and how fast they were made, how old the last snapshot is,
what one more would free, and whether a crash has left a torn tail. It reads all of it,
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
			s, err := statOf(cmd, args[0], keep)
			if err != nil {
				return err
			}
			if asJSON {
				err = writeJSON(cmd.OutOrStdout(), s)
			} else {
				err = s.tell(cmd.OutOrStdout())
			}
			if s.Damaged > 0 {
				err = errors.Join(err, fmt.Errorf("%s: %w in %s; stateio verify %[1]s lists all of it", s.Path, errDamage, count(s.Damaged, "place")))
			}
			return err
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

// statOf finds out about what is at path.
func statOf(cmd *cobra.Command, path string, keep int) (*stat, error) {
	s := &stat{Path: path, Sizes: []kindSize{}}
	if isDir(path) {
		return s, s.ofStore(cmd.Context(), cmd.ErrOrStderr(), keep)
	}
	file, size, err := openRead(path)
	if err != nil {
		return s, err
	}
	defer file.Close()
	s.Size = size
	is, err := store.IsBackup(file, size)
	switch {
	case err != nil:
		return s, err
	case is:
		return s, s.ofBackup(cmd, file)
	}
	return s, s.ofFile(cmd, file)
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
	s.Kind = "backup"
	info, err := store.VerifyBackup(cmd.Context(), file, s.Size)
	if cmd.Context().Err() != nil {
		return notRead(cmd.Context(), s.Path)
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
	s.Kind = "file"
	bar := newProgress(cmd.ErrOrStderr(), "stat "+s.Path, s.Size)
	defer bar.finish()
	current, all := int64(0), int64(0) // bytes of entries: of the newest epoch, and of all
	for e, err := range inspect.Entries(file, s.Size) {
		var d *inspect.Damage
		switch {
		case cmd.Context().Err() != nil:
			return notRead(cmd.Context(), s.Path)
		case errors.As(err, &d):
			s.addDamage(d)
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
	s.Free = &freed{Bytes: all - current}
	if s.Damaged > 0 {
		return nil
	}
	return complete(file, s.Size)
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

// tell prints s for people.
func (s *stat) tell(w io.Writer) error {
	t := statText{w: w}
	t.line(printable(s.Path), "%s, %s", s.Kind, bytesOf(s.Size))
	for _, k := range s.Sizes {
		t.line("  "+k.Kind, "%s, %s", s.pieces(k.Count), bytesOf(k.Bytes))
	}
	switch {
	case s.First > 0:
		t.line("  updates", "%s, %d to %d: %s of payload", count(int64(s.Updates), "update"), s.First, *s.Last, bytesOf(s.Payload))
	case s.Kind != "backup":
		t.line("  updates", "%s: %s of payload", count(int64(s.Updates), "update"), bytesOf(s.Payload))
	}
	if s.From != nil && s.Until != nil {
		t.line("  made", "from %s to %s, in %v", stamp(*s.From), stamp(*s.Until), brief(s.Until.Sub(*s.From)))
	}
	if r := s.Rate; r != nil {
		t.line("  rate", "%s updates/s on average, %s at most in %v", perSecond(r.Mean), perSecond(r.Most), time.Duration(r.Step*float64(time.Second)))
		t.line("", "|%s|", r.curve())
	}
	s.tellSnapshot(&t)
	if s.Torn > 0 {
		t.line("  torn tail", "%s, not acknowledged: what a crash cut short, or what is being written now", bytesOf(s.Torn))
	}
	return t.err
}

// pieces says how many there are of what a kind has.
func (s *stat) pieces(n int64) string {
	switch {
	case s.Kind == "store":
		return count(n, "file")
	case n == 1:
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

// tellSnapshot prints what is known of the last snapshot, and of the next.
func (s *stat) tellSnapshot(t *statText) {
	switch last := s.Snapshot; {
	case last == nil:
		t.line("  last one", "there is no snapshot")
	case last.Age != nil:
		t.line("  last one", "after update %d, %v ago, %s; %s since", *last.Index, brief(time.Duration(*last.Age*float64(time.Second))), bytesOf(last.Size), count(int64(last.Updates), "update"))
	case last.Index != nil:
		t.line("  last one", "after update %d, %s; %s since", *last.Index, bytesOf(last.Size), count(int64(last.Updates), "update"))
	default:
		t.line("  last one", "%s; %s since", bytesOf(last.Size), count(int64(last.Updates), "update"))
	}
	switch {
	case s.Free == nil:
	case s.Kind == "store":
		t.line("  the next", "would free %s, with --keep %d", bytesOf(s.Free.Bytes), s.Free.Keep)
	default:
		t.line("  compact", "would free %s", bytesOf(s.Free.Bytes))
	}
}

// A statText prints a table of two columns.
type statText struct {
	w   io.Writer
	err error
}

func (t *statText) line(name, format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, "%-12s  %s\n", name, fmt.Sprintf(format, args...))
	}
}

// bytesOf returns a size in bytes, kB, MB and so on, in three digits.
func bytesOf(n int64) string {
	if n < 1000 {
		return count(n, "byte")
	}
	f, unit := float64(n), 0
	for f >= 999.5 && unit < len("kMGTPE") {
		f /= 1000
		unit++
	}
	return fmt.Sprintf("%.3g %cB", f, "kMGTPE"[unit-1])
}

// perSecond returns a rate in three digits, or as a whole number.
func perSecond(f float64) string {
	if f >= 100 {
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprintf("%.3g", f)
}
