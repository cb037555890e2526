package store

import (
	"errors"
	"io"

	"github.com/cespare/xxhash/v2"
)

// A snapReader reads the state in a snapshot file. It gives io.EOF only when
// all of it was there and right.
type snapReader struct {
	e      *entries
	hdr    header
	chunk  uint64 // number of the last chunk read, from 1
	rest   []byte // of it
	bytes  uint64
	digest xxhash.Digest
	err    error // final
}

func newSnapReader(f io.ReaderAt, path string, base uint64, size int64) (*snapReader, error) {
	s := &snapReader{e: newEntries(f, path, 0, size)}
	h, err := readHeader(s.e, snapKind, base)
	if err != nil {
		s.e.close()
		return nil, err
	}
	s.hdr = h
	s.digest.Reset()
	return s, nil
}

// Read implements io.Reader. The error may be a *CorruptError.
func (s *snapReader) Read(p []byte) (int, error) {
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
func (s *snapReader) WriteTo(w io.Writer) (n int64, err error) {
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

// next returns the next chunk.
func (s *snapReader) next() ([]byte, error) {
	b, err := s.e.next()
	switch {
	case err == io.EOF:
		return nil, corrupt(s.e.path, s.e.limit, "the end is missing")
	case errors.Is(err, errStop):
		return nil, corrupt(s.e.path, s.e.bad, "%s", s.e.reason)
	case err != nil:
		return nil, err
	}
	t, payload, err := parseFramed(b, s.hdr.salt, s.e.span)
	if err != nil {
		return nil, corrupt(s.e.path, s.e.off, "%w", err)
	}
	if t.index != s.chunk+1 {
		return nil, corrupt(s.e.path, s.e.off, "an entry that is not chunk %d", s.chunk+1)
	}
	if t.control {
		return nil, s.finish(payload)
	}
	s.chunk++
	s.bytes += uint64(len(payload))
	s.digest.Write(payload)
	return payload, nil
}

// finish checks the trailer, and returns io.EOF if all is right.
func (s *snapReader) finish(payload []byte) error {
	c, ok := parseControl(payload)
	if !ok || c.kind != trailer || c.count != s.bytes || c.digest != s.digest.Sum64() {
		return corrupt(s.e.path, s.e.off, "a trailer of other content")
	}
	if s.e.pos != s.e.limit {
		return corrupt(s.e.path, s.e.pos, "%d bytes too many", s.e.limit-s.e.pos)
	}
	return io.EOF
}

// close ends reading ahead. It must be called.
func (s *snapReader) close() { s.e.close() }

// verify reads up to the end.
func (s *snapReader) verify() error {
	_, err := s.WriteTo(io.Discard)
	return err
}
