package logio

import (
	"io"

	"github.com/stateio/stateio/internal/record"
)

const (
	// gulpFrom is from how many blocks on an entry is a large one. Its size is
	// not known before its end: that of the entry before is taken for it, or, once
	// it is longer than that, twice what there is of it.
	gulpFrom = 8
	// gulpBlocks is how many blocks are read at once: enough for the cost of a
	// call not to matter, few enough to stay in a processor's cache.
	gulpBlocks = 8
	// page is what the place that is read to is a multiple of: the kernel copies
	// to such places faster.
	page = 4 << 10
)

// gulp reads blocks straight into r.entry, as long as they hold nothing but the
// middle of that entry, as almost all blocks of a large one do, and moves their
// data up to where it belongs while it is in the processor's cache. It stops at
// the first block that holds something else, and at anything that is wrong, which
// is left to callers that read records one by one.
func (r *Reader) gulp() {
	for n := r.expected(); n > 0; n = r.expected() {
		from := (len(r.entry) + page - 1) / page * page
		if room := (cap(r.entry) - from) / Blocksz; room > 0 {
			n = min(n, room)
		}
		r.grow(from - len(r.entry) + n*Blocksz)
		raw := r.entry[from : from+n*Blocksz]
		raw = raw[:r.in.direct(raw)]
		used := 0
		for len(raw)-used >= Blocksz && r.middle(raw[used:used+Blocksz]) {
			used += Blocksz
		}
		// What is put together grows by less than it consumes, so that this stays
		// as it is, after it, until it is consumed.
		r.in.unread(raw[used:])
		if used < n*Blocksz {
			return
		}
	}
}

// middle appends the data of block b to the entry, if b is one record, of the
// middle of that entry, and there is room for it.
func (r *Reader) middle(b []byte) bool {
	h, ok := record.Verify(b)
	if !ok || h.Type != record.Middle || h.Size() != Blocksz || h.Offset != uint64(r.in.pos-r.begun) ||
		int64(len(r.entry)+h.Length) > r.max {
		return false
	}
	r.entry = append(r.entry, b[record.HeaderSize:]...)
	r.in.pos += Blocksz
	return true
}

// expected returns how many blocks to gulp: as many as the entry goes on for if it
// is as long as the one before, or else as it has shown to have. It is 0 if the
// entry is a small one, or a block has begun.
func (r *Reader) expected() int {
	left := r.size - len(r.entry)
	if left <= 0 {
		left = len(r.entry)
	}
	n := left/record.MaxData + 1
	switch {
	case len(r.entry)+left < gulpFrom*Blocksz || len(r.in.block) > 0 || len(r.in.back) > 0 || r.in.pos%Blocksz > 0:
		return 0
	case n <= gulpBlocks:
		return n
	case n < 2*gulpBlocks:
		return (n + 1) / 2 // two of about the same size
	}
	return gulpBlocks
}

// direct reads into p what is after the current block, which is consumed, and
// returns how many bytes there are. What goes wrong fill tells next.
func (in *input) direct(p []byte) int {
	if in.ver != nil {
		return in.ver.ReadPast(p)
	}
	n := copy(p, in.buf[in.next:in.end])
	in.next += n
	for n < len(p) && !in.eof {
		k, err := in.read(p[n:])
		n += k
		in.eof = err == io.EOF
		if err != nil && !in.eof {
			in.fault = err
		}
		if k == 0 || err != nil {
			break
		}
	}
	return n
}

// unread gives back the last bytes that direct has read: they are next. The input
// reads them where they are.
func (in *input) unread(b []byte) { in.back = b }

// giveBack makes the block of left bytes at pos, of what was given back, the
// current one. It reports false if there is none.
func (in *input) giveBack(left int) bool {
	switch {
	case len(in.back) == 0:
		return false
	case len(in.back) < left && in.ver == nil:
		// The source has not ended, perhaps: buf, which is empty, takes it.
		if len(in.buf) == 0 {
			in.buf = make([]byte, minInput)
		}
		in.next, in.end = 0, copy(in.buf, in.back)
		in.back = nil
		return false
	}
	in.block = in.back[:min(left, len(in.back))]
	in.sound, _ = record.Sound(in.block)
	in.back = in.back[len(in.block):]
	return true
}
