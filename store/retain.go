package store

import (
	"slices"
	"time"

	"github.com/stateio/stateio/internal/storefile"
)

// retain removes snapshots beyond Options.KeepSnapshots that are older than
// Options.KeepFor, and the logs that hold only updates before the oldest one kept. Only
// the snapshotter calls it.
//
// Snapshots go first, durably, so that every snapshot found has its log.
func (s *Store) retain() error {
	l, err := s.files().List()
	if err != nil {
		return err
	}
	whole := slices.DeleteFunc(slices.Clone(l.Snaps), s.isDamaged)
	drop := len(whole) - s.opts.KeepSnapshots
	if drop > 0 && s.opts.KeepFor > 0 {
		drop, err = s.agedOut(whole[:drop+1])
	}
	if drop <= 0 || err != nil {
		return err
	}
	oldest := whole[drop]
	i, _ := slices.BinarySearch(l.Snaps, oldest)
	if err := s.remove(l.Snaps[:i], storefile.SnapSuffix); err != nil {
		return err
	}
	n := 0
	for n < len(l.Logs) && l.Logs[n] < oldest {
		n++
	}
	return s.remove(l.Logs[:n], storefile.LogSuffix)
}

// agedOut returns how many of the first snapshots are not needed for the states of the
// time that Options.KeepFor says: all before the last one that is older.
func (s *Store) agedOut(snaps []uint64) (int, error) {
	now := s.fs.Now()
	since := now.Add(-s.opts.KeepFor)
	for i, index := range slices.Backward(snaps) {
		made, err := s.snapshotMade(index, now)
		if err != nil {
			return 0, wrap("looking for snapshots that are no longer needed", err)
		}
		if !made.After(since) {
			return i, nil
		}
	}
	return 0, nil
}

// snapshotMade returns the time of the last commit in the snapshot of index; that of the
// file, if a clock that was ahead has made the commit: as times don't go back in a log, it
// would be that moment for ages.
func (s *Store) snapshotMade(index uint64, now time.Time) (time.Time, error) {
	h, _, err := s.files().SnapHeader(index)
	made := moment(h.Time)
	if err != nil || !made.After(now) {
		return made, err
	}
	if changed := s.modTime(s.path(index, storefile.SnapSuffix)); !changed.IsZero() {
		made = changed
	}
	return made, nil
}

// isDamaged reports whether the snapshot of index can't be used: Open found that,
// and it was not made again since.
func (s *Store) isDamaged(index uint64) bool {
	return s.recovery.refused(s.path(index, storefile.SnapSuffix)) && !s.remade[index]
}
