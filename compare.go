package stateio

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/stateio/stateio/internal/entry"
	"github.com/stateio/stateio/logio"
)

// errOther is the error for a file that holds other entries than it should.
var errOther = errors.New("the state that was written is not the one that was read: do not use the copy; make another on another disk, and check this one")

// longEntry is the length in bytes from which on an entry is compared in pieces.
const longEntry = 8 << 20

// sameEpoch returns an error unless the first n bytes of dst are the entries of src from
// start to end, as those of epoch 0, and nothing else. It reads both at the same time, from
// front to back, and checks every record.
func sameEpoch(src file, start, end int64, dst file, n int64) error {
	want, got := newSide(src, start, end), newSide(dst, 0, n)
	if start < end && n > 0 {
		if err := sameLong(want, got); err != nil { // the snapshot, if there is one
			return err
		}
	}
	for {
		a, wantLong, err := want.next()
		if err != nil && err != io.EOF {
			return err
		}
		b, gotLong, berr := got.next()
		switch {
		case berr != nil && berr != io.EOF:
			return berr
		case (err == io.EOF) != (berr == io.EOF) || wantLong != gotLong:
			return errOther
		case err == io.EOF:
			return nil
		case wantLong:
			if err := sameLong(want, got); err != nil {
				return err
			}
		case !sameEntry(a, b):
			return errOther
		}
	}
}

// sameEntry reports whether b is what entry a is in epoch 0.
func sameEntry(a, b []byte) bool {
	want, payload, ok := entry.Split(a)
	got, again, ok2 := entry.Split(b)
	return ok && ok2 && got == entry.Head{Kind: want.Kind} && bytes.Equal(payload, again)
}

// sameLong compares the entries that both sides have come to, in pieces.
func sameLong(want, got *side) error {
	if err := want.open(); err != nil {
		return err
	}
	if err := got.open(); err != nil {
		return err
	}
	for same := sameEntry; ; same = bytes.Equal {
		a, more, err := want.piece()
		if err != nil {
			return err
		}
		b, more2, err := got.piece()
		if err != nil {
			return err
		}
		switch {
		case more != more2 || !same(a, b):
			return errOther
		case !more:
			return nil
		}
	}
}

// A side is one of two logs that are compared.
type side struct {
	file file
	end  int64
	log  *logio.Reader
	long io.Reader // the entry that is read in pieces
	buf  []byte    // for a piece
}

// newSide returns the side that is a log from offset start to offset end.
func newSide(f file, start, end int64) *side {
	s := &side{file: f, end: end}
	s.seek(start)
	return s
}

// seek goes to where an entry starts.
func (s *side) seek(start int64) {
	s.log = s.file.log(start, s.end)
	s.log.SetMaxEntry(longEntry)
}

// next returns the next entry, or that it is a long one, which is then to be opened. The
// error is io.EOF at the end.
func (s *side) next() (b []byte, long bool, err error) {
	b, err = s.log.Read()
	switch {
	case err == nil || err == io.EOF:
		return b, false, err
	case errors.Is(err, logio.ErrTooLong):
		return nil, true, nil
	}
	return nil, false, s.failed(err)
}

// open opens the entry that the log has come to.
func (s *side) open() (err error) {
	s.seek(s.log.Offset())
	if s.long, err = s.log.Stream(); err != nil {
		return s.failed(err)
	}
	return nil
}

// piece returns the next piece of the entry that is open, and whether there are more.
func (s *side) piece() (b []byte, more bool, err error) {
	if s.buf == nil {
		s.buf = make([]byte, 2*logio.Blocksz)
	}
	n, err := io.ReadFull(s.long, s.buf)
	switch {
	case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
		return s.buf[:n], false, nil
	case err != nil:
		return nil, false, s.failed(err)
	}
	return s.buf, true, nil
}

// failed returns the error that says where reading failed.
func (s *side) failed(err error) error {
	return fmt.Errorf("reading %s again, at offset %d: %w", s.file.path, s.log.Offset(), err)
}
