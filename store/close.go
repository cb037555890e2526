package store

import "errors"

// Close waits for what is pending, gives up a snapshot that is being made, and
// releases the directory. An update in flight gets its result; one that was not
// applied yet gets ErrClosed. A second call waits for the first and returns the
// same.
//
// The error is ErrFailed if the store had failed, or does now: what was
// acknowledged is durable in any case.
func (s *Store) Close() error {
	if s.user.Load() > 0 && withinUserCode() {
		return errReentrant
	}
	s.closing.Do(func() { s.closed = s.close() })
	return s.closed
}

func (s *Store) close() error {
	s.state.Lock()
	s.mu.Lock()
	if s.err == nil {
		s.err = &opError{is: ErrClosed, msg: s.dir + " is closed"}
	}
	s.announce()
	s.mu.Unlock()
	s.state.Unlock()
	s.cancel()
	s.workers.Wait()
	s.commit.Lock()
	defer s.commit.Unlock()
	err := s.commitBatch()
	if err == nil {
		err = s.protect()
	}
	s.release()
	return err
}

// protect ends the log with a mark, and gives unused space back.
func (s *Store) protect() error {
	log := s.log
	if log == nil {
		return nil
	}
	if !log.marked {
		if err := s.appendControl(log, control{kind: mark}, s.index); err != nil {
			// Everything is durable; only the mark may not be.
			return s.wrap("closing "+log.path, err)
		}
	}
	// Zeros up to the end of a file mean the same as its end.
	_ = log.f.Truncate(log.end)
	return nil
}

// failure returns why the store has failed, nil if it has not. The caller holds
// mu.
func (s *Store) failure() error {
	if errors.Is(s.err, ErrFailed) {
		return s.err
	}
	return nil
}

// release closes the files and gives the lock of the directory back.
func (s *Store) release() {
	if s.log != nil {
		_ = s.log.f.Close() // everything in it was synced, or the store has failed
	}
	_ = s.lock.Close()
}
