package storedir

import (
	"time"
)

// paceBytes is how much a snapshot reads or writes between pauses, in bytes. It
// is also how much of it may be written before it is synced: what a commit may
// find in its way at the disk.
const paceBytes = 1 << 20

// paceShare is how many times as long as it worked a snapshot pauses, and longestPause how long
// at most: a process that was stopped, or a disk that hung, for hours has not worked for hours.
const (
	paceShare    = 3
	longestPause = 10 * time.Second
)

// A pacer makes the writing and verifying of a snapshot leave most of the disk's
// and the processor's time to commits, as long as there are any.
type pacer struct {
	m       *SnapshotMaker
	bytes   int
	batches uint64 // commits before the last pause
	since   time.Time
}

func (m *SnapshotMaker) newPacer() *pacer { return &pacer{m: m, since: time.Now()} }

// Write counts the bytes of p, and pauses when it is time. It is an io.Writer
// to which a snapshot can be read. It fails when the store is closed.
func (p *pacer) Write(b []byte) (int, error) {
	p.m.Progress.Moved.Add(1)
	if p.bytes += len(b); p.bytes >= paceBytes {
		p.pause(time.Since(p.since))
		p.bytes, p.since = 0, time.Now()
	}
	return len(b), p.m.givenUp()
}

// pause sleeps for a time in proportion to what was worked since the last pause, but not for
// long, if there were commits meanwhile.
func (p *pacer) pause(worked time.Duration) {
	batches := p.m.Commits()
	if batches != p.batches {
		t := time.NewTimer(min(paceShare*worked, longestPause))
		defer t.Stop()
		select {
		case <-t.C:
		case <-p.m.Ctx.Done():
		}
	}
	p.batches = batches
}
