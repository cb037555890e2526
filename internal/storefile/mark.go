package storefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

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
}

// Mark returns the update that was read last.
func (r *LogReader) Mark() Mark {
	if r.Sealed {
		return r.beforeSeal
	}
	return Mark{Index: r.Index, Time: r.Time, logged: true, base: r.Header.Base, salt: r.Header.Salt, off: r.lastOff, sum: r.lastSum, end: r.End, digest: r.EndDigest}
}

// Holds reports whether the update that r has read last, of m.Index, is the one of m.
func (r *LogReader) Holds(m Mark) bool {
	if !m.logged {
		return sameTime(r.Time, m.Time)
	}
	return r.Header.Base == m.base && r.Header.Salt == m.salt && r.EndDigest == m.digest
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
		if base == m.base {
			held, _, err := d.HasMarked(m)
			return held, err
		}
		if base < m.base && len(l.Snaps) > 0 && base < l.Snaps[0] {
			break // a crash may bring back what was being dropped
		}
		if void, err := d.VoidOrGone(base); !void {
			return false, noDamage(err)
		}
	}
	return sameTime(r.Header.Time, m.Time), nil
}

// sameTime reports whether a and b are the same time, as far as they are known.
func sameTime(a, b int64) bool { return a == b || a == 0 || b == 0 }

// HasMarked reports whether the log that m was read from still holds that update, and
// whether it is sealed after it. One that is gone does not.
func (d Dir) HasMarked(m Mark) (held, sealed bool, err error) {
	if !m.logged {
		return false, false, nil
	}
	if sealed, err := d.sealedAt(m); sealed || err != nil {
		return sealed, sealed, err
	}
	r, err := d.OpenLog(m.base, nil)
	if err != nil {
		return false, false, noDamage(err)
	}
	defer r.Close()
	for err == nil && r.Index < m.Index {
		_, err = r.Next()
	}
	return err == nil && r.Holds(m), false, noDamage(err)
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
