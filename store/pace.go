package store

import "time"

// paceBytes is how much a snapshot reads or writes between pauses, in bytes. It
// is also how much of it may be written before it is synced: what a commit may
// find in its way at the disk.
const paceBytes = 1 << 20

// paceShare is how many times as long as it worked a snapshot pauses.
const paceShare = 3

// A pacer makes the writing and verifying of a snapshot leave most of the disk's
// and the processor's time to commits, as long as there are any.
type pacer struct {
	s       *Store
	bytes   int
	batches uint64 // commits before the last pause
	since   time.Time
}

func newPacer(s *Store) *pacer { return &pacer{s: s, since: time.Now()} }

// Write counts the bytes of p, and pauses when it is time. It is an io.Writer
// to which a snapshot can be read. It fails when the store is closed.
func (p *pacer) Write(b []byte) (int, error) {
	if p.bytes += len(b); p.bytes >= paceBytes {
		p.pause()
	}
	return len(b), p.s.givenUp()
}

// pause sleeps for a time in proportion to the work since the last pause, if
// there were commits meanwhile.
func (p *pacer) pause() {
	p.s.mu.Lock()
	batches := p.s.stats.batches
	p.s.mu.Unlock()
	if batches != p.batches {
		t := time.NewTimer(paceShare * time.Since(p.since))
		defer t.Stop()
		select {
		case <-t.C:
		case <-p.s.ctx.Done():
		}
	}
	p.bytes, p.batches, p.since = 0, batches, time.Now()
}

// givenUp returns an error when background work is to end.
func (s *Store) givenUp() error {
	if s.ctx.Err() != nil {
		return &opError{is: ErrClosed, msg: "the snapshot was given up because the store was closed"}
	}
	return nil
}
