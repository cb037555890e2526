package inspect

import (
	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/internal/record"
)

// readSize is how much of a file is read at once.
const readSize = 8 * record.BlockSize

// A scan walks through a state file from front to back, tells its entries from
// its damage, and reports both in order.
type scan struct {
	file
	found  func(*Entry) bool // false: stop; the entry is valid until it returns
	broken func(Damage) bool // false: stop
	passed func(off int64) error
	stop   bool

	last    record.Tail // the last whole entry, and what follows it
	epoch   uint64      // the current one
	known   bool        // epoch is: the last entry is one of a state file
	foreign bool        // there are no entries, nor is it the start of one
	first   bool        // the current epoch's first entry is whole, at epoch
	musts   []flaw      // to be reported even if the walk does not find them
	end     int64       // of the walk
	begin   int64       // of the walk, where an entry starts; 0: from the start of the file
	hole    int64       // the file's first bytes, given back to the file system
	data    bool        // there was some after the hole when the walk began
	gone    error       // that was given back, too, since then
	freed   int64       // hole, and what is left after it of the entry cut by it

	block record.Block
	zeros int64 // where zeros began that reach up to here; -1: there are none
	open  bool  // an entry has begun:
	entry assembly
	// one is the entry found last, and the memory of all: copies take longer than hashing a
	// small one.
	one  Entry
	held flaw // damage that may go on; none if it has no length

	at      uint64 // the epoch here
	atKnown bool
}

// A flaw is a damaged range [from, to).
type flaw struct {
	from, to int64
	reason   string
}

// An assembly is an entry of which not every record has come yet.
type assembly struct {
	start int64
	size  int64 // bytes of data so far
	data  []byte
}

// keepData is how much of an entry's data is kept.
const keepData = entry.HeadSize + PrefixSize

func (a *assembly) begin(start int64) { a.start, a.size, a.data = start, 0, a.data[:0] }

func (a *assembly) add(data []byte) {
	a.size += int64(len(data))
	a.data = append(a.data, data[:min(len(data), keepData-len(a.data))]...)
}

// run is the walk. The error is one of reading, or comes from s.passed.
func (s *scan) run() error {
	buf := make([]byte, min(readSize, max(s.end-s.hole, 0)))
	for start := s.startOf(); start < s.end && !s.stop; {
		b, err := record.ReadAt(s.r, buf, start, s.end)
		if err != nil {
			return s.fail(err, start)
		}
		if len(b) == 0 {
			break // r is shorter than was said
		}
		for len(b) > 0 && !s.stop {
			n := min(record.BlockSize, len(b))
			s.walk(start, b[:n])
			b, start = b[n:], start+int64(n)
		}
		if s.passed != nil {
			if err := s.passed(start); err != nil {
				return err
			}
		}
	}
	s.finish()
	return s.gone
}

// walk goes through block b at offset start.
func (s *scan) walk(start int64, b []byte) {
	s.block.Parse(b)
	if in := int64(s.epoch) - start; s.first && 0 < in && in < int64(len(b)) {
		s.restart(b, int(in))
	}
	if s.begin > start {
		s.after(start)
	}
	records, gaps := s.block.Records, s.block.Gaps
	pos := 0
	for len(records)+len(gaps) > 0 && !s.stop {
		if len(gaps) == 0 || len(records) > 0 && records[0].Pos < gaps[0].From {
			r := records[0]
			pos, records = r.Pos+r.Size(), records[1:]
			s.record(start+int64(r.Pos), r.Header, b[r.Pos+record.HeaderSize:pos])
			continue
		}
		g := gaps[0]
		pos, gaps = g.To, gaps[1:]
		s.gap(start+int64(g.From), start+int64(g.To), reasonOf(g, b))
	}
	switch rest := b[pos:]; {
	case len(rest) == 0:
	case record.BlockSize-pos > record.HeaderSize:
		if s.zeros < 0 {
			s.zeros = start + int64(pos)
		}
	case !record.Zero(rest):
		s.flush()
		s.report(flaw{start + int64(pos), start + int64(len(b)), "the rest of a block is not zero"}, Padding)
	}
}

// restart makes what was read of block b from position in on, where the current
// epoch starts, that which follows from there: package stateio starts reading
// there, too, whatever lies before.
func (s *scan) restart(b []byte, in int) {
	k := &s.block
	records, gaps := k.Records, k.Gaps
	k.Records, k.Gaps = nil, nil
	for _, r := range records {
		if r.Pos == in {
			k.Records, k.Gaps = records, gaps
			return
		}
		if r.Pos < in {
			k.Records = append(k.Records, r)
		}
	}
	for _, g := range gaps {
		if g.From < in {
			g.To = min(g.To, in)
			k.Gaps = append(k.Gaps, g)
		}
	}
	for pos := in; record.BlockSize-pos > record.HeaderSize && pos < len(b); {
		h, ok := record.Verify(b[pos:])
		if !ok || !h.Type.Known() {
			if !record.Zero(b[pos:]) {
				k.Gaps = append(k.Gaps, record.Gap{From: pos, To: len(b)})
			}
			return
		}
		k.Records = append(k.Records, record.Record{Header: h, Pos: pos})
		pos += h.Size()
	}
}

// record takes the valid record at pos.
func (s *scan) record(pos int64, h record.Header, data []byte) {
	s.endZeros(pos)
	end := pos + int64(h.Size())
	switch {
	case h.Type.Starts() && h.Offset == 0:
		s.abandon(pos, "the entry that starts here was never finished")
		s.open = true
		s.entry.begin(pos)
	case s.open && !h.Type.Starts() && h.Offset == uint64(pos-s.entry.start):
	case s.isRemains(pos, h):
		s.freed = record.Aligned(end)
		return
	default:
		s.abandon(pos, "the entry that starts here was never finished")
		s.damage(pos, end, "a record here belongs to an entry whose start is missing")
		return
	}
	s.entry.add(data)
	if h.Type.Ends() {
		s.open = false
		s.whole(end)
	}
}

// isRemains reports whether record h at pos is what is left of the entry that
// the hole in front of the file cuts off.
func (s *scan) isRemains(pos int64, h record.Header) bool {
	start, ok := h.Entry(pos)
	return pos == s.freed && s.hole > 0 && !h.Type.Starts() && (!ok || start < s.hole)
}

// gap takes a range without valid records.
func (s *scan) gap(from, to int64, reason string) {
	s.endZeros(from)
	if s.open {
		s.abandon(to, reason)
		return
	}
	s.damage(from, to, reason)
}

// endZeros reports the zeros that reach up to pos, where something follows.
func (s *scan) endZeros(pos int64) {
	if s.zeros < 0 {
		return
	}
	const reason = "zeros are where entries should be"
	if s.open {
		s.abandon(pos, reason)
	} else {
		s.damage(s.zeros, pos, reason)
	}
	s.zeros = -1
}

// abandon gives the entry up that has begun, if any. It is damage up to pos.
func (s *scan) abandon(pos int64, reason string) {
	if s.open {
		s.open = false
		s.damage(s.entry.start, pos, reason)
	}
}

// reasonOf says what is wrong in gap g of block b.
func reasonOf(g record.Gap, b []byte) string {
	broken := b[g.From:g.To]
	switch {
	case g.Unknown:
		return "a record here is of " + record.Decode(broken).Type.String() +
			": the file is damaged, or from a later version"
	case record.Zero(broken[:min(len(broken), record.HeaderSize)]):
		return "zeros are where a record should be"
	}
	return "the checksum of a record is wrong"
}
