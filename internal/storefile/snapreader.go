package storefile

import (
	"errors"
	"io"

	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio/internal/fsys"
)

// A SnapReader reads the state in a snapshot file. It gives io.EOF only when
// all of it was there and right.
type SnapReader struct {
	e      *entries
	Header Header
	chunk  uint64 // number of the last chunk read, from 1
	rest   []byte // of it
	bytes  uint64
	Digest xxhash.Digest
	err    error // final

	file fsys.File // that is closed with it; nil: the caller closes it
}

// NewSnapReader reads the header of the snapshot in the first size bytes of f.
func NewSnapReader(f io.ReaderAt, path string, base uint64, size int64) (*SnapReader, error) {
	s := &SnapReader{e: newEntries(f, path, 0, size)}
	h, err := readHeader(s.e, SnapKind, base)
	if err != nil {
		s.e.Close()
		return nil, err
	}
	s.Header = h
	s.Digest.Reset()
	return s, nil
}

// Read implements io.Reader. The error may be a *CorruptError.
func (s *SnapReader) Read(p []byte) (int, error) {
	for len(s.rest) == 0 && s.err == nil {
		s.rest, s.err = s.next()
	}
	if len(s.rest) == 0 {
		return 0, s.err
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// WriteTo implements io.WriterTo, without a copy.
func (s *SnapReader) WriteTo(w io.Writer) (n int64, err error) {
	for s.err == nil {
		k, err := w.Write(s.rest)
		n += int64(k)
		s.rest = s.rest[k:]
		if err != nil {
			return n, err
		}
		s.rest, s.err = s.next()
	}
	if s.err == io.EOF {
		return n, nil
	}
	return n, s.err
}

// Err returns why no more can be read; nil if more can, and at the end.
func (s *SnapReader) Err() error {
	if s.err == io.EOF {
		return nil
	}
	return s.err
}

// Chunk returns the next chunk, valid until the next call, and where its entry is in
// the file: [from, to). At the end, an io.EOF, these are those of the trailer. It is
// for a reader that uses neither Read nor WriteTo.
func (s *SnapReader) Chunk() (chunk []byte, from, to int64, err error) {
	if s.err == nil {
		chunk, s.err = s.next()
	}
	return chunk, s.e.Off, s.e.pos, s.err
}

// HeaderEnd returns where the entry of the header ends, before anything else is read.
func (s *SnapReader) HeaderEnd() int64 { return s.e.pos }

// next returns the next chunk.
func (s *SnapReader) next() ([]byte, error) {
	b, err := s.e.next()
	switch {
	case err == io.EOF:
		return nil, Corrupt(s.e.Path, s.e.Limit, "the end is missing")
	case errors.Is(err, ErrStop):
		return nil, Corrupt(s.e.Path, s.e.Bad, "%s", s.e.Reason)
	case err != nil:
		return nil, err
	}
	var t Tag
	payload, err := parseFramed(&t, b, s.Header.Salt, s.e.span)
	if err != nil {
		return nil, Corrupt(s.e.Path, s.e.Off, "%w", err)
	}
	if t.Index != s.chunk+1 || t.Timed || t.Grouped || t.State || t.Back != 0 {
		return nil, Corrupt(s.e.Path, s.e.Off, "an entry that is not chunk %d", s.chunk+1)
	}
	if t.Control {
		return nil, s.finish(payload)
	}
	s.chunk++
	s.bytes += uint64(len(payload))
	s.Digest.Write(payload)
	return payload, nil
}

// finish checks the trailer, and returns io.EOF if all is right.
func (s *SnapReader) finish(payload []byte) error {
	c, ok := parseControl(payload, trailer)
	if !ok {
		return unknownControl(s.e.Path, s.e.Off, payload)
	}
	if c.Count != s.bytes || c.Digest != s.Digest.Sum64() {
		return Corrupt(s.e.Path, s.e.Off, "a trailer of other content")
	}
	if s.e.pos != s.e.Limit {
		return Corrupt(s.e.Path, s.e.pos, "%d bytes too many", s.e.Limit-s.e.pos)
	}
	return io.EOF
}

// Rewind begins anew, with the header: the file may read differently now.
func (s *SnapReader) Rewind() error {
	again, err := NewSnapReader(s.e.f, s.e.Path, s.Header.Base, s.e.Limit)
	if err != nil {
		return err
	}
	s.e.Close()
	again.file = s.file
	*s = *again
	return nil
}

// Size returns the size that the file had when it was opened, in bytes.
func (s *SnapReader) Size() int64 { return s.e.Limit }

// Close ends reading ahead, and closes the file if [Dir.OpenSnap] has opened it. It must be
// called.
func (s *SnapReader) Close() {
	s.e.Close()
	if s.file != nil {
		_ = s.file.Close() // opened for reading
	}
}
