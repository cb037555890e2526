package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/stateio/stateio/store"
)

// ofStore finds out about the store in a directory that keeps so many snapshots, in one
// walk through all of it.
func (s *stat) ofStore(cmd *cobra.Command, keep int, text *statText) error {
	ctx := cmd.Context()
	files, err := store.Files(s.Path)
	if err != nil {
		return err
	}
	s.Kind = "store"
	for _, f := range files {
		if f.Err != nil && !errors.Is(f.Err, store.ErrCorrupt) {
			return f.Err // it can't be read: then its size is not known
		}
		s.Size += f.Size
		kind := "log"
		if f.Snapshot {
			kind = "snapshot"
			s.Snapshot = &lastSnapshot{Index: &f.Last, Time: known(f.From), Age: age(f.From), Size: f.Size}
		}
		s.add(kind, f.Size)
	}
	if err := text.first(ctx, s); err != nil {
		return err
	}
	bar := newProgress(cmd.OutOrStdout(), cmd.ErrOrStderr(), "stat "+s.Path, s.Size)
	u := updateCounter{s: s, last: files[0].First}
	if !files[0].Snapshot {
		u.last-- // the first one of the log comes
	}
	reports, err := store.Check(ctx, s.Path, &store.CheckOptions{Progress: bar.of, Update: u.add})
	bar.finish()
	if ctx.Err() != nil {
		return notRead(ctx, s.Path)
	}
	if err != nil {
		return err
	}
	for _, r := range reports {
		s.Torn += r.Torn
		s.Damaged += int64(len(r.Damage))
	}
	s.Last, s.Rate = &u.last, u.rate.told()
	s.Free = &freed{freedBy(files, s.Last, keep), keep}
	return nil
}

// An updateCounter counts the updates in a store that can be read.
type updateCounter struct {
	s    *stat
	last uint64 // index of the last one
	rate rate
}

// add counts an update.
func (c *updateCounter) add(u store.Update) {
	if u.Index <= c.last {
		return // a log that was damaged, or is of another store, has it once more
	}
	s := c.s
	c.last = u.Index
	if s.Updates++; s.Updates == 1 {
		s.First = u.Index
	}
	s.Payload += int64(len(u.Data))
	if s.Snapshot != nil && u.Index > *s.Snapshot.Index {
		s.Snapshot.Updates++
	}
	if u.Time.IsZero() {
		return // after damage
	}
	if s.From == nil {
		s.From = known(u.Time)
	}
	s.Until = known(u.Time)
	c.rate.add(u.Time)
}

// freedBy returns the size of the files that a store drops after a snapshot of its last
// update, if it keeps so many.
func freedBy(files []store.File, last *uint64, keep int) (bytes int64) {
	var snaps []uint64
	for _, f := range files {
		if f.Snapshot {
			snaps = append(snaps, f.Last)
		}
	}
	if len(snaps) == 0 || snaps[len(snaps)-1] < *last {
		snaps = append(snaps, *last)
	}
	slices.Sort(snaps)
	if len(snaps) <= keep {
		return 0
	}
	oldest := snaps[len(snaps)-keep]
	for _, f := range files {
		gone := f.Snapshot && f.Last < oldest
		if !f.Snapshot {
			gone = f.First <= oldest // the snapshot is made where a log ends, and another begins
		}
		if gone {
			bytes += f.Size
		}
	}
	return bytes
}

// notRead returns the error of a stat that was interrupted.
func notRead(ctx context.Context, path string) error {
	return fmt.Errorf("%w: reading %s is not complete", context.Cause(ctx), path)
}
