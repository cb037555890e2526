package record

import "io"

// sector is the least that a crash keeps or loses of what was written.
const sector = 512

// MayBeTorn reports whether the log in r, which ends before limit and holds no
// whole entry, may be what a crash left of a first one. It begins with the header
// of one, and nothing follows if that is FULL; or that header was lost, and those
// at the start of further blocks are there, or lost too. What others write does
// not look like that. The error, if any, is one of reading.
func MayBeTorn(r io.ReaderAt, limit int64) (bool, error) {
	limit, err := sizeOf(r, limit)
	if err != nil {
		return false, err
	}
	b, err := ReadAt(r, make([]byte, sector), 0, limit)
	if err != nil {
		return false, err
	}
	if !Zero(b) {
		h, ok := tornStart(b)
		if !ok {
			return false, nil
		}
		if h.Type == First {
			return true, nil
		}
		last, err := lastNonzero(r, limit)
		return last < int64(h.Size()), err
	}
	for pos := int64(BlockSize); pos < limit; pos += BlockSize {
		b, err := ReadAt(r, b[:HeaderSize], pos, limit)
		if err != nil || !tornHeader(b, pos) {
			return false, err
		}
	}
	return true, nil
}

// tornStart returns the header that b begins with, as far as it is there, and
// reports whether it may be that of a log's first entry.
func tornStart(b []byte) (Header, bool) {
	var whole [HeaderSize]byte
	n := copy(whole[:], b)
	h := Decode(whole[:])
	switch {
	case n <= typeAt:
		return Header{Type: Full, Length: MaxData}, true
	case h.Offset != 0 || !h.Type.Starts():
		return h, false
	case n < offsetAt:
		h.Length = MaxData
	}
	return h, h.Type == Full && h.Length <= MaxData || h.Length == MaxData
}

// tornHeader reports whether b is, as far as it is there, the header at pos of
// an entry that starts the log, or was lost.
func tornHeader(b []byte, pos int64) bool {
	var whole [HeaderSize]byte
	n := copy(whole[:], b)
	h := Decode(whole[:])
	switch {
	case Zero(b), n <= typeAt:
		return true
	case h.Type != Middle && h.Type != Last:
		return false
	}
	return n < HeaderSize || h.Length <= MaxData && h.Offset == uint64(pos)
}
