package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/stateio/stateio/store"
)

// ofStore finds out about the store in a directory that keeps so many snapshots.
func (s *stat) ofStore(ctx context.Context, stderr io.Writer, keep int) error {
	s.Kind = "store"
	files, err := store.Files(s.Path)
	if err != nil {
		return err
	}
	reports, err := store.Check(ctx, s.Path, nil)
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
	for _, f := range files {
		s.Size += f.Size
		kind := "log"
		if f.Snapshot {
			kind = "snapshot"
			s.Snapshot = &lastSnapshot{Index: &f.Last, Time: known(f.From), Age: age(f.From), Size: f.Size}
		}
		s.add(kind, f.Size)
	}
	if err := s.readUpdates(ctx, stderr, files); err != nil {
		return err
	}
	s.Free = &freed{freedBy(files, s.Last, keep), keep}
	return nil
}

// readUpdates counts the updates in a store, up to damage.
func (s *stat) readUpdates(ctx context.Context, stderr io.Writer, files []store.File) error {
	size := int64(0)
	for _, f := range files {
		if !f.Snapshot {
			size += f.Size
		}
	}
	bar := newProgress(stderr, "stat "+s.Path, size)
	defer bar.finish()
	last, r := files[0].First-1, rate{}
	for u, err := range store.ReadUpdates(ctx, s.Path, files[0].First) {
		switch {
		case ctx.Err() != nil:
			return notRead(ctx, s.Path)
		case errors.Is(err, store.ErrCorrupt) && s.Damaged > 0: // which is told
		case err != nil:
			return err
		default:
			s.Updates++
			s.Payload += int64(len(u.Data))
			last = u.Index
			if s.First == 0 {
				s.First, s.From = u.Index, known(u.Time)
			}
			s.Until = known(u.Time)
			r.add(u.Time)
			if s.Snapshot != nil && u.Index > *s.Snapshot.Index {
				s.Snapshot.Updates++
			}
			bar.at(s.Payload + entryOverhead*int64(s.Updates))
		}
	}
	s.Last, s.Rate = &last, r.told()
	return nil
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
