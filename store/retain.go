package store

import "slices"

// retain removes snapshots beyond Options.KeepSnapshots, and the logs that hold
// only updates before the oldest one kept. The caller holds snapshots.
//
// Snapshots go first, durably, so that every snapshot found has its log.
func (s *Store) retain() error {
	l, err := list(s.fs, s.dir)
	if err != nil {
		return err
	}
	whole := slices.DeleteFunc(slices.Clone(l.snaps), s.refused)
	drop := len(whole) - s.opts.KeepSnapshots
	if drop <= 0 {
		return nil
	}
	oldest := whole[drop]
	i, _ := slices.BinarySearch(l.snaps, oldest)
	if err := s.remove(l.snaps[:i], snapSuffix); err != nil {
		return err
	}
	n := 0
	for n < len(l.logs) && l.logs[n] < oldest {
		n++
	}
	return s.remove(l.logs[:n], logSuffix)
}

// refused reports whether Open found the snapshot of index damaged. It can be
// made again only while there was no update.
func (s *Store) refused(index uint64) bool {
	return index != s.recovery.Index && slices.ContainsFunc(s.recovery.Refused, func(r RefusedSnapshot) bool {
		return r.Path == s.path(index, snapSuffix)
	})
}

// remove removes files, durably.
func (s *Store) remove(indexes []uint64, suffix string) error {
	if len(indexes) == 0 {
		return nil
	}
	for _, index := range indexes {
		if err := s.fs.Remove(s.path(index, suffix)); err != nil {
			return s.wrap("removing an old file", err)
		}
	}
	return s.wrap("removing old files", s.fs.SyncDir(s.dir))
}
