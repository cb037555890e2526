package storefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/record"
)

// A Mark is an update that was read. A reader that goes on after it later, in files that
// may be others by then, tells by it whether they hold the same update, not just one of
// its index.
type Mark struct {
	Index uint64 // 0: no update is marked
	Time  int64  // of its commit, in nanoseconds since 1970; 0 if it is not known

	logged bool // it was read from a log: what is below is known
	base   uint64
	salt   uint64
	off    int64  // of its entry
	sum    uint32 // of the entry's first record
	end    int64  // of its entry
	digest Digest // of the log's records up to there
	// What the updates are, however they were written, as in a copy:
	content Digest // of the log's updates up to there
	last    uint64 // of that one
}

// Mark returns the update that was read last. Another log can only be held against it if
// Track was called before.
func (r *LogReader) Mark() Mark {
	if r.Sealed {
		return r.beforeSeal
	}
	return Mark{
		Index: r.Index, Time: r.Time, logged: true, base: r.Header.Base, salt: r.Header.Salt, off: r.lastOff, sum: r.lastSum, end: r.End, digest: r.EndDigest,
		content: r.content, last: r.last,
	}
}

// Track has r note what it reads, from its first update on, so that it can tell whether it
// holds the update of m.
func (r *LogReader) Track(m Mark) { r.tracks, r.tracked = true, m }

// track notes the update that was read last.
func (r *LogReader) track(update []byte) {
	if !r.tracks {
		return
	}
	state := uint64(0)
	if r.State {
		state = 1
	}
	r.last = (xxhash.Sum64(update)*digestFactor^uint64(r.Time))*digestFactor ^ state
	r.content = r.content.fold(r.last)
	if r.Index > r.tracked.base {
		r.since = r.since.fold(r.last)
	}
}

// fold returns the digest with the digest of one more update.
func (d Digest) fold(sum uint64) Digest { return (d ^ Digest(sum)) * digestFactor }

// Holds reports whether the update that r has read last, of m.Index, is the one of m, and is
// made on the same ones. r tracks m. In a log that was written anew, as that of a copy is,
// their content tells.
func (r *LogReader) Holds(m Mark) bool {
	switch {
	case !m.logged:
		return sameTime(r.Time, m.Time)
	case r.Header.Base == m.base && r.Header.Salt == m.salt:
		return r.EndDigest == m.digest
	case r.Header.Base <= m.base:
		return r.since == m.content
	}
	return r.last == m.last // what comes before was in another log
}

// Stands reports whether the entry of m is still in its place, if it is one of this log.
func (r *LogReader) Stands(m Mark) (bool, error) {
	if !m.logged || r.Header.Base != m.base || r.Header.Salt != m.salt {
		return true, nil
	}
	var head [record.HeaderSize]byte
	b, err := record.ReadAt(r.f, head[:], m.off, m.off+int64(len(head)))
	if err != nil {
		return false, fmt.Errorf("store: reading %s: %w", r.Path, err)
	}
	return len(b) == len(head) && record.Decode(b).Sum == m.sum, nil
}

// Continues reports whether the log of l that r has opened, and has read nothing of, goes on
// with what m is the last update of. If m is in r, that is not known before it is read: see
// Holds. If r begins after m, the log before it tells, and where that was dropped the time.
func (d Dir) Continues(l *Listing, r *LogReader, m Mark) (bool, error) {
	if r.Header.Base < m.Index {
		return true, nil
	}
	i, _ := slices.BinarySearch(l.Logs, m.Index)
	for i--; m.logged && i >= 0; i-- {
		base := l.Logs[i]
		if base != m.base {
			if void, err := d.VoidOrGone(base); void {
				continue
			} else if err != nil {
				return false, noDamage(err)
			}
		}
		found, err := d.marked(base, m)
		if err == nil && !found.reached && base < m.base && len(l.Snaps) > 0 && base < l.Snaps[0] {
			break // a crash may bring back what was being dropped
		}
		return found.held, err
	}
	return sameTime(r.Header.Time, m.Time), nil
}

// sameTime reports whether a and b are the same time, as far as they are known.
func sameTime(a, b int64) bool { return a == b || a == 0 || b == 0 }

// HasMarked reports whether the log of l that m was read from, or another one in its place,
// holds that update, and whether it is known to be sealed after it. One that is gone does not.
func (d Dir) HasMarked(l *Listing, m Mark) (held, sealed bool, err error) {
	i, _ := slices.BinarySearch(l.Logs, m.Index)
	for i--; m.logged && i >= 0; i-- {
		base := l.Logs[i]
		if base != m.base {
			if void, err := d.VoidOrGone(base); void {
				continue
			} else if err != nil {
				return false, false, noDamage(err)
			}
		}
		found, err := d.marked(base, m)
		return found.held, found.sealed, err
	}
	return false, false, nil
}

// A finding is what a log says of a mark.
type finding struct {
	held    bool // it holds that update
	sealed  bool // and is known to be sealed after it
	reached bool // it has an update of that index
}

// marked looks for m in the log after update base. In one that is gone it is not.
func (d Dir) marked(base uint64, m Mark) (finding, error) {
	if base == m.base {
		if sealed, err := d.sealedAt(m); sealed || err != nil {
			return finding{sealed, sealed, sealed}, err
		}
	}
	r, err := d.OpenLog(base, nil)
	if err != nil {
		return finding{}, noDamage(err)
	}
	defer r.Close()
	r.Track(m)
	for err == nil && r.Index < m.Index {
		_, err = r.Next()
	}
	return finding{held: err == nil && r.Holds(m), reached: r.Index >= m.Index}, noDamage(err)
}

// sealedAt reports whether the seal of a log stands right after m: it says that all before
// it is as it was, and need not be read.
func (d Dir) sealedAt(m Mark) (bool, error) {
	size := int64(0)
	r, err := d.OpenLog(m.base, func(f fsys.File) (_ int64, err error) {
		size, err = Size(f)
		return min(size, headerBound), err
	})
	if err != nil {
		return false, noDamage(err)
	}
	defer r.Close()
	if r.Header.Salt != m.salt {
		return false, nil
	}
	r.Index, r.End, r.EndDigest = m.Index, m.end, m.digest
	r.Resume(min(size, m.end+headerBound))
	_, err = r.Next()
	return err == io.EOF, noDamage(err)
}

// noDamage returns err unless it says what a log holds.
func noDamage(err error) error {
	if err == io.EOF || errors.Is(err, ErrStop) || errors.Is(err, ErrCorrupt) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Passes reports whether the name of a file says that there were updates after index.
func (l *Listing) Passes(index uint64) bool {
	logs, snaps := len(l.Logs), len(l.Snaps)
	return logs > 0 && l.Logs[logs-1] > index || snaps > 0 && l.Snaps[snaps-1] > index
}
