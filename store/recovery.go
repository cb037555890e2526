package store

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Recovery is what [Open] found and did.
type Recovery struct {
	Index    uint64 // of the last update, 0 if there was none
	Snapshot string // path of the snapshot that was restored; empty: there was none
	// SnapshotIndex is the index of that snapshot.
	SnapshotIndex uint64
	Refused       []RefusedSnapshot // newer snapshots that are damaged or can't be read, newest first

	Logs    int    // files that were replayed
	Updates uint64 // that were replayed
	Bytes   int64  // read from the snapshot, once, and the logs

	// TornBytes were cut off the newest log, at offset TornOffset of TornPath,
	// because of TornReason: the remainder of a commit that a crash interrupted
	// before it was acknowledged. TornBytes is 0 when there was none.
	TornBytes  int64
	TornPath   string
	TornOffset int64
	TornReason string

	// ClockAhead is how far the time of the last commit was ahead of this machine's clock,
	// 0 if it was not. Then the clock was wrong when that was made, or is now.
	ClockAhead time.Duration

	Took time.Duration
}

// A RefusedSnapshot is one that could not be used.
type RefusedSnapshot struct {
	Path string
	Err  error // a *CorruptError, or why the disk does not give it back
}

// refused reports whether the snapshot at path is one of Refused.
func (r *Recovery) refused(path string) bool {
	return slices.ContainsFunc(r.Refused, func(s RefusedSnapshot) bool { return s.Path == path })
}

// Rate returns the bytes read in a second.
func (r Recovery) Rate() float64 {
	if r.Took <= 0 {
		return 0
	}
	return float64(r.Bytes) / r.Took.Seconds()
}

// String returns the report in one line.
func (r Recovery) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "recovered index %d", r.Index)
	if r.Snapshot != "" {
		fmt.Fprintf(&b, " from %s", filepath.Base(r.Snapshot))
	}
	for _, s := range r.Refused {
		fmt.Fprintf(&b, ", refused %s (%v)", filepath.Base(s.Path), s.Err)
	}
	fmt.Fprintf(&b, ", replayed %s of %s", plural(r.Updates, "update"), plural(r.Logs, "log"))
	if r.TornBytes > 0 {
		fmt.Fprintf(&b, ", cut %s off %s at offset %d (%s)",
			plural(r.TornBytes, "torn byte"), filepath.Base(r.TornPath), r.TornOffset, r.TornReason)
	}
	fmt.Fprintf(&b, ", read %.1f MB in %v (%.0f MB/s)", float64(r.Bytes)/1e6, r.Took.Round(time.Microsecond), r.Rate()/1e6)
	return b.String()
}

// plural returns a number with what it counts.
func plural[N int | int64 | uint64](n N, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
