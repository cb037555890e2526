package store

import "errors"

// Close waits for what is pending, gives up a snapshot that is being made, and
// releases the directory. An update in flight gets its result; one that was not
// applied yet gets ErrClosed. A second call waits for the first and returns the
// same.
//
// The error is ErrFailed if the store had failed, or does now; or it says what
// kept it from sealing the log; what was acknowledged is durable in any case. With
// ErrReentrant, from within Apply or View, nothing is closed.
func (s *Store) Close() error {
	if s.user.Load() > 0 && withinUserCode() {
		return errReentrant
	}
	s.mu.Lock()
	first := !s.closing
	s.closing = true
	s.mu.Unlock()
	if first {
		s.closeErr = s.close()
		close(s.closed)
	}
	<-s.closed
	return s.closeErr
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

// protect ends the log with a seal and an empty log behind it, so that any
// damage to it, and the loss of any file, will be noticed. Without that, all
// is durable nevertheless, so it is no error if there is no space for it.
func (s *Store) protect() error {
	if s.log == nil {
		return nil
	}
	if s.log.hdr.base < s.index {
		next, err := s.prepareLog(s.path(s.index, logSuffix))
		if err == nil {
			err = s.switchLog(next, s.index)
		}
		if err != nil && !errors.Is(err, ErrNoSpace) {
			return err
		}
	}
	// Zeros up to the end of a file mean the same as its end.
	_ = s.log.f.Truncate(s.log.end)
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
