package inspect

import (
	"fmt"
	"os"

	"github.com/stateio/stateio/internal/record"
)

// walkStateFile is Parts of a state file. The error is one of reading.
func walkStateFile(path string, from Mark, yield func(Part, error) bool) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	s, err := newScan(f, info.Size(), from.offset)
	if err != nil {
		return err
	}
	emit := func(p Part) bool { return yield(p, nil) }
	if from.offset > 0 {
		s.from(from)
	} else if s.hole > 0 && !emit(Part{End: s.hole, Content: ContentHole}) {
		return nil
	}
	end := s.hole
	s.found = func(found *Entry) bool {
		e := *found // parts may be used after their turn
		p := Part{Offset: e.Offset, End: e.End, Content: ContentUpdate, Epoch: e.Epoch, Size: e.Size, Prefix: e.Prefix, entry: &e}
		if e.Kind == Snapshot {
			p.Content = ContentState
		}
		end = e.End
		return emit(p)
	}
	s.broken = func(d Damage) bool {
		p := Part{Offset: d.Offset, End: d.End(), Content: ContentDamage, Place: d.Place, Reason: d.Reason}
		if d.Place == TornTail {
			p.Content = ContentTorn
		}
		end = max(end, p.End)
		return emit(p)
	}
	if err := s.run(); err != nil {
		return err
	}
	if !s.stop && end < info.Size() {
		emit(Part{Offset: end, End: info.Size(), Content: ContentFree})
	}
	return nil
}

// from makes the walk begin at a mark, as if it had come there.
func (s *scan) from(m Mark) {
	s.at = m.epoch
	s.atKnown = m.epoch != uint64(m.offset) // else it is a snapshot, and the epoch before is not known here
	musts := s.musts[:0]
	for _, d := range s.musts {
		if d.to > m.offset {
			musts = append(musts, d)
		}
	}
	s.musts = musts
}

// after drops what was read of the block at start before the walk begins.
func (s *scan) after(start int64) {
	k := &s.block
	for len(k.Records) > 0 && start+int64(k.Records[0].Pos) < s.begin {
		k.Records = k.Records[1:]
	}
	for len(k.Gaps) > 0 && start+int64(k.Gaps[0].From) < s.begin {
		k.Gaps = k.Gaps[1:]
	}
}

// startOf returns where the block is that the walk begins in.
func (s *scan) startOf() int64 { return max(s.hole, s.begin-s.begin%record.BlockSize) }
