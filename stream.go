package stateio

import (
	"errors"
	"io"

	"github.com/stateio/stateio/logio"
)

// RestoreStream is [Restore] for a state that need not fit in memory: it returns
// the state as a stream, and its size in bytes. Without a snapshot, state is nil
// and size -1. The stream must be read before updates is, and is no longer valid
// then.
//
// Every record of the snapshot was checked before, so the stream ends early only
// if r does, or with an error of reading: a [*CorruptError] if r has changed since, and one
// that wraps [ErrNoEpoch] if [Truncate] has given back the epoch.
func RestoreStream(r io.ReaderAt, limit int64) (state io.Reader, size int64, epoch uint64, updates *Reader, err error) {
	f, err := newFile(r, limit)
	if err != nil {
		return nil, -1, 0, nil, err
	}
	end, err := f.end()
	if err != nil {
		return nil, -1, 0, nil, err
	}
	updates, snapshot, err := f.openEpoch(end.epoch, end.last.End)
	if err != nil {
		return nil, -1, 0, nil, err
	}
	if snapshot.Reader == nil {
		return nil, -1, end.epoch, updates, nil
	}
	return &stateStream{f, end.epoch, snapshot}, snapshot.size, end.epoch, updates, nil
}

// A stateStream is the payload of a snapshot, with errors of this package.
type stateStream struct {
	f     file
	epoch uint64
	p     payload
}

func (s *stateStream) Read(b []byte) (int, error) {
	n, err := s.p.Read(b)
	if err == nil || errors.Is(err, io.EOF) && !errors.Is(err, logio.ErrCorrupted) {
		return n, err
	}
	return n, s.f.unlessFreed(s.epoch, s.f.convert(err, s.p.log.Offset()))
}
