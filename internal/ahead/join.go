package ahead

import "github.com/stateio/stateio/internal/record"

// join moves the data of each entry of several records that lies whole in the
// segment together, while it is in the processor's cache: after the header of
// its first record, over the headers of the others, which Joined keeps.
//
// last[i] is where the last sound record of block i starts.
func (s *Segment) join(last [segmentBlocks]int) {
	for i := 0; i < segmentBlocks-1; {
		n := s.spans(i, last[i])
		w := (i + 1) * record.BlockSize
		for b := i + 1; b <= i+n; b++ {
			rec := s.Bytes[b*record.BlockSize:]
			s.Joined[b] = record.Decode(rec)
			w += copy(s.Bytes[w:], rec[record.HeaderSize:s.Joined[b].Size()])
		}
		i += max(n, 1)
	}
}

// spans returns how many blocks the entry goes on for whose first record is at
// last, the last sound one of block i. It is 0 if no entry begins there, or does
// not end in the segment.
func (s *Segment) spans(i, last int) int {
	end := (i + 1) * record.BlockSize
	if s.Sound[i] != end || s.Joined[i].Type != 0 && last == i*record.BlockSize {
		return 0
	}
	h := record.Decode(s.Bytes[last:])
	if h.Type != record.First || h.Offset != 0 {
		return 0
	}
	for n := 1; end < len(s.Bytes); n++ {
		if s.Sound[i+n] == end {
			return 0
		}
		h := record.Decode(s.Bytes[end:])
		switch {
		case h.Offset != uint64(end-last):
			return 0
		case h.Type == record.Last:
			return n
		case h.Type != record.Middle || h.Size() != record.BlockSize:
			return 0
		}
		end += record.BlockSize
	}
	return 0
}
