package inspect

import (
	"fmt"
	"io"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/internal/record"
)

// newScan finds out where the log in the first limit bytes of r ends, and which
// its current epoch is. The walk is to begin at an offset where an earlier one has found an
// entry, or at 0, the start of the file.
func newScan(r io.ReaderAt, limit, begin int64) (*scan, error) {
	f, err := newFile(r, limit)
	if err != nil {
		return nil, err
	}
	s := &scan{file: f, zeros: -1, one: Entry{file: f}, begin: begin}
	if s.last, err = record.FindTail(f.r, f.limit); err != nil {
		return nil, f.fail(err, 0)
	}
	s.end = s.last.Last.End
	if s.last.Damaged {
		s.end = f.limit
		s.must(s.last.Break, s.last.Proof, fmt.Sprintf("what begins here is broken, and the valid record at offset %d "+
			"shows that it was once whole", s.last.Proof))
	}
	if s.last.Found {
		err = s.findEpoch(s.last.Last)
	} else if s.last.Torn {
		err = s.checkStart()
	}
	if err != nil {
		return nil, err
	}
	if s.known {
		if s.hole, err = s.leading(int64(s.epoch - s.epoch%record.BlockSize)); err != nil {
			return nil, err
		}
	}
	s.freed, s.atKnown, s.data = s.hole, s.hole == 0, !s.zeroAt(s.hole)
	return s, nil
}

// must has a range reported as damage even if the walk finds nothing wrong.
func (s *scan) must(from, to int64, reason string) {
	s.musts = append(s.musts, flaw{from, max(to, from+1), reason})
}

// checkStart finds out whether a file without entries can be a state file.
func (s *scan) checkStart() error {
	torn, err := record.MayBeTorn(s.r, s.limit)
	if err != nil {
		return s.fail(err, 0)
	}
	s.foreign = !torn
	return nil
}

// findEpoch takes the current epoch from the last entry, and checks that what
// it starts with is there.
func (s *scan) findEpoch(last record.Entry) error {
	h, ok, err := s.head(last)
	switch {
	case err != nil:
		return err
	case !ok:
		s.must(last.Start, last.End, "the last entry is not one of a state file")
		return nil
	case h.Kind == entry.Snapshot:
		h.Epoch = uint64(last.Start)
	case h.Epoch >= uint64(last.Start) && h.Epoch != 0:
		s.must(last.Start, last.End, fmt.Sprintf("the update says that it belongs to epoch %d, which lies after it", h.Epoch))
		return nil
	}
	s.epoch, s.known = h.Epoch, true
	at := int64(s.epoch)
	if at < s.startOf() {
		return nil // the earlier walk has read that: it may be a large state
	}
	e, bad, ok, err := record.FindEntry(s.r, at, last.End)
	if err != nil {
		return s.fail(err, at)
	}
	if !ok {
		s.must(bad, bad, fmt.Sprintf("the first entry of the current epoch, at offset %d, is broken here", at))
		return nil
	}
	covered, err := record.Covered(s.r, at, last.End)
	if err != nil {
		return s.fail(err, at)
	}
	if covered {
		s.must(at, e.End, "the current epoch should start here, but the offset lies within another entry")
		return nil
	}
	s.first = true
	return nil
}

// whole takes the entry that ends at end, every record of which is valid.
func (s *scan) whole(end int64) {
	a := &s.entry
	h, payload, ok := entry.Split(a.data)
	if !ok {
		reason := fmt.Sprintf("an entry of %d bytes is too short for one of a state file", a.size)
		if len(a.data) >= entry.HeadSize {
			reason = fmt.Sprintf("an entry is of %v: the file is damaged, or from a later version", h.Kind)
		}
		s.damage(a.start, end, reason)
		return
	}
	e := &s.one
	e.Offset, e.End, e.Kind, e.Epoch, e.Previous = a.start, end, Kind(h.Kind), h.Epoch, 0
	e.Size, e.Prefix = a.size-entry.HeadSize, payload
	link := ""
	if e.Kind == Snapshot {
		e.Epoch, e.Previous = uint64(e.Offset), h.Epoch
		link = s.wrongLink(e)
	}
	if reason := s.misplaced(e); reason != "" {
		s.damage(e.Offset, e.End, reason)
		return
	}
	s.at, s.atKnown = e.Epoch, true
	s.deliver(e)
	if link != "" && !s.stop {
		s.report(flaw{e.Offset, e.End, link}, Obsolete)
	}
}

// misplaced says why entry e does not belong where it is, or nothing.
func (s *scan) misplaced(e *Entry) string {
	switch {
	case e.Kind == Snapshot && s.known && e.Epoch > s.epoch && e.End <= s.last.Last.End:
		return fmt.Sprintf("a snapshot is among the updates of epoch %d", s.epoch)
	case e.Kind == Snapshot:
	case e.Epoch >= uint64(e.Offset) && e.Epoch != 0:
		return fmt.Sprintf("an update says that it belongs to epoch %d, which lies after it", e.Epoch)
	case s.atKnown && e.Epoch != s.at:
		return fmt.Sprintf("an update of epoch %d is among those of epoch %d", e.Epoch, s.at)
	}
	return ""
}

// wrongLink says why the way from snapshot e to the epoch before is broken, or
// nothing.
func (s *scan) wrongLink(e *Entry) string {
	switch {
	case e.Previous >= uint64(e.Offset) && e.Previous != 0:
		return fmt.Sprintf("the snapshot says that epoch %d, which lies after it, came before", e.Previous)
	case s.atKnown && e.Previous != s.at:
		return fmt.Sprintf("the snapshot says that epoch %d came before, but it was epoch %d", e.Previous, s.at)
	}
	return ""
}

// damage takes a damaged range. It is held until it is known where it ends.
func (s *scan) damage(from, to int64, reason string) {
	s.atKnown = false
	if s.held.to > 0 && from <= record.Aligned(s.held.to) {
		s.held.to = max(s.held.to, to)
		return
	}
	s.flush()
	s.held = flaw{from, to, reason}
}

// flush reports the damage that is held.
func (s *scan) flush() {
	d := s.held
	if d.to == 0 || s.stop {
		return
	}
	s.held = flaw{}
	place := Current
	if s.known && d.to <= int64(s.epoch) && d.from < s.last.Last.End {
		place = Obsolete
	}
	s.report(d, place)
}

// report reports damage, and what must be reported before it. A must that it
// contains is fulfilled.
func (s *scan) report(d flaw, place Place) {
	s.settle(d.from)
	if s.stop || s.givenBack() {
		return
	}
	if place == Current {
		musts := s.musts[:0]
		for _, m := range s.musts {
			if m.from < d.from || m.from >= d.to {
				musts = append(musts, m)
			}
		}
		s.musts = musts
	}
	s.stop = !s.broken(Damage{Path: s.path, Offset: d.from, Length: d.to - d.from, Place: place, Reason: d.reason})
}

// givenBack reports whether stateio.Truncate has given back what was there when the walk began,
// which then ends: what is missing is no damage.
func (s *scan) givenBack() bool {
	if s.data && s.gone == nil && s.zeroAt(s.hole) {
		s.gone = s.fail(fmt.Errorf("%w: the file's first epochs were given back to the file system while it was read: inspect it anew", stateio.ErrNoEpoch), s.hole)
		s.stop = true
	}
	return s.gone != nil
}

// deliver reports entry e, and what must be reported before it.
func (s *scan) deliver(e *Entry) {
	s.flush()
	s.settle(e.Offset)
	if !s.stop {
		s.stop = !s.found(e)
	}
}

// settle reports the musts before off that nothing has fulfilled.
func (s *scan) settle(off int64) {
	for i := 0; i < len(s.musts) && !s.stop; {
		if m := s.musts[i]; m.from < off {
			s.report(m, Current) // fulfils itself, and makes way for the next
			continue
		}
		i++
	}
}

// finish reports what is left at the end of the walk.
func (s *scan) finish() {
	if s.zeros >= 0 && s.givenBack() {
		return
	}
	s.abandon(s.end, "the entry that starts here was never finished")
	s.flush()
	s.settle(s.limit + 1)
	if !s.last.Torn || s.last.Damaged || s.stop {
		return
	}
	rest := flaw{s.last.Last.End, s.limit, "what a write has left that a crash cut short"}
	place := TornTail
	if s.foreign {
		rest.reason = "this is no state file: it holds no entry, and is not what a crash leaves of a first one"
		place = Current
	}
	s.report(rest, place)
}
