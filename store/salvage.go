package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/stateio/stateio/internal/storefile"
)

// A salvager reads all updates in the logs of a store that can be read, by index, also
// after damage.
type salvager struct {
	ctx  context.Context
	dir  storefile.Dir
	id   [16]byte
	logs []uint64 // that are still to be opened
	next uint64   // index of the first update that is wanted

	r    *storefile.LogReader // nil: the next log is to be opened
	from int64                // where to look after damage

	damage []*CorruptError // that is in the way
	meter  *meter          // of the logs
}

// read returns the next update, whose data is valid until the next call. The error is
// io.EOF at the end, or one of reading.
func (s *salvager) read() (logged, error) {
	for {
		if err := s.ctx.Err(); err != nil {
			return logged{}, fmt.Errorf("store: reading %s: %w", s.dir.Path, err)
		}
		if s.r == nil {
			if err := s.open(); err != nil {
				return logged{}, err
			}
			continue
		}
		update, err := s.r.Next()
		var damage *CorruptError
		switch {
		case err == nil:
			s.meter.at(s.r.End)
			if s.r.Index >= s.next {
				s.next = s.r.Index + 1
				return logged{index: s.r.Index, at: s.r.Time, data: update, state: s.r.State}, nil
			}
		case err == io.EOF:
			s.close()
		case errors.Is(err, storefile.ErrStop) || errors.As(err, &damage):
			if err := s.skip(damage); err != nil {
				return logged{}, err
			}
		default:
			return logged{}, err
		}
	}
}

// open opens the next log. One that is gone, or whose header can't be read, is passed
// over: without the salt in there nothing can be told from chance.
func (s *salvager) open() error {
	if len(s.logs) == 0 {
		return io.EOF
	}
	base := s.logs[0]
	s.logs = s.logs[1:]
	s.meter.next()
	r, err := s.dir.OpenLog(base, nil)
	var damage *CorruptError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.As(err, &damage):
		s.damage = append(s.damage, damage)
		return nil
	case err != nil:
		return err
	case r.Header.Store != s.id:
		r.Close()
		return nil
	}
	s.r, s.from = r, 0
	return nil
}

// skip goes on after damage.
func (s *salvager) skip(damage *CorruptError) error {
	if damage != nil {
		s.damage = append(s.damage, damage)
	}
	// What begins where the reader stopped is what it could not read.
	s.from = max(s.from, s.r.End) + 1
	found, err := s.r.Salvage(s.from)
	if err == nil && !found {
		s.close()
	}
	return err
}

// Close ends reading.
func (s *salvager) Close() error {
	s.close()
	return nil
}

// close ends the use of the current log.
func (s *salvager) close() {
	if s.r != nil {
		s.r.Close()
	}
	s.r = nil
}
